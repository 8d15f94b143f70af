"""Steps that must not stop in the middle: Ctrl-C and the like are heard, and take effect when they are done."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

_INTERRUPTING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@contextmanager
def postponed() -> Iterator[None]:
    """Let signals wait whose handlers raise an exception, and deliver them at the end.

    Signals without a handler do what they always do. Python runs handlers in its main thread alone, so that in any
    other one there is nothing to be done.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    heard: list[int] = []

    def hear(number: int, _: FrameType | None) -> None:
        heard.append(number)

    handlers: dict[signal.Signals, Callable[[int, FrameType | None], Any]] = {}
    try:
        for number in _INTERRUPTING:
            handler = signal.getsignal(number)
            if callable(handler):
                handlers[number] = handler
                signal.signal(number, hear)
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
        for late in dict.fromkeys(heard):
            signal.raise_signal(late)
