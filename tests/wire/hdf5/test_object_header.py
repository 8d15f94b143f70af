import struct

import pytest
from tests.wire.hdf5.handmade import cursor, header, message, summed

from panmodel.errors import CorruptError, LimitError, UnsupportedError
from panmodel.io.source import MemorySource
from panmodel.limits import Limits
from panmodel.wire.hdf5.file import File
from panmodel.wire.hdf5.object_header import Kind, read_header, resolve


def file_of(data, **limits):
    return File(MemorySource(data), limits=Limits(**limits))


def test_messages_in_order():
    found = read_header(file_of(header(message(1, b"ab"), message(0, b"filler"), message(3, b"c"))), 0)
    assert [(item.kind, item.body.data) for item in found.messages] == [(1, b"ab"), (3, b"c")]
    assert found.body(Kind.DATATYPE).data == b"c"
    assert found.body(Kind.LAYOUT) is None


def test_a_continuation_goes_on_elsewhere():
    more = summed(b"OCHK" + message(5, b"later"))
    first = header(message(1, b"ab"), message(0x10, struct.pack("<QQ", 100, len(more))))
    found = read_header(file_of(first.ljust(100, b"\0") + more), 0)
    assert [item.kind for item in found.messages] == [1, 5]


def test_continuations_in_a_circle_end():
    block = b"OCHK" + message(0x10, struct.pack("<QQ", 100, 28))
    first = header(message(0x10, struct.pack("<QQ", 100, 28)))
    with pytest.raises(CorruptError, match="reached twice"):
        read_header(file_of(first.ljust(100, b"\0") + summed(block)), 0)


def test_old_headers_go_on_elsewhere_too():
    one = struct.pack("<HHBxxx", 1, 8, 0) + b"dataspac"
    go_on = struct.pack("<HHBxxxQQ", 0x10, 16, 0, 100, 16)
    data = struct.pack("<BxHII4x", 1, 3, 1, 40) + one + go_on
    found = read_header(file_of(data.ljust(100, b"\0") + struct.pack("<HHBxxx", 3, 8, 0) + b"datatype"), 0)
    assert [(item.kind, item.body.data) for item in found.messages] == [(1, b"dataspac"), (3, b"datatype")]


@pytest.mark.parametrize("place", range(0, 20, 3))
def test_the_checksum_is_verified(place):
    data = bytearray(header(message(1, b"ab"), message(3, b"c")))
    data[place] ^= 1
    with pytest.raises(CorruptError):
        read_header(file_of(bytes(data)), 0)


def test_a_header_has_a_largest_size():
    with pytest.raises(LimitError, match="more than 100"):
        read_header(file_of(header(message(1, bytes(200))), header_bytes=100), 0)


def test_messages_that_must_be_known_are():
    with pytest.raises(UnsupportedError, match="0x77"):
        read_header(file_of(header(message(0x77, b"", flags=0x80))), 0)


def test_shared_messages_are_found_where_they_are():
    file = file_of(bytes(8) + header(message(3, b"datatype")))
    assert resolve(file, cursor(struct.pack("<BBQ", 3, 2, 8)), Kind.DATATYPE).data == b"datatype"
    with pytest.raises(CorruptError, match="shared from"):
        resolve(file, cursor(struct.pack("<BBQ", 3, 2, 8)), Kind.DATASPACE)
    with pytest.raises(UnsupportedError, match="shared message heap"):
        resolve(file, cursor(struct.pack("<BBQ", 3, 1, 8)), Kind.DATATYPE)
