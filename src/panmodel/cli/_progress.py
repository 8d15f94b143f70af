"""A progress bar for long work: on a terminal only, on stderr, and only if the work takes a while."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TextIO

from panmodel.cli._output import amount

#: Seconds before it appears, and between two looks at it.
_DELAY, _PAUSE = 1.0, 0.1
_WIDTH = 30
_CLEAR = "\r\x1b[K"


@contextmanager
def progress_bar(title: str, *, stream: TextIO | None = None) -> Iterator[Callable[[int, int], None] | None]:
    """Show how far work has come, in bytes.

    Args:
        title: What is done.
        stream: Where to; stderr if left out.

    Yields:
        What is to be told how many bytes are done, and how many there are; None where nobody would see it.
    """
    out = stream or sys.stderr
    if not out.isatty():
        yield None
        return
    bar = _Bar(title, out)
    try:
        yield bar.update
    finally:
        bar.clear()


class _Bar:
    def __init__(self, title: str, out: TextIO) -> None:
        self._title, self._out = title, out
        self._began = self._shown = time.monotonic()
        self._visible = False

    def update(self, done: int, total: int) -> None:
        """Draw it anew, if it is time."""
        now = time.monotonic()
        if now - self._began < _DELAY or now - self._shown < _PAUSE:
            return
        self._shown, self._visible = now, True
        part = min(done / total, 1.0) if total else 1.0
        filled = int(part * _WIDTH)
        rate = done / (now - self._began)
        left = f", {(total - done) / rate:.0f} s left" if rate and total > done else ""
        bar = "█" * filled + "·" * (_WIDTH - filled)
        said = f"{self._title} {bar} {part:4.0%}  {amount(done)} of {amount(total)}, {amount(int(rate))}/s{left}"
        self._out.write(_CLEAR + said)
        self._out.flush()

    def clear(self) -> None:
        """Leave the line as it was."""
        if self._visible:
            self._out.write(_CLEAR)
            self._out.flush()
