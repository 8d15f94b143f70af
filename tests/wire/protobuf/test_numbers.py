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
