import struct

import pytest
from tests.wire.hdf5.handmade import UNDEFINED, summed, visit

from panmodel.errors import CorruptError
from panmodel.wire.hdf5.chunk_index import Chunk, read_chunks
from panmodel.wire.hdf5.dataspace import Dataspace
from panmodel.wire.hdf5.layout import Index, Layout, Storage


def layout(index, chunk=(2, 3, 4), **more):
    return Layout(Storage.CHUNKED, address=0, chunk=chunk, index=index, **more)


def space(*shape, largest=None):
    return Dataspace(shape, largest or shape)


def tree(*chunks):
    entries = b"".join(
        struct.pack("<IIQQQQ", nbytes, 0, row, column, 0, address) for row, column, address, nbytes in chunks
    )
    return (b"TREE" + struct.pack("<BBH", 1, 0, len(chunks)) + 2 * UNDEFINED + entries).ljust(1000, b"\0")


def test_a_single_chunk():
    data, shape = bytes(100), space(2, 3)
    assert read_chunks(visit(data), layout(Index.SINGLE), shape, filtered=False) == [Chunk((0, 0), 0, 24)]
    squeezed = layout(Index.SINGLE, nbytes=9, mask=1)
    assert read_chunks(visit(data), squeezed, shape, filtered=True) == [Chunk((0, 0), 0, 9, 1)]


def test_implicit_chunks_are_counted_over_the_largest_shape():
    found = read_chunks(visit(bytes(1000)), layout(Index.IMPLICIT), space(4, 3, largest=(4, 6)), filtered=False)
    assert found == [Chunk((0, 0), 0, 24), Chunk((1, 0), 48, 24)]


def test_a_b_tree_in_any_order():
    data = tree((2, 0, 600, 24), (0, 3, 500, 24), (0, 99, 700, 24))
    found = read_chunks(visit(data), layout(Index.BTREE_V1), space(4, 6), filtered=False)
    assert found == [Chunk((0, 1), 500, 24), Chunk((1, 0), 600, 24)]


def test_a_new_b_tree():
    record = struct.pack("<QHIQQ", 600, 24, 1, 1, 0)
    head = summed(b"BTHD" + struct.pack("<BBIHHBBQHQ", 0, 11, 128, len(record), 0, 100, 40, 100, 1, 1))
    data = head.ljust(100, b"\0") + summed(b"BTLF" + b"\0\x0b" + record).ljust(900, b"\0")
    assert read_chunks(visit(data), layout(Index.BTREE_V2), space(4, 6), filtered=True) == [Chunk((1, 0), 600, 24, 1)]


def test_the_unlimited_dimension_comes_first():
    entries = b"".join(struct.pack("<Q", address) for address in (500, 524, 548, 572))
    index = summed(b"EAIB" + struct.pack("<BBQ", 0, 0, 0) + entries + 2 * UNDEFINED + UNDEFINED * 6)
    head = summed(b"EAHD" + bytes([0, 0, 8, 8, 4, 2, 2, 10]) + bytes(48) + struct.pack("<Q", 200))
    data = (head.ljust(200, b"\0") + index).ljust(1000, b"\0")
    found = read_chunks(visit(data), layout(Index.EXTENSIBLE_ARRAY), space(4, 6, largest=(4, None)), filtered=False)
    assert [(chunk.place, chunk.address) for chunk in found] == [
        ((0, 0), 500),
        ((0, 1), 548),
        ((1, 0), 524),
        ((1, 1), 572),
    ]


@pytest.mark.parametrize(
    "chunks",
    [
        [(0, 0, 500, 24), (0, 0, 600, 24)],
        [(0, 0, 990, 24)],
        [(1, 0, 500, 24)],
        [(0, 0, 0, 900), (2, 0, 0, 900)],
    ],
    ids=["twice", "outside", "beside the grid", "overlap"],
)
def test_contradictions(chunks):
    with pytest.raises(CorruptError):
        read_chunks(visit(tree(*chunks)), layout(Index.BTREE_V1), space(4, 6), filtered=False)
