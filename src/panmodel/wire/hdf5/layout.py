"""Layouts: how the elements of a dataset are stored.

Source: HDF5 File Format Specification 3.0, IV.A.2.i (data layout, versions 1 to 5), IV.A.2.h (external data files).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import IntEnum

from panmodel.errors import LimitError
from panmodel.limits import Limits
from panmodel.wire.hdf5.cursor import Cursor


class Storage(IntEnum):
    """Kinds of layout."""

    COMPACT = 0
    CONTIGUOUS = 1
    CHUNKED = 2
    VIRTUAL = 3


class Index(IntEnum):
    """How the chunks of a dataset are found."""

    BTREE_V1 = 0
    SINGLE = 1
    IMPLICIT = 2
    FIXED_ARRAY = 3
    EXTENSIBLE_ARRAY = 4
    BTREE_V2 = 5


@dataclass(frozen=True, slots=True)
class Layout:
    """How the elements of a dataset are stored.

    Attributes:
        storage: The kind.
        data: The elements themselves, if compact.
        address: Where the elements or their index are; None if there is no storage yet.
        nbytes: Stored bytes of contiguous elements where the message says it, and of a single filtered chunk.
        chunk: Extent of a chunk in each dimension, the bytes of an element last.
        index: How chunks are found.
        mask: Filters that a single chunk did not pass.
        whole_edges_only: Chunks that the dataset's edge cuts through did not pass the filters.
        number: Number of a virtual dataset's description in its global heap collection.
    """

    storage: Storage
    data: bytes = b""
    address: int | None = None
    nbytes: int | None = None
    chunk: tuple[int, ...] = ()
    index: Index = Index.BTREE_V1
    mask: int = 0
    whole_edges_only: bool = False
    number: int = 0


_EDGES_UNFILTERED, _FILTERED = 1, 2
#: Bytes of what describes each index in a version 4 message, before its address.
_DESCRIPTION = {Index.IMPLICIT: 0, Index.FIXED_ARRAY: 1, Index.EXTENSIBLE_ARRAY: 5, Index.BTREE_V2: 6}


def read_layout(cursor: Cursor, limits: Limits) -> Layout:
    """Read a data layout message.

    Raises:
        CorruptError: It contradicts the format.
        LimitError: It has more dimensions than `Limits.rank`.
    """
    version = cursor.version(1, 2, 3, 4, 5)
    if version < 3:
        return _read_old(cursor, limits)
    number = cursor.u8()
    if number > (Storage.VIRTUAL if version > 3 else Storage.CHUNKED):
        cursor.fail(f"is of class {number}")
    storage = Storage(number)
    if storage is Storage.COMPACT:
        return Layout(storage, cursor.take(cursor.u16()))
    if storage is Storage.CONTIGUOUS:
        return Layout(storage, address=cursor.address(), nbytes=cursor.length())
    if storage is Storage.VIRTUAL:
        return Layout(storage, address=cursor.address(), number=cursor.u32())
    if version == 3:
        rank, address = _rank(cursor, limits), cursor.address()
        return Layout(storage, address=address, chunk=_extents(cursor, rank, 4))
    return _read_chunked(cursor, limits)


def _read_old(cursor: Cursor, limits: Limits) -> Layout:
    rank, number = _rank(cursor, limits), cursor.u8()
    if number > Storage.CHUNKED:
        cursor.fail(f"is of class {number}")
    storage = Storage(number)
    cursor.skip(5)
    address = None if storage is Storage.COMPACT else cursor.address()
    extents = tuple(cursor.u32() for _ in range(rank))
    if storage is Storage.COMPACT:
        return Layout(storage, cursor.take(cursor.u32()))
    if storage is Storage.CONTIGUOUS:
        return Layout(storage, address=address)
    if 0 in extents:
        cursor.fail(f"has chunks of shape {extents}")
    return Layout(storage, address=address, chunk=extents)


def _read_chunked(cursor: Cursor, limits: Limits) -> Layout:
    flags, rank = cursor.u8(), _rank(cursor, limits)
    chunk = _extents(cursor, rank, cursor.u8())
    number = cursor.u8()
    if not Index.SINGLE <= number <= Index.BTREE_V2:
        cursor.fail(f"has a chunk index of type {number}")
    index, nbytes, mask = Index(number), None, 0
    if index is not Index.SINGLE:
        cursor.skip(_DESCRIPTION[index])
    elif flags & _FILTERED:
        nbytes, mask = cursor.length(), cursor.u32()
    edges = bool(flags & _EDGES_UNFILTERED)
    return Layout(Storage.CHUNKED, b"", cursor.address(), nbytes, chunk, index, mask, edges)


def _rank(cursor: Cursor, limits: Limits) -> int:
    rank = cursor.u8()
    if rank > limits.rank + 1:
        raise LimitError(f"{rank} dimensions, more than {limits.rank}", where=cursor.where)
    return rank


def _extents(cursor: Cursor, rank: int, width: int) -> tuple[int, ...]:
    found = tuple(cursor.uint(width) for _ in range(rank))
    if not found or 0 in found or math.prod(found) >= 1 << 63:
        cursor.fail(f"has chunks of shape {found}")
    return found


@dataclass(frozen=True, slots=True)
class ExternalFiles:
    """The list of files outside that hold a dataset's elements.

    Attributes:
        heap: Address of the local heap with their names.
        names: Offset of each name in it.
    """

    heap: int
    names: tuple[int, ...]


def read_external_files(cursor: Cursor) -> ExternalFiles:
    """Read an external data files message.

    Raises:
        CorruptError: It contradicts the format.
    """
    cursor.version(1)
    cursor.skip(3 + 2)
    count, heap = cursor.u16(), cursor.defined()
    names = []
    for _ in range(count):
        names.append(cursor.length())
        cursor.skip(2 * cursor.length_size)  # where in that file, and how much
    return ExternalFiles(heap, tuple(names))
