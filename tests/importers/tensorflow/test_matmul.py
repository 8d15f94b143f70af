import numpy as np
import pytest
from tests.importers.tensorflow.execution import convert, operators, run
from tests.tensorflow_graphs import Shape, const, graph, node

from panmodel.dtypes import FLOAT32, from_numpy
from panmodel.errors import CorruptError, UnsupportedOperatorsError

RNG = np.random.default_rng(4)


def fed(name, array, shape=None):
    return node(name, "Placeholder", dtype=from_numpy(array.dtype), shape=Shape(shape or array.shape))


@pytest.mark.parametrize("a", [False, True])
@pytest.mark.parametrize("b", [False, True])
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int32])
def test_matrices(a, b, dtype):
    x, w = (RNG.integers(-4, 4, (3, 3)).astype(dtype) for _ in range(2))
    nodes = [fed("x", x), const("w", w), node("y", "MatMul", "x", "w", transpose_a=a, transpose_b=b)]
    np.testing.assert_array_equal(run(nodes, {"x:0": x}, ["y:0"])[0], (x.T if a else x) @ (w.T if b else w))


def test_a_transposed_weight_is_a_view():
    nodes = [fed("x", np.zeros((2, 3), np.float32)), const("w", RNG.random((4, 3), np.float32))]
    model = convert(graph(*nodes, node("y", "MatMul", "x", "w", transpose_b=True)), ["x"], ["y"])
    assert operators(model) == {"MatMul": 1}


@pytest.mark.parametrize("op", ["BatchMatMul", "BatchMatMulV2"])
@pytest.mark.parametrize("x_is_adjoint", [False, True])
@pytest.mark.parametrize("y_is_adjoint", [False, True])
def test_batches_of_matrices(op, x_is_adjoint, y_is_adjoint):
    a, b = RNG.standard_normal((2, 3, 4, 5), np.float32), RNG.standard_normal((2, 3, 5, 6), np.float32)
    expected = a @ b
    a = np.ascontiguousarray(a.swapaxes(-1, -2)) if x_is_adjoint else a
    b = np.ascontiguousarray(b.swapaxes(-1, -2)) if y_is_adjoint else b
    nodes = [fed("a", a, (None, None, *a.shape[2:])), fed("b", b, (None, None, *b.shape[2:]))]
    nodes.append(node("y", op, "a", "b", T=FLOAT32, adj_x=x_is_adjoint, adj_y=y_is_adjoint))
    (y,) = run(nodes, {"a:0": a, "b:0": b}, ["y:0"])
    np.testing.assert_allclose(y, expected, rtol=1e-4, atol=1e-5)


def test_batches_broadcast():
    a, b = RNG.standard_normal((2, 1, 4, 5), np.float32), RNG.standard_normal((3, 5, 6), np.float32)
    (y,) = run([fed("a", a), const("b", b), node("y", "BatchMatMulV2", "a", "b")], {"a:0": a}, ["y:0"])
    np.testing.assert_allclose(y, a @ b, rtol=1e-4, atol=1e-5)


def test_which_axes_are_last_must_be_known():
    nodes = [node("x", "Placeholder", dtype=FLOAT32), const("w", np.ones((3, 3), np.float32))]
    with pytest.raises(UnsupportedOperatorsError, match="rank is unknown"):
        convert(graph(*nodes, node("y", "BatchMatMul", "x", "w", adj_x=True)), ["x"], ["y"])


@pytest.mark.parametrize("data_format", ["NHWC", "NCHW"])
@pytest.mark.parametrize("shape", [(2, 3), (2, 4, 3), (2, 4, 5, 3)])
def test_biases(data_format, shape):
    x, bias = RNG.standard_normal(shape, np.float32), np.array([1, 2, 3], np.float32)
    expected = x + bias
    if data_format == "NCHW":
        x, expected = np.moveaxis(x, -1, 1).copy(), np.moveaxis(expected, -1, 1)
    nodes = [fed("x", x), const("b", bias), node("y", "BiasAdd", "x", "b", T=FLOAT32, data_format=data_format)]
    np.testing.assert_array_equal(run(nodes, {"x:0": x}, ["y:0"])[0], expected)


def test_operands_that_are_no_matrices():
    nodes = [fed("x", np.zeros((2, 3, 4), np.float32)), const("w", np.ones((4, 4), np.float32))]
    with pytest.raises(CorruptError, match="operand 0 of MatMul has 3 axes"):
        convert(graph(*nodes, node("y", "MatMul", "x", "w")), ["x"], ["y"])
    nodes = [fed("x", np.zeros((2, 3), np.float32)), const("w", np.ones((4, 4), np.float32))]
    with pytest.raises(CorruptError, match="'y'"):
        convert(graph(*nodes, node("y", "MatMul", "x", "w")), ["x"], ["y"])
