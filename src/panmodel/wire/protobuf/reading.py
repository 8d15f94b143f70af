"""Reading messages, one level at a time."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Any, TypeVar

from panmodel.errors import CorruptError, LimitError, TruncatedError
from panmodel.io.source import Extent, MemorySource, Source
from panmodel.limits import DEFAULT
from panmodel.wire.protobuf.message import Field, Message, Piece
from panmodel.wire.protobuf.numbers import Numbers
from panmodel.wire.protobuf.varint import (
    BYTES,
    FIXED32,
    FIXED64,
    PACKING,
    SCALARS,
    VARINT,
    unpack_varints,
    varint,
)

M = TypeVar("M", bound=Message)

_KEEP = 512  # inner messages up to this many bytes are kept in memory until they are asked for, others read again
_AHEAD = 1 << 20  # the most that is read at once while fields follow each other
_COUNTED, _GROUPS = (VARINT, BYTES), (3, 4)
_HEADER = 32  # more than a tag and a length, or a tag and a number, can take

#: One field as `walk` finds it: tag, number (of a varint), offset and size of its bytes, and they if in memory.
RawField = tuple[int, int, int, int, "bytes | None"]


def decode(cls: type[M], source: Source, offset: int = 0, nbytes: int | None = None) -> M:
    """Read a message; the messages in it are read when they are asked for.

    Args:
        cls: Its class.
        source: Where it lies.
        offset: Where it begins, in bytes.
        nbytes: Its length; up to the end of the source if left out.

    Raises:
        CorruptError: The bytes are no such message.
        LimitError: Messages lie too deep within each other, or one has too many fields.
    """
    size = source.size - offset if nbytes is None else nbytes
    source.check(offset, size)
    return _decode(cls, source, (offset, size, None), DEFAULT.nesting)


def decode_bytes(cls: type[M], data: bytes, name: str = "memory") -> M:
    """Read a message from bytes in memory; see `decode`."""
    return _decode(cls, MemorySource(data, name), (0, len(data), data), DEFAULT.nesting)


def walk(source: Source, piece: Piece, *, groups: bool = False) -> Iterator[RawField]:
    """The fields of a message, raw and in order; reads no more of long ones than it takes to pass them.

    Args:
        source: Where the message lies.
        piece: Where in it, and the bytes if they are in memory.
        groups: Pass over the marks of groups, which none of our messages has and other readers skip.

    Raises:
        CorruptError: The bytes are no message.
        LimitError: It has too many fields.
    """
    base, nbytes, data = piece
    keep, ahead = (nbytes if data is not None else _KEEP), _KEEP
    data = data or b""
    start = at = head = count = 0  # where data begins in the message, and where in them the next byte and field do
    refill = len(data) - _HEADER if len(data) < nbytes else nbytes  # from here on, a header may need more of them
    try:
        while start + at < nbytes:
            if at > refill:
                position = start + at
                ahead = min(ahead * 4, _AHEAD) if at <= len(data) else _KEEP
                data = source.read(base + position, min(nbytes - position, ahead))
                start, at = position, 0
                refill = len(data) - _HEADER if start + len(data) < nbytes else nbytes
            head = at
            tag = data[at]  # most numbers are of one byte
            at += 1
            if tag >= 0x80:
                tag, at = _varint_at(data, head)
            if tag < 8:
                raise _fault("a field numbered 0", source, base + start + head)
            wire = tag & 7
            number = length = 0
            if wire in _COUNTED:
                number = data[at]
                at += 1
                if number >= 0x80:
                    number, at = _varint_at(data, at - 1)
                if wire == BYTES:
                    number, length = 0, number
            elif not (groups and wire in _GROUPS):
                length = _fixed_size(wire, source, base + start + head)
            end = at + length
            if start + end > nbytes:
                message = f"a field announces {length} bytes, {nbytes - start - at} are left in its message"
                raise _fault(message, source, base + start + at, TruncatedError)
            inside = length <= keep and end <= len(data)
            yield tag, number, base + start + at, length, data[at:end] if inside else None
            at = end
            count += 1
            if count > DEFAULT.fields:
                raise LimitError(f"a message of more than {DEFAULT.fields} fields", where=source.name)
    except (IndexError, OverflowError) as error:
        raise _unended(error, source, base + start + head) from None


def _unended(error: Exception, source: Source, offset: int) -> CorruptError:
    """What to say of a number that `_varint_at` finds no end of."""
    if isinstance(error, IndexError):
        return _fault("a number runs past the end of its message", source, offset, TruncatedError)
    return _fault("a number of more than ten bytes", source, offset)


def _varint_at(data: bytes, at: int) -> tuple[int, int]:
    """The number at a place, and the place after it; IndexError where the data end, OverflowError where it does not."""
    byte = data[at]
    if byte < 0x80:
        return byte, at + 1
    result, shift = byte & 0x7F, 7
    while True:
        at += 1
        byte = data[at]
        result |= (byte & 0x7F) << shift
        if byte < 0x80:
            return result & 0xFFFFFFFFFFFFFFFF, at + 1
        shift += 7
        if shift >= 70:
            raise OverflowError


def _fixed_size(wire: int, source: Source, offset: int) -> int:
    if wire == FIXED32:
        return 4
    if wire == FIXED64:
        return 8
    raise _fault(f"wire type {wire}, which no message of these formats has", source, offset)


class _Unread:
    """The inner messages of one message, not decoded yet; see `message.Pending`."""

    __slots__ = ("depth", "pieces", "source")

    def __init__(self, source: Source, depth: int) -> None:
        self.source, self.depth = source, depth
        self.pieces: dict[str, list[Piece]] = {}

    def decode(self, known: Field) -> Any:
        pieces, depth = self.pieces[known.name], self.depth - 1
        if known.kind == "map":
            return self._entries(known, pieces, depth)
        if known.repeated:
            return [_decode(known.message, self.source, piece, depth) for piece in pieces]
        message = _decode(known.message, self.source, pieces[0], depth)
        for piece in pieces[1:]:  # a message that comes in parts is merged
            _fill(message, self.source, piece, depth)
        return message

    def _entries(self, known: Field, pieces: list[Piece], depth: int) -> dict[Any, Any]:
        found: dict[Any, Any] = {}
        of_value = known.message.by_name["value"]
        for piece in pieces:
            entry: Any = _decode(known.message, self.source, piece, depth)
            value = entry.value
            found[entry.key] = of_value.message() if value is None and of_value.nested else value
        return found


def _decode(cls: type[M], source: Source, piece: Piece, depth: int) -> M:
    message = cls.__new__(cls)
    message.pending = None
    _fill(message, source, piece, depth)
    return message


def _fill(message: Message, source: Source, piece: Piece, depth: int) -> None:
    """Read the fields of a message into it, merging with what is there."""
    if depth < 0:
        where = f"{source.name} at offset {piece[0]}"
        raise LimitError(f"messages lie more than {DEFAULT.nesting} deep within each other", where=where)
    expected, values = message.expected, message.__dict__
    for tag, number, offset, length, data in walk(source, piece):
        known = expected.get(tag)
        if known is None:
            _fill_other(message, tag, source, (offset, length, data))
        elif known.nested:
            if message.pending is None:
                message.pending = _Unread(source, depth)
            message.pending.pieces.setdefault(known.name, []).append((offset, length, data))
        elif known.numbers:
            _numbers(values, known).add_one(varint(number) if known.wire == VARINT else source.read(offset, length))
        else:
            meaning = known.meaning
            value = meaning(number) if meaning else _value(known, source, (offset, length, data))
            if known.repeated:
                values.setdefault(known.name, []).append(value)
            else:
                values[known.name] = value


def _fill_other(message: Message, tag: int, source: Source, piece: Piece) -> None:
    """Take a field of another wire type than its own: repeated numbers that are packed, and fields that are unknown."""
    known, wire = message.fields.get(tag >> 3), tag & 7
    offset, length, _ = piece
    if known is None:
        return
    if wire != BYTES or known.nested or not known.repeated:
        raise _wrong_wire(known, wire, source, offset)
    if known.numbers:
        _numbers(message.__dict__, known).add_run(Extent(source, offset, length))
    else:
        message.__dict__.setdefault(known.name, []).extend(_packed(known, Extent(source, offset, length)))


def _value(known: Field, source: Source, piece: Piece) -> Any:
    """What is no varint: a number of fixed width, a text, bytes or where they lie."""
    kind = known.kind
    offset, length, data = piece
    if kind == "blob":
        return Extent(source, offset, length)
    if data is None:
        if length > DEFAULT.text_bytes:
            raise LimitError(
                f"field {known.name!r} has {length} bytes, more than {DEFAULT.text_bytes}", where=source.name
            )
        data = source.read(offset, length)
    if kind == "bytes":
        return data
    if kind == "string":
        try:
            return data.decode()
        except UnicodeDecodeError:
            raise _fault(f"field {known.name!r} is no UTF-8 text", source, offset) from None
    return struct.unpack(PACKING[kind], data)[0]


def _packed(known: Field, extent: Extent) -> list[Any]:
    """The elements of a packed run that is held as a list."""
    if extent.nbytes > DEFAULT.fields:
        message = f"field {known.name!r} has a list of {extent.nbytes} bytes, more than {DEFAULT.fields}"
        raise LimitError(message, where=extent.source.name)
    if known.kind in PACKING:
        return list(Numbers(known.kind, [extent]).array().tolist())
    found = unpack_varints(extent.read(), known.kind).tolist()
    return [bool(number) for number in found] if known.kind == "bool" else list(found)


def _numbers(values: dict[str, Any], known: Field) -> Numbers:
    numbers: Numbers | None = values.get(known.name)
    if numbers is None:
        numbers = values[known.name] = Numbers(known.kind)
    return numbers


def _wrong_wire(known: Field, wire: int, source: Source, offset: int) -> CorruptError:
    expected = BYTES if known.nested else SCALARS[known.kind][0]
    return _fault(f"field {known.name!r} ({known.kind}) has wire type {wire}, expected {expected}", source, offset)


def _fault(message: str, source: Source, offset: int, kind: type[CorruptError] = CorruptError) -> CorruptError:
    return kind(message, where=f"{source.name} at offset {offset}")
