import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from panmodel.errors import CorruptError
from panmodel.io.source import Extent, MemorySource
from panmodel.wire.protobuf.numbers import Numbers
from panmodel.wire.protobuf.varint import varint


@given(st.lists(st.integers(-(1 << 63), (1 << 63) - 1)))
def test_signed_numbers_come_back(values):
    numbers = Numbers.of("int64", np.array(values, np.int64))
    assert numbers.array().tolist() == values


def test_floats_come_back():
    assert Numbers.of("double", np.array([1.5, -np.inf])).array().tolist() == [1.5, -np.inf]


def test_half_a_float_is_refused():
    source = MemorySource(b"abcdef", "model.pb")
    with pytest.raises(CorruptError, match=r"model\.pb.*6 bytes of packed float"):
        Numbers("float", [Extent(source, 0, 6)]).array()


def test_single_numbers_and_runs_keep_their_order():
    numbers = Numbers("int64")
    numbers.add_one(varint(1))
    numbers.add_one(varint(300))
    numbers.add_run(Extent(MemorySource(varint(-1)), 0, 10))
    numbers.add_one(varint(2))
    assert numbers.array().tolist() == [1, 300, -1, 2]
    assert numbers.nbytes == len(b"".join(map(bytes, numbers.chunks()))) == 14
    assert numbers == Numbers.of("int64", np.array([1, 300, -1, 2])) != Numbers.of("int32", np.array([1, 300, -1, 2]))


@pytest.mark.parametrize("kind", ["int32", "int64", "uint64", "float", "double"])
@given(data=st.data())
def test_pieces_are_the_whole(kind, data):
    values = data.draw(st.lists(st.integers(0, 1 << 31) if kind != "int32" else st.integers(-5, 300)))
    numbers, size = Numbers.of(kind, np.array(values)), data.draw(st.integers(1, 9))
    numbers.chunks = lambda nbytes=0: Numbers.chunks(numbers, size)
    found = [number for array in numbers.arrays() for number in array.tolist()]
    assert found == Numbers.of(kind, np.array(values)).array().tolist()


def test_what_does_not_end_is_refused_in_pieces_too():
    for kind, content in (("float", b"abcdef"), ("int64", b"\x01\x80"), ("int64", b"\x80" * 50 + b"\x01")):
        numbers = Numbers(kind, [Extent(MemorySource(content), 0, len(content))])
        with pytest.raises(CorruptError):
            list(numbers.arrays())


def test_one_run_of_fixed_numbers_lies_as_an_array():
    extent = Extent(MemorySource(bytes(8)), 0, 8)
    assert Numbers("float", [extent]).extent is extent
    assert Numbers("int64", [extent]).extent is None
    assert Numbers("float", [extent, extent]).extent is None
