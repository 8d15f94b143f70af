"""Protocol buffers: messages declared as classes, read lazily from a source, written in pieces.

A message is declared field by field, with the numbers of its .proto file:

    class TensorShape(Message):
        dim: list[Dim] = repeated(2, Dim)
        unknown_rank: bool = single(3, "bool")

`decode` reads small messages at once and walks large ones field by field, so that a file of gigabytes lists in the time
of its structure: fields of kind "blob" are left in the file as an `Extent`, and repeated numbers as `Numbers`, which
become an array when asked for. `encode` gives the bytes in pieces, with blobs passed through from wherever they lie.
Unknown fields are skipped. Why not the protobuf package: it loads every payload, and stops at 2 GB.

Source: https://protobuf.dev/programming-guides/encoding/
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, TypeVar

from panmodel.errors import CorruptError, LimitError, TruncatedError
from panmodel.io.source import Extent, MemorySource, Source
from panmodel.limits import DEFAULT

if TYPE_CHECKING:
    import numpy as np

VARINT, FIXED64, BYTES, GROUP_START, GROUP_END, FIXED32 = range(6)

#: Scalar kinds: wire type and the value that an absent field has.
_SCALARS: dict[str, tuple[int, Any]] = {
    "int32": (VARINT, 0),
    "int64": (VARINT, 0),
    "uint32": (VARINT, 0),
    "uint64": (VARINT, 0),
    "enum": (VARINT, 0),
    "bool": (VARINT, False),
    "fixed32": (FIXED32, 0),
    "fixed64": (FIXED64, 0),
    "float": (FIXED32, 0.0),
    "double": (FIXED64, 0.0),
    "string": (BYTES, ""),
    "bytes": (BYTES, b""),
    "blob": (BYTES, None),
}
_PACKING = {"fixed32": "<I", "fixed64": "<Q", "float": "<f", "double": "<d"}
_ARRAY_TYPES = {"fixed32": "<u4", "fixed64": "<u8", "float": "<f4", "double": "<f8"}


class Payload(Protocol):
    """What a blob may be when it is written: an Extent is, and so is a lazy tensor."""

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
        enum: Names of an enum's values, for the text form.
    """

    number: int
    kind: str
    repeated: bool = False
    numbers: bool = False
    of: Callable[[], type[Message]] | None = None
    enum: dict[str, int] | None = None
    name: str = field(default="", compare=False)

    @cached_property
    def message(self) -> type[Message]:
        """The class of the message."""
        assert self.of is not None
        return self.of()

    @property
    def absent(self) -> Any:
        """The value of the field where it is not present."""
        if self.kind == "map":
            return {}
        if self.repeated:
            return ()
        return None if self.kind == "message" else _SCALARS[self.kind][1]


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


def mapping(number: int, value: str | Callable[[], type[Message]]) -> Any:
    """Declare a map from strings to scalars or messages; it is a dict."""
    entry: type[Message] = type("Entry", (Message,), {"key": single(1, "string"), "value": single(2, value)})
    return Field(number, "map", repeated=True, of=lambda: entry)


class Message:
    """Base of all messages: absent fields have their default, `has` tells presence."""

    fields: ClassVar[dict[int, Field]] = {}

    def __init_subclass__(cls) -> None:
        cls.fields = {}
        for name, value in list(vars(cls).items()):
            if isinstance(value, Field):
                object.__setattr__(value, "name", name)
                cls.fields[value.number] = value
                setattr(cls, name, value.absent)

    def __init__(self, **values: Any) -> None:
        self.__dict__.update(values)

    def has(self, name: str) -> bool:
        """Whether the field is present."""
        return name in self.__dict__

    def __repr__(self) -> str:
        inside = ", ".join(f"{name}={value!r}" for name, value in self.__dict__.items())
        return f"{type(self).__name__}({inside})"

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and self.__dict__ == other.__dict__

    __hash__ = None  # type: ignore[assignment]


