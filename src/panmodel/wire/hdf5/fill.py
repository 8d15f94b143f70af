"""Fill values: what elements are that were never stored.

Source: HDF5 File Format Specification 3.0, IV.A.2.e and f (fill values, old and new).
"""

from __future__ import annotations

from collections.abc import Iterator

from panmodel.wire.hdf5.cursor import Cursor

_DEFINED = 0x20


def read_fill(cursor: Cursor) -> bytes:
    """Read a fill value message.

    Returns:
        The bytes of one element; empty if the file gives none, which means zeros.

    Raises:
        CorruptError: It contradicts the format.
    """
    version = cursor.version(1, 2, 3)
    if version == 3:
        defined = bool(cursor.u8() & _DEFINED)
    else:
        cursor.skip(2)  # when storage is allocated, when it is filled
        defined = bool(cursor.u8()) or version == 1
    return read_old_fill(cursor) if defined else b""


def read_old_fill(cursor: Cursor) -> bytes:
    """Read a fill value message of the old type, which is a length and that many bytes."""
    nbytes = cursor.u32()
    # writers give -1 for no value
    return cursor.take(nbytes) if nbytes < 1 << 31 else b""


def repeated(fill: bytes, total: int, nbytes: int) -> Iterator[memoryview]:
    """Yield `total` bytes of elements that are all the fill value, in pieces of at most `nbytes`."""
    block = memoryview(fill * max(min(nbytes, total) // len(fill), 1))
    for start in range(0, total, len(block)):
        many = min(len(block), total - start)
        for begin in range(0, many, nbytes):
            yield block[begin : min(begin + nbytes, many)]
