"""A model may have more files than a process may have open unasked."""

import os
import resource
import subprocess
import sys

import pytest

CODE = """
import resource, sys
from pathlib import Path
from panmodel.errors import PanmodelError
from panmodel.io.sink import Sink
from panmodel.io.source import FileSource
folder, hard, count = Path(sys.argv[1]), int(sys.argv[2]), 300
resource.setrlimit(resource.RLIMIT_NOFILE, (128, hard))
def write():
    with Sink(folder / "main") as sink:
        for number in range(count):
            sink.open(str(number)).write(b"part %d" % number)
        sink.open().write(b"main")
def read():
    sources = [FileSource(folder / str(number)) for number in range(count)]
    assert [source.read(0, source.size) for source in sources] == [b"part %d" % number for number in range(count)]
for work in (write, read):
    try:
        work()
        print("done")
    except PanmodelError as error:
        print(type(error).__name__, error)
    for number in range(count):
        folder.joinpath(str(number)).touch()
"""


def run(folder, hard):
    done = subprocess.run([sys.executable, "-c", CODE, folder, str(hard)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.skipif(resource.getrlimit(resource.RLIMIT_NOFILE)[1] < 512, reason="the system allows no more")
def test_as_many_files_are_open_as_the_system_lets_them(tmp_path):
    assert run(tmp_path, 512).split() == ["done", "done"]
    assert len(os.listdir(tmp_path)) == 301


def test_where_it_lets_no_more_it_is_said_what_to_do(tmp_path):
    written, read = run(tmp_path, 128).split("ulimit -n")[:2]
    assert written.startswith("StorageError") and "Too many open files" in written
    assert "ReadError" in read and "Too many open files" in read
    assert not [name for name in os.listdir(tmp_path) if name.startswith(".")]
