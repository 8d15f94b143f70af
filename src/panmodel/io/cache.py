"""The system's page cache: what moves through once need not stay, and what was not there before should not.

Source: posix_fadvise(2), mincore(2)
"""

from __future__ import annotations

import os

_HAS_ADVICE = hasattr(os, "posix_fadvise")
#: Bytes that the system may keep together; parts of such a piece are dear to drop.
_STEP = 2 << 20
#: Places in a file that are looked at, in quarters.
_PROBES = (1, 2, 3)


def dont_need(descriptor: int, offset: int, nbytes: int) -> None:
    """Give the memory inside a range back; what is not on the disk yet is sent there first, which is not waited for.

    Does nothing where the system takes no advice.
    """
    begin, end = -(-offset // _STEP) * _STEP, (offset + nbytes) // _STEP * _STEP
    if _HAS_ADVICE and end > begin:
        os.posix_fadvise(descriptor, begin, end - begin, os.POSIX_FADV_DONTNEED)


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
