import struct
import zlib

import numpy as np
import pytest
from tests.wire.hdf5.handmade import cursor

from panmodel.errors import CorruptError, UnsupportedError
from panmodel.wire.hdf5.checksums import fletcher32
from panmodel.wire.hdf5.filters import (
    DEFLATE,
    FLETCHER32,
    LZF,
    SHUFFLE,
    SZIP,
    Filter,
    check_filters,
    decode_chunk,
    read_filters,
)


def test_both_versions():
    first = bytes([1, 2]) + bytes(6) + struct.pack("<HHHH", SHUFFLE, 8, 0, 1) + b"shuffle\0" + struct.pack("<II", 4, 0)
    first += struct.pack("<HHHH", 40000, 8, 0, 2) + b"strange\0" + struct.pack("<II", 7, 8)
    second = bytes([2, 2]) + struct.pack("<HHHI", SHUFFLE, 0, 1, 4)
    second += struct.pack("<HHHH", 40000, 8, 0, 2) + b"strange\0" + struct.pack("<II", 7, 8)
    expected = (Filter(SHUFFLE, "shuffle", (4,)), Filter(40000, "strange", (7, 8)))
    assert read_filters(cursor(first)) == read_filters(cursor(second)) == expected
    assert [item.is_foreign for item in expected] == [False, True]
    with pytest.raises(CorruptError, match="99 filters"):
        read_filters(cursor(bytes([2, 99])))


@pytest.mark.parametrize(
    ("number", "said"), [(SZIP, "a filter that is not read: szip"), (40000, "a third-party filter")]
)
def test_unknown_filters_are_refused(number, said):
    with pytest.raises(UnsupportedError, match=said):
        check_filters((Filter(number, "szip" if number == SZIP else "strange"),))
    check_filters((Filter(SHUFFLE, "shuffle"), Filter(LZF, "lzf")))


def one(number, *values):
    return (Filter(number, "", values),)


def test_deflate_is_bounded():
    assert decode_chunk(one(DEFLATE, 1), 0, zlib.compress(b"abc"), 3) == b"abc"
    for data in (zlib.compress(bytes(1 << 24)), zlib.compress(b"abcd"), zlib.compress(b"abc")[:-1], b"nothing of it"):
        with pytest.raises(CorruptError):
            decode_chunk(one(DEFLATE, 1), 0, data, 3)


def test_shuffle():
    data = np.arange(5, dtype="<u4").tobytes()
    shuffled = np.frombuffer(data, np.uint8).reshape(5, 4).T.tobytes()
    assert decode_chunk(one(SHUFFLE, 4), 0, shuffled, 20) == data
    assert decode_chunk(one(SHUFFLE, 4), 0, shuffled + b"xy", 22) == data + b"xy"
    with pytest.raises(CorruptError, match="how wide"):
        decode_chunk(one(SHUFFLE), 0, shuffled, 20)


def test_fletcher32():
    data = b"some elements"
    summed = data + struct.pack("<I", fletcher32(data))
    assert decode_chunk(one(FLETCHER32), 0, summed, len(data)) == data
    for place in range(len(summed)):
        with pytest.raises(CorruptError, match="Fletcher-32"):
            decode_chunk(
                one(FLETCHER32), 0, summed[:place] + bytes([summed[place] ^ 8]) + summed[place + 1 :], len(data)
            )
    with pytest.raises(CorruptError):
        decode_chunk(one(FLETCHER32), 0, b"ab", 0)


def test_filters_are_led_back_in_order_and_may_be_left_out():
    filters = (*one(DEFLATE, 1), *one(FLETCHER32))
    squeezed = zlib.compress(b"abc")
    summed = squeezed + struct.pack("<I", fletcher32(squeezed))
    assert decode_chunk(filters, 0, summed, 3) == b"abc"
    assert decode_chunk(filters, 0b10, squeezed, 3) == b"abc"
    assert decode_chunk(filters, 0b11, b"abc", 3) == b"abc"
    with pytest.raises(CorruptError, match="has 4 bytes, 3 are expected"):
        decode_chunk(filters, 0b11, b"abcd", 3)
