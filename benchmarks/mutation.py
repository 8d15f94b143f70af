"""Wrong files out of right ones: bytes changed blindly, and structures changed knowingly with their checksums mended.

A `Mutator` is made of a file's content once and called for one mutant after the other. `raw` knows nothing;
`structured` looks at the content, takes the mutators that understand it (`mutation_records.py` and
`mutation_containers.py` have them), and gives the members of containers to the mutators of their own content.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Sequence
from random import Random

Mutator = Callable[[Random], bytes]

_NUMBERS = (0, 1, 2, 3, 4, 7, 8, 16, 0x7E, 0x7F, 0x80, 0xFF, 0x100, 0x7FFF, 0x8000, 0xFFFF, 0x10000, 1 << 24, 1 << 28)
INTERESTING = (*_NUMBERS, 2**31 - 1, 2**31, 2**32 - 1, 2**32, 2**40, 2**53, 2**62, 2**63 - 1, 2**63, 2**64 - 1)
_WIDTHS = (1, 2, 4, 8)
_TOKEN = re.compile(rb'"(?:[^"\\]|\\.)*"|\'(?:[^\'\\]|\\.)*\'|[A-Za-z_][\w./]*|-?\d[\w.+-]*|\s+|.', re.S)
_TOKENS = (
    *(b"0", b"-1", b"1", b"1.5", b"1e999", b"-0", b"NaN", b"null", b"true", b"None", b"{}", b"[]", b"()", b'""', b"''"),
    *(b"{", b"}", b"[", b"]", b"(", b")", b"<", b">", b",", b":", b";", b'"', b"'", b"\\", b"#", b"\n", b"\0", b"\xff"),
    *(b"2147483648", b"4294967296", b"9223372036854775807", b"18446744073709551616", b"1" * 400, b"0" * 5000, b"1_0"),
    *(
        b'"\\ud800"',
        b'"\\u0000"',
        b'"../../x"',
        b'"/"',
        b'"__metadata__"',
        b"\xc3\xa9",
        b'"a" : 1',
        b"[" * 70,
        b"[" * 9000,
    ),
    *(b'{"a":' * 300, b"{a:" * 3000, b"(" * 200, b"a{" * 500, b"inf", b"-inf", b"nan", b"0x10", b"010", b"1j"),
)


def raw(data: bytes) -> Mutator:
    """Changes of bytes that know nothing of the format, one to four of them in each mutant."""

    def mutate(chance: Random) -> bytes:
        changed = bytearray(data)
        for _ in range(chance.choice((1, 1, 1, 2, 4))):
            chance.choice(_RAW)(changed, chance)
        return bytes(changed)

    return mutate


def in_place(data: bytes) -> Mutator:
    """The same without a change of length, so that nothing else moves."""

    def mutate(chance: Random) -> bytes:
        changed = bytearray(data)
        for _ in range(chance.choice((1, 1, 1, 2, 4))):
            chance.choice(_IN_PLACE)(changed, chance)
        return bytes(changed)

    return mutate


def _place(data: bytearray, chance: Random) -> int:
    return chance.randrange(len(data)) if data else 0


def _flip_bit(data: bytearray, chance: Random) -> None:
    if data:
        data[_place(data, chance)] ^= 1 << chance.randrange(8)


def _set_byte(data: bytearray, chance: Random) -> None:
    if data:
        data[_place(data, chance)] = chance.randrange(256)


def _write_number(data: bytearray, chance: Random) -> None:
    width = chance.choice(_WIDTHS)
    at = _place(data, chance)
    number = chance.choice(INTERESTING) & ((1 << 8 * width) - 1)
    piece = number.to_bytes(width, chance.choice(("little", "big")))
    data[at : at + width] = piece[: len(data) - at]


def _shift_number(data: bytearray, chance: Random) -> None:
    """A length a little or much off."""
    width, order = chance.choice(_WIDTHS), chance.choice(("little", "big"))
    if len(data) < width:
        return
    at = chance.randrange(len(data) - width + 1)
    number = int.from_bytes(data[at : at + width], order)
    changed = chance.choice((number + 1, number - 1, number + 8, number - 8, number * 2, number // 2, ~number))
    data[at : at + width] = (changed & ((1 << 8 * width) - 1)).to_bytes(width, order)


def _copy_block(data: bytearray, chance: Random) -> None:
    size = min(chance.choice((1, 4, 8, 16, 64, 256)), len(data))
    begin, to = chance.randrange(len(data) - size + 1), chance.randrange(len(data) - size + 1)
    data[to : to + size] = data[begin : begin + size]


def _swap_blocks(data: bytearray, chance: Random) -> None:
    size = min(chance.choice((1, 4, 8, 16, 64)), len(data) // 2)
    first = chance.randrange(len(data) - 2 * size + 1)
    second = chance.randrange(first + size, len(data) - size + 1)
    one, two = data[first : first + size], data[second : second + size]
    data[first : first + size], data[second : second + size] = two, one


def _blank(data: bytearray, chance: Random) -> None:
    at, size = _place(data, chance), chance.choice((4, 16, 64))
    size = min(size, len(data) - at)
    data[at : at + size] = chance.choice((b"\0", b"\xff")) * size


def _cut(data: bytearray, chance: Random) -> None:
    del data[_place(data, chance) :]


def _delete(data: bytearray, chance: Random) -> None:
    at = _place(data, chance)
    del data[at : at + chance.choice((1, 2, 4, 8, 16, 64, 512))]


def _insert(data: bytearray, chance: Random) -> None:
    at, size = chance.randrange(len(data) + 1), chance.choice((1, 2, 4, 8, 16, 64, 512))
    begin = chance.randrange(len(data) + 1)
    piece = chance.choice((bytes(size), b"\xff" * size, chance.randbytes(size), bytes(data[begin : begin + size])))
    data[at:at] = piece


_IN_PLACE = (
    *(_flip_bit, _flip_bit, _set_byte, _set_byte, _write_number, _write_number, _write_number),
    *(_shift_number, _shift_number, _copy_block, _swap_blocks, _blank),
)
_RAW = (*_IN_PLACE, _cut, _delete, _insert, _insert)


def tokens(text: bytes) -> Mutator:
    """Changes of a text's tokens: JSON, prototext, Python literals."""
    parts = _TOKEN.findall(text)
    words = [number for number, part in enumerate(parts) if part.strip()]
    if not words:
        return raw(text)

    def mutate(chance: Random) -> bytes:
        changed = list(parts)
        for _ in range(chance.choice((1, 1, 2, 3))):
            at = chance.choice(words)
            match chance.randrange(6):
                case 0:
                    changed[at] = chance.choice(_TOKENS)
                case 1:
                    changed[at] = parts[chance.choice(words)]
                case 2:
                    changed[at] = b""
                case 3:
                    changed[at] += chance.choice(_TOKENS)
                case 4:
                    other = chance.choice(words)
                    changed[at : at + 1] = parts[min(at, other) : max(at, other) + 1][:200]
                    changed += [b""] * max(len(parts) - len(changed), 0)
                case _:
                    changed[at] = _other_token(changed[at], chance)
        return b"".join(changed)

    return mutate


