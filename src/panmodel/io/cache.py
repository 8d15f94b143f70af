"""The system's page cache: what moves through once need not stay, and nothing else is pushed out of it.

A file that is read is left as it was found, in memory or not. What is written stays there, because what was converted
is what is loaded next, unless it is large beside what the system has to give: then it leaves at once.

Source: posix_fadvise(2), mincore(2), proc_meminfo(5)
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import BinaryIO

_HAS_ADVICE = hasattr(os, "posix_fadvise")
#: Bytes that the system may keep together; parts of such a piece are dear to drop.
_STEP = 2 << 20
#: Places in a file that are looked at, in quarters.
_PROBES = (1, 2, 3)
#: Bytes after which what was written is sent to the disk, and of how much before it the memory is given back.
_WINDOW, _SPAN = 16 << 20, 512 << 20
#: The part of the memory at hand that what one conversion writes may keep.
_SHARE = 4
_MEMORY = Path("/proc/meminfo")


def dont_need(descriptor: int, offset: int, nbytes: int) -> None:
    """Give the memory inside a range back; what is not on the disk yet is sent there first, which is not waited for.

    Does nothing where the system takes no advice.
    """
    begin, end = -(-offset // _STEP) * _STEP, (offset + nbytes) // _STEP * _STEP
    if _HAS_ADVICE and end > begin:
        os.posix_fadvise(descriptor, begin, end - begin, os.POSIX_FADV_DONTNEED)


class Room:
    """Whether what one conversion writes may stay in the page cache: up to a quarter of the memory at hand."""

    def __init__(self) -> None:
        self._bytes: int | None = None
        self._taken = self._expected = 0

    def expect(self, nbytes: int) -> None:
        """Take note how much is about to be written, as far as is known."""
        self._expected = nbytes

    def take(self, nbytes: int) -> bool:
        """Whether there is room for everything so far, so many bytes more, and everything to come."""
        if self._bytes is None:  # not before something large is written
            self._bytes = _available_memory() // _SHARE
        self._taken += nbytes
        return max(self._taken, self._expected) <= self._bytes


class WriteBehind:
    """Sends what is written of a large file to the disk at once, so that the final sync has little left to wait for.

    The memory of the file that it is to replace is given back step by step as the new one takes its own: to get memory
    from the system anew costs several times what the write itself does where that is a virtual machine.

    Args:
        descriptor: The file that is written.
        replaced: The file whose place it takes, if there is one.
        room: Of the conversion.
    """

    def __init__(self, descriptor: int, replaced: Path | None, room: Room) -> None:
        self._descriptor, self._replaced, self._room = descriptor, replaced, room
        self._sent = 0
        self._stays = True
        self._old: BinaryIO | None = None

    def wrote(self, position: int) -> None:
        """Take note that everything before a position is written."""
        if position - self._sent < _WINDOW:
            return
        if not self._sent:
            self._old = _opened(self._replaced)
        begin, self._sent = self._sent, position
        if self._stays and not self._room.take(position - begin):
            self._stays, begin = False, 0
        elif not self._stays:
            begin = max(0, position - _SPAN)
        dont_need(self._descriptor, begin, position - begin)  # what is not on the disk yet is only sent there
        if self._old is not None:
            dont_need(self._old.fileno(), begin, position - begin)

    def synced(self) -> None:
        """Take note that everything is on the disk."""
        if not self._stays:
            dont_need(self._descriptor, 0, self._sent)
        self.close()

    def close(self) -> None:
        """Let go of the file that is replaced."""
        if self._old is not None:
            self._old.close()


def _opened(path: Path | None) -> BinaryIO | None:
    """A file whose memory can be given back; None if it is not there or is not ours to read."""
    if path is None or not _HAS_ADVICE:
        return None
    try:
        return open(path, "rb", buffering=0, opener=lambda name, flags: os.open(name, flags | os.O_NONBLOCK))
    except OSError:
        return None


def _available_memory() -> int:
    """Bytes that can be had without pushing anything in use out; 0 where the system does not say."""
    try:
        with _MEMORY.open(encoding="ascii") as lines:
            return next((int(line.split()[1]) << 10 for line in lines if line.startswith("MemAvailable:")), 0)
    except OSError:
        return 0


def is_cached(descriptor: int, nbytes: int) -> bool:
    """Whether most of a file is in memory, as far as some pages tell; True where the system does not say.

    Args:
        descriptor: The file.
        nbytes: Its size.
    """
    if not _HAS_ADVICE or not nbytes:
        return True
    pages = [_is_cached_at(descriptor, nbytes * quarter // 4) for quarter in _PROBES]
    return 2 * sum(pages) > len(pages)


def _is_cached_at(descriptor: int, offset: int) -> bool:
    import ctypes  # only mincore looks without making the system read ahead
    import mmap

    begin = offset // mmap.ALLOCATIONGRANULARITY * mmap.ALLOCATIONGRANULARITY
    try:
        # unmapped when nothing refers to it: to close it while `first` does, after Ctrl-C, would be an error of its own
        page = mmap.mmap(descriptor, mmap.PAGESIZE, access=mmap.ACCESS_COPY, offset=begin)
    except (OSError, ValueError):  # a file that cannot be mapped, or is shorter by now
        return True
    first, said = ctypes.c_char.from_buffer(page), ctypes.c_ubyte(1)
    ctypes.CDLL(None).mincore(ctypes.byref(first), ctypes.c_size_t(mmap.PAGESIZE), ctypes.byref(said))
    return bool(said.value & 1)
