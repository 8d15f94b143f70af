"""Every error that panmodel raises, one class per cause, one exit code per class.

    PanmodelError                    exit  what went wrong
    ├── UsageError                      2  the call asks for something that cannot be meant
    │   ├── UnknownNameError            2  a tensor, node or format name that is not there (says the nearest)
    │   ├── OutputExistsError           2  the target is there already and was not to be replaced
    │   └── LossyError                  2  --strict, and the target cannot hold everything
    ├── ReadError                       3  the file cannot be read as what it is
    │   ├── MissingFileError            3  a file of a multi-file model is not there
    │   ├── CorruptError                3  bytes contradict the format or their checksum
    │   │   └── TruncatedError          3  the file ends before its own structures do
    │   ├── LimitError                  3  a count or size from the file exceeds a cap of panmodel.limits
    │   └── UnknownFormatError          3  no reader recognises the content
    ├── StorageError                    3  the target cannot be written (disk full, no permission)
    ├── UnsupportedError                4  readable, but not convertible (yet)
    │   └── UnsupportedOperatorsError   4  all such operators of a graph, in one list
    ├── UnsafeError                     5  reading on would execute something or reach outside the model's folder
    └── VerificationError               1  results differ beyond the tolerances

A message says what is wrong, where (file, offset, tensor or node), what was expected and found, and what to do next.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches

#: Lines of a list in a message, and characters of a name that a file gave.
_MOST_LINES, _LONGEST_NAME = 100, 200
#: Names that are compared with a wrong one to find the nearest, which takes long.
_MOST_COMPARED = 10_000


def listed(names: Sequence[str], most: int = 5) -> str:
    """Names in a message: the first ones, and how many more there are.

    Args:
        names: All of them.
        most: How many are said.
    """
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


def _brief(text: str) -> str:
    return text if len(text) <= _LONGEST_NAME else text[: _LONGEST_NAME - 1] + "…"


class PanmodelError(Exception):
    """The root of all: `message`, `where` it happened and a `hint` at what to do next.

    Args:
        message: What is wrong, with what was expected and what was found.
        where: File, and if known the offset, tensor or node.
        hint: What the user can do next.
    """

    exit_code = 3

    def __init__(self, message: str, *, where: str = "", hint: str = "") -> None:
        self.message = message
        self.where = where
        self.hint = hint
        super().__init__(message)

    def advise(self, hint: str) -> None:
        """Add what else the user can do."""
        self.hint = f"{self.hint}; {hint}" if self.hint else hint

    def __str__(self) -> str:
        text = f"{self.where}: {self.message}" if self.where else self.message
        return f"{text}\n  hint: {self.hint}" if self.hint else text


class UsageError(PanmodelError):
    """The call asks for something that cannot be meant."""

    exit_code = 2


class UnknownNameError(UsageError):
    """A name that the model does not have.

    Args:
        kind: What the name should have been, in words: "output", "format", "tensor".
        name: The name asked for.
        known: The names that are there; the nearest are suggested.
        where: The file.
    """

    def __init__(self, kind: str, name: str, known: Iterable[str], *, where: str = "") -> None:
        self.name = name
        there = list(known)
        shown = [_brief(known) for known in there[:_MOST_COMPARED]]
        near = [known for known in shown if known.lower() == _brief(name).lower()]
        near = near or get_close_matches(_brief(name), shown, n=3, cutoff=0.5)
        hint = (
            f"did you mean {' or '.join(map(repr, near))}?" if near else f"there is {', '.join(shown[:12]) or 'none'}"
        )
        super().__init__(f"no {kind} named {_brief(name)!r}", where=where, hint=hint)


class OutputExistsError(UsageError):
    """The target is there already."""


class LossyError(UsageError):
    """A strict conversion met something that the target cannot hold."""


class ReadError(PanmodelError):
    """The file cannot be read as what it is."""


class MissingFileError(ReadError):
    """A file, or one file of a model that consists of several, is not there."""


class CorruptError(ReadError):
    """Bytes that contradict the format or their own checksum."""


class TruncatedError(CorruptError):
    """The file ends before the structures do that it announces."""


class LimitError(ReadError):
    """A count, size or depth in the file exceeds a cap of `panmodel.limits`."""


class UnknownFormatError(ReadError):
    """No reader recognises the content."""


class StorageError(PanmodelError):
    """The target cannot be written."""


class UnsupportedError(PanmodelError):
    """Well-formed, and beyond what panmodel can do with it."""

    exit_code = 4


@dataclass(frozen=True, slots=True)
class UnsupportedOperator:
    """One node that cannot be converted: its operator, its name, and why."""

    operator: str
    node: str
    reason: str = "no converter for this operator"


class UnsupportedOperatorsError(UnsupportedError):
    """All operators of a graph that cannot be converted, in one list.

    Args:
        found: Each node that cannot be converted.
        where: The file.
    """

    def __init__(self, found: Sequence[UnsupportedOperator], *, where: str = "") -> None:
        self.found = tuple(found)
        groups: dict[tuple[str, str], list[str]] = {}
        for item in found:
            groups.setdefault((item.operator, item.reason), []).append(item.node)
        lines = [f"{len(found)} node(s) cannot be converted:"]
        for (operator, reason), nodes in sorted(groups.items())[:_MOST_LINES]:
            shown = listed([_brief(node) for node in nodes])
            lines.append(f"  {_brief(operator)} × {len(nodes)} ({_brief(reason)}): {shown}")
        if len(groups) > _MOST_LINES:
            lines.append(f"  … and {len(groups) - _MOST_LINES} more operators")
        hint = "cut the graph before these nodes with --inputs and --outputs, if what you need lies outside them"
        super().__init__("\n".join(lines), where=where, hint=hint)


class UnsafeError(PanmodelError):
    """Reading on would execute something or reach outside the model's own folder."""

    exit_code = 5


class VerificationError(PanmodelError):
    """Two models give different results."""

    exit_code = 1
