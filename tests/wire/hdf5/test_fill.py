import struct

import pytest
from tests.wire.hdf5.handmade import cursor

from panmodel.errors import CorruptError
from panmodel.wire.hdf5.fill import read_fill, read_old_fill, repeated


def test_versions():
    value = struct.pack("<I", 2) + b"ab"
    assert read_fill(cursor(bytes([1, 2, 2, 0]) + value)) == b"ab"
    assert read_fill(cursor(bytes([2, 2, 2, 1]) + value)) == b"ab"
    assert read_fill(cursor(bytes([2, 2, 2, 0]))) == b""
    assert read_fill(cursor(bytes([3, 0x29]) + value)) == b"ab"
    assert read_fill(cursor(bytes([3, 0x09]))) == b""
    assert read_old_fill(cursor(value)) == b"ab"
    with pytest.raises(CorruptError):
        read_old_fill(cursor(value[:-1]))


@pytest.mark.parametrize(("total", "nbytes"), [(0, 16), (6, 16), (96, 16), (9999, 16), (9999, 2)])
def test_repeats_in_pieces(total, nbytes):
    pieces = [bytes(piece) for piece in repeated(b"abc", total, nbytes)]
    assert b"".join(pieces) == b"abc" * (total // 3)
    assert all(len(piece) <= nbytes for piece in pieces)