def _other_token(token: bytes, chance: Random) -> bytes:
    """A number near or far, a text with one character changed."""
    if token[:1] in b"-0123456789" and token[:1]:
        try:
            number = int(token)
        except ValueError:
            return b"1e309"
        return str(chance.choice((number + 1, number - 1, -number, number * 2, chance.choice(INTERESTING)))).encode()
    changed = bytearray(token)
    chance.choice((_flip_bit, _set_byte, _insert, _delete))(changed, chance)
    return bytes(changed)


def varint(number: int) -> bytes:
    """A number as protobuf and string tables have it."""
    number &= (1 << 64) - 1
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes((*out, number))


def one_of(mutators: Sequence[Mutator]) -> Mutator:
    """Any of several, by turns of chance."""
    return mutators[0] if len(mutators) == 1 else lambda chance: chance.choice(mutators)(chance)


def length_prefixed(data: bytes, begin: int, width: int, inner: Callable[[bytes], Mutator]) -> Mutator:
    """A header behind its length, changed and its length put right; what follows stays."""
    (size,) = struct.unpack_from({2: "<H", 4: "<I", 8: "<Q"}[width], data, begin)
    start = begin + width
    mutate, front, rest = inner(data[start : start + size]), data[:begin], data[start + size :]

    def changed(chance: Random) -> bytes:
        header = mutate(chance)
        if chance.random() < 0.8:
            header += b" " * (-len(header) % 8)
        number = min(len(header), (1 << 8 * width) - 1)
        return front + number.to_bytes(width, "little") + header + rest

    return changed


def structured(data: bytes) -> list[Mutator]:
    """The mutators that understand some content; none if nothing is known of it."""
    from mutation_containers import CONTAINERS
    from mutation_records import RECORDS

    for understands, make in (*CONTAINERS, *RECORDS):
        if understands(data):
            return make(data)
    return []


def for_content(data: bytes) -> Mutator:
    """Half blindly and half knowingly, where anything is known."""
    known = structured(data)
    return one_of([raw(data), one_of(known)]) if known else raw(data)
