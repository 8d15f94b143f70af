import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from panmodel.errors import CorruptError
from panmodel.io.source import Extent, MemorySource
from panmodel.wire.protobuf.numbers import Numbers
from panmodel.wire.protobuf.varint import unpack_varints, varint


@given(st.lists(st.integers(-(1 << 63), (1 << 63) - 1)))
def test_signed_numbers_come_back(values):
    numbers = Numbers.of("int64", np.array(values, np.int64))
    assert numbers.array().tolist() == values


@given(st.lists(st.integers(0, (1 << 64) - 1)))
def test_unsigned_numbers_come_back(values):
    assert unpack_varints(b"".join(map(varint, values)), "uint64").tolist() == values


@given(st.lists(st.integers(-(1 << 31), (1 << 31) - 1)))
def test_32_bit_numbers_come_back(values):
    assert unpack_varints(b"".join(map(varint, values)), "int32").tolist() == values


def test_floats_come_back():
    assert Numbers.of("double", np.array([1.5, -np.inf])).array().tolist() == [1.5, -np.inf]


@pytest.mark.parametrize("data", [b"\x80", b"\x01\xff", b"\x80" * 10 + b"\x01"])
def test_cut_and_endless_numbers_are_refused(data):
    with pytest.raises(CorruptError):
        unpack_varints(data, "int64")


def test_half_a_float_is_refused():
    source = MemorySource(b"abcdef", "model.pb")
    with pytest.raises(CorruptError, match=r"model\.pb.*6 bytes of packed float"):
        Numbers("float", [Extent(source, 0, 6)]).array()
