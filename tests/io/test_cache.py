"""What is read is left in memory or not, as it was; what is written stays there if it is small."""

import ctypes
import os
from pathlib import Path

import pytest

from panmodel.io import cache, source
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
        if not is_cached(file.fileno(), 8 * MIB):
            pytest.skip("memory is too scarce to keep a file in it")
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


@pytest.fixture
def asked(monkeypatch):
    """What is sent to the disk or given back: names of files, offsets and bytes."""
    said = []

    def note(descriptor, offset, nbytes):
        said.append((Path(os.readlink(f"/proc/self/fd/{descriptor}")).suffix, offset, nbytes))

    monkeypatch.setattr(cache, "dont_need", note)
    monkeypatch.setattr(cache, "_WINDOW", MIB)
    monkeypatch.setattr(cache, "_SPAN", MIB + MIB // 2)
    return said


def _write(path, *, halves=5, expected=0):
    with Sink(path, force=True) as target:
        target.expect(expected)
        file = target.open()
        for _ in range(halves):
            file.write(bytes(MIB // 2))
    assert path.stat().st_size == halves * MIB // 2


def test_what_is_written_is_sent_to_the_disk_at_once_and_stays(tmp_path, asked):
    _write(tmp_path / "a.bin")
    assert asked == [(".partial", 0, MIB), (".partial", MIB, MIB)]


@pytest.mark.parametrize("memory", [MIB, None])
def test_what_turns_out_to_be_large_leaves(tmp_path, asked, monkeypatch, memory):
    if memory is None:
        monkeypatch.setattr(cache, "_MEMORY", tmp_path / "nothing says")
    else:
        monkeypatch.setattr(cache, "_available_memory", lambda: 4 * memory)
    _write(tmp_path / "a.bin", halves=9)
    assert asked == [
        (".partial", 0, MIB),
        (".partial", 0 if memory else MIB // 2, 2 * MIB if memory else MIB + MIB // 2),
        (".partial", MIB + MIB // 2, MIB + MIB // 2),
        (".partial", 2 * MIB + MIB // 2, MIB + MIB // 2),
        (".partial", 0, 4 * MIB),
    ]


def test_what_is_known_to_be_large_leaves_from_the_beginning(tmp_path, asked, monkeypatch):
    monkeypatch.setattr(cache, "_available_memory", lambda: 12 * MIB)
    _write(tmp_path / "a.bin", halves=6, expected=3 * MIB)
    assert asked == [(".partial", n * MIB, MIB) for n in range(3)]
    asked.clear()
    _write(tmp_path / "b.bin", halves=4, expected=3 * MIB + 1)
    assert asked == [(".partial", 0, MIB), (".partial", MIB // 2, MIB + MIB // 2), (".partial", 0, 2 * MIB)]


def test_files_of_one_conversion_share_the_room(tmp_path, asked, monkeypatch):
    monkeypatch.setattr(cache, "_available_memory", lambda: 8 * MIB)
    with Sink(tmp_path / "a.bin") as target:
        for name in ("1.bin", "2.bin", None):
            target.open(name).write(bytes(MIB))
    assert asked == [(".partial", 0, MIB)] * 4


def test_the_file_that_is_replaced_makes_room_step_by_step(tmp_path, asked):
    path = tmp_path / "a.bin"
    path.write_bytes(bytes(5))
    _write(path)
    assert asked == [(".partial", 0, MIB), (".bin", 0, MIB), (".partial", MIB, MIB), (".bin", MIB, MIB)]
    assert not [name for name in os.listdir("/proc/self/fd") if _leads_to(name, path)]


def _leads_to(descriptor, path):
    try:
        return os.readlink(f"/proc/self/fd/{descriptor}").startswith(str(path))
    except FileNotFoundError:  # the one of the listing itself
        return False


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_a_file_that_nobody_may_read_is_replaced_all_the_same(tmp_path, asked):
    path = tmp_path / "a.bin"
    path.write_bytes(b"old")
    path.chmod(0o200)
    _write(path)
    assert {suffix for suffix, _, _ in asked} == {".partial"}


def test_available_memory_is_what_the_system_says(tmp_path, monkeypatch):
    (tmp_path / "meminfo").write_text("MemTotal: 30 kB\nMemAvailable:   20 kB\n")
    monkeypatch.setattr(cache, "_MEMORY", tmp_path / "meminfo")
    assert cache._available_memory() == 20 << 10


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
