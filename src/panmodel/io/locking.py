"""Who is at work in a folder: locks of the system, which end with the process that holds them, however it ends.

Two kinds are used. A folder is locked while names in it change places, so that what is found half done in a locked
folder was left by a process that died. And each file that is being written is locked by its writer, so that a
temporary file without a lock belongs to nobody. The number of a process tells neither: it may be in use again, by
another program, and says nothing in another container.

Source: flock(2)
"""

from __future__ import annotations

import errno
import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

#: Seconds between two attempts at a lock that another process holds.
_PAUSE = 0.01


@contextmanager
def locked_folder(folder: Path, *, patience: float = 60.0) -> Iterator[bool]:
    """Be the only one who changes names in a folder.

    Args:
        folder: Any folder that can be listed.
        patience: Seconds to wait for another process.

    Yields:
        Whether nobody else does so now; False on a file system that has no locks for folders.

    Raises:
        TimeoutError: Another process kept the lock for longer.
        OSError: There is no such folder, or it may not be listed.
    """
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield _acquire(descriptor, time.monotonic() + patience)
    finally:
        os.close(descriptor)


def _acquire(descriptor: int, deadline: float) -> bool:
    while True:
        try:
            return lock(descriptor)
        except BlockingIOError:
            if time.monotonic() > deadline:
                message = "another process is replacing files in this folder, and does not end"
                raise TimeoutError(errno.ETIMEDOUT, message) from None
            time.sleep(_PAUSE)


def lock(descriptor: int) -> bool:
    """Lock an open file or folder against others, until it is closed.

    Returns:
        Whether it is locked now; False on a file system that has no such locks.

    Raises:
        BlockingIOError: Somebody else has it.
    """
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise
    except OSError:  # each file system that has none has an error of its own for it
        return False
    return True


def is_abandoned(path: Path, pid: int) -> bool:
    """Whether nobody writes a file any more.

    Args:
        path: A file that its writer locks.
        pid: The number of the process that made it, which decides where there are no locks.
    """
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    except FileNotFoundError:
        return False  # it has just got its name, or gone
    except OSError:  # not ours to open, and hence not ours to clear
        return False
    try:
        return lock(descriptor) or not is_running(pid)
    except BlockingIOError:
        return False
    finally:
        os.close(descriptor)


def is_running(pid: int) -> bool:
    """Whether there is a process of this number."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        return True
    return True
