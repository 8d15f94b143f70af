"""The two checksums of HDF5: lookup3 over metadata, Fletcher-32 over chunks.

Source: HDF5 File Format Specification 3.0, "Checksum" fields; Bob Jenkins, lookup3.c (public domain);
J. G. Fletcher, "An Arithmetic Checksum for Serial Transmissions" (1982), over 16-bit big-endian words.
"""

from __future__ import annotations

import struct

_MASK = 0xFFFFFFFF
#: Words of a piece of Fletcher-32: the weighted sum of a piece stays below 2^63.
_WORDS = 1 << 20


def lookup3(data: bytes, start: int = 0) -> int:
    """Bob Jenkins' lookup3 (`hashlittle`) of some bytes, 32 bits."""
    a = b = c = (0xDEADBEEF + len(data) + start) & _MASK
    if not data:
        return c
    body = (len(data) - 1) // 12 * 12
    for x, y, z in struct.iter_unpack("<3I", data[:body]):
        a, b, c = a + x, b + y, c + z
        a = (a - c & _MASK) ^ (c << 4 & _MASK | (c & _MASK) >> 28)
        c = c + b & _MASK
        b = (b - a & _MASK) ^ (a << 6 & _MASK | a >> 26)
        a = a + c & _MASK
        c = (c - b & _MASK) ^ (b << 8 & _MASK | b >> 24)
        b = b + a & _MASK
        a = (a - c & _MASK) ^ (c << 16 & _MASK | c >> 16)
        c = c + b & _MASK
        b = (b - a & _MASK) ^ (a << 19 & _MASK | a >> 13)
        a = a + c & _MASK
        c = (c - b & _MASK) ^ (b << 4 & _MASK | b >> 28)
        b = b + a & _MASK
    x, y, z = struct.unpack("<3I", data[body:].ljust(12, b"\0"))
    return _final(a + x & _MASK, b + y & _MASK, c + z & _MASK)


def _final(a: int, b: int, c: int) -> int:
    c = (c ^ b) - _rotated(b, 14) & _MASK
    a = (a ^ c) - _rotated(c, 11) & _MASK
    b = (b ^ a) - _rotated(a, 25) & _MASK
    c = (c ^ b) - _rotated(b, 16) & _MASK
    a = (a ^ c) - _rotated(c, 4) & _MASK
    b = (b ^ a) - _rotated(a, 14) & _MASK
    return (c ^ b) - _rotated(b, 24) & _MASK


def _rotated(word: int, bits: int) -> int:
    return (word << bits | word >> 32 - bits) & _MASK


def fletcher32(data: bytes | memoryview) -> int:
    """Fletcher-32 of some bytes as HDF5 computes it: big-endian words, an odd last byte is a word's upper half."""
    import numpy as np

    low = high = 0
    whole = bytes(data) + b"\0" * (len(data) % 2)
    words = np.frombuffer(whole, ">u2")
    for begin in range(0, len(words), _WORDS):
        piece = words[begin : begin + _WORDS].astype(np.uint64)
        weighted = int((piece * np.arange(len(piece), 0, -1, dtype=np.uint64)).sum())
        high += low * len(piece) + weighted
        low += int(piece.sum())
    return _folded(high) << 16 | _folded(low)


def _folded(total: int) -> int:
    """A sum in ones' complement of 16 bits, where only nothing at all is 0."""
    return (total - 1) % 0xFFFF + 1 if total else 0
