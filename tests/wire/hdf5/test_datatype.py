import struct

import pytest
from tests.wire.hdf5.handmade import FLOAT32, INT16, INT16_BIG, TEXT, cursor, fixed_text

from panmodel import dtypes
from panmodel.errors import CorruptError, LimitError
from panmodel.limits import DEFAULT
from panmodel.wire.hdf5.datatype import Class, Padding, read_datatype


def found(data):
    return read_datatype(cursor(data), DEFAULT)


def floating(size, exponent, exponent_bits, bias, flags=0x20, sign=None):
    sign = 8 * size - 1 if sign is None else sign
    return bytes([0x11, flags, sign, 0]) + struct.pack(
        "<IHHBBBBI", size, 0, 8 * size, exponent, exponent_bits, 0, exponent, bias
    )


@pytest.mark.parametrize(
    ("data", "dtype"),
    [
        (FLOAT32, dtypes.FLOAT32),
        (floating(8, 52, 11, 1023), dtypes.FLOAT64),
        (floating(2, 10, 5, 15), dtypes.FLOAT16),
        (floating(2, 7, 8, 127), dtypes.BFLOAT16),
        (floating(1, 2, 5, 15), dtypes.ALL["float8_e5m2"]),
        (floating(4, 23, 8, 126), None),
        (floating(4, 23, 8, 127, sign=0), None),
        (floating(4, 23, 8, 127, flags=0x61), None),
    ],
)
def test_floats_are_known_by_their_fields(data, dtype):
    assert found(data).dtype is dtype


def test_integers():
    assert (found(INT16).dtype, found(INT16).big_endian) == (dtypes.INT16, False)
    assert (found(INT16_BIG).dtype, found(INT16_BIG).big_endian) == (dtypes.INT16, True)
    odd = bytes([0x10, 0, 0, 0]) + struct.pack("<IHH", 2, 0, 12)
    assert found(odd).dtype is None and found(odd).size == 2


def test_strings():
    text = found(fixed_text(5, padding=2))
    assert (text.dtype, text.size, text.padding, text.is_variable_string) == (
        dtypes.STRING,
        5,
        Padding.SPACE_PADDED,
        False,
    )
    assert found(TEXT).is_variable_string and found(TEXT).utf8
    with pytest.raises(CorruptError, match="padding 9"):
        found(fixed_text(5, padding=9))


def enumeration(*members):
    base = bytes([0x10, 8, 0, 0]) + struct.pack("<IHH", 1, 0, 8)
    names = b"".join(name + b"\0" for name, _ in members)
    return bytes([0x38, len(members), 0, 0]) + struct.pack("<I", 1) + base + names + bytes(v for _, v in members)


def test_bool_is_an_enumeration():
    assert found(enumeration((b"FALSE", 0), (b"TRUE", 1))).dtype is dtypes.BOOL
    other = found(enumeration((b"A", 3), (b"B", 5)))
    assert other.dtype is dtypes.INT8 and other.members == (("A", b"\3"), ("B", b"\5"))


def compound(size, *fields):
    body = b"".join(name + b"\0" + bytes([offset]) + kind for name, offset, kind in fields)
    return bytes([0x36, len(fields), 0, 0]) + struct.pack("<I", size) + body


def test_complex_is_a_compound():
    assert found(compound(8, (b"r", 0, FLOAT32), (b"i", 4, FLOAT32))).dtype is dtypes.COMPLEX64
    other = found(compound(8, (b"x", 0, FLOAT32), (b"y", 4, FLOAT32)))
    assert other.dtype is None and [name for name, _, _ in other.fields] == ["x", "y"]
    with pytest.raises(CorruptError, match="does not lie inside"):
        found(compound(6, (b"x", 0, FLOAT32), (b"y", 4, FLOAT32)))


def test_arrays_have_dimensions():
    array = bytes([0x3A, 0, 0, 0]) + struct.pack("<IBII", 24, 2, 2, 3) + FLOAT32
    assert (found(array).dtype, found(array).dims, found(array).kind) == (dtypes.FLOAT32, (2, 3), Class.ARRAY)
    with pytest.raises(CorruptError, match="and says 25"):
        found(bytes([0x3A, 0, 0, 0]) + struct.pack("<IBII", 25, 2, 2, 3) + FLOAT32)


def test_opaque_types_have_a_tag():
    assert found(bytes([0x15, 8, 0, 0]) + struct.pack("<I", 2) + b"bf\0\0\0\0\0\0").tag == "bf"


def test_types_within_types_end():
    sequence = bytes([0x19, 0, 0, 0]) + struct.pack("<I", 16)
    with pytest.raises(LimitError, match="nested deeper"):
        found(sequence * 100 + FLOAT32)


@pytest.mark.parametrize(
    "data", [b"", b"\x11", b"\x1f" + bytes(20), b"\x01" + bytes(20), FLOAT32[:-1], b"\x10" + bytes(12)]
)
def test_contradictions(data):
    with pytest.raises(CorruptError):
        found(data)
