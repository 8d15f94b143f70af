"""What moves through the page cache does not stay there, and what was there stays."""

import ctypes
import os

import pytest

from panmodel.io import cache, sink, source
from panmodel.io.cache import dont_need, is_cached
from panmodel.io.sink import Sink
from panmodel.io.source import FileSource

MIB = 1 << 20


@pytest.fixture
def large(tmp_path):
    path = tmp_path / "large.bin"
    with path.open("wb") as file:
        file.write(os.urandom(8 * MIB))
        os.fsync(file.fileno())
    return path


def test_what_is_read_is_cached_until_it_is_given_back(large):
    large.read_bytes()
    with large.open("rb") as file:
        assert is_cached(file.fileno(), 8 * MIB)
        dont_need(file.fileno(), 0, 8 * MIB)
        if is_cached(file.fileno(), 8 * MIB):
            pytest.skip("this file system keeps everything in memory")


@pytest.mark.parametrize("cold", [True, False])
def test_only_a_cold_file_is_not_left_in_memory(large, monkeypatch, cold):
    asked, given = [], []
    monkeypatch.setattr(source, "is_cached", lambda descriptor, nbytes: asked.append(nbytes) or not cold)
    monkeypatch.setattr(source, "dont_need", lambda descriptor, offset, nbytes: given.append((offset, nbytes)))
    monkeypatch.setattr(source, "_BEHIND", MIB)
    file = FileSource(large)
    assert b"".join(map(bytes, file.chunks(5, 7 * MIB, 3 * MIB))) == large.read_bytes()[5 : 5 + 7 * MIB]
    assert len(list(file.chunks(0, 100))) == 1  # too little for a look
    assert asked == [8 * MIB]
    assert given == ([(0, 2 * MIB + 5), (2 * MIB + 5, 3 * MIB), (5 * MIB + 5, MIB)] if cold else [])
    assert len(list(file.chunks(0, 3 * MIB))) == 1  # back to the begin
    assert given[3:] == ([(0, 2 * MIB)] if cold else [])


def test_large_files_leave_the_memory_while_they_are_written(tmp_path, monkeypatch):
    monkeypatch.setattr(sink, "_WINDOW", MIB)
    asked = []
    monkeypatch.setattr(sink, "dont_need", lambda descriptor, offset, nbytes: asked.append((offset, nbytes)))
    with Sink(tmp_path / "a.bin") as target:
        file = target.open()
        for _ in range(5):
            file.write(bytes(MIB // 2))
    assert asked == [(0, MIB), (0, 2 * MIB), (0, 5 * MIB // 2)]
    assert (tmp_path / "a.bin").stat().st_size == 5 * MIB // 2


def test_ctrl_c_in_the_midst_of_a_look_stays_ctrl_c(large, monkeypatch):
    def interrupted(_):
        raise KeyboardInterrupt

    monkeypatch.setattr(ctypes, "byref", interrupted)
    with large.open("rb") as file, pytest.raises(KeyboardInterrupt):
        is_cached(file.fileno(), 8 * MIB)


def test_systems_that_take_no_advice(monkeypatch, large):
    monkeypatch.setattr(cache, "_HAS_ADVICE", False)
    with large.open("rb") as file:
        assert is_cached(file.fileno(), 8 * MIB)
        dont_need(file.fileno(), 0, MIB)
    assert source.FileSource(large).read(0, 4) == large.read_bytes()[:4]
