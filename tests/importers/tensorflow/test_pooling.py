import numpy as np
import pytest
from tests.importers.tensorflow import reference
from tests.importers.tensorflow.execution import convert, execute, operators, run
from tests.tensorflow_graphs import Shape, graph, node

from panmodel.dtypes import FLOAT32, from_numpy
from panmodel.errors import CorruptError, UnsupportedOperatorsError
from panmodel.model.symbolic import Dim

RNG = np.random.default_rng(1)


def pooled(op, x, kernel, strides, padding):
    fill = -np.inf if op == "MaxPool" else np.nan
    if x.dtype.kind != "f":
        x = x.astype(np.float64)
    seen = reference.patches(x, kernel, strides, (1, 1), padding, fill)
    return seen.max((3, 4)) if op == "MaxPool" else np.nanmean(seen, (3, 4))


def pool(op, kernel, strides, padding, *, shape=(None, None, None, 3), dtype=FLOAT32, **more):
    attributes = {"T": dtype, "ksize": [1, *kernel, 1], "strides": [1, *strides, 1], "padding": padding} | more
    return [node("x", "Placeholder", dtype=dtype, shape=Shape(shape)), node("y", op, "x", **attributes)]


@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize("padding", ["SAME", "VALID"])
@pytest.mark.parametrize(
    ("kernel", "strides"),
    [((2, 2), (2, 2)), ((3, 2), (1, 1)), ((3, 3), (2, 2)), ((1, 1), (2, 2)), ((2, 1), (3, 3)), ((2, 4), (3, 1))],
)
@pytest.mark.parametrize("size", [(8, 9), (9, 7)])
@pytest.mark.parametrize("op", ["MaxPool", "AvgPool"])
def test_pooling(op, known, padding, kernel, strides, size):
    x = RNG.standard_normal((2, *size, 3), np.float32)
    shape = x.shape if known else (None, None, None, 3)
    (y,) = run(pool(op, kernel, strides, padding, shape=shape), {"x:0": x}, ["y:0"])
    np.testing.assert_allclose(y, pooled(op, x, kernel, strides, padding), rtol=1e-5, atol=1e-6)


def test_channels_first():
    x = RNG.standard_normal((2, 3, 7, 8), np.float32)
    order = {"ksize": [1, 1, 3, 2], "strides": [1, 1, 2, 1], "data_format": "NCHW"}
    fed = node("x", "Placeholder", dtype=FLOAT32, shape=Shape(x.shape))
    nodes = [fed, node("y", "MaxPool", "x", T=FLOAT32, padding="SAME", **order)]
    model = convert(graph(*nodes), ["x"], ["y"])
    assert operators(model) == {"MaxPool": 1}
    expected = pooled("MaxPool", x.transpose(0, 2, 3, 1), (3, 2), (2, 1), "SAME").transpose(0, 3, 1, 2)
    np.testing.assert_array_equal(execute(model, {"x:0": x})[0], expected)


@pytest.mark.parametrize("dtype", [np.int32, np.int16, np.uint8, np.int8, np.float64])
def test_integers_are_pooled_exactly(dtype):
    x = RNG.integers(0, 127, (2, 5, 6, 3)).astype(dtype)
    (y,) = run(pool("MaxPool", (2, 2), (2, 2), "SAME", dtype=from_numpy(x.dtype)), {"x:0": x}, ["y:0"])
    assert y.dtype == dtype
    np.testing.assert_array_equal(y, pooled("MaxPool", x, (2, 2), (2, 2), "SAME"))


def test_sizes_stay_symbolic():
    program = convert(graph(*pool("MaxPool", (2, 2), (2, 2), "VALID")), ["x"], ["y"]).program
    height, width = Dim.symbol("x_1"), Dim.symbol("x_2")
    assert program.outputs["y:0"].shape == (Dim.symbol("batch"), (height - 2) // 2 + 1, (width - 2) // 2 + 1, 3)


def test_what_onnx_has_not_is_refused():
    with pytest.raises(UnsupportedOperatorsError, match="batch or the channels"):
        convert(graph(*pool("MaxPool", (1, 1), (1, 1), "SAME", ksize=[1, 1, 1, 2])), ["x"], ["y"])


@pytest.mark.parametrize(("radius", "alpha", "beta", "bias"), [(5, 1.0, 0.5, 1.0), (2, 0.3, 0.75, 2.0)])
def test_local_response_normalization(radius, alpha, beta, bias):
    x = RNG.standard_normal((2, 3, 4, 7), np.float32)
    attributes = {"T": FLOAT32, "depth_radius": radius, "alpha": alpha, "beta": beta, "bias": bias}
    defaults = {"depth_radius": 5, "alpha": 1.0, "beta": 0.5, "bias": 1.0}
    if attributes | defaults == attributes:
        attributes = {"T": FLOAT32}  # graphs leave defaults out
    nodes = [node("x", "Placeholder", dtype=FLOAT32, shape=Shape(x.shape)), node("y", "LRN", "x", **attributes)]
    (y,) = run(nodes, {"x:0": x}, ["y:0"])
    around = [(x[..., max(c - radius, 0) : c + radius + 1] ** 2).sum(-1) for c in range(7)]
    np.testing.assert_allclose(y, x / (bias + alpha * np.stack(around, -1)) ** beta, rtol=1e-4)


def test_a_radius_that_makes_no_sense():
    nodes = [node("x", "Placeholder", dtype=FLOAT32, shape=Shape((1, 2, 2, 4)))]
    with pytest.raises(CorruptError, match="depth_radius"):
        convert(graph(*nodes, node("y", "LRN", "x", depth_radius=-1)), ["x"], ["y"])
