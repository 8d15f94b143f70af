import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from panmodel.errors import UnsupportedError
from panmodel.exporters.torch import literals
from panmodel.model.tensor import ArrayTensor


@given(st.floats(width=32, allow_nan=False, allow_infinity=False))
def test_a_literal_is_exactly_the_number(value):
    assert np.float32(float(literals.float32(value))) == np.float32(value)
    assert np.float32(float(literals.number(np.float32(value)))) == np.float32(value)


@pytest.mark.parametrize(
    ("scalar", "text"),
    [
        (np.float32(0.1), "0.1"),
        (np.float64(0.1), "0.1"),
        (np.float64(np.float32(0.1)), "0.10000000149011612"),
        (np.float32("nan"), "torch.nan"),
        (np.float32("-inf"), "-torch.inf"),
        (np.int64(-3), "-3"),
        (np.uint64(2**64 - 1), str(2**64 - 1)),
        (np.bool_(True), "True"),
    ],
)
def test_numbers(scalar, text):
    assert literals.number(scalar) == text


def test_complex_numbers_are_refused():
    with pytest.raises(UnsupportedError):
        literals.number(np.complex64(1j))


@given(
    arrays.arrays(
        st.sampled_from([np.float32, np.float64, np.float16, np.int32, np.int64, np.uint8, np.bool_]),
        arrays.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=3),
    )
)
def test_tensors_come_back_bit_for_bit(array):
    dtype = f"torch.{array.dtype.name}"
    made = eval(literals.tensor(ArrayTensor(array), dtype), {"torch": torch})
    assert str(made.dtype) == dtype
    np.testing.assert_array_equal(made.numpy(), array)
