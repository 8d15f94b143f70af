"""The system's page cache: what moves through once need not stay, and what was not there before should not.

Source: posix_fadvise(2), preadv2(2)
"""

from __future__ import annotations

import os

_HAS_ADVICE = hasattr(os, "posix_fadvise")
_HAS_NOWAIT = hasattr(os, "RWF_NOWAIT")


def dont_need(descriptor: int, offset: int, nbytes: int) -> None:
    """Give the memory of a range back; what is not on the disk yet is sent there first, which is not waited for.

    Does nothing where the system takes no advice.
    """
    if _HAS_ADVICE:
        os.posix_fadvise(descriptor, offset, nbytes, os.POSIX_FADV_DONTNEED)


def is_cached(descriptor: int, offset: int) -> bool:
    """Whether the page with this byte of a file is in memory; True where the system does not say."""
    if not _HAS_NOWAIT:
        return True
    try:
        os.preadv(descriptor, [bytearray(1)], offset, os.RWF_NOWAIT)
    except BlockingIOError:
        return False
    except OSError:  # a file system that cannot tell
        return True
    return True
