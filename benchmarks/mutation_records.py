"""Mutators of content that is one structure: protobuf messages, pickles, JSON and other texts, npy, safetensors."""

from __future__ import annotations

import pickletools
import struct
from collections.abc import Callable
from dataclasses import dataclass
from random import Random

from mutation import INTERESTING, Mutator, length_prefixed, raw, tokens, varint

# Protobuf: a tree of fields, of which one path is encoded anew.


@dataclass(slots=True)
class _Field:
    number: int
    wire: int
    value: int | bytes
    inner: list[_Field] | None  # of a message
    encoded: bytes


def _take_varint(data: bytes, at: int) -> tuple[int, int]:
    number = shift = 0
    while shift < 64:
        byte = data[at]
        at += 1
        number |= (byte & 0x7F) << shift
        if byte < 0x80:
            return number, at
        shift += 7
    raise ValueError("a long varint")


def _parse(data: bytes, depth: int = 0) -> list[_Field]:
    """The fields of what looks like a message; raises ValueError or IndexError if it does not."""
    found, at = [], 0
    while at < len(data):
        begin = at
        key, at = _take_varint(data, at)
        number, wire = key >> 3, key & 7
        value: int | bytes
        if wire == 0:
            value, at = _take_varint(data, at)
        else:
            size = {1: 8, 5: 4}.get(wire)
            if wire == 2:
                size, at = _take_varint(data, at)
            if size is None or at + size > len(data) or not 0 < number < 5000:
                raise ValueError("no field")
            value = data[at : at + size]
            at += size
        inner = None
        if wire == 2 and value and depth < 20:
            try:
                inner = _parse(value, depth + 1)  # type: ignore[arg-type]
            except (ValueError, IndexError):
                inner = None
        found.append(_Field(number, wire, value, inner, data[begin:at]))
    return found


def _encode(number: int, wire: int, value: int | bytes) -> bytes:
    key = varint(number << 3 | wire)
    if isinstance(value, int):
        return key + varint(value)
    return key + (varint(len(value)) if wire == 2 else b"") + value


def protobuf(data: bytes) -> list[Mutator]:
    """Fields left out, doubled, exchanged, renumbered, of other values, wrapped into each other."""
    fields = _parse(data)

    def mutate(chance: Random) -> bytes:
        return b"".join(_mutated(fields, chance))

    def twice(chance: Random) -> bytes:
        changed = mutate(chance)
        try:
            return b"".join(_mutated(_parse(changed), chance)) if len(changed) < 4000 else changed
        except (ValueError, IndexError):
            return changed

    return [mutate, mutate, twice]


def _mutated(fields: list[_Field], chance: Random) -> list[bytes]:
    pieces = [field.encoded for field in fields]
    if not fields:
        return [_encode(chance.randrange(1, 30), chance.choice((0, 2)), b"" if chance.random() < 0.5 else b"\x08\x01")]
    at = chance.randrange(len(fields))
    field = fields[at]
    if field.inner and chance.random() < 0.75:
        pieces[at] = _encode(field.number, 2, b"".join(_mutated(field.inner, chance)))
        return pieces
    match chance.randrange(9):
        case 0:
            del pieces[at]
        case 1:
            pieces.insert(chance.randrange(len(pieces) + 1), pieces[at])
        case 2:
            pieces[at] = pieces[chance.randrange(len(pieces))]
        case 3:
            pieces[at] = _encode(chance.randrange(1, 40), field.wire, field.value)
        case 4:
            pieces[at] = _wrapped(field, chance)
        case 5:
            pieces[at] = _encode(field.number, 0, chance.choice(INTERESTING))
        case 6:
            other = chance.choice(fields)
            pieces[at] = _encode(field.number, other.wire, other.value)
        case _:
            pieces[at] = _other_value(field, chance)
    return pieces


def _wrapped(field: _Field, chance: Random) -> bytes:
    """Nested in itself again and again."""
    piece = field.encoded
    for _ in range(chance.choice((1, 2, 30, 70, 300))):
        piece = _encode(field.number, 2, piece)
    return piece


def _other_value(field: _Field, chance: Random) -> bytes:
    if isinstance(field.value, int):
        near = (field.value + 1, field.value - 1, field.value * 2, -field.value)
        return _encode(field.number, 0, chance.choice((*near, *chance.choices(INTERESTING, k=4))))
    changed = raw(field.value)(chance)
    if field.wire != 2:
        changed = changed[: len(field.value)].ljust(len(field.value), b"\0")
    return _encode(field.number, field.wire, changed)


