"""Bytes that come in pieces."""

from __future__ import annotations

from collections.abc import Iterator


def whole(pieces: Iterator[memoryview], width: int) -> Iterator[memoryview]:
    """The same bytes in pieces of whole elements.

    Args:
        pieces: Bytes in pieces of any size.
        width: Bytes of one element. What is left of the last one comes at the end.
    """
    rest = b""
    for piece in pieces:
        if rest:
            need = min(width - len(rest), len(piece))
            rest += bytes(piece[:need])
            piece = piece[need:]
            if len(rest) < width:
                continue
            yield memoryview(rest)
        even = len(piece) - len(piece) % width
        rest = bytes(piece[even:])
        if even:
            yield piece[:even]
    if rest:
        yield memoryview(rest)
