import numpy as np
import pytest
from tests.importers.tensorflow.single import SIZES, array, operators, run

from panmodel.dtypes import INT32, INT64
from panmodel.errors import UnsupportedOperatorsError

FUNCTIONS = {"Sum": np.sum, "Mean": np.mean, "Max": np.max, "Min": np.min, "Prod": np.prod}
TYPES = ["float16", "float32", "float64", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"]
KEEP = pytest.mark.parametrize("keep", [False, True])


@pytest.mark.parametrize("op", FUNCTIONS)
@pytest.mark.parametrize("dtype", TYPES)
@KEEP
def test_known_axes(op, dtype, keep):
    x = array(dtype, 2, 3, 4, low=1, high=3)
    expected = FUNCTIONS[op](x, axis=(0, 2), keepdims=keep)
    if op in ("Sum", "Prod"):
        expected = expected.astype(dtype)  # TensorFlow's integers wrap around, numpy's grow
    if op == "Mean" and not dtype.startswith("float"):
        expected = np.trunc(expected)
    tolerance = 5e-3 if dtype == "float16" else 1e-5
    np.testing.assert_allclose(run(op, x, [0, -1], keep_dims=keep), expected, rtol=tolerance)


@pytest.mark.parametrize("axes", [[], [1], [0, 1, 2], [-1, 0], 1])
@pytest.mark.parametrize("sizes", SIZES)
@pytest.mark.parametrize("computed", [False, True])
@KEEP
def test_axes_known_and_computed(axes, sizes, computed, keep):
    x = array("float32", 2, 3, 4)
    given = np.array(axes, np.int32) if computed else axes
    expected = np.sum(x, axis=tuple(np.atleast_1d(axes).astype(int)), keepdims=keep)
    np.testing.assert_allclose(run("Sum", x, given, sizes=sizes, keep_dims=keep), expected, rtol=1e-5)


def test_reductions_of_everything_need_no_axes():
    assert operators("Sum", array("float32", 2, 3), [1, 0]) == ["ReduceSum"]
    assert operators("Sum", array("float32", 2, 3), []) == []


def test_means_of_integers_are_cut_off():
    np.testing.assert_array_equal(run("Mean", np.int32([[-3, -2], [3, 2]]), [1]), [-2, 2])


@pytest.mark.parametrize(("op", "expected"), [("Sum", 0), ("Prod", 1), ("Max", -np.inf), ("Min", np.inf)])
def test_nothing_to_reduce(op, expected):
    np.testing.assert_array_equal(run(op, np.zeros((0, 2), np.float32), [0]), [expected] * 2)


@pytest.mark.parametrize(("op", "function"), [("All", np.all), ("Any", np.any)])
@pytest.mark.parametrize("axes", [[], [1], [0, 1]])
@pytest.mark.parametrize("shape", [(5, 2), (0, 2)])
@KEEP
def test_truth_values(op, function, axes, shape, keep):
    x = array(bool, *shape)
    np.testing.assert_array_equal(run(op, x, axes, keep_dims=keep), function(x, axis=tuple(axes), keepdims=keep))


@pytest.mark.parametrize(("op", "function"), [("ArgMax", np.argmax), ("ArgMin", np.argmin)])
@pytest.mark.parametrize("dtype", [*TYPES[:-1], "bool"])
@pytest.mark.parametrize("output", [INT32, INT64])
def test_arguments_of_extremes(op, function, dtype, output):
    x = array(dtype, 4, 6, high=3)  # the first of several
    for axis in (0, -1):
        found = run(op, x, axis, output_type=output)
        assert found.dtype == output.numpy
        np.testing.assert_array_equal(found, function(x, axis=axis))


def test_a_computed_axis_of_an_argument_is_refused():
    with pytest.raises(UnsupportedOperatorsError, match="axis that the graph computes"):
        run("ArgMax", array("float32", 2, 3), np.int32(0))


@pytest.mark.parametrize("dtype", ["float32", "float64", "int32", "int64", "int8"])
@pytest.mark.parametrize("exclusive", [False, True])
@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("axis", [0, -1, np.int32(1)])
def test_running_sums(dtype, exclusive, reverse, axis):
    x = array(dtype, 3, 4, low=-3, high=4)
    expected = np.cumsum(np.flip(x, axis) if reverse else x, axis).astype(dtype)
    expected = np.flip(expected, axis) if reverse else expected
    expected = expected - x if exclusive else expected
    np.testing.assert_allclose(run("Cumsum", x, axis, exclusive=exclusive, reverse=reverse), expected, atol=1e-5)


@pytest.mark.parametrize("dtype", TYPES[:-1])
@pytest.mark.parametrize("k", [0, 1, 3, np.int32(2)])
@pytest.mark.parametrize("sizes", ["known", "unknown"])
def test_largest(dtype, k, sizes):
    x = array(dtype, 4, 6, high=3)  # equal ones in the order of their places
    values, indices = run("TopKV2", x, k, sizes=sizes, count=2, sorted=True)
    order = np.argsort(-x.astype(float), axis=-1, kind="stable")[:, : int(k)]
    np.testing.assert_array_equal(indices, order)
    np.testing.assert_array_equal(values, np.take_along_axis(x, order, -1))
    assert indices.dtype == np.int32
