import struct

import pytest
from tests.wire.hdf5.handmade import UNDEFINED, contiguous, cursor

from panmodel.errors import CorruptError, LimitError
from panmodel.limits import DEFAULT
from panmodel.wire.hdf5.layout import Index, Storage, read_external_files, read_layout


def found(data):
    return read_layout(cursor(data), DEFAULT)


def test_contiguous():
    layout = found(contiguous(80, 24))
    assert (layout.storage, layout.address, layout.nbytes) == (Storage.CONTIGUOUS, 80, 24)
    assert found(bytes([3, 1]) + UNDEFINED + bytes(8)).address is None


def test_compact():
    assert found(bytes([3, 0]) + struct.pack("<H", 3) + b"abc").data == b"abc"
    assert found(bytes([1, 1, 0]) + bytes(5) + struct.pack("<II", 3, 3) + b"abc").data == b"abc"
    with pytest.raises(CorruptError):
        found(bytes([3, 0]) + struct.pack("<H", 4) + b"abc")


def test_chunked_with_a_b_tree():
    assert found(bytes([3, 2, 2]) + struct.pack("<QII", 80, 5, 4)).chunk == (5, 4)
    assert found(bytes([1, 2, 2]) + bytes(5) + struct.pack("<QII", 80, 5, 4)).chunk == (5, 4)


def test_chunked_with_other_indexes():
    single = found(bytes([4, 2, 2, 2, 2]) + struct.pack("<HHBQIQ", 5, 4, 1, 17, 1, 80))
    assert (single.index, single.nbytes, single.mask, single.address, single.chunk) == (Index.SINGLE, 17, 1, 80, (5, 4))
    for number, description in ((2, 0), (3, 1), (4, 5), (5, 6)):
        layout = found(bytes([4, 2, 0, 2, 1, 5, 4, number]) + bytes(description) + struct.pack("<Q", 80))
        assert (layout.index, layout.address, layout.chunk) == (Index(number), 80, (5, 4))


def test_virtual():
    layout = found(bytes([4, 3]) + struct.pack("<QI", 80, 7))
    assert (layout.storage, layout.address, layout.number) == (Storage.VIRTUAL, 80, 7)


@pytest.mark.parametrize(
    "data",
    [
        b"\x09",
        bytes([3, 3]) + bytes(20),
        bytes([3, 2, 2]) + struct.pack("<QII", 80, 0, 4),
        bytes([4, 2, 0, 1, 1, 5, 9]),
    ],
    ids=["version", "class", "empty chunk", "index"],
)
def test_contradictions(data):
    with pytest.raises(CorruptError):
        found(data)


def test_rank_is_bounded():
    with pytest.raises(LimitError, match="200 dimensions"):
        found(bytes([3, 2, 200]) + bytes(2000))


def test_external_files():
    data = struct.pack("<BxxxHHQ", 1, 2, 2, 80) + struct.pack("<QQQ", 8, 0, 40) + struct.pack("<QQQ", 16, 0, 40)
    files = read_external_files(cursor(data))
    assert (files.heap, files.names) == (80, (8, 16))
