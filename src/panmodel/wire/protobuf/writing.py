"""Writing messages in pieces, with the bytes of blobs passed through from wherever they lie."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from panmodel.errors import CorruptError
from panmodel.io.source import Extent
from panmodel.wire.protobuf.message import Field, Message, Payload
from panmodel.wire.protobuf.numbers import Numbers
from panmodel.wire.protobuf.varint import BYTES, scalar_bytes, varint

#: A message laid out: bytes, and what gives bytes when it is their turn.
_Part = bytes | Extent | Payload

_GATHER = 1 << 16  # small parts are given together


def encode(message: Message) -> Iterator[bytes | memoryview]:
    """Write a message in pieces.

    Fields are in the order of their numbers and maps sorted, so that equal messages have equal bytes; inner messages
    that were read and never looked at keep the bytes that they have.

    Raises:
        CorruptError: A payload gives another number of bytes than it announced.
    """
    parts: list[_Part] = []
    _lay(message, parts)
    gathered = bytearray()
    for part in parts:
        if isinstance(part, bytes):
            gathered += part
            if len(gathered) < _GATHER:
                continue
        if gathered:
            yield bytes(gathered)
            gathered.clear()
        if not isinstance(part, bytes):
            yield from _stream(part)
    if gathered:
        yield bytes(gathered)


def encode_bytes(message: Message) -> bytes:
    """Write a small message at once."""
    return b"".join(encode(message))


def encoded_size(message: Message) -> int:
    """Bytes that `encode` will give, without reading any blob."""
    return _lay(message, [])


def _lay(message: Message, parts: list[_Part]) -> int:
    """Append the parts of a message; returns its size in bytes."""
    size = 0
    values, pending = message.__dict__, message.pending
    for known in message.fields.values():
        if known.name in values:
            size += _lay_field(known, values[known.name], parts)
        elif pending is not None and known.name in pending.pieces:
            size += _lay_unread(known, message, parts)
    return size


def _lay_unread(known: Field, message: Message, parts: list[_Part]) -> int:
    """Inner messages that nobody has decoded, as they lie in their source."""
    pending: Any = message.pending
    size = 0
    for offset, nbytes, data in pending.pieces[known.name]:
        part = data if data is not None else Extent(pending.source, offset, nbytes)
        size += _lay_delimited(known.number, nbytes, part, parts)
    return size


def _lay_field(known: Field, value: Any, parts: list[_Part]) -> int:
    if known.kind == "map":
        entries = (known.message(key=key, value=value[key]) for key in sorted(value))
        return sum(_lay_message(known.number, entry, parts) for entry in entries)
    if known.kind == "message":
        return sum(_lay_message(known.number, inner, parts) for inner in (value if known.repeated else (value,)))
    if isinstance(value, Numbers):
        return _lay_delimited(known.number, value.nbytes, value, parts) if value.nbytes else 0
    if known.repeated and known.wire != BYTES:
        data = b"".join(scalar_bytes(known.kind, number) for number in value)
        return _lay_delimited(known.number, len(data), data, parts) if data else 0
    return sum(_lay_scalar(known, inner, parts) for inner in (value if known.repeated else (value,)))


def _lay_scalar(known: Field, value: Any, parts: list[_Part]) -> int:
    if known.wire != BYTES:
        data = varint(known.number << 3 | known.wire) + scalar_bytes(known.kind, value)
        parts.append(data)
        return len(data)
    if isinstance(value, str):
        value = value.encode()
    return _lay_delimited(known.number, len(value) if isinstance(value, bytes) else value.nbytes, value, parts)


def _lay_message(number: int, message: Message, parts: list[_Part]) -> int:
    place = len(parts)
    parts.append(b"")  # tag and size, known once the message is laid out
    size = _lay(message, parts)
    head = varint(number << 3 | BYTES) + varint(size)
    parts[place] = head
    return len(head) + size


def _lay_delimited(number: int, nbytes: int, part: _Part, parts: list[_Part]) -> int:
    head = varint(number << 3 | BYTES) + varint(nbytes)
    parts.append(head)
    parts.append(part)
    return len(head) + nbytes


def _stream(payload: Extent | Payload) -> Iterator[memoryview]:
    given = 0
    pieces = payload.source.chunks(payload.offset, payload.nbytes) if isinstance(payload, Extent) else payload.chunks()
    for piece in pieces:
        given += len(piece)
        yield piece
    if given != payload.nbytes:
        raise CorruptError(f"a payload of {payload.nbytes} bytes gave {given}")