class Numbers:
    """Repeated numbers as they lie on the wire: read as an array when asked for."""

    def __init__(self, kind: str, runs: list[Extent] | None = None) -> None:
        self.kind = kind
        self._runs = runs or []
        self._single = bytearray()

    @classmethod
    def of(cls, kind: str, array: np.ndarray) -> Numbers:
        """Numbers to be written, from an array."""
        data = array.astype(_ARRAY_TYPES[kind]).tobytes() if kind in _ARRAY_TYPES else _varints(array)
        return cls(kind, [Extent(MemorySource(data), 0, len(data))])

    @property
    def nbytes(self) -> int:
        """Bytes on the wire: an upper bound for the number of elements."""
        return sum(run.nbytes for run in self._runs) + len(self._single)

    def chunks(self) -> Iterator[memoryview]:
        """The bytes on the wire."""
        for run in self._runs:
            yield from run.source.chunks(run.offset, run.nbytes)
        yield memoryview(self._single)

    def array(self) -> np.ndarray:
        """The numbers: float32, float64, uint32 or uint64 for fixed kinds, int64 for varints (uint64 for "uint64")."""
        import numpy as np

        data = b"".join(bytes(piece) for piece in self.chunks())
        if self.kind in _ARRAY_TYPES:
            kind = np.dtype(_ARRAY_TYPES[self.kind])
            if len(data) % kind.itemsize:
                where = self._runs[0].source.name if self._runs else ""
                raise CorruptError(
                    f"{len(data)} bytes of packed {self.kind} are no whole number of elements", where=where
                )
            return np.frombuffer(data, kind)
        return _unpack_varints(data, unsigned=self.kind == "uint64")

    def _add(self, run: Extent, wire: int, number: int) -> None:
        if wire == BYTES:
            if self._single:  # keep the order of what came before
                self._runs.append(Extent(MemorySource(bytes(self._single)), 0, len(self._single)))
                self._single.clear()
            self._runs.append(run)
        elif wire == VARINT:
            self._single += _varint(number)
        else:
            self._single += run.read()


M = TypeVar("M", bound=Message)


def decode(cls: type[M], source: Source, offset: int = 0, nbytes: int | None = None) -> M:
    """Read a message.

    Args:
        cls: Its class.
        source: Where it lies.
        offset: Where it begins, in bytes.
        nbytes: Its length; up to the end of the source if left out.

    Raises:
        CorruptError: The bytes are no such message.
        LimitError: Messages lie too deep within each other.
    """
    size = source.size - offset if nbytes is None else nbytes
    source.check(offset, size)
    return _decode(cls, _Window(source, offset, size), DEFAULT.nesting)


def decode_bytes(cls: type[M], data: bytes, name: str = "memory") -> M:
    """Read a message from bytes in memory; see `decode`."""
    return decode(cls, MemorySource(data, name))


class _Window:
    """A cursor over part of a source, with as much of it in memory as pays."""

    def __init__(self, source: Source, offset: int, nbytes: int) -> None:
        self.source, self.offset, self.nbytes = source, offset, nbytes
        self.position = 0
        self._start = 0
        self._data = source.read(offset, min(nbytes, DEFAULT.message_bytes))

    def varint(self) -> int:
        data, at = self._data, self.position - self._start
        if at + 10 > len(data) and self._start + len(data) < self.nbytes:
            data, at = self._refill(), 0
        result = shift = 0
        while True:
            if at >= len(data):
                raise self.corrupt("a number runs past the end of its message", TruncatedError)
            byte = data[at]
            at += 1
            result |= (byte & 0x7F) << shift
            if byte < 0x80:
                self.position = self._start + at
                return result & 0xFFFFFFFFFFFFFFFF
            shift += 7
            if shift >= 70:
                raise self.corrupt("a number of more than ten bytes")

    def take(self, nbytes: int) -> Extent:
        """The next bytes, left where they are."""
        if nbytes > self.nbytes - self.position:
            message = f"a field announces {nbytes} bytes, {self.nbytes - self.position} are left in its message"
            raise self.corrupt(message, TruncatedError)
        extent = Extent(self.source, self.offset + self.position, nbytes)
        self.position += nbytes
        return extent

    def read(self, extent: Extent) -> bytes:
        at = extent.offset - self.offset - self._start
        if 0 <= at and at + extent.nbytes <= len(self._data):
            return self._data[at : at + extent.nbytes]
        return extent.read()

    def inner(self, extent: Extent) -> _Window:
        """A cursor over a field, sharing what is in memory already."""
        window = _Window.__new__(_Window)
        window.source, window.offset, window.nbytes = extent.source, extent.offset, extent.nbytes
        window.position = window._start = 0
        window._data = self.read(extent) if extent.nbytes <= DEFAULT.message_bytes else b""
        return window

    def _refill(self) -> bytes:
        self._start = self.position
        self._data = self.source.read(
            self.offset + self.position, min(self.nbytes - self.position, DEFAULT.message_bytes)
        )
        return self._data

    def corrupt(self, message: str, kind: type[CorruptError] = CorruptError) -> CorruptError:
        return kind(message, where=f"{self.source.name} at offset {self.offset + self.position}")


