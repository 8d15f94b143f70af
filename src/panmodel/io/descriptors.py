"""How many files may be open: each of a model does while it is read or written, which may be more than systems allow.

Of the two limits of a process it may raise the lower one itself.

Source: getrlimit(2)
"""

from __future__ import annotations

import os
import resource

#: What to do where even the higher limit does not suffice.
HINT = "every file of a model stays open: allow more at once (ulimit -n), or let the model have fewer files"
#: Descriptors that are left for what opens files for a moment.
_SPARE = 64


def open_file(path: str | os.PathLike[str], flags: int, mode: int = 0o777) -> int:
    """Open a file as `os.open` does, and see that as many again can be opened as far as the system lets them.

    Raises:
        OSError: It cannot be opened.
    """
    descriptor = os.open(path, flags, mode)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if descriptor + _SPARE >= soft != hard:  # they are given out from the lowest on
        _allow(2 * soft if hard == resource.RLIM_INFINITY else min(2 * soft, hard), hard)
    return descriptor


def _allow(soft: int, hard: int) -> None:
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    except (OSError, ValueError):  # systems may have one more limit, which they do not say
        return
