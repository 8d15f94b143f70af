import struct

import pytest
from tests.wire.hdf5.handmade import TEXT, cursor, fixed_text

from panmodel.errors import CorruptError, LimitError
from panmodel.io.source import MemorySource
from panmodel.limits import DEFAULT, Limits
from panmodel.wire.hdf5.datatype import read_datatype
from panmodel.wire.hdf5.file import File
from panmodel.wire.hdf5.heaps import GlobalHeap
from panmodel.wire.hdf5.strings import decode_strings


def heap():
    text = "grüß".encode()
    body = struct.pack("<HHIQ", 1, 1, 0, len(text)) + text.ljust(8, b"\0") + bytes(16)
    return bytes(8) + b"GCOL" + struct.pack("<B3xQ", 1, 16 + len(body)) + body


def decoded(kind, data, count, limits=DEFAULT):
    file = File(MemorySource(heap()), limits=limits)
    return decode_strings(file, GlobalHeap(file), read_datatype(cursor(kind), DEFAULT), data, count).tolist()


@pytest.mark.parametrize(
    ("padding", "data", "expected"),
    [
        (0, b"a\0b\0\0abc", [b"a", b""]),
        (1, b"a\0b\0  \0\0", [b"a\0b", b"  "]),
        (2, b"a b     ", [b"a b", b""]),
    ],
)
def test_fixed_length(padding, data, expected):
    assert decoded(fixed_text(4, padding), data, 2) == expected


def test_variable_length():
    reference, empty = struct.pack("<IQI", 6, 8, 1), bytes(16)
    assert decoded(TEXT, reference + empty + reference, 3) == ["grüß".encode(), b"", "grüß".encode()]
    with pytest.raises(CorruptError, match="object 2"):
        decoded(TEXT, struct.pack("<IQI", 6, 8, 2), 1)
    with pytest.raises(CorruptError, match="7 bytes are expected"):
        decoded(TEXT, struct.pack("<IQI", 7, 8, 1), 1)


def test_there_may_be_too_many():
    with pytest.raises(LimitError, match="3 strings, more than 2"):
        decoded(fixed_text(1), b"abc", 3, Limits(string_elements=2))


def test_strings_that_overlap_are_found():
    references = b"".join(struct.pack("<IQI", nbytes, 8, 1) for nbytes in (6, 5, 4, 3))
    assert len(decoded(TEXT, references, 4)) == 4
    file = File(MemorySource(heap()), base=0)
    long = b"".join(struct.pack("<IQI", 6, 8, 1) for _ in range(1000))
    assert len(set(decode_strings(file, GlobalHeap(file), read_datatype(cursor(TEXT), DEFAULT), long, 1000))) == 1


def test_parts_of_one_long_string_are_no_strings_of_their_own():
    body = struct.pack("<HHIQ", 1, 1, 0, 4000) + b"x" * 4000
    file = File(MemorySource(bytes(8) + b"GCOL" + struct.pack("<B3xQ", 1, 16 + len(body)) + body))
    references = b"".join(struct.pack("<IQI", 4000 - number, 8, 1) for number in range(10))
    with pytest.raises(CorruptError, match="overlap"):
        decode_strings(file, GlobalHeap(file), read_datatype(cursor(TEXT), DEFAULT), references, 10)
