"""Fixed and extensible arrays: the chunks of datasets with at most one unlimited dimension.

Source: HDF5 File Format Specification 3.0, VII.C (fixed array), VII.D (extensible array).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from panmodel.wire.hdf5.cursor import Cursor
from panmodel.wire.hdf5.file import Visit

#: Number, address, stored size (None where chunks have no filters) and filter mask of a chunk.
Entry = tuple[int, int, int | None, int]

_MOST_BITS = 64


@dataclass(frozen=True, slots=True)
class _Array:
    """What both kinds of arrays have in common.

    Attributes:
        visit: The walk over the dataset's structures.
        address: The array's header.
        filtered: Entries have a size and a filter mask.
        entry_size: Bytes of an entry.
        page: Entries of a page; blocks with more are kept in pages.
    """

    visit: Visit
    address: int
    filtered: bool
    entry_size: int
    page: int

    def entries(self, block: Cursor, first: int, count: int) -> Iterator[Entry]:
        """The next entries of a block that are chunks."""
        width = self.entry_size - block.offset_size - 4
        for number in range(first, first + count):
            address = block.address()
            size = block.uint(width) if self.filtered else None
            mask = block.u32() if self.filtered else 0
            if address is not None:
                yield number, address, size, mask

    def pages(self, begin: int, first: int, count: int, present: bytes) -> Iterator[Entry]:
        """The entries of a block that is kept in pages, each with a checksum."""
        for page, start in enumerate(range(0, count, self.page)):
            many = min(self.page, count - start)
            nbytes = many * self.entry_size + 4
            if present[page // 8] & 0x80 >> page % 8:
                yield from self.entries(self.visit.read_summed(begin, nbytes, "a page of chunks"), first + start, many)
            begin += nbytes

    def check(self, block: Cursor, signature: bytes) -> None:
        """Take what each block begins with, and see that it is one of this array."""
        block.expect(signature)
        block.version(0)
        if block.u8() != self.filtered or block.defined() != self.address:
            block.fail("is of another array")


def _array(visit: Visit, address: int, head: Cursor, signature: bytes) -> tuple[bool, int]:
    head.expect(signature)
    head.version(0)
    client, entry_size = head.u8(), head.u8()
    least = visit.file.offset_size + (5 if client else 0)
    if client > 1 or entry_size < least or (not client and entry_size != least):
        head.fail(f"is for client {client} with entries of {entry_size} bytes")
    return bool(client), entry_size


def fixed_array(visit: Visit, address: int) -> Iterator[Entry]:
    """The chunks in a fixed array.

    Raises:
        CorruptError: It contradicts the format or a checksum.
    """
    file = visit.file
    head = visit.read_summed(address, 8 + file.length_size + file.offset_size + 4, "a fixed array")
    filtered, entry_size = _array(visit, address, head, b"FAHD")
    bits, count, place = head.u8(), head.length(), head.address()
    if place is None:
        return
    array = _Array(visit, address, filtered, entry_size, 1 << min(bits, _MOST_BITS))
    prefix = 6 + file.offset_size
    if count <= array.page:
        block = visit.read_summed(place, prefix + count * entry_size + 4, "a fixed array's block")
        array.check(block, b"FADB")
        yield from array.entries(block, 0, count)
        return
    pages = -(-count // array.page)
    prefix += (pages + 7) // 8
    block = visit.read_summed(place, prefix + 4, "a fixed array's block")
    array.check(block, b"FADB")
    yield from array.pages(place + prefix + 4, 0, count, block.take((pages + 7) // 8))


@dataclass(frozen=True, slots=True)
class _Growing:
    """The geometry of an extensible array: super block u has 2^(u/2) data blocks of least * 2^((u+1)/2) entries."""

    array: _Array
    bits: int
    own: int
    least: int
    pointers: int

    @property
    def super_blocks(self) -> int:
        """How many super blocks there may be."""
        return 1 + self.bits - (self.least.bit_length() - 1)

    @property
    def place_size(self) -> int:
        """Bytes of a block's place in the array."""
        return (self.bits + 7) // 8


def extensible_array(visit: Visit, address: int) -> Iterator[Entry]:
    """The chunks in an extensible array.

    Raises:
        CorruptError: It contradicts the format or a checksum.
    """
    file = visit.file
    size = 12 + 6 * file.length_size + file.offset_size + 4
    head = visit.read_summed(address, size, "an extensible array")
    filtered, entry_size = _array(visit, address, head, b"EAHD")
    bits, own, least, pointers, page_bits = (head.u8() for _ in range(5))
    if bits > _MOST_BITS or not least or least & least - 1 or pointers < 2 or pointers & pointers - 1:
        head.fail(f"has room for 2^{bits} entries in blocks of {least}, {pointers} in a super block")
    head.skip(6 * file.length_size)
    place = head.address()
    if place is not None:
        array = _Array(visit, address, filtered, entry_size, 1 << min(page_bits, _MOST_BITS))
        yield from _index_block(_Growing(array, bits, own, least, pointers), place)


def _index_block(growing: _Growing, place: int) -> Iterator[Entry]:
    array = growing.array
    visit, offset_size = array.visit, array.visit.file.offset_size
    direct = 2 * (growing.pointers.bit_length() - 1)  # super blocks whose data blocks are pointed at from here
    blocks = 2 * (growing.pointers - 1)
    indirect = max(growing.super_blocks - direct, 0)
    nbytes = 6 + offset_size + growing.own * array.entry_size + (blocks + indirect) * offset_size + 4
    block = visit.read_summed(place, nbytes, "an extensible array's index block")
    array.check(block, b"EAIB")
    yield from array.entries(block, 0, growing.own)
    first = growing.own
    for number in range(growing.super_blocks):
        many, entries = 1 << number // 2, growing.least << (number + 1) // 2
        if number >= direct:
            address = block.address()
            if address is not None:
                yield from _super_block(growing, address, first, many, entries)
            first += many * entries
            continue
        for _ in range(many):
            address = block.address()
            if address is not None:
                yield from _data_block(growing, address, first, entries, b"")
            first += entries


def _super_block(growing: _Growing, place: int, first: int, many: int, entries: int) -> Iterator[Entry]:
    array = growing.array
    pages = entries // array.page if entries > array.page else 0
    bitmap = (pages + 7) // 8
    prefix = 6 + array.visit.file.offset_size + growing.place_size
    nbytes = prefix + many * (bitmap + array.visit.file.offset_size) + 4
    block = array.visit.read_summed(place, nbytes, "an extensible array's super block")
    array.check(block, b"EASB")
    block.skip(growing.place_size)
    present = [block.take(bitmap) for _ in range(many)]
    for bits in present:
        address = block.address()
        if address is not None:
            yield from _data_block(growing, address, first, entries, bits)
        first += entries


def _data_block(growing: _Growing, place: int, first: int, entries: int, present: bytes) -> Iterator[Entry]:
    array = growing.array
    prefix = 6 + array.visit.file.offset_size + growing.place_size
    paged = entries > array.page
    nbytes = prefix + 4 if paged else prefix + entries * array.entry_size + 4
    block = array.visit.read_summed(place, nbytes, "an extensible array's data block")
    array.check(block, b"EADB")
    block.skip(growing.place_size)
    if not paged:
        yield from array.entries(block, first, entries)
    elif present:
        yield from array.pages(place + nbytes, first, entries, present)
    else:
        block.fail("is in pages where there can be none")
