"""A progress bar for long work: on a terminal only, on stderr, and only if the work takes a while."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TextIO

from panmodel.cli._output import amount

#: Seconds before it appears, and between two looks at it.
_DELAY, _PAUSE = 1.0, 0.1
_WIDTH = 30
#: Columns of a terminal that does not say how many it has.
_USUAL = 80
_CLEAR = "\r\x1b[K"
#: What is done and what is not, and the same for terminals without such characters.
_DRAWN, _PLAIN = ("█", "·"), ("#", ".")


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
    if not out.isatty() or os.environ.get("TERM") == "dumb":  # which cannot take a line back
        yield None
        return
    bar = _Bar(title, out)
    try:
        yield bar.update
    finally:
        bar.clear()


class _Bar:
    def __init__(self, title: str, out: TextIO) -> None:
        self._title, self._out, self._drawn = title, out, _drawn(out)
        self._began = self._shown = time.monotonic()
        self._visible = False

    def update(self, done: int, total: int) -> None:
        """Draw it anew, if it is time."""
        now = time.monotonic()
        if now - self._began < _DELAY or now - self._shown < _PAUSE:
            return
        self._shown, self._visible = now, True
        part = min(done / total, 1.0) if total else 1.0
        rate = done / (now - self._began)
        left = f", {(total - done) / rate:.0f} s left" if rate and total > done else ""
        said = f" {part:4.0%}  {amount(done)} of {amount(total)}, {amount(int(rate))}/s{left}"
        room = _columns(self._out) - 1  # a line that is wrapped cannot be taken back
        width = max(0, min(_WIDTH, room - len(self._title) - 1 - len(said)))
        filled = int(part * width)
        done_sign, left_sign = self._drawn
        bar = done_sign * filled + left_sign * (width - filled)
        self._out.write(_CLEAR + f"{self._title} {bar}{said}"[:room])
        self._out.flush()

    def clear(self) -> None:
        """Leave the line as it was."""
        if self._visible:
            self._out.write(_CLEAR)
            self._out.flush()


def _drawn(out: TextIO) -> tuple[str, str]:
    try:
        "".join(_DRAWN).encode(out.encoding or "ascii")
    except UnicodeEncodeError:
        return _PLAIN
    return _DRAWN


def _columns(out: TextIO) -> int:
    try:
        return os.get_terminal_size(out.fileno()).columns or _USUAL
    except (OSError, ValueError):
        return _USUAL
