"""All files of a conversion appear, or none."""

import errno
import os
import re
import signal
import subprocess
import sys
import time

import pytest

from panmodel.errors import OutputExistsError, StorageError
from panmodel.io.sink import Sink


def names(folder):
    return sorted(os.listdir(folder))


def test_files_appear_at_the_end(tmp_path):
    with Sink(tmp_path / "a.bin") as sink:
        sink.open("b.bin").write(b"beside")
        main = sink.open()
        main.write(b"12345")
        main.align(8)
        main.overwrite(0, b"9")
        assert main.position == 8
        assert all(name.endswith(".partial") for name in names(tmp_path))
    assert names(tmp_path) == ["a.bin", "b.bin"]
    assert (tmp_path / "a.bin").read_bytes() == b"92345\0\0\0"
    assert [path.name for path in sink.files] == ["b.bin", "a.bin"]
    assert sink.nbytes == 14


def test_a_target_without_a_file_of_its_name(tmp_path):
    with Sink(tmp_path / "a", names=("a.data", "a.index")) as sink:
        sink.open().write(b"main")
        sink.open("a.data").write(b"data")
        assert sink.main == tmp_path / "a.index"
    assert names(tmp_path) == ["a.data", "a.index"]
    assert [path.name for path in sink.files] == ["a.data", "a.index"]
    for name in ("a.data", "a.index"):
        (tmp_path / name).rename(tmp_path / "away")
        with pytest.raises(OutputExistsError):
            Sink(tmp_path / "a", names=("a.data", "a.index")).require_free()
        (tmp_path / "away").rename(tmp_path / name)


def test_old_and_new_files_are_never_mixed(tmp_path, monkeypatch):
    """Whenever the process dies, a main file that is there belongs to the files beside it."""
    real, seen = os.replace, []

    def replace(source, target):
        seen.append({path.name: path.read_bytes() for path in tmp_path.iterdir() if path.name[0] != "."})
        real(source, target)

    monkeypatch.setattr(os, "replace", replace)
    for content, force in ((b"old", False), (b"new", True)):
        with Sink(tmp_path / "a.bin", force=force) as sink:
            sink.open().write(content)
            sink.open("b.bin").write(content)
    assert seen == [{}, {"b.bin": b"old"}, {}, {"b.bin": b"new"}]
    assert (tmp_path / "a.bin").read_bytes() == b"new"


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit])
def test_nothing_is_left_when_the_writer_fails(tmp_path, error):
    (tmp_path / "a.bin").write_bytes(b"old")
    with pytest.raises(error), Sink(tmp_path / "a.bin", force=True) as sink:
        sink.open().write(b"new")
        raise error
    assert names(tmp_path) == ["a.bin"]
    assert (tmp_path / "a.bin").read_bytes() == b"old"


@pytest.mark.parametrize("name", [None, "beside.bin"])
def test_files_are_not_replaced_unasked(tmp_path, name):
    (tmp_path / (name or "a.bin")).write_bytes(b"old")
    with pytest.raises(OutputExistsError, match="--force"), Sink(tmp_path / "a.bin") as sink:
        sink.open(name)
    assert names(tmp_path) == [name or "a.bin"]
    with Sink(tmp_path / "a.bin", force=True) as sink:
        sink.open(name).write(b"new")
    assert (tmp_path / (name or "a.bin")).read_bytes() == b"new"


def test_a_dangling_link_is_a_file_that_is_there(tmp_path):
    (tmp_path / "a.bin").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OutputExistsError), Sink(tmp_path / "a.bin") as sink:
        sink.open()


def test_one_file_is_not_written_twice(tmp_path):
    with pytest.raises(OutputExistsError), Sink(tmp_path / "a.bin") as sink:
        sink.open()
        sink.open("a.bin")
    assert names(tmp_path) == []


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(StorageError, match="no folder"), Sink(tmp_path / "none" / "a.bin") as sink:
        sink.open()


def test_a_full_disk_leaves_nothing(tmp_path):
    """A limit on file size stands for a disk that is full: the same call fails in the same place."""
    code = f"""
import resource, signal
from panmodel.errors import StorageError
from panmodel.io.sink import Sink
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20))
try:
    with Sink({str(tmp_path / "a.bin")!r}) as sink:
        staged = sink.open()
        for _ in range(64):
            staged.write(bytes(1 << 16))
except StorageError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert os.strerror(errno.EFBIG) in done.stdout
    assert "nothing was left behind" in done.stdout
    assert names(tmp_path) == []


def test_what_a_killed_writer_left_is_cleared(tmp_path):
    code = f"""
import time
from panmodel.io.sink import Sink
with Sink({str(tmp_path / "a.bin")!r}) as sink:
    sink.open().write(b"half")
    print("ready", flush=True)
    time.sleep(60)
"""
    child = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
    assert child.stdout.readline() == b"ready\n"
    with Sink(tmp_path / "a.bin") as sink:  # while the other runs, its file is its own
        sink.open().write(b"whole")
        assert len(names(tmp_path)) == 2
    child.send_signal(signal.SIGKILL)
    child.wait()
    time.sleep(0.05)
    assert len(names(tmp_path)) == 2
    with Sink(tmp_path / "a.bin", force=True) as sink:
        sink.open().write(b"again")
    assert names(tmp_path) == ["a.bin"]
    assert (tmp_path / "a.bin").read_bytes() == b"again"


def test_progress_is_told_of_every_piece(tmp_path):
    told = []
    with Sink(tmp_path / "a.bin", progress=told.append) as sink:
        sink.open().write_all([b"12", b"345"])
        sink.open("b.bin").write(b"6")
    assert told == [2, 3, 1]


def test_files_of_an_older_model_go_after_the_new_one_is_there(tmp_path):
    for name in ("a-1-of-2", "a-2-of-2", "a.index"):
        (tmp_path / name).write_bytes(b"old")
    with pytest.raises(OutputExistsError), Sink(tmp_path / "a.index2") as sink:
        sink.supersede(re.compile("a-1-of-2"))
    with pytest.raises(ValueError), Sink(tmp_path / "a.index", force=True) as sink:
        sink.supersede(re.compile("a-[0-9]-of-2"))
        raise ValueError
    assert names(tmp_path) == ["a-1-of-2", "a-2-of-2", "a.index"]
    with Sink(tmp_path / "a.index", force=True) as sink:
        sink.supersede(re.compile("a-[0-9]-of-2"))
        sink.open("a-2-of-2").write(b"new")
        sink.open().write(b"new")
    assert names(tmp_path) == ["a-2-of-2", "a.index"]
    assert (tmp_path / "a-2-of-2").read_bytes() == b"new"