def _decode(cls: type[M], window: _Window, depth: int) -> M:
    if depth < 0:
        where = f"{window.source.name} at offset {window.offset}"
        raise LimitError(f"messages lie more than {DEFAULT.nesting} deep within each other", where=where)
    message = cls()
    values = message.__dict__
    while window.position < window.nbytes:
        tag = window.varint()
        known = cls.fields.get(tag >> 3)
        wire = tag & 7
        if tag >> 3 == 0:
            raise window.corrupt("a field numbered 0")
        number, extent = _next(window, wire)
        if known is not None:
            _store(values, known, wire, number, extent, window, depth)
    return message


def _next(window: _Window, wire: int) -> tuple[int, Extent | None]:
    """The raw content of a field: a number, or where its bytes lie."""
    if wire == VARINT:
        return window.varint(), None
    if wire == BYTES:
        return 0, window.take(window.varint())
    if wire == FIXED32:
        return 0, window.take(4)
    if wire == FIXED64:
        return 0, window.take(8)
    raise window.corrupt(f"wire type {wire}, which no message of these formats has")


def _store(
    values: dict[str, Any], known: Field, wire: int, number: int, extent: Extent | None, window: _Window, depth: int
) -> None:
    kind = known.kind
    if kind == "map":
        entry = _decode(known.message, window.inner(_bytes(known, extent, wire, window)), depth - 1)
        values.setdefault(known.name, {})[entry.key] = entry.value  # type: ignore[attr-defined]
    elif kind == "message":
        inner = _decode(known.message, window.inner(_bytes(known, extent, wire, window)), depth - 1)
        if known.repeated:
            values.setdefault(known.name, []).append(inner)
        elif known.name in values:  # a message that comes in parts is merged
            values[known.name].__dict__.update(inner.__dict__)
        else:
            values[known.name] = inner
    elif known.numbers:
        run = extent or Extent(window.source, 0, 0)
        values.setdefault(known.name, Numbers(kind))._add(run, wire, number)
    elif known.repeated:
        values.setdefault(known.name, []).extend(_scalars(known, wire, number, extent, window))
    else:
        values[known.name] = _scalar(known, wire, number, extent, window)


def _bytes(known: Field, extent: Extent | None, wire: int, window: _Window) -> Extent:
    if wire != BYTES or extent is None:
        raise window.corrupt(f"field {known.name!r} has wire type {wire}, expected {BYTES}")
    return extent


def _scalar(known: Field, wire: int, number: int, extent: Extent | None, window: _Window) -> Any:
    kind = known.kind
    if wire != _SCALARS[kind][0]:
        raise window.corrupt(f"field {known.name!r} ({kind}) has wire type {wire}, expected {_SCALARS[kind][0]}")
    if extent is None:
        return _signed(kind, number)
    if kind == "blob":
        return extent
    data = window.read(extent)
    if kind == "bytes":
        return data
    if kind == "string":
        try:
            return data.decode()
        except UnicodeDecodeError:
            raise window.corrupt(f"field {known.name!r} is no UTF-8 text") from None
    return struct.unpack(_PACKING[kind], data)[0]


def _scalars(known: Field, wire: int, number: int, extent: Extent | None, window: _Window) -> list[Any]:
    """One element of a repeated field, or the many of a packed one."""
    if wire == BYTES and _SCALARS[known.kind][0] != BYTES:
        assert extent is not None
        if known.kind in _PACKING:
            return list(Numbers(known.kind, [extent]).array().tolist())
        inner = window.inner(extent)
        if not inner._data and extent.nbytes:
            inner._refill()
        found = []
        while inner.position < inner.nbytes:
            found.append(_signed(known.kind, inner.varint()))
        return found
    return [_scalar(known, wire, number, extent, window)]


def _signed(kind: str, number: int) -> int | bool:
    if kind == "bool":
        return bool(number)
    if kind in ("int32", "int64", "enum") and number >> 63:
        return number - (1 << 64)
    return number


