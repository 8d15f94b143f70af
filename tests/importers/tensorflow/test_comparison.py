import numpy as np
import pytest
from tests.importers.tensorflow.single import SIZES, array, build, operators, run

from panmodel.dtypes import BOOL
from panmodel.errors import UnsupportedOperatorsError

TYPES = ["float16", "float32", "float64", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"]
ORDERS = {"Less": np.less, "LessEqual": np.less_equal, "Greater": np.greater, "GreaterEqual": np.greater_equal}
EQUALITIES = {"Equal": np.equal, "NotEqual": np.not_equal}


@pytest.mark.parametrize("op", [*ORDERS, *EQUALITIES])
@pytest.mark.parametrize("dtype", TYPES)
def test_comparisons(op, dtype):
    x, y = array(dtype, 5, 6, high=4), array(dtype, 6, high=4, seed=1)
    x[0] = y
    np.testing.assert_array_equal(run(op, x, y), {**ORDERS, **EQUALITIES}[op](x, y))


@pytest.mark.parametrize("op", EQUALITIES)
def test_equality_of_truth_values(op):
    x, y = array(bool, 20), array(bool, 20, seed=1)
    np.testing.assert_array_equal(run(op, x, y), EQUALITIES[op](x, y))


@pytest.mark.parametrize(("op", "expected"), [("Equal", False), ("NotEqual", True)])
def test_shapes_that_do_not_fit_differ_where_the_node_says_so(op, expected):
    x, y = np.float32([1, 2]), np.float32([1, 2, 3])
    model, _ = build(op, x, y, incompatible_shape_error=False)
    (value,) = model.program.outputs.values()
    assert value.dtype is BOOL
    assert value.array() == expected


def test_strings_are_refused():
    strings = np.array(["a"], object)
    with pytest.raises(UnsupportedOperatorsError, match="strings"):
        run("Equal", strings, strings)


@pytest.mark.parametrize("dtype", [*TYPES, "bool"])
@pytest.mark.parametrize("sizes", SIZES)
@pytest.mark.parametrize("shape", [(), (3,), (3, 4)])
def test_select(dtype, sizes, shape):
    x, y, condition = array(dtype, 3, 4), array(dtype, 3, 4, seed=1), array(bool, *shape, seed=3)
    rows = condition[:, None] if shape == (3,) else condition
    np.testing.assert_array_equal(run("Select", condition, x, y, sizes=sizes), np.where(rows, x, y))


def test_select_among_vectors():
    condition, x, y = array(bool, 3), array("float32", 3), array("float32", 3, seed=1)
    np.testing.assert_array_equal(run("Select", condition, x, y), np.where(condition, x, y))
    assert operators("Select", condition, x, y) == ["Where"]


def test_select_strings():
    x, y = np.array(["a", "b"], object), np.array(["c", "d"], object)
    assert run("Select", np.array([True, False]), x, y).tolist() == ["a", "d"]


@pytest.mark.parametrize("sizes", SIZES)
def test_select_broadcasts_in_version_2(sizes):
    condition, x, y = array(bool, 4), array("int32", 3, 1), array("int32", 2, 1, 4, seed=1)
    np.testing.assert_array_equal(run("SelectV2", condition, x, y, sizes=sizes), np.where(condition, x, y))


@pytest.mark.parametrize("dtype", ["bool", "float32", "float64", "int8", "int64"])
@pytest.mark.parametrize("shape", [(7,), (3, 4), (2, 0)])
def test_where(dtype, shape):
    x = array(dtype, *shape, low=0, high=2)
    np.testing.assert_array_equal(run("Where", x, sizes="unknown"), np.argwhere(x))


def test_where_of_a_scalar():
    assert run("Where", np.bool_(True)).shape == (1, 0)
