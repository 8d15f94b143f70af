"""Fractal heaps: where many links or attributes, or long ones, are kept.

Source: HDF5 File Format Specification 3.0, III.G.
"""

from __future__ import annotations

import bisect

from panmodel.errors import UnsupportedError
from panmodel.wire.hdf5 import btree_v2
from panmodel.wire.hdf5.cursor import Cursor
from panmodel.wire.hdf5.file import Visit, verified

_MANAGED, _HUGE, _TINY = 0, 1, 2
_SUMMED_BLOCKS = 2
_SHORT_TINY = 16  # bytes of a tiny object whose length fits into the first byte
_MOST_ROWS = 128  # each row is twice as large as the one before
_HUGE_RECORDS = 1  # type of the tree of huge objects that have no filters


class FractalHeap:
    """A heap of objects that are known by short ids.

    Args:
        visit: The walk over the structures of the object that owns the heap.
        address: Its header.

    Raises:
        CorruptError: It contradicts the format or a checksum.
        UnsupportedError: It is compressed, which no known writer does for links or attributes.
    """

    def __init__(self, visit: Visit, address: int) -> None:
        file = visit.file
        self._visit, self._address = visit, address
        offset, length = file.offset_size, file.length_size
        head = visit.read_summed(address, 22 + 12 * length + 3 * offset + 4, "a fractal heap")
        head.expect(b"FRHP")
        head.version(0)
        self._id_size, filters = head.u16(), head.u16()
        if filters:
            raise UnsupportedError("compressed heaps of links or attributes are not read", where=head.where)
        self._summed = bool(head.u8() & _SUMMED_BLOCKS)
        most = head.u32()
        head.skip(length)  # next id of a huge object
        self._huge_tree = head.address()
        head.skip(length + offset + 8 * length)  # free space, its manager, and counts of objects
        self._width, self._start, self._largest = head.u16(), head.length(), head.length()
        bits = head.u16()
        head.skip(2)
        self._root, self._rows = head.address(), head.u16()
        if self._rows > _MOST_ROWS:
            head.fail(f"has a root block of {self._rows} rows")
        if not (self._width and self._start and self._largest >= self._start) or self._start & self._start - 1:
            head.fail(f"has a table of width {self._width} with blocks of {self._start} to {self._largest} bytes")
        self._offset_size = (bits + 7) // 8
        self._length_size = min((self._largest.bit_length() + 6) // 8, (most.bit_length() + 7) // 8)
        self._direct_rows = (self._largest // self._start).bit_length() + 1
        self._head = head
        self._blocks: list[tuple[int, int, Cursor]] | None = None
        self._huge: dict[int, tuple[int, int]] | None = None

    def read(self, heap_id: Cursor) -> Cursor:
        """An object by its id.

        Raises:
            CorruptError: There is no such object.
        """
        flags = heap_id.u8()
        kind = flags >> 4 & 3
        if flags >> 6 or kind > _TINY:
            heap_id.fail(f"has a heap id of an unknown type {flags:#x}")
        if kind == _MANAGED:
            return self._managed(heap_id.uint(self._offset_size), heap_id.uint(self._length_size))
        if kind == _HUGE:
            return self._read_huge(heap_id)
        nbytes = flags & 15
        if self._id_size - 1 > _SHORT_TINY:
            nbytes = nbytes << 8 | heap_id.u8()
        return heap_id.part(nbytes + 1)

    def _managed(self, offset: int, nbytes: int) -> Cursor:
        """An object in the heap's blocks, by its place in the heap's own space."""
        if self._blocks is None:
            self._blocks = self._read_blocks()
        after = bisect.bisect_right(self._blocks, offset, key=lambda block: block[0])
        begin, end, block = self._blocks[after - 1] if after else (0, 0, self._head)
        if not begin <= offset <= offset + nbytes <= end:
            self._head.fail(f"has no block with the {nbytes} bytes at {offset} of its space")
        return block.over(block.data[offset - begin : offset - begin + nbytes])

    def _read_blocks(self) -> list[tuple[int, int, Cursor]]:
        """Where each direct block begins and ends in the heap's space, and its bytes, in order."""
        found: list[tuple[int, int, Cursor]] = []
        if self._root is None:
            return found
        waiting = [(self._root, 0, self._rows, 0 if self._rows else self._start)]
        while waiting:
            address, begin, rows, nbytes = waiting.pop()
            if rows:
                waiting.extend(reversed(self._children(address, begin, rows)))
            else:
                found.append((begin, begin + nbytes, self._direct(address, begin, nbytes)))
        return sorted(found, key=lambda block: block[0])

    def _direct(self, address: int, begin: int, nbytes: int) -> Cursor:
        block = self._visit.read(address, nbytes, "a block of a fractal heap")
        self._check_block(block, b"FHDB", begin)
        if self._summed:
            # the sum is over the whole block with the sum itself as zeros
            at, size = block.position, len(block.data)
            stored = block.take(4)
            verified(block.over(block.data[:at] + bytes(4) + block.data[at + 4 : size] + stored))
        return block

    def _children(self, address: int, begin: int, rows: int) -> list[tuple[int, int, int, int]]:
        """Address, place, rows (0 for a direct block) and size of each block below an indirect one."""
        file = self._visit.file
        count = rows * self._width
        nbytes = 5 + file.offset_size + self._offset_size + count * file.offset_size + 4
        block = self._visit.read_summed(address, nbytes, "an indirect block of a fractal heap")
        self._check_block(block, b"FHIB", begin)
        found = []
        for row in range(rows):
            size = self._start << max(row - 1, 0)
            inner = 0 if row < self._direct_rows else self._rows_of(size)
            for _ in range(self._width):
                child = block.address()
                if child is not None:
                    found.append((child, begin, inner, size))
                begin += size
        return found

    def _rows_of(self, size: int) -> int:
        """Rows of an indirect block that stands for that many bytes of the heap's space."""
        return (size // (self._start * self._width)).bit_length()

    def _check_block(self, block: Cursor, signature: bytes, begin: int) -> None:
        block.expect(signature)
        block.version(0)
        owner, place = block.defined(), block.uint(self._offset_size)
        if (owner, place) != (self._address, begin):
            block.fail(f"is at {place} of the heap at {owner}; {begin} of the heap at {self._address} is expected")

    def _read_huge(self, heap_id: Cursor) -> Cursor:
        file = self._visit.file
        if self._id_size - 1 >= file.offset_size + file.length_size:
            address, nbytes = heap_id.defined(), heap_id.length()
        else:
            key = heap_id.uint(min(file.length_size, self._id_size - 1))
            if self._huge is None:
                self._huge = self._read_huge_tree()
            if key not in self._huge:
                self._head.fail(f"has no huge object {key}")
            address, nbytes = self._huge[key]
        return self._visit.read(address, nbytes, "a huge object of a fractal heap")

    def _read_huge_tree(self) -> dict[int, tuple[int, int]]:
        found = {}
        if self._huge_tree is not None:
            for record in btree_v2.records(self._visit, self._huge_tree, _HUGE_RECORDS):
                address, nbytes = record.defined(), record.length()
                found[record.length()] = (address, nbytes)
        return found
