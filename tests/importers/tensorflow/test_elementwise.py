import numpy as np
import pytest
from tests.importers.tensorflow.single import SIZES, array, operators, run

from panmodel import dtypes

FUNCTIONS = {
    "Abs": np.abs,
    "Ceil": np.ceil,
    "Exp": np.exp,
    "Floor": np.floor,
    "Log": np.log,
    "Neg": np.negative,
    "Reciprocal": np.reciprocal,
    "Rint": np.rint,
    "Round": np.round,
    "Rsqrt": lambda x: 1 / np.sqrt(x),
    "Sign": np.sign,
    "Sqrt": np.sqrt,
    "Square": np.square,
}


@pytest.mark.parametrize("op", FUNCTIONS)
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_functions_of_floats(op, dtype):
    x = array(dtype, 3, 4, low=0.5 if op in ("Log", "Rsqrt", "Sqrt") else -3, high=3)
    tolerance = 5e-3 if dtype == "float16" else 1e-5
    np.testing.assert_allclose(run(op, x), FUNCTIONS[op](x), rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("op", ["Abs", "Neg", "Round", "Sign", "Square"])
@pytest.mark.parametrize("dtype", ["int8", "int16", "int32", "int64"])
def test_functions_of_integers(op, dtype):
    x = array(dtype, 3, 4)
    np.testing.assert_array_equal(run(op, x), FUNCTIONS[op](x))


def test_halves_are_rounded_to_even():
    np.testing.assert_array_equal(run("Round", np.float32([0.5, 1.5, 2.5, -0.5, -1.5])), [0, 2, 2, 0, -2])


@pytest.mark.parametrize("sizes", SIZES)
def test_not(sizes):
    np.testing.assert_array_equal(run("LogicalNot", np.array([True, False]), sizes=sizes), [False, True])


@pytest.mark.parametrize("source", ["bool", "int8", "uint8", "int32", "uint64", "float16", "float32", "float64"])
@pytest.mark.parametrize("target", ["bool", "int8", "uint16", "int32", "int64", "float16", "float32", "float64"])
def test_cast(source, target):
    x = array(source, 20, low=0, high=9)
    y = run("Cast", x, SrcT=dtypes.ALL[source], DstT=dtypes.ALL[target])
    np.testing.assert_array_equal(y, x.astype(target))


def test_fractions_are_cut_off():
    np.testing.assert_array_equal(run("Cast", np.float32([1.9, -1.9, 0.5]), DstT=dtypes.INT32), [1, -1, 0])


def test_nothing_is_cast_to_its_own_type():
    assert operators("Cast", np.float32([1]), DstT=dtypes.FLOAT32) == []
