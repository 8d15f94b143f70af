"""The index of a dataset's chunks: which there are, and where.

Source: HDF5 File Format Specification 3.0, VII (chunk indexes), III.A.1 (version 1 B-trees).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from panmodel.errors import CorruptError
from panmodel.wire.hdf5 import btree_v1, btree_v2
from panmodel.wire.hdf5.chunk_arrays import Entry, extensible_array, fixed_array
from panmodel.wire.hdf5.dataspace import Dataspace
from panmodel.wire.hdf5.file import Visit
from panmodel.wire.hdf5.layout import Index, Layout

_PLAIN_RECORDS, _FILTERED_RECORDS = 10, 11


@dataclass(frozen=True, slots=True)
class Chunk:
    """A stored chunk.

    Attributes:
        place: Its number along each dimension.
        address: Where it is.
        nbytes: Its bytes as stored.
        mask: Bit i is set if it did not pass filter i.
    """

    place: tuple[int, ...]
    address: int
    nbytes: int
    mask: int = 0


def read_chunks(visit: Visit, layout: Layout, space: Dataspace, *, filtered: bool) -> list[Chunk]:
    """All stored chunks of a dataset in row-major order; those outside its shape are left out.

    Args:
        visit: A walk over the dataset's structures.
        layout: Its layout, chunked and with an address.
        space: Its shape.
        filtered: Whether it has filters.

    Raises:
        CorruptError: The index contradicts the format or a checksum, a chunk is there twice, or chunks overlap.
    """
    grid = tuple(-(-extent // size) for extent, size in zip(space.shape, layout.chunk, strict=False))
    found: dict[tuple[int, ...], Chunk] = {}
    for chunk in _chunks(visit, layout, space, filtered):
        if all(place < most for place, most in zip(chunk.place, grid, strict=True)):
            if chunk.place in found:
                _fail(visit, layout, f"has the chunk at {chunk.place} twice")
            visit.file.source.check(visit.file.base + chunk.address, chunk.nbytes)
            found[chunk.place] = chunk
    if sum(chunk.nbytes for chunk in found.values()) > visit.file.size:
        _fail(visit, layout, "has chunks that overlap: together they are longer than the file")
    return [found[place] for place in sorted(found)]


def _fail(visit: Visit, layout: Layout, message: str) -> None:
    raise CorruptError(f"the chunk index {message}", where=visit.file.where(layout.address or 0))


def _chunks(visit: Visit, layout: Layout, space: Dataspace, filtered: bool) -> Iterator[Chunk]:
    assert layout.address is not None
    whole = math.prod(layout.chunk)
    if layout.index is Index.SINGLE:
        yield Chunk((0,) * len(space.shape), layout.address, layout.nbytes or whole, layout.mask)
    elif layout.index is Index.BTREE_V1:
        yield from _from_btree_v1(visit, layout, layout.address)
    elif layout.index is Index.BTREE_V2:
        yield from _from_btree_v2(visit, layout, layout.address, filtered)
    else:
        numbering = _Numbering(layout, space)
        for number, address, nbytes, mask in _numbered(visit, layout, layout.address, numbering.count):
            yield Chunk(numbering.place(number), address, whole if nbytes is None else nbytes, mask)


def _from_btree_v1(visit: Visit, layout: Layout, address: int) -> Iterator[Chunk]:
    extents = layout.chunk[:-1]
    for key, child in btree_v1.leaves(visit, address, btree_v1.CHUNKS, 8 + 8 * len(layout.chunk)):
        nbytes, mask = key.u32(), key.u32()
        offsets = [key.u64() for _ in extents]
        if any(offset % extent for offset, extent in zip(offsets, extents, strict=True)):
            key.fail(f"has a chunk at {offsets}, where none of shape {extents} begins")
        yield Chunk(tuple(o // e for o, e in zip(offsets, extents, strict=True)), child, nbytes, mask)


def _from_btree_v2(visit: Visit, layout: Layout, address: int, filtered: bool) -> Iterator[Chunk]:
    rank = len(layout.chunk) - 1
    for record in btree_v2.records(visit, address, _FILTERED_RECORDS if filtered else _PLAIN_RECORDS):
        child, nbytes, mask = record.defined(), math.prod(layout.chunk), 0
        if filtered:
            width = record.left - 4 - 8 * rank
            if width < 1:
                record.fail("is too short for a chunk")
            nbytes, mask = record.uint(width), record.u32()
        yield Chunk(tuple(record.u64() for _ in range(rank)), child, nbytes, mask)


def _numbered(visit: Visit, layout: Layout, address: int, count: int) -> Iterator[Entry]:
    if layout.index is Index.FIXED_ARRAY:
        yield from fixed_array(visit, address)
    elif layout.index is Index.EXTENSIBLE_ARRAY:
        yield from extensible_array(visit, address)
    else:
        whole = math.prod(layout.chunk)
        visit.file.source.check(visit.file.base + address, count * whole)
        for number in range(count):
            yield number, address + number * whole, None, 0


class _Numbering:
    """Numbers of chunks that are counted row-major over the largest shape, the unlimited dimension first.

    Args:
        layout: The layout.
        space: The shape, and what it may grow to.
    """

    def __init__(self, layout: Layout, space: Dataspace) -> None:
        most = [
            -(-(extent if extent is not None else 0) // size)
            for extent, size in zip(space.largest, layout.chunk, strict=False)
        ]
        endless = [axis for axis, extent in enumerate(space.largest) if extent is None]
        self._order = endless[:1] + [axis for axis in range(len(most)) if axis not in endless[:1]]
        self._extents = [most[axis] for axis in self._order]
        self.count = math.prod(most)

    def place(self, number: int) -> tuple[int, ...]:
        """Number along each dimension of the chunk with that number."""
        found = [0] * len(self._order)
        for axis, extent in zip(reversed(self._order[1:]), reversed(self._extents[1:]), strict=True):
            number, found[axis] = divmod(number, max(extent, 1))
        if self._order:
            found[self._order[0]] = number
        return tuple(found)
