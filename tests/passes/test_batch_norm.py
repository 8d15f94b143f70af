import numpy as np
import pytest
from tests.passes.running import assert_same, positive, weight

from panmodel import dtypes
from panmodel.model.builder import Builder
from panmodel.model.symbolic import Dim
from panmodel.passes import batch_norm, layout

N = Dim.symbol("n")
C = 4


def build_norm(write, *, shape=(N, 3, 5, C), vector=(C,), use=("gamma", "beta")):
    build = Builder()
    x = build.input("x", dtypes.FLOAT32, shape)
    gamma = weight(build, "gamma", *vector) if "gamma" in use else None
    beta = weight(build, "beta", *vector) if "beta" in use else None
    build.output(
        "y", write(build, x, gamma, beta, weight(build, "mean", *vector), positive(build, "variance", *vector))
    )
    return build.graph()


def stabilized(b, variance):
    return b.op("Add", b.constant(0.001), variance)


def rsqrt(b, variance):
    return b.op("Reciprocal", b.op("Sqrt", stabilized(b, variance)))


def tensorflow(b, x, gamma, beta, mean, variance):
    """tf.nn.batch_normalization."""
    scale = rsqrt(b, variance)
    if gamma is not None:
        scale = b.op("Mul", scale, gamma)
    moved = b.op("Mul", mean, scale) if beta is not None else b.op("Mul", b.op("Neg", mean), scale)
    return b.op("Add", b.op("Mul", x, scale), b.op("Sub", beta, moved) if beta is not None else moved)


def commuted(b, x, gamma, beta, mean, variance):
    scale = b.op("Pow", stabilized(b, variance), b.constant(-0.5))
    if gamma is not None:
        scale = b.op("Mul", gamma, scale)
    moved = b.op("Mul", scale, mean)
    shift = b.op("Sub", beta, moved) if beta is not None else b.op("Neg", moved)
    return b.op("Add", shift, b.op("Mul", scale, x))


def divided(b, x, gamma, beta, mean, variance):
    y = b.op("Div", b.op("Sub", x, mean), b.op("Sqrt", stabilized(b, variance)))
    y = y if gamma is None else b.op("Mul", y, gamma)
    return y if beta is None else b.op("Add", y, beta)


def multiplied(b, x, gamma, beta, mean, variance):
    scale = rsqrt(b, variance)
    scale = scale if gamma is None else b.op("Mul", gamma, scale)
    y = b.op("Mul", scale, b.op("Sub", x, mean))
    return y if beta is None else b.op("Add", beta, y)


def quotient(b, x, gamma, beta, mean, variance):
    gamma = gamma if gamma is not None else b.constant(1.0)
    scale = b.op("Div", gamma, b.op("Sqrt", stabilized(b, variance)))
    y = b.op("Sub", b.op("Mul", x, scale), b.op("Mul", mean, scale))
    return y if beta is None else b.op("Add", y, beta)


@pytest.mark.parametrize("use", [("gamma", "beta"), ("gamma",), ("beta",), ()], ids="+".join)
@pytest.mark.parametrize("write", [tensorflow, commuted, divided, multiplied, quotient])
def test_every_spelling(write, use):
    before = build_norm(write, use=use)
    after = batch_norm.run(before)
    assert_same(before, after)
    assert after.operators() == {"Transpose": 2, "BatchNormalization": 1}
    (node,) = (node for node in after.nodes if node.op == "BatchNormalization")
    assert node.attr("epsilon") == 0.001
    names = {value.name for value in after.initializers()}
    assert {"mean", "variance", *use} <= names


@pytest.mark.parametrize(
    ("shape", "vector"),
    [
        ((N, C), (C,)),
        ((N, 7, C), (C,)),
        ((N, C, 3, 5), (C, 1, 1)),
        ((N, C, 3, 5), (1, C, 1, 1)),
        ((N, 3, 5, C), (1, 1, 1, C)),
        ((N, 2, 3, 5, C), (C,)),
    ],
)
def test_channels_first_and_last(shape, vector):
    before = build_norm(tensorflow, shape=shape, vector=vector)
    after = batch_norm.run(before)
    assert_same(before, after)
    assert after.operators()["BatchNormalization"] == 1
    assert len(after.nodes) == (1 if shape[1] == C else 3)


def test_no_transposes_are_left_beside_a_convolution():
    build = Builder()
    x = build.input("x", dtypes.FLOAT32, (N, 6, 6, 3))
    y = build.channels_last(build.op("Conv", build.channels_first(x), weight(build, "k", C, 3, 3, 3)))
    y = tensorflow(build, y, *(weight(build, n, C) for n in ("g", "b", "m")), positive(build, "v", C))
    build.output("y", build.op("ReduceMean", y, build.constant([1, 2]), keepdims=0))
    before = build.graph()
    after = layout.run(batch_norm.run(before))
    assert_same(before, after)
    assert layout.permutes(after) == 1


def other_scale(b, x, gamma, beta, mean, variance):
    """The shift belongs to another scale than the product."""
    scale = b.op("Mul", rsqrt(b, variance), gamma)
    other = b.op("Mul", rsqrt(b, gamma_squared(b, gamma)), gamma)
    return b.op("Add", b.op("Mul", x, scale), b.op("Sub", beta, b.op("Mul", mean, other)))


def gamma_squared(b, _):
    return positive(b, "other", C)


def per_element(b, x, gamma, beta, mean, variance):
    return tensorflow(b, x, weight(b, "full", 3, 5, C), beta, mean, variance)


def large_epsilon(b, x, gamma, beta, mean, variance):
    scale = b.op("Reciprocal", b.op("Sqrt", b.op("Add", variance, b.constant(2.0))))
    return b.op("Add", b.op("Mul", x, scale), b.op("Sub", beta, b.op("Mul", mean, scale)))


@pytest.mark.parametrize("write", [other_scale, per_element, large_epsilon])
def test_what_is_no_batch_norm_stays(write):
    before = build_norm(write)
    after = batch_norm.run(before)
    assert_same(before, after)
    assert "BatchNormalization" not in after.operators()


def test_a_factor_after_the_shift_is_not_absorbed():
    build = Builder()
    x = build.input("x", dtypes.FLOAT32, (N, C))
    y = tensorflow(build, x, None, weight(build, "beta", C), weight(build, "mean", C), positive(build, "variance", C))
    build.output("y", build.op("Mul", y, weight(build, "gamma", C)))
    before = build.graph()
    after = batch_norm.run(before)
    assert_same(before, after)
    assert after.operators() == {"BatchNormalization": 1, "Mul": 1}


def test_a_normalized_value_that_is_read_twice_keeps_its_own_form():
    build = Builder()
    x = build.input("x", dtypes.FLOAT32, (N, C))
    y = divided(build, x, None, None, weight(build, "mean", C), positive(build, "variance", C))
    build.output("scaled", build.op("Mul", y, weight(build, "gamma", C)))
    build.output("plain", y)
    before = build.graph()
    after = batch_norm.run(before)
    assert_same(before, after)
    assert after.operators() == {"BatchNormalization": 1, "Mul": 1}


def test_integers_are_left_alone():
    build = Builder()
    x = build.input("x", dtypes.FLOAT64, (N, C))
    mean = build.constant(np.ones(C), dtypes.FLOAT64)
    y = build.op(
        "Div", build.op("Sub", x, mean), build.op("Sqrt", build.op("Add", mean, build.constant(0.1, dtypes.FLOAT64)))
    )
    build.output("y", y)
    before = build.graph()
    assert_same(before, batch_norm.run(before))
