"""Whenever and however a writer of any format ends, there is the old file or the whole new one, and nothing else."""

import itertools
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from tests.crash_cases import CASES, NEW, OLD, tensors_alone

from panmodel import formats
from panmodel.errors import MissingFileError, PanmodelError, ReadError, UnknownFormatError, UnsafeError
from panmodel.formats import registry

ROOT = Path(__file__).parents[1]
#: In memory, where the system has it: what a disk does with a sync takes its time and changes nothing here.
FAST = Path("/dev/shm")
#: What there is of each way to end in the suite; `benchmarks/crashes.py` has more of it.
WAYS = {
    "steps": 10,
    "moments": 6,
    "signals": 4,
    "failures": 10,
    "full": 2,
    "small-disks": 4,
    "together": 3,
    "readers": 12,
}


@pytest.mark.parametrize("case", CASES)
def test_there_is_the_old_model_or_the_new_one(case, tmp_path):
    folder = FAST if os.access(FAST, os.W_OK) else tmp_path
    options = [f"--{way}={number}" for way, number in WAYS.items()]
    command = [sys.executable, "-m", "tests.crashes", case, *options, "--folder", str(folder)]
    paths = os.pathsep.join([str(ROOT / "src"), str(ROOT)])
    environment = {**os.environ, "PYTHONPATH": paths, "OPENBLAS_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, env=environment, timeout=240)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["old"] and found["new"] and found["nothing"] and found["partial files left"]
    assert not CASES[case].parts or found["aside files left"]


def test_every_format_that_is_written_is_here():
    written = {name for name, record in registry().items() if record.write}
    split = {name for name, record in registry().items() if record.shards}
    assert written == {case.format for case in CASES.values()}
    assert split == {case.format for case in CASES.values() if case.parts}


WAITS_AS_IT_WRITES = """
import os, signal
from panmodel import cli
from panmodel.io.sink import StagedFile

def write(self, data):
    os.write(1, b"writing\\n")
    signal.pause()

StagedFile.write = write
cli.main()
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_command_that_is_interrupted_says_so_and_leaves_nothing(tmp_path, number):
    source, target = tmp_path / "a.npy", tmp_path / "to" / "model.safetensors"
    np.save(source, np.zeros(1000, np.float32))
    target.parent.mkdir()
    target.write_bytes(b"old")
    command = [sys.executable, "-c", WAITS_AS_IT_WRITES, "convert", "--force", source, target]
    child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, preexec_fn=heed)
    assert child.stdout.readline() == "writing\n"
    child.send_signal(number)
    said = child.communicate()[1]
    assert child.returncode == 128 + number
    assert "nothing was left half-written" in said and "Traceback" not in said
    assert os.listdir(target.parent) == ["model.safetensors"]
    assert target.read_bytes() == b"old"


def heed():
    """What a shell starts in the background does not hear of Ctrl-C."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


def save(folder, version):
    CASES["safetensors in shards"].write(tensors_alone(version, 600), folder, 600, force=True)
    return folder / "model.safetensors.index.json"


def test_a_model_that_is_replaced_while_it_is_opened_is_opened_again(tmp_path, monkeypatch):
    path, real, versions = save(tmp_path, OLD), formats._open, iter([NEW])

    def open_slowly(record, location):
        model = real(record, location)
        for version in versions:
            save(tmp_path, version)
            break
        return model

    monkeypatch.setattr(formats, "_open", open_slowly)
    new = tensors_alone(NEW, 600).tensors
    assert {name: tensor.numpy().tobytes() for name, tensor in formats.read(path).tensors.items()} == {
        name: tensor.numpy().tobytes() for name, tensor in new.items()
    }
    versions = itertools.cycle([OLD, NEW])
    with pytest.raises(ReadError, match="again and again"):
        formats.read(path)


def busy(monkeypatch, folder):
    """Let another name come and go while a file is looked at; the list of the times that one was."""
    real, times = formats.detect, []

    def detect(location):
        times.append(1)
        os.utime(folder, ns=(0, len(times)))
        return real(location)

    monkeypatch.setattr(formats, "detect", detect)
    return times


def test_an_error_is_the_same_in_a_busy_folder(tmp_path, monkeypatch):
    (tmp_path / "model.pkl").write_bytes(b"cos\nsystem\n(S'true'\ntR.")
    (tmp_path / "notes.txt").write_text("none")
    times = busy(monkeypatch, tmp_path)
    with pytest.raises(UnsafeError):
        formats.read(tmp_path / "model.pkl")
    assert len(times) == 1
    for name, error in (("notes.txt", UnknownFormatError), ("gone.npz", MissingFileError)):
        with pytest.raises(error):
            formats.read(tmp_path / name)


def test_what_is_not_there_for_a_moment_is_looked_for_again(tmp_path, monkeypatch):
    np.save(tmp_path / "away", np.ones(3))
    times = busy(monkeypatch, tmp_path)
    real = formats.detect

    def detect(location):
        if len(times) == 2:
            (tmp_path / "away.npy").rename(tmp_path / "model.npy")
        return real(location)

    monkeypatch.setattr(formats, "detect", detect)
    assert formats.read(tmp_path / "model.npy").tensors
    assert len(times) == 3


def test_half_a_set_in_a_folder_is_not_taken_for_a_model(tmp_path):
    """A first conversion died when one shard had its name: alone, it would be read as a whole file."""
    save(tmp_path, OLD)
    first = tmp_path / "model-00001-of-00005.safetensors"
    for path in tmp_path.iterdir():
        if path != first:
            path.unlink()
    assert formats.read(tmp_path).tensors
    (tmp_path / ".model.safetensors.index.json.1-00000000.none.aside").touch()
    (tmp_path / f".{first.name}.1-00000000.new.aside").write_text(str(first.stat().st_ino))
    with pytest.raises(PanmodelError):
        formats.read(tmp_path)
    assert os.listdir(tmp_path) == []


def test_what_was_opened_stays_readable(tmp_path):
    model = formats.read(save(tmp_path, OLD))
    save(tmp_path, NEW)
    right = tensors_alone(OLD, 600).tensors
    for name, tensor in model.tensors.items():
        assert tensor.numpy().tobytes() == right[name].numpy().tobytes()
