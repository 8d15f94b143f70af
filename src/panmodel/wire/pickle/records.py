"""Inert records that stand in for the classes, functions and objects that a pickle names."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

#: Makes one of our own values from the arguments that a pickle gives; raises CorruptError if they are none of its kind.
Constructor = Callable[[tuple[object, ...]], object]


@dataclass(frozen=True, slots=True)
class Global:
    """A class or function, by name alone."""

    module: str
    name: str

    def __str__(self) -> str:
        return f"{self.module}.{self.name}"


@dataclass(eq=False, slots=True)
class Object:
    """What the pickle would have made by a call that the caller's table does not know.

    Attributes:
        cls: What is called: a class, a function, or another record.
        args: Positional arguments.
        kwargs: Keyword arguments.
        called: A function was called (REDUCE), not only a class instantiated (NEWOBJ).
        states: What BUILD gave it, in order.
        items: What SETITEM(S) gave it.
        elements: What APPEND(S) and ADDITEMS gave it.
        root: The name that is called: of the instance of a class, or of what a function returned, the class or
            function. Known at once, since calls of what calls return may be as many as a pickle has opcodes.
    """

    cls: object
    args: tuple[object, ...] = ()
    kwargs: dict[object, object] = field(default_factory=dict)
    called: bool = True
    states: list[object] = field(default_factory=list)
    items: list[tuple[object, object]] = field(default_factory=list)
    elements: list[object] = field(default_factory=list)
    root: Global | None = field(init=False)

    def __post_init__(self) -> None:
        cls = self.cls
        self.root = cls if isinstance(cls, Global) else cls.root if isinstance(cls, Object) else None

    def __repr__(self) -> str:
        return f"<Object {describe(self.cls)}>"


class Dictionary(dict[object, object]):
    """A dict that can have attributes, as an OrderedDict has (`state_dict()._metadata`).

    Args:
        items: What it holds.
        kind: "OrderedDict", "Counter" or "defaultdict".
    """

    def __init__(self, items: dict[object, object] | None = None, kind: str = "OrderedDict") -> None:
        super().__init__(items or {})
        self.kind = kind
        self.attributes: dict[object, object] = {}


class ByteString(str):
    """A byte string of Python 2 that is text, and not only ASCII: its bytes are its UTF-8."""

    __slots__ = ()


def stored_bytes(value: object) -> bytes | None:
    """The bytes that a value stands for where bytes are expected.

    Args:
        value: Bytes; a byte string of Python 2; or text whose characters are the bytes, which is what Python 3 makes
            of such a string (`encoding="latin1"`) and writes again.

    Returns:
        The bytes; None of anything else.
    """
    if isinstance(value, str):
        try:
            return value.encode("utf-8" if isinstance(value, ByteString) else "latin-1")
        except UnicodeEncodeError:
            return None
    return bytes(value) if isinstance(value, (bytes, bytearray)) else None


def describe(value: object) -> str:
    """A value in a few words for a message: never long, never recursive, whatever a file put into it."""
    if isinstance(value, Global):
        return f"{value.module[:100]}.{value.name[:100]}"
    if isinstance(value, Object):
        return f"an object of {describe(value.cls)}" if isinstance(value.cls, Global) else "an object"
    if isinstance(value, (str, bytes)):
        return repr(value[:80])
    if value is None or isinstance(value, (bool, float)):
        return repr(value)
    if isinstance(value, int):
        return repr(value) if value.bit_length() <= 128 else f"an integer of {value.bit_length()} bits"
    return f"a {type(value).__name__}"
