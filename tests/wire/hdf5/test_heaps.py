import struct

import pytest
from tests.wire.hdf5.handmade import visit

from panmodel.errors import CorruptError, TruncatedError
from panmodel.io.source import MemorySource
from panmodel.wire.hdf5.file import File
from panmodel.wire.hdf5.heaps import GlobalHeap, LocalHeap


def local(nbytes=16, segment=32):
    return b"HEAP" + struct.pack("<B3xQQQ", 0, nbytes, 1, segment) + b"\0\0\0\0\0\0\0\0name\0\0\0\0"


def test_names_of_a_local_heap():
    heap = LocalHeap(visit(local()), 0)
    assert (heap.text(8), heap.text(10), heap.text(0)) == (b"name", b"me", b"")
    with pytest.raises(CorruptError, match="16 bytes"):
        heap.text(16)


def test_a_local_heap_lies_inside_the_file():
    with pytest.raises(TruncatedError):
        LocalHeap(visit(local(nbytes=1 << 40)), 0)


def collection(*objects, size=None):
    body = b"".join(
        struct.pack("<HHIQ", index, 1, 0, len(data)) + data.ljust(-len(data) % 8 + len(data), b"\0")
        for index, data in objects
    )
    return b"GCOL" + struct.pack("<B3xQ", 1, 16 + len(body) if size is None else size) + body


def test_objects_of_a_global_heap():
    heap = GlobalHeap(File(MemorySource(collection((1, b"abc"), (5, b"defghijkl"), (0, b"")))))
    assert (heap.read(0, 1), heap.read(0, 5), heap.read(0, 5, 2)) == (b"abc", b"defghijkl", b"de")
    with pytest.raises(CorruptError, match=r"object 2 .* is not there"):
        heap.read(0, 2)
    with pytest.raises(CorruptError, match="has 3 bytes, 4 bytes are expected"):
        heap.read(0, 1, 4)


@pytest.mark.parametrize("size", [0, 15, 1 << 40])
def test_collections_with_a_wrong_size(size):
    with pytest.raises(CorruptError):
        GlobalHeap(File(MemorySource(collection((1, b"abc"), size=size)))).read(0, 1)


def test_objects_lie_inside_their_collection():
    data = collection((1, b"abc")).replace(struct.pack("<Q", 3), struct.pack("<Q", 300))
    with pytest.raises(CorruptError, match="300 bytes"):
        GlobalHeap(File(MemorySource(data))).read(0, 1)
