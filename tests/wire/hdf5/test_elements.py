import struct

import pytest
from tests.wire.hdf5.handmade import FLOAT32, INT16, INT16_BIG, cursor

from panmodel.errors import CorruptError, UnsupportedError
from panmodel.io.source import MemorySource
from panmodel.limits import DEFAULT
from panmodel.wire.hdf5.datatype import read_datatype
from panmodel.wire.hdf5.elements import decode, swap_width
from panmodel.wire.hdf5.file import File
from panmodel.wire.hdf5.heaps import GlobalHeap


def decoded(kind, data, shape):
    file = File(MemorySource(b""))
    return decode(file, GlobalHeap(file), read_datatype(cursor(kind), DEFAULT), data, shape)


def test_numbers_in_both_orders():
    assert decoded(INT16, struct.pack("<4h", 1, -2, 3, 4), (2, 2)).tolist() == [[1, -2], [3, 4]]
    assert decoded(INT16_BIG, struct.pack(">4h", 1, -2, 3, 4), (2, 2)).tolist() == [[1, -2], [3, 4]]
    assert swap_width(read_datatype(cursor(INT16_BIG), DEFAULT)) == 2


def test_arrays_add_their_dimensions():
    array = bytes([0x3A, 0, 0, 0]) + struct.pack("<IBI", 12, 1, 3) + FLOAT32
    assert decoded(array, struct.pack("<6f", *range(6)), (2,)).tolist() == [[0, 1, 2], [3, 4, 5]]


def test_opaque_elements_are_bytes():
    assert decoded(bytes([0x15, 0, 0, 0]) + struct.pack("<I", 2), b"abcd", (2,)).tolist() == [b"ab", b"cd"]


def test_a_bool_is_0_or_1():
    base = bytes([0x10, 8, 0, 0]) + struct.pack("<IHH", 1, 0, 8)
    boolean = bytes([0x38, 2, 0, 0]) + struct.pack("<I", 1) + base + b"FALSE\0TRUE\0\0\1"
    assert decoded(boolean, b"\1\0", (2,)).tolist() == [True, False]
    with pytest.raises(CorruptError, match="neither 0 nor 1"):
        decoded(boolean, b"\2\0", (2,))


def test_references_are_not_read():
    with pytest.raises(UnsupportedError, match="reference of 8 bytes"):
        decoded(bytes([0x17, 0, 0, 0]) + struct.pack("<I", 8), bytes(8), (1,))