def _unpack_varints(data: bytes, *, unsigned: bool) -> np.ndarray:
    """Packed varints → int64 or uint64, all at once."""
    import numpy as np

    raw = np.frombuffer(data, np.uint8)
    ends = np.flatnonzero(raw < 0x80)
    if len(raw) and (not len(ends) or ends[-1] != len(raw) - 1):
        raise CorruptError("packed numbers end in the middle of one")
    starts = np.concatenate([[0], ends[:-1] + 1]) if len(ends) else ends
    if len(ends) and int((ends - starts).max()) > 9:
        raise CorruptError("a packed number of more than ten bytes")
    place = np.arange(len(raw)) - np.repeat(starts, ends - starts + 1)
    bits = (raw & 0x7F).astype(np.uint64) << (place * 7).astype(np.uint64)
    total = np.add.reduceat(bits, starts) if len(ends) else np.zeros(0, np.uint64)
    return total if unsigned else total.view(np.int64)


# Writing


def encode(message: Message) -> Iterator[bytes | memoryview]:
    """Write a message in pieces; fields in the order of their numbers, maps sorted, so that equal means equal bytes."""
    for known in sorted(type(message).fields.values(), key=lambda known: known.number):
        if message.has(known.name):
            yield from _encode_field(known, getattr(message, known.name))


def encode_bytes(message: Message) -> bytes:
    """Write a small message at once."""
    return b"".join(encode(message))


def _encode_field(known: Field, value: Any) -> Iterator[bytes | memoryview]:
    if known.kind == "map":
        for key in sorted(value):
            yield from _delimited(known.number, known.message(key=key, value=value[key]))
    elif known.kind == "message":
        for inner in value if known.repeated else [value]:
            yield from _delimited(known.number, inner)
    elif isinstance(value, Numbers):
        yield _varint(known.number << 3 | BYTES) + _varint(value.nbytes)
        yield from value.chunks()
    elif known.repeated and _SCALARS[known.kind][0] != BYTES:
        data = b"".join(_scalar_bytes(known.kind, number) for number in value)
        yield _varint(known.number << 3 | BYTES) + _varint(len(data)) + data
    else:
        for inner in value if known.repeated else [value]:
            yield from _encode_scalar(known, inner)


def _encode_scalar(known: Field, value: Any) -> Iterator[bytes | memoryview]:
    tag = _varint(known.number << 3 | _SCALARS[known.kind][0])
    if isinstance(value, str):
        value = value.encode()
    if isinstance(value, bytes):
        yield tag + _varint(len(value)) + value
    elif known.kind == "blob":
        yield tag + _varint(value.nbytes)
        yield from value.source.chunks(value.offset, value.nbytes) if isinstance(value, Extent) else value.chunks()
    else:
        yield tag + _scalar_bytes(known.kind, value)


def _delimited(number: int, message: Message) -> Iterator[bytes | memoryview]:
    yield _varint(number << 3 | BYTES) + _varint(encoded_size(message))
    yield from encode(message)


def encoded_size(message: Message) -> int:
    """Bytes that `encode` will give, without reading any blob."""
    return sum(
        _field_size(known, getattr(message, known.name))
        for known in type(message).fields.values()
        if message.has(known.name)
    )


def _field_size(known: Field, value: Any) -> int:
    tag = len(_varint(known.number << 3))
    if known.kind == "map":
        return sum(_prefixed(tag, encoded_size(known.message(key=key, value=inner))) for key, inner in value.items())
    if known.kind == "message":
        return sum(_prefixed(tag, encoded_size(inner)) for inner in (value if known.repeated else [value]))
    if isinstance(value, Numbers):
        return _prefixed(tag, value.nbytes)
    if known.repeated and _SCALARS[known.kind][0] != BYTES:
        return _prefixed(tag, sum(len(_scalar_bytes(known.kind, number)) for number in value))
    return sum(_scalar_size(known.kind, tag, inner) for inner in (value if known.repeated else [value]))


def _scalar_size(kind: str, tag: int, value: Any) -> int:
    if _SCALARS[kind][0] != BYTES:
        return tag + len(_scalar_bytes(kind, value))
    if isinstance(value, str):
        return _prefixed(tag, len(value.encode()))
    return _prefixed(tag, len(value) if isinstance(value, bytes) else value.nbytes)


def _prefixed(tag: int, nbytes: int) -> int:
    return tag + len(_varint(nbytes)) + nbytes


def _scalar_bytes(kind: str, value: Any) -> bytes:
    return struct.pack(_PACKING[kind], value) if kind in _PACKING else _varint(int(value) & 0xFFFFFFFFFFFFFFFF)


def _varint(number: int) -> bytes:
    if number < 0x80:
        return bytes((number,))
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def _varints(array: np.ndarray) -> bytes:
    return b"".join(_varint(int(number) & 0xFFFFFFFFFFFFFFFF) for number in array.reshape(-1))
