import numpy as np
import pytest
from tests.importers.tensorflow.single import SIZES, array, operators, run

from panmodel.errors import UnsupportedOperatorsError

FLOATS = ["float16", "float32", "float64"]
INTEGERS = ["int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"]


def truncated(x, y):
    return (np.sign(x) * np.sign(y) * (np.abs(x) // np.abs(y))).astype(x.dtype)


FUNCTIONS = {
    "Add": np.add,
    "AddV2": np.add,
    "FloorMod": np.mod,
    "Maximum": np.maximum,
    "Minimum": np.minimum,
    "Mul": np.multiply,
    "Sub": np.subtract,
    "SquaredDifference": lambda x, y: (x - y) ** 2,
    "TruncateMod": np.fmod,
}


@pytest.mark.parametrize("op", FUNCTIONS)
@pytest.mark.parametrize("dtype", [*FLOATS, *INTEGERS])
def test_broadcasting_pairs(op, dtype):
    x, y = array(dtype, 3, 4), array(dtype, 2, 1, 4, low=1, seed=1) if "Mod" in op else array(dtype, 2, 1, 4, seed=1)
    with np.errstate(over="ignore"):
        expected = FUNCTIONS[op](x, y)
    tolerance = {"float16": 0.05, "float32": 1e-5}.get(dtype, 0)
    np.testing.assert_allclose(run(op, x, y, sizes="unknown"), expected, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("op", ["RealDiv", "Div"])
@pytest.mark.parametrize("dtype", FLOATS)
def test_division(op, dtype):
    x, y = array(dtype, 3, 4), array(dtype, 4, low=1)
    np.testing.assert_allclose(run(op, x, y), x / y, rtol=2e-3 if dtype == "float16" else 1e-6)


@pytest.mark.parametrize("op", ["Div", "TruncateDiv"])
@pytest.mark.parametrize("dtype", INTEGERS)
def test_integer_division_cuts_off(op, dtype):
    x, y = array(dtype, 30, low=-20, high=20), array(dtype, 30, low=1, seed=1)
    np.testing.assert_array_equal(run(op, x, y), truncated(x, y))


@pytest.mark.parametrize("constant", [False, True])
@pytest.mark.parametrize("dtype", INTEGERS)
def test_floor_division_of_integers(dtype, constant):
    x, y = array(dtype, 40, low=-20, high=20), array(dtype, 40, low=-5, high=5, seed=1)
    y[(y == 0) | constant] = 3
    operand = 3 if constant and dtype == "int32" else y
    np.testing.assert_array_equal(run("FloorDiv", x, operand), x // y)
    np.testing.assert_array_equal(run("FloorMod", x, operand), x % y)


def test_floor_division_at_the_edge_of_the_type():
    x = np.int8([-128, -128, 127, 127, -127])
    y = np.int8([3, -3, 3, -3, 127])
    np.testing.assert_array_equal(run("FloorDiv", x, y), x // y)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("divisor", [None, 1.5, -1.5])
def test_floor_division_of_floats(dtype, divisor):
    x, y = array(dtype, 50), array(dtype, 50, seed=1)
    x[:4], y[:4] = (0.99999994, -0.99999994, 6, -6), (1, 1, 3, 3)
    if divisor is not None:
        y[:] = divisor
    operand = divisor if dtype == "float64" and divisor is not None else y
    np.testing.assert_array_equal(run("FloorDiv", x, operand), np.floor(x / y))
    np.testing.assert_allclose(run("FloorMod", x, operand), np.mod(x, y), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("dtype", ["int32", "int64", "float32", "float64", "int16", "uint8"])
def test_power(dtype):
    x, y = array(dtype, 3, 4, low=1, high=5), np.array([0, 1, 2, 3], dtype)
    np.testing.assert_allclose(run("Pow", x, y), x**y, rtol=1e-5)


@pytest.mark.parametrize("count", [1, 2, 3])
@pytest.mark.parametrize("dtype", ["float32", "int32", "int64"])
def test_add_n(count, dtype):
    terms = [array(dtype, 2, 3, seed=seed) for seed in range(count)]
    np.testing.assert_allclose(run("AddN", *terms, N=count), sum(terms), rtol=1e-6)
    expected = {1: [], 2: ["Add"]}.get(count, ["Sum"] if dtype == "float32" else ["Add", "Add"])
    assert operators("AddN", *terms, N=count) == expected


@pytest.mark.parametrize(("op", "function"), [("LogicalAnd", np.logical_and), ("LogicalOr", np.logical_or)])
@pytest.mark.parametrize("sizes", SIZES)
def test_logic(op, function, sizes):
    x, y = array(bool, 3, 4), array(bool, 4, seed=1)
    np.testing.assert_array_equal(run(op, x, y, sizes=sizes), function(x, y))


@pytest.mark.parametrize("elements", [np.complex64([1j]), np.array(["a"], object)])
def test_types_without_arithmetic_in_onnx_are_refused(elements):
    with pytest.raises(UnsupportedOperatorsError, match="ONNX has no Add of"):
        run("Add", elements, elements)
