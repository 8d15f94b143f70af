import struct

import pytest
from tests.wire.hdf5.handmade import UNDEFINED, cursor, summed, visit

from panmodel.errors import CorruptError, UnsupportedError
from panmodel.wire.hdf5.checksums import lookup3
from panmodel.wire.hdf5.fractal_heap import FractalHeap

WIDTH, START, LARGEST, BITS = 2, 64, 128, 16
PREFIX = 15  # of a direct block without a sum: signature, version, heap, place


def head(root, rows, *, id_size=7, filters=0, flags=0, huge=UNDEFINED):
    data = b"FRHP" + struct.pack("<BHHBIQ", 0, id_size, filters, flags, 100, 0) + huge + bytes(8) + UNDEFINED
    data += bytes(64) + struct.pack("<HQQHHQH", WIDTH, START, LARGEST, BITS, 0, root, rows)
    return summed(data)


def direct(place, content, size=START, heap=0):
    return (b"FHDB" + struct.pack("<BQH", 0, heap, place) + content).ljust(size, b"\0")


def indirect(place, *children):
    pointers = b"".join(UNDEFINED if child is None else struct.pack("<Q", child) for child in children)
    return summed(b"FHIB" + struct.pack("<BQH", 0, 0, place) + pointers)


def file_of(*structures):
    """Structures 200 bytes apart, the header first."""
    return b"".join(structure.ljust(200, b"\0") for structure in structures)


def managed(offset, nbytes):
    return cursor(b"\0" + struct.pack("<HB", offset, nbytes) + bytes(3))


def test_objects_in_the_root_block():
    heap = FractalHeap(visit(file_of(head(200, 0), direct(0, b"object"))), 0)
    assert heap.read(managed(PREFIX, 6)).data == b"object"
    assert heap.read(managed(PREFIX + 2, 3)).data == b"jec"
    with pytest.raises(CorruptError, match="no block with the 6 bytes at 60"):
        heap.read(managed(60, 6))


def test_objects_in_rows_of_blocks():
    # two rows of 2 x 64, one of 2 x 128, then an indirect block that stands for 256 bytes
    table = indirect(0, 400, 600, None, None, None, 800, 1000, None)
    inner = indirect(512, 1200, None, None, None)
    blocks = [direct(0, b"one"), direct(64, b"two"), direct(384, b"three", 128), inner, direct(512, b"four")]
    heap = FractalHeap(visit(file_of(head(200, 4), table, *blocks)), 0)
    found = [heap.read(managed(place + PREFIX, size)).data for place, size in ((0, 3), (64, 3), (384, 5), (512, 4))]
    assert found == [b"one", b"two", b"three", b"four"]
    with pytest.raises(CorruptError, match="no block"):
        heap.read(managed(128 + PREFIX, 3))


def test_blocks_may_have_a_sum():
    block = bytearray(direct(0, bytes(4) + b"object"))
    block[PREFIX : PREFIX + 4] = struct.pack("<I", lookup3(bytes(block)))
    heap = FractalHeap(visit(file_of(head(200, 0, flags=2), bytes(block))), 0)
    assert heap.read(managed(PREFIX + 4, 6)).data == b"object"
    block[-1] ^= 1
    with pytest.raises(CorruptError, match="checksum"):
        FractalHeap(visit(file_of(head(200, 0, flags=2), bytes(block))), 0).read(managed(PREFIX + 4, 6))


def test_tiny_objects_are_in_their_ids():
    heap = FractalHeap(visit(file_of(head(200, 0))), 0)
    assert heap.read(cursor(b"\x22abc...")).data == b"abc"
    wide = FractalHeap(visit(file_of(head(200, 0, id_size=40))), 0)
    assert wide.read(cursor(b"\x20\x13" + b"a" * 30)).data == b"a" * 20


def test_huge_objects_are_in_a_tree():
    record = struct.pack("<QQQ", 600, 11, 1)
    tree = summed(b"BTHD" + struct.pack("<BBIHHBBQHQ", 0, 1, 128, 24, 0, 100, 40, 400, 1, 1))
    leaf = summed(b"BTLF" + b"\0\1" + record)
    heap = FractalHeap(visit(file_of(head(0, 0, huge=struct.pack("<Q", 200)), tree, leaf, b"huge object")), 0)
    assert heap.read(cursor(b"\x10\1\0\0\0\0\0")).data == b"huge object"
    with pytest.raises(CorruptError, match="no huge object 2"):
        heap.read(cursor(b"\x10\2\0\0\0\0\0"))


@pytest.mark.parametrize(
    ("structures", "error"),
    [
        ([head(200, 0), direct(64, b"object")], CorruptError),
        ([head(200, 0), direct(0, b"object", heap=8)], CorruptError),
        ([head(200, 1), indirect(0, 200, 200)], CorruptError),
        ([head(200, 200)], CorruptError),
        ([head(200, 0)[:-1] + b"\0"], CorruptError),
        ([head(200, 0, filters=5)], UnsupportedError),
    ],
    ids=["place", "owner", "circle", "rows", "checksum", "filters"],
)
def test_contradictions(structures, error):
    with pytest.raises(error):
        FractalHeap(visit(file_of(*structures)), 0).read(managed(PREFIX, 6))


def test_ids_of_unknown_types():
    with pytest.raises(CorruptError, match="unknown type 0x70"):
        FractalHeap(visit(file_of(head(200, 0))), 0).read(cursor(b"\x70" + bytes(6)))
