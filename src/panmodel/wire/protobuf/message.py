"""Declaring messages: the fields with their numbers and kinds, and the classes that have them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from types import MappingProxyType
from typing import Any, ClassVar, Protocol, Self

from panmodel.wire.protobuf.varint import BYTES, MEANINGS, SCALARS

#: Where an inner message lies: offset and size in its source, and its bytes if they are in memory.
Piece = tuple[int, int, "bytes | None"]


class Payload(Protocol):
    """What a blob may be when it is written, besides an Extent: a lazy tensor is one."""

    @property
    def nbytes(self) -> int:
        """Number of bytes."""

    def chunks(self) -> Iterator[memoryview]:
        """The bytes in pieces."""


@dataclass(frozen=True)
class Field:
    """One field of a message.

    Attributes:
        number: Its number on the wire.
        kind: A scalar kind, "message" or "map".
        repeated: Whether it may come many times.
        numbers: Repeated scalars are kept as `Numbers` rather than a list.
        of: Gives the class of the message, or of a map's entries.
        enum: The values of an enum by name, for the text form.
        name: The attribute that holds it.
        nested: Whether it is decoded when asked for.
        wire: Its wire type.
        meaning: What the number of a varint means.
    """

    number: int
    kind: str
    repeated: bool = False
    numbers: bool = False
    of: Callable[[], type[Message]] | None = None
    enum: dict[str, int] | None = None
    name: str = field(default="", compare=False)

    @cached_property
    def nested(self) -> bool:
        """Whether it holds messages."""
        return self.kind in ("message", "map")

    @cached_property
    def wire(self) -> int:
        """The wire type of one element."""
        return BYTES if self.nested else SCALARS[self.kind][0]

    @cached_property
    def meaning(self) -> Callable[[int], int] | None:
        """What the number of a varint means; None for fields that are none."""
        return MEANINGS.get(self.kind)

    @cached_property
    def message(self) -> type[Message]:
        """The class of the message."""
        assert self.of is not None
        return self.of()

    @property
    def absent(self) -> Any:
        """The value of the field where it is not present."""
        if self.kind == "map":
            return MappingProxyType({})
        if self.repeated:
            return ()
        return None if self.kind == "message" else SCALARS[self.kind][1]


def single(number: int, kind: str | Callable[[], type[Message]], *, enum: dict[str, int] | None = None) -> Any:
    """Declare a field that comes once: a scalar kind, or a function that gives the message class."""
    return Field(number, kind, enum=enum) if isinstance(kind, str) else Field(number, "message", of=kind)


def repeated(
    number: int, kind: str | Callable[[], type[Message]], *, numbers: bool = False, enum: dict[str, int] | None = None
) -> Any:
    """Declare a repeated field; `numbers` leaves scalars packed until they are asked for."""
    if isinstance(kind, str):
        return Field(number, kind, repeated=True, numbers=numbers, enum=enum)
    return Field(number, "message", repeated=True, of=kind)


def mapping(number: int, value: str | Callable[[], type[Message]], *, key: str = "string") -> Any:
    """Declare a map from strings (or another scalar kind) to scalars or messages; it is a dict."""
    entry: type[Message] = type("Entry", (Message,), {"key": single(1, key), "value": single(2, value)})
    return Field(number, "map", repeated=True, of=lambda: entry)


class Pending(Protocol):
    """The inner messages of a message that was read, as long as nobody has asked for them."""

    pieces: dict[str, list[Piece]]

    def decode(self, known: Field) -> Any:
        """The value of a field."""


class _Nested:
    """An attribute that holds messages: decodes them when it is first read."""

    def __init__(self, known: Field) -> None:
        self.known = known

    def __get__(self, message: Message | None, owner: type[Message]) -> Any:
        if message is None:
            return self.known.absent
        pending, name = message.pending, self.known.name
        if pending is None or name not in pending.pieces:
            return self.known.absent
        value = pending.decode(self.known)
        message.__dict__[name] = value  # found before this descriptor from now on
        del pending.pieces[name]
        return value


class Message:
    """Base of all messages: absent fields have their default, `has` tells presence.

    Args:
        values: Fields by name.
    """

    __slots__ = ("__dict__", "pending")

    fields: ClassVar[dict[int, Field]] = {}
    by_name: ClassVar[dict[str, Field]] = {}
    expected: ClassVar[dict[int, Field]] = {}
    pending: Pending | None

    def __init_subclass__(cls) -> None:
        declared = {name: value for name, value in vars(cls).items() if isinstance(value, Field)}
        for name, known in declared.items():
            object.__setattr__(known, "name", name)
            setattr(cls, name, _Nested(known) if known.nested else known.absent)
        cls.fields = {known.number: known for known in sorted(declared.values(), key=lambda known: known.number)}
        cls.by_name = declared
        cls.expected = {known.number << 3 | known.wire: known for known in declared.values()}

    def __init__(self, **values: Any) -> None:
        self.pending = None
        self.__dict__.update(values)

    def has(self, name: str) -> bool:
        """Whether the field is present."""
        return name in self.__dict__ or (self.pending is not None and name in self.pending.pieces)

    def present(self) -> dict[str, Any]:
        """The fields that are present, by name in the order of their numbers, all decoded."""
        return {known.name: getattr(self, known.name) for known in self.fields.values() if self.has(known.name)}

    def replaced(self, **values: Any) -> Self:
        """A message with some fields replaced; None leaves a field out."""
        changed = {**self.present(), **values}
        return type(self)(**{name: value for name, value in changed.items() if value is not None})

    def __repr__(self) -> str:
        inside = ", ".join(f"{name}={value!r}" for name, value in self.present().items())
        return f"{type(self).__name__}({inside})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Message) and type(self) is type(other) and self.present() == other.present()

    __hash__ = None  # type: ignore[assignment]
