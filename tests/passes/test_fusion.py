import pytest
from tests.passes.running import assert_same, weight

from panmodel import dtypes
from panmodel.model.builder import Builder
from panmodel.model.symbolic import Dim
from panmodel.passes import fusion

N = Dim.symbol("n")


def image():
    build = Builder()
    return build, build.input("x", dtypes.FLOAT32, (N, 3, 6, 6))


def check(build, y, expected):
    build.output("y", y)
    before = build.graph()
    after = fusion.run(before)
    assert_same(before, after)
    assert after.operators() == expected
    return after


@pytest.mark.parametrize("shape", [(4, 1, 1), (1, 4, 1, 1)])
@pytest.mark.parametrize("op", ["Conv", "ConvTranspose"])
def test_a_bias_joins_its_convolution(op, shape):
    build, x = image()
    kernel = weight(build, "w", *((4, 3) if op == "Conv" else (3, 4)), 3, 3)
    graph = check(build, build.op("Add", weight(build, "b", *shape), build.op(op, x, kernel, strides=(2, 2))), {op: 1})
    assert [value.name for value in graph.initializers()] == ["w", "b"]
    assert graph.nodes[0].inputs[2].shape == (4,)


@pytest.mark.parametrize("shape", [(4,), (6, 4), (1, 1, 4), (), (4, 4, 4)])
def test_other_constants_do_not(shape):
    build, x = image()
    y = build.op("Conv", x, weight(build, "w", 4, 3, 3, 3))
    if shape == (6, 4):
        shape = (4, 4)
    check(build, build.op("Add", y, weight(build, "b", *shape)), {"Conv": 1, "Add": 1})


@pytest.mark.parametrize(
    ("moved", "shape", "joins"),
    [((0, 1, 1, 4), (4,), True), ((0, 1, 4), (4,), False), ((0, 1, 1, 4), (1,), False), ((0, 4, 1, 1), (4,), False)],
)
def test_a_bias_after_channels_moved_last_at_a_single_point(moved, shape, joins):
    build, x = image()
    y = build.op("Conv", x, weight(build, "w", 4, 3, 6, 6))
    y = build.op("Reshape", y, build.constant(list(moved)))
    y = build.op("Add", y, weight(build, "b", *shape))
    check(build, y, {"Conv": 1, "Reshape": 1} if joins else {"Add": 1, "Conv": 1, "Reshape": 1})


def test_a_second_bias_does_not():
    build, x = image()
    y = build.op("Conv", x, weight(build, "w", 4, 3, 3, 3), weight(build, "b", 4))
    check(build, build.op("Add", y, weight(build, "c", 4, 1, 1)), {"Conv": 1, "Add": 1})


def test_a_convolution_that_is_read_elsewhere_too_does_not():
    build, x = image()
    y = build.op("Conv", x, weight(build, "w", 4, 3, 3, 3))
    z = build.op("Add", y, weight(build, "b", 4, 1, 1))
    check(build, build.op("Mul", y, z), {"Conv": 1, "Add": 1, "Mul": 1})


def test_a_matrix_product_with_its_bias():
    build = Builder()
    x = build.input("x", dtypes.FLOAT32, (N, 3))
    y = build.op("MatMul", x, weight(build, "w", 3, 4))
    check(build, build.op("Add", weight(build, "b", 4), y), {"Gemm": 1})


@pytest.mark.parametrize(
    ("left", "right", "bias"), [((N, 2, 3), (3, 4), (4,)), ((N, 3), (3, 4), (1,)), ((N, 3), (3, 4), (2, 4))]
)
def test_other_products_stay(left, right, bias):
    build = Builder()
    x = build.input("x", dtypes.FLOAT32, left)
    y = build.op("MatMul", x, weight(build, "w", *right))
    check(build, build.op("Add", y, weight(build, "b", *bias)), {"MatMul": 1, "Add": 1})


def test_integers_stay():
    build = Builder()
    x = build.input("x", dtypes.INT64, (N, 2))
    y = build.op("MatMul", build.op("Cast", x, to=6), build.constant([[1, 2], [3, 4]], dtypes.INT32))
    check(build, build.op("Add", y, build.constant([5, 6], dtypes.INT32)), {"Cast": 1, "MatMul": 1, "Add": 1})


def test_zeros_join_the_padding():
    build, x = image()
    y = build.op("Pad", x, build.constant([0, 0, 1, 2, 0, 0, 0, 1]))
    graph = check(build, build.op("Conv", y, weight(build, "w", 4, 3, 3, 3), pads=(1, 0, 0, 1)), {"Conv": 1})
    assert graph.nodes[0].attr("pads") == (2, 2, 0, 2)


PADS = {
    "reflected": ([0, 0, 1, 1, 0, 0, 1, 1], None, {"mode": "reflect"}, {}),
    "ones": ([0, 0, 1, 1, 0, 0, 1, 1], 1.0, {}, {}),
    "channels": ([0, 1, 0, 0, 0, 0, 0, 0], None, {}, {}),
    "cropped": ([0, 0, -1, 0, 0, 0, 0, 0], None, {}, {}),
    "automatic": ([0, 0, 1, 1, 0, 0, 1, 1], None, {}, {"auto_pad": "SAME_UPPER", "strides": (2, 2)}),
}


@pytest.mark.parametrize("name", PADS)
def test_other_paddings_stay(name):
    amounts, fill, pad, conv = PADS[name]
    build, x = image()
    constant = build.constant(fill) if fill is not None else None
    y = build.op("Pad", x, build.constant(amounts), constant, **pad)
    channels = 4 if name == "channels" else 3
    check(build, build.op("Conv", y, weight(build, "w", 2, channels, 3, 3), **conv), {"Pad": 1, "Conv": 1})
