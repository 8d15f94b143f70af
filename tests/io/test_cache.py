"""What moves through the page cache does not stay there, and what was there stays."""

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
    with path.open("rb") as file:
        dont_need(file.fileno(), 0, 8 * MIB)
        if is_cached(file.fileno(), 4 * MIB):
            pytest.skip("this file system keeps everything in memory")
    return path


def cached(path):
    """How many of some pages are in memory; the system may keep a few that it is busy with."""
    with path.open("rb") as file:
        return sum(is_cached(file.fileno(), offset) for offset in range(0, 8 * MIB, MIB // 4))


def test_a_cold_file_is_not_left_in_memory(large):
    assert sum(len(piece) for piece in FileSource(large).chunks(0, 8 * MIB)) == 8 * MIB
    assert cached(large) < 8


def test_a_warm_file_stays_in_memory(large):
    large.read_bytes()
    assert sum(len(piece) for piece in FileSource(large).chunks(0, 8 * MIB)) == 8 * MIB
    assert cached(large) > 24


def test_the_bytes_are_the_same_either_way(large):
    source = FileSource(large)
    cold = b"".join(bytes(piece) for piece in source.chunks(5, 7 * MIB))
    assert cold == large.read_bytes()[5 : 5 + 7 * MIB]


def test_large_files_leave_the_memory_while_they_are_written(tmp_path, monkeypatch):
    monkeypatch.setattr(sink, "_WINDOW", MIB)
    asked = []
    monkeypatch.setattr(sink, "dont_need", lambda descriptor, offset, nbytes: asked.append((offset, nbytes)))
    with Sink(tmp_path / "a.bin") as target:
        file = target.open()
        for _ in range(5):
            file.write(bytes(MIB // 2))
    assert asked == [(0, MIB), (0, 2 * MIB)]
    assert (tmp_path / "a.bin").stat().st_size == 5 * MIB // 2


def test_systems_that_take_no_advice(monkeypatch, large):
    monkeypatch.setattr(cache, "_HAS_ADVICE", False)
    monkeypatch.setattr(cache, "_HAS_NOWAIT", False)
    with large.open("rb") as file:
        assert is_cached(file.fileno(), 0)
        dont_need(file.fileno(), 0, MIB)
    assert source.FileSource(large).read(0, 4) == large.read_bytes()[:4]
