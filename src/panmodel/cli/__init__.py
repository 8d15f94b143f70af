"""The command `panmodel`: one file per subcommand, found by directory. Data on stdout, talk on stderr.

Exit codes: 0 fine or same · 1 differs, or findings · 2 usage · 3 unreadable or corrupt · 4 unsupported · 5 refused as
unsafe · 70 a fault of panmodel's own · 130 interrupted, 143 and 129 ended by SIGTERM and SIGHUP, with nothing left
half-written either · 141 whoever read the output closed it before its end, so that the answer did not arrive.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import io
import os
import pkgutil
import signal
import sys
import traceback
from types import FrameType

import click

from panmodel.errors import PanmodelError
from panmodel.version import VERSION

INTERRUPTED, CLOSED, FAULT, UNREADABLE, USAGE = 130, 141, 70, 3, 2
#: Objects that are made between two searches for cycles of them: a listing makes many that live to its end, and to walk
#: over them again and again would take a third of its time.
_COLLECTED = (50_000, 20, 100)


class _Commands(click.Group):
    """Subcommands are the modules of this folder that have a `command`; each is loaded when it is used."""

    def list_commands(self, _: click.Context) -> list[str]:
        return sorted(info.name for info in pkgutil.iter_modules(__path__) if not info.name.startswith("_"))

    def get_command(self, _: click.Context, name: str) -> click.Command | None:
        if name not in self.list_commands(_):
            return None
        found: click.Command = importlib.import_module(f"{__name__}.{name}").command
        return found

    def invoke(self, ctx: click.Context) -> object:
        try:
            return super().invoke(ctx)
        except BrokenPipeError:  # which click would make an exit with 1, and that is an answer
            raise _ClosedError from None


class _ClosedError(Exception):
    """Whoever reads our output has seen enough."""


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(VERSION, prog_name="panmodel")
def panmodel() -> None:
    """Open, inspect, check, run, compare and convert deep-learning model files.

    No framework is needed, and nothing that a file carries is executed.
    """


class _Ended(BaseException):
    """A signal asks to end; this ends what is being written in good order."""

    def __init__(self, number: int) -> None:
        self.name, self.exit_code = signal.Signals(number).name, 128 + number
        super().__init__(number)


def main() -> None:
    """Run the command line and leave with its exit code."""
    gc.set_threshold(*_COLLECTED)
    _open_standard_streams()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # what a terminal has no character for is spelled, and no error
            stream.reconfigure(errors="backslashreplace")
    try:
        for number in (signal.SIGTERM, signal.SIGHUP):
            if signal.getsignal(number) is signal.SIG_DFL:  # and not ignored, as under nohup
                signal.signal(number, _end)
        sys.exit(run(sys.argv[1:]))
    except KeyboardInterrupt:  # once more, or while the last words are said
        sys.exit(INTERRUPTED)
    except _Ended as ended:
        sys.exit(ended.exit_code)


def _open_standard_streams() -> None:
    """Make sure that there are some: else the next files that are opened would be taken for them."""
    while (opened := os.open(os.devnull, os.O_RDWR)) <= 2:
        pass
    os.close(opened)
    sys.stdout = sys.stdout or open(1, "w", closefd=False)  # noqa: SIM115
    sys.stderr = sys.stderr or open(2, "w", closefd=False)  # noqa: SIM115


def _end(number: int, _: FrameType | None) -> None:
    raise _Ended(number)


def run(arguments: list[str]) -> int:
    """Run the command line.

    Args:
        arguments: Without the name of the command.

    Returns:
        The exit code.
    """
    try:
        return _answer(arguments)
    except (_ClosedError, BrokenPipeError):  # while answering, or while the last of it is sent
        code = CLOSED
    except OSError as error:
        code = UNREADABLE
        with contextlib.suppress(OSError):
            _say(f"the answer cannot be written: {error.strerror}", code)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (sys.stdout, sys.stderr):  # which Python flushes in the end
        os.dup2(nowhere, stream.fileno())
    return code


def _answer(arguments: list[str]) -> int:
    """Run the command line; what nobody can be told any more is raised."""
    try:
        code = panmodel.main(arguments, prog_name="panmodel", standalone_mode=False)
        sys.stdout.flush()
        return code if isinstance(code, int) else 0
    except (click.exceptions.Abort, KeyboardInterrupt, _Ended) as error:
        return _stopped(error)
    except click.ClickException as error:
        _report_as_json(arguments, "UsageError", error.format_message(), exit_code=USAGE)
        error.show()
        return USAGE
    except PanmodelError as error:
        kind, where, hint = type(error).__name__, error.where, error.hint
        _report_as_json(arguments, kind, error.message, where=where, hint=hint, exit_code=error.exit_code)
        return _say(str(error), error.exit_code)
    except (_ClosedError, BrokenPipeError):
        raise
    except OSError as error:
        sys.stdout.flush()  # raises if it was the answer that could not be written: some of it is still here
        where, message = str(error.filename or ""), error.strerror or str(error)
        _report_as_json(arguments, type(error).__name__, message, where=where, exit_code=UNREADABLE)
        return _say(f"{where}: {message}" if where else message, UNREADABLE)
    except Exception as error:
        return _fault(arguments, error)


def _stopped(error: BaseException) -> int:
    if isinstance(error, _Ended):
        return _say(f"ended by {error.name}; nothing was left half-written", error.exit_code)
    return _say("interrupted; nothing was left half-written", INTERRUPTED)


def _fault(arguments: list[str], error: Exception) -> int:
    """Say what is no answer, and must not look like one, as Python's own exit code for it would."""
    cause: BaseException | None = error
    while cause is not None:  # imports pass a signal on as an error of their own
        if isinstance(cause, (KeyboardInterrupt, _Ended)):
            return _stopped(cause)
        cause = cause.__cause__ or cause.__context__
    traceback.print_exc()
    _report_as_json(arguments, type(error).__name__, str(error), exit_code=FAULT)
    return _say("this is a fault of panmodel: please report it, with what stands above", FAULT)


def _say(text: str, code: int) -> int:
    from panmodel.cli._output import printable

    lines = map(printable, text.split("\n"))
    click.echo("panmodel: " + "\n".join(lines), err=True)
    return code


def _report_as_json(
    arguments: list[str], kind: str, message: str, *, where: str = "", hint: str = "", exit_code: int
) -> None:
    if "--json" not in arguments:
        return
    import json

    plain = {"kind": kind, "message": message, "where": where, "hint": hint, "exit_code": exit_code}
    click.echo(json.dumps({"error": plain}, indent=1))
