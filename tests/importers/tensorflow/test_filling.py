import numpy as np
import pytest
from tests.importers.tensorflow.single import SIZES, array, operators, run

from panmodel.dtypes import ALL

TYPES = ["float16", "float32", "float64", "int8", "int16", "uint8", "int32", "int64", "uint32", "bool"]


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("dims", [[2, 3], [], [0, 2], np.int32([2, 3]), np.int64([4])])
def test_fill(dtype, dims):
    value = array(dtype, low=1)
    found = run("Fill", dims, np.asarray(value), T=ALL[dtype])
    np.testing.assert_array_equal(found, np.full(np.asarray(dims, int), value))
    assert found.dtype == value.dtype


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("sizes", SIZES)
def test_zeros_and_ones_like(dtype, sizes):
    x = array(dtype, 2, 3)
    np.testing.assert_array_equal(run("ZerosLike", x, sizes=sizes), np.zeros_like(x))
    np.testing.assert_array_equal(run("OnesLike", x, sizes=sizes), np.ones_like(x))


def test_zero_of_strings_is_empty():
    assert run("ZerosLike", np.array(["a", "b"], object)).tolist() == ["", ""]


def test_what_is_known_is_a_constant():
    assert operators("ZerosLike", array("float32", 2, 3)) == []
    assert operators("Range", 0, 5, 1) == []


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", "int32", "int64", "int16"])
@pytest.mark.parametrize("bounds", [(1, 8, 2), (0, 0, 1), (5, -5, -3), (3, 1, 1)])
def test_range(dtype, bounds):
    operands = [np.array(bound, dtype) for bound in bounds]
    np.testing.assert_array_equal(run("Range", *operands), np.arange(*bounds, dtype=dtype))


@pytest.mark.parametrize("axis", [-1, 0, 1, 2])
@pytest.mark.parametrize("sizes", SIZES)
@pytest.mark.parametrize("depth", [4, np.int32(4)])
@pytest.mark.parametrize("indices", ["uint8", "int32", "int64"])
def test_one_hot(axis, sizes, depth, indices):
    index = np.array([[0, 9, 2], [3, 7, 1]], indices)
    if indices != "uint8":
        index[0, 1] = -1  # no place at all, where ONNX would count from the end
    on, off = np.float32(5), np.float32(-1)
    expected = np.moveaxis(np.where(index[..., None] == np.arange(4), on, off), -1, axis)
    np.testing.assert_array_equal(
        run("OneHot", index, depth, on, off, sizes=sizes, axis=axis, T=ALL["float32"]), expected
    )


@pytest.mark.parametrize("dtype", TYPES)
def test_types_of_one_hot(dtype):
    on, off = np.array(1, dtype), np.array(0, dtype)
    found = run("OneHot", np.int32([1, 2]), 3, on, off, T=ALL[dtype])
    np.testing.assert_array_equal(found, np.array([[0, 1, 0], [0, 0, 1]], dtype))
    assert found.dtype == on.dtype


def test_one_hot_of_constants_needs_no_choice():
    assert operators("OneHot", np.int32([1, 2]), 3, 1.0, 0.0) == ["Unsqueeze", "Equal", "Cast"]
    assert run("OneHot", np.int32([1, 2]), 3, "yes", "no").tolist() == [["no", "yes", "no"], ["no", "no", "yes"]]
