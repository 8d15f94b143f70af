"""LZF, the fast compression that h5py brings along.

Source: Marc Lehmann, LibLZF (lzf_d.c describes the stream).
"""

from __future__ import annotations

from panmodel.errors import CorruptError

_LITERALS = 32  # control bytes below this begin a run of literal bytes
_LONG = 7  # a length of this goes on in the next byte


def decompress(data: bytes, limit: int) -> bytes:
    """Decompress a whole LZF stream.

    Args:
        data: The stream.
        limit: Most bytes that it may have.

    Raises:
        CorruptError: It refers to bytes before its beginning, ends too early, or has more bytes.
    """
    found = bytearray()
    place, end = 0, len(data)
    while place < end:
        control = data[place]
        place += 1
        if control < _LITERALS:
            found += data[place : place + control + 1]
            place += control + 1
        else:
            length, distance = control >> 5, (control & 31) << 8
            more = 2 if length == _LONG else 1
            if place + more > end:
                raise CorruptError("an LZF stream ends inside a reference")
            if length == _LONG:
                length += data[place]
            distance += data[place + more - 1] + 1
            place += more
            _copy(found, distance, length + 2)
        if len(found) > limit:
            raise CorruptError(f"an LZF stream has more than {limit} bytes")
    if place > end:
        raise CorruptError("an LZF stream ends inside a run of bytes")
    return bytes(found)


def _copy(found: bytearray, distance: int, length: int) -> None:
    begin = len(found) - distance
    if begin < 0:
        raise CorruptError(f"an LZF stream refers to byte {begin}")
    piece = found[begin : begin + length]
    if len(piece) < length:  # it runs into what it writes itself: the piece repeats
        piece = (piece * (length // len(piece) + 1))[:length]
    found += piece
