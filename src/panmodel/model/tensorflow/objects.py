"""Objects as an object-based checkpoint knows them: their children, their tensors, and the slots that they keep."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

from panmodel.errors import CorruptError


@dataclass(frozen=True, slots=True)
class Attribute:
    """A tensor of an object.

    Attributes:
        name: What the object calls it ("VARIABLE_VALUE").
        full_name: Its name in a graph, which may be empty.
        tensor: Its name in `Model.tensors`.
    """

    name: str
    full_name: str
    tensor: str

    def renamed(self, tensor: str) -> Attribute:
        """The attribute under the new name of its tensor, which readers find as its full name."""
        return self if tensor == self.tensor else replace(self, full_name=tensor, tensor=tensor)


@dataclass(frozen=True, slots=True)
class Slot:
    """What an optimizer keeps for a variable.

    Attributes:
        variable: Number of the variable among the objects.
        name: The optimizer's name for the slot.
        node: Number of the slot among the objects.
    """

    variable: int
    name: str
    node: int


@dataclass(frozen=True, slots=True)
class Table:
    """What an object keeps as several tensors: `table-keys` and `table-values` of a hash table.

    Attributes:
        name: What the object calls it.
        full_name: The name that it had in its graph; mostly empty.
        key: What the keys of its tensors in the checkpoint begin with, before a hyphen.
    """

    name: str
    full_name: str
    key: str


@dataclass(frozen=True, slots=True)
class TrackedObject:
    """One object.

    Attributes:
        children: What it calls other objects, and their numbers.
        attributes: Its tensors.
        slots: What it keeps for variables, if it is an optimizer.
        saver: Name of the class that saved it in its own way, and its name there.
        tables: What it keeps as several tensors.
    """

    children: tuple[tuple[str, int], ...] = ()
    attributes: tuple[Attribute, ...] = ()
    slots: tuple[Slot, ...] = ()
    saver: tuple[str, str] | None = None
    tables: tuple[Table, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Everything as plain values, what is empty left out."""
        plain = {
            "children": [list(child) for child in self.children],
            "attributes": [[known.name, known.full_name, known.tensor] for known in self.attributes],
            "slots": [[slot.variable, slot.name, slot.node] for slot in self.slots],
            "saver": list(self.saver or ()),
            "tables": [[table.name, table.full_name, table.key] for table in self.tables],
        }
        return {name: value for name, value in plain.items() if value}

    @classmethod
    def from_json(cls, plain: Any, count: int) -> Self:
        """The opposite of `to_json`.

        Args:
            plain: Comes from a file and is not believed.
            count: How many objects there are.

        Raises:
            CorruptError: The values are of other types, or point at objects that are not there.
        """
        if not isinstance(plain, dict):
            raise CorruptError("an object graph with something that is no object")
        saver = plain.get("saver")
        found = cls(
            tuple((name, node) for name, node in _rows(plain, "children", (str, int))),
            tuple(Attribute(*row) for row in _rows(plain, "attributes", (str, str, str))),
            tuple(Slot(*row) for row in _rows(plain, "slots", (int, str, int))),
            _row(saver, (str, str)) if saver else None,
            tuple(Table(*row) for row in _rows(plain, "tables", (str, str, str))),
        )
        numbers = [node for _, node in found.children] + [n for slot in found.slots for n in (slot.variable, slot.node)]
        if any(not 0 <= number < count for number in numbers):
            raise CorruptError(f"an object graph that points beyond its {count} objects")
        return found


def tracking_order(nodes: Sequence[TrackedObject], *, last: str = "") -> Iterator[int]:
    """Numbers of the objects in the order in which they call each other theirs, from the root on, each once.

    Args:
        nodes: All of them, the root first; those that nobody calls theirs are left out.
        last: What an object calls the child that comes after its others.
    """
    pending, seen = [0] if nodes else [], set[int]()
    while pending:
        number = pending.pop()
        if number not in seen:
            seen.add(number)
            yield number
            children = sorted(nodes[number].children, key=lambda child: child[0] == last)
            pending += [child for _, child in reversed(children)]


def parents(nodes: Sequence[TrackedObject]) -> dict[int, set[int]]:
    """Number of an object → those of the objects that call it theirs."""
    found: dict[int, set[int]] = {}
    for number, node in enumerate(nodes):
        for _, child in node.children:
            found.setdefault(child, set()).add(number)
    return found


def _rows(plain: dict[str, Any], field: str, types: tuple[type, ...]) -> list[tuple[Any, ...]]:
    rows = plain.get(field, [])
    if not isinstance(rows, list):
        raise CorruptError(f"an object graph with {field} that are no list")
    return [_row(row, types) for row in rows]


def _row(row: Any, types: tuple[type, ...]) -> tuple[Any, ...]:
    if not isinstance(row, list) or [type(item) for item in row] != list(types):
        raise CorruptError("an object graph with values of other types than it has")
    return tuple(row)
