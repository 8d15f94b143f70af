import struct

import pytest
from tests.wire.hdf5.handmade import cursor, space

from panmodel.errors import CorruptError, LimitError
from panmodel.limits import DEFAULT
from panmodel.wire.hdf5.dataspace import read_dataspace


def found(data):
    return read_dataspace(cursor(data), DEFAULT)


def test_shapes():
    assert (found(space(2, 3)).shape, found(space(2, 3)).size, found(space()).size) == ((2, 3), 6, 1)
    assert found(bytes([1, 1, 0, 0, 0, 0, 0, 0]) + struct.pack("<Q", 7)).shape == (7,)


def test_nothing_at_all():
    null = found(bytes([2, 0, 0, 2]))
    assert null.null and null.size == 0


def test_what_it_may_grow_to():
    data = bytes([2, 2, 1, 1]) + struct.pack("<QQQ", 2, 3, 5) + b"\xff" * 8
    assert found(data).largest == (5, None)
    with pytest.raises(CorruptError, match="only be as large"):
        found(bytes([2, 1, 1, 1]) + struct.pack("<QQ", 2, 1))


@pytest.mark.parametrize("shape", [(1 << 62, 2), (1 << 32, 1 << 32), (1 << 63, 0)])
def test_shapes_beyond_all_bounds(shape):
    with pytest.raises(LimitError, match="too many elements"):
        found(space(*shape))


def test_rank_is_bounded():
    with pytest.raises(LimitError, match="100 dimensions"):
        found(bytes([2, 100, 0, 1]) + bytes(800))


@pytest.mark.parametrize("data", [b"\x03\0\0\0", bytes([2, 1, 0, 0]) + bytes(8), bytes([2, 0, 0, 3]), space(4)[:-1]])
def test_contradictions(data):
    with pytest.raises(CorruptError):
        found(data)
