import pytest
from tests.wire.hdf5.handmade import cursor

from panmodel.errors import CorruptError
from panmodel.wire.hdf5.cursor import Cursor


def test_takes_fields_in_order():
    place = Cursor(b"\x01\x02\x03\xff\xff\x05\x00name\0rest", "file", "a structure", offset_size=2, length_size=2)
    assert (place.u8(), place.u16(), place.address(), place.length()) == (1, 0x302, None, 5)
    assert (place.text(), place.left, place.take(4)) == (b"name", 4, b"rest")


def test_never_passes_its_end():
    place = cursor(b"abc")
    with pytest.raises(CorruptError, match="a structure ends after 3 bytes, 4 more are expected at its byte 0"):
        place.u32()
    with pytest.raises(CorruptError, match="does not end"):
        place.text()


def test_aligns_to_the_beginning_of_its_structure():
    place = cursor(bytes(range(20)))
    place.skip(9)
    place.align(8)
    assert place.u8() == 16
    place.align(8)
    assert place.left == 0


def test_says_what_was_expected():
    with pytest.raises(CorruptError, match="should begin with b'TREE', found b'HEAP'"):
        cursor(b"HEAP").expect(b"TREE")
    with pytest.raises(CorruptError, match="version 7, known are 1, 2"):
        cursor(b"\7").version(1, 2)
    with pytest.raises(CorruptError, match="undefined"):
        cursor(b"\xff" * 8).defined()


def test_parts_end_where_they_should():
    part = cursor(b"abcdef").part(3)
    assert part.take(3) == b"abc"
    with pytest.raises(CorruptError):
        part.u8()