def is_protobuf(data: bytes) -> bool:
    """Whether it may be a message; short and textual content is not believed to be."""
    if len(data) < 4:
        return False
    try:
        return len(_parse(data)) > 0
    except (ValueError, IndexError):
        return False


# Pickles: opcodes with their arguments.

_BARE = [op.code.encode("latin-1") for op in pickletools.opcodes if op.arg is None]
_NAMES = (b"cos\nsystem\n", b"cbuiltins\neval\n", b"ctorch\nFloatStorage\n", b"ccollections\nOrderedDict\n")


def _opcodes(data: bytes) -> tuple[list[bytes], bytes]:
    """The opcodes of all pickles at the front, frames left out, and what follows them."""
    found: list[bytes] = []
    begin = 0
    while begin < len(data):
        one: list[tuple[str, int]] = []
        try:
            one.extend((op.name, place) for op, _, place in pickletools.genops(data[begin:]))
        except Exception:  # what follows the last pickle is none; pickletools raises what it comes across
            break
        size = data[begin:].index(b".", one[-1][1]) + 1
        ends = [place for _, place in one[1:]] + [size]
        found += [
            data[begin + place : begin + end] for (name, place), end in zip(one, ends, strict=True) if name != "FRAME"
        ]
        begin += size
    return found, data[begin:]


def pickles(data: bytes) -> list[Mutator]:
    """Opcodes left out, doubled, exchanged, put in, and with other arguments."""
    parts, rest = _opcodes(data)
    rest_changed = raw(rest) if rest else None

    def mutate(chance: Random) -> bytes:
        changed = list(parts)
        for _ in range(chance.choice((1, 1, 2, 3))):
            at = chance.randrange(len(changed))
            match chance.randrange(8):
                case 0:
                    changed[at] = b""
                case 1:
                    changed[at] *= 2
                case 2:
                    other = chance.randrange(len(changed))
                    changed[at], changed[other] = changed[other], changed[at]
                case 3:
                    changed[at] = parts[chance.randrange(len(parts))]
                case 4:
                    changed[at] += chance.choice(_BARE)
                case 5:
                    changed[at] = chance.choice(_BARE)
                case 6:
                    changed[at] += chance.choice((_number(chance), *_NAMES, parts[chance.randrange(len(parts))]))
                case _:
                    changed[at] = _other_argument(changed[at], chance)
        return b"".join(changed) + rest

    def of_rest(chance: Random) -> bytes:
        return b"".join(parts) + (rest_changed(chance) if rest_changed else b"")

    return [mutate, mutate, mutate, of_rest] if rest else [mutate]


def _number(chance: Random) -> bytes:
    """An opcode that pushes a number."""
    number = chance.choice((-1, *INTERESTING))
    size = number.bit_length() // 8 + 1
    return b"\x8a" + bytes((size,)) + number.to_bytes(size, "little", signed=True)


def _other_argument(opcode: bytes, chance: Random) -> bytes:
    if opcode[:1] in (b"K", b"M", b"J", b"\x8a"):
        return _number(chance)
    if opcode[:1] in (b"X", b"\x8c", b"U", b"T"):
        text = raw(opcode[5:] if opcode[:1] in b"XT" else opcode[2:])(chance)
        return b"X" + struct.pack("<I", len(text)) + text
    return opcode[:1] + raw(opcode[1:])(chance)


def is_pickle(data: bytes) -> bool:
    return data[:1] == b"\x80" and data[1:2] <= b"\x05" and len(data) > 3


# Headers behind their length.


def npy(data: bytes) -> list[Mutator]:
    """An array file: tokens of its header, whose length is put right."""
    return [length_prefixed(data, 8, 2 if data[6] == 1 else 4, tokens)]


def safetensors(data: bytes) -> list[Mutator]:
    """Tokens of its JSON, whose length is put right."""
    return [length_prefixed(data, 0, 8, tokens)]


def is_safetensors(data: bytes) -> bool:
    return len(data) > 10 and data[8:10] == b'{"' and 8 + int.from_bytes(data[:8], "little") <= len(data)


def is_text(data: bytes) -> bool:
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return bool(text) and all(character.isprintable() or character in "\t\r\n" for character in text)


RECORDS: tuple[tuple[Callable[[bytes], bool], Callable[[bytes], list[Mutator]]], ...] = (
    (lambda data: data.startswith(b"\x93NUMPY"), npy),
    (is_safetensors, safetensors),
    (is_pickle, pickles),
    (is_text, lambda data: [tokens(data)]),
    (is_protobuf, protobuf),
)
