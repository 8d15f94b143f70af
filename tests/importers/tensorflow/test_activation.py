import numpy as np
import pytest
from tests.importers.tensorflow.execution import convert, operators, run
from tests.tensorflow_graphs import Shape, graph, node

from panmodel.dtypes import from_numpy

X = np.linspace(-9, 9, 24, dtype=np.float32).reshape(2, 3, 4)
SELU_ALPHA, SELU_SCALE = 1.6732632423543772, 1.0507009873554805


def softmax(x):
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


CASES = {
    "Relu": lambda x: np.maximum(x, 0),
    "Relu6": lambda x: np.clip(x, 0, 6),
    "Elu": lambda x: np.where(x > 0, x, np.expm1(x)),
    "Selu": lambda x: SELU_SCALE * np.where(x > 0, x, SELU_ALPHA * np.expm1(x)),
    "LeakyRelu": lambda x: np.where(x > 0, x, 0.2 * x),
    "Sigmoid": lambda x: 1 / (1 + np.exp(-x)),
    "Tanh": np.tanh,
    "Softplus": lambda x: np.log1p(np.exp(x)),
    "Softsign": lambda x: x / (1 + np.abs(x)),
    "Softmax": softmax,
    "LogSoftmax": lambda x: np.log(softmax(x)),
}


def activation(op, x=X, shape=X.shape, **attributes):
    dtype = from_numpy(x.dtype)
    return [node("x", "Placeholder", dtype=dtype, shape=Shape(shape)), node("y", op, "x", T=dtype, **attributes)]


@pytest.mark.parametrize("op", CASES)
def test_activations(op):
    (y,) = run(activation(op, shape=(None, None, 4)), {"x:0": X}, ["y:0"])
    np.testing.assert_allclose(y, CASES[op](X), rtol=1e-5, atol=1e-6)


def test_the_slope_of_a_leaky_relu():
    (y,) = run(activation("LeakyRelu", alpha=0.5), {"x:0": X}, ["y:0"])
    np.testing.assert_allclose(y, np.where(X > 0, X, X * np.float32(0.5)))


@pytest.mark.parametrize("dtype", [np.int32, np.int64, np.int8, np.uint8, np.float64, np.float16])
@pytest.mark.parametrize("op", ["Relu", "Relu6"])
def test_other_types(op, dtype):
    x = np.arange(0 if dtype is np.uint8 else -12, 12).reshape(2, -1).astype(dtype)
    (y,) = run(activation(op, x, x.shape), {"x:0": x}, ["y:0"])
    assert y.dtype == dtype
    np.testing.assert_array_equal(y, CASES[op](x))


def test_one_operator_stays_one():
    for op in CASES:
        assert sum(operators(convert(graph(*activation(op)), ["x"], ["y"])).values()) == 1


def test_an_unknown_rank():
    source = graph(node("x", "Placeholder", dtype=from_numpy(X.dtype)), node("y", "Softmax", "x"))
    assert operators(convert(source, ["x"], ["y"])) == {"Softmax": 1}
