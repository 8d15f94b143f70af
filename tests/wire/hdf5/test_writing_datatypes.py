import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from panmodel import dtypes
from panmodel.errors import UnsupportedError
from panmodel.model.tensor import pack
from panmodel.wire.hdf5.writing_datatypes import (
    attribute,
    dataspace,
    datatype,
    needs_name,
    string_datatype,
    text_bytes,
    widened,
)


def encoded(dtype):
    """What the library itself says the type is."""
    h5py = pytest.importorskip("h5py")
    return h5py.h5t.py_create(dtype, logical=1)


@pytest.mark.parametrize("name", ["int8", "uint16", "int64", "float16", "float32", "float64", "complex64", "bool"])
def test_types_are_the_library_s_own(name):
    found = datatype(dtypes.ALL[name])
    h5py = pytest.importorskip("h5py")
    # an encoded type has a prefix of two bytes; the high half of the first byte is the version
    decoded = h5py.h5t.decode(b"\x03\x00" + found)
    assert decoded.equal(encoded(np.dtype(name)))


def test_types_without_a_name_of_their_own():
    named = {name for name, dtype in dtypes.ALL.items() if dtype.bits and needs_name(dtype)}
    assert {"bfloat16", "float8_e4m3fn", "int4", "qint8"} <= named
    assert not {"float32", "bool", "complex128", "int8"} & named
    assert not needs_name(dtypes.STRING)
    with pytest.raises(KeyError):
        datatype(dtypes.RESOURCE)


def test_strings_are_text_only_if_all_are():
    assert string_datatype(["a", "b"]) != string_datatype(["a", b"b"]) == string_datatype([b"a"])


def test_a_scalar_has_no_dimensions():
    assert dataspace(()) == bytes([1]) + bytes(7)
    assert dataspace((2, 3))[8:] == (2).to_bytes(8, "little") + (3).to_bytes(8, "little")


@pytest.mark.parametrize("name", ["int4", "uint4", "int2", "uint2", "float4_e2m1fn", "float6_e2m3fn"])
@given(data=st.data())
def test_packed_elements_are_widened_piece_by_piece(name, data):
    dtype = dtypes.ALL[name]
    count = data.draw(st.integers(0, 50))
    codes = np.array(data.draw(st.lists(st.integers(0, 255), min_size=count, max_size=count)), np.uint8)
    codes &= (1 << dtype.bits) - 1
    if dtype.kind == "i":
        codes = np.where(codes >> (dtype.bits - 1), codes | (0xFF << dtype.bits & 0xFF), codes).astype(np.uint8)
    packed = bytes(pack(codes.view(dtype.numpy), dtype))
    step = data.draw(st.integers(1, 20))
    pieces = [memoryview(packed[start : start + step]) for start in range(0, len(packed), step)]
    assert b"".join(map(bytes, widened(dtype, pieces)))[:count] == codes.tobytes()


def test_only_text_and_bytes_are_strings():
    assert text_bytes("zwölf", "it") == "zwölf".encode()
    assert text_bytes(b"a\0", "it") == b"a\0"
    for item in ("\udc80", 3):
        with pytest.raises(UnsupportedError, match="it has"):
            text_bytes(item, "it")


def test_text_with_a_zero_byte_would_be_cut():
    with pytest.raises(UnsupportedError, match="zero byte"):
        attribute("name", "a\0", lambda data: b"r" * 16)
    plain, cut = string_datatype(["a", b"b"]), string_datatype(["a", b"b\0"])
    assert plain[1] & 15 == 1 and cut[1] & 15 == 0  # strings, and sequences of bytes


def test_text_goes_into_the_heap():
    taken = []
    message = attribute("name", "text", lambda data: taken.append(data) or b"r" * 16)
    assert taken == [b"text"]
    assert message.endswith(b"r" * 16)
