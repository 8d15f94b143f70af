"""Forks that die, or are refused, at a chosen moment."""

from __future__ import annotations

import atexit
import errno
import os
import resource
import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from panmodel import cli
from panmodel.io.sink import Sink, StagedFile

#: What has to have room on the disk.
FULL = ("open", "replace", "rename", "fsync")


def fork(work: Callable[[], object]) -> int:
    """Do something in a process of its own."""
    child = os.fork()
    if child:
        return child
    code = 1
    try:
        try:
            work()
            code = 0
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else 1
        finally:
            atexit._run_exitfuncs()
    finally:
        os._exit(code)


@dataclass
class Forked:
    """How a process ended, and the calls that it counted."""

    status: int
    calls: int


def forked(work: Callable[[], int]) -> Forked:
    """Do something that gives a number, in a process of its own."""
    ready, answer = os.pipe()
    child = fork(lambda: os.write(answer, str(work()).encode()))
    os.close(answer)
    _, status = os.waitpid(child, 0)
    with open(ready) as file:
        return Forked(status, int(file.read() or 0))


def counted(work: Callable[[], object], fatal: int = -1, *, asked: tuple[str, ...] = ()) -> int:
    """Count what a process asks of the system, and die before a certain call.

    Args:
        work: What it does.
        fatal: Number of the call.
        asked: Functions that are counted, and fail on a full disk instead of being the end.
    """
    calls = 0

    def dying(real: Callable[..., object]) -> Callable[..., object]:
        def call(*args: object, **kwargs: object) -> object:
            nonlocal calls
            calls += 1
            if calls == fatal + 1 and asked:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            if calls == fatal + 1:
                os.kill(os.getpid(), signal.SIGKILL)
            return real(*args, **kwargs)

        return call

    for name in asked or ("open", "replace", "rename", "unlink", "fsync", "fchmod"):
        setattr(os, name, dying(getattr(os, name)))
    if not asked:
        StagedFile.write = dying(StagedFile.write)  # type: ignore[method-assign]
        Path.write_text = dying(Path.write_text)  # type: ignore[method-assign]
        Sink.discard = dying(Sink.discard)  # type: ignore[method-assign]
    work()
    return calls


def run_command(arguments: list[str], start: int | None = None, *, size: int | None = None) -> None:
    """Be the command line, and say when it begins.

    Args:
        arguments: All of them, the command's name first.
        start: Where to say it.
        size: Bytes that a file may have.
    """
    sys.argv = arguments
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 1)
    os.dup2(null, 2)
    signal.signal(signal.SIGINT, signal.default_int_handler)  # what a shell starts in the background ignores it
    if size is not None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))
    real = cli.run

    def run(arguments: list[str]) -> int:
        if start is not None:
            os.write(start, b"!")
        try:
            return real(arguments)
        finally:  # what comes now is too late, and the interpreter would say so in ways of its own
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            signal.signal(signal.SIGTERM, signal.SIG_IGN)

    cli.run = run
    cli.main()
