import numpy as np
import pytest
from tests.importers.tensorflow import reference
from tests.importers.tensorflow.execution import convert, execute, operators
from tests.tensorflow_graphs import Shape, const, graph, node

from panmodel.dtypes import FLOAT32, INT32

RNG = np.random.default_rng(6)
ONES = [1, 1, 1, 1]


def image(*shape):
    return node("x", "Placeholder", dtype=FLOAT32, shape=Shape(shape))


def dilated(w, block, paddings, crops, *, op="Conv2D", data_format="NHWC", padding="VALID", strides=ONES):
    nodes = [const("w", w), const("block", block, np.int32)]
    nodes += [const("paddings", paddings, np.int32), const("crops", crops, np.int32)]
    nodes.append(node("s", "SpaceToBatchND", "x", "block", "paddings"))
    how = {"T": FLOAT32, "strides": strides, "padding": padding, "data_format": data_format}
    return [*nodes, node("c", op, "s", "w", **how), node("y", "BatchToSpaceND", "c", "block", "crops")]


def kernel(*shape):
    return RNG.standard_normal(shape, np.float32)


def check(nodes, x, expected, count):
    model = convert(graph(*nodes), ["x"], ["y"])
    assert operators(model) == count
    np.testing.assert_allclose(execute(model, {"x:0": x})[0], expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("size", "padding"), [((8, 9), "SAME"), ((7, 9), "SAME"), ((8, 9), "VALID"), ((7, 7), "VALID")]
)
def test_a_convolution_in_three_operators_is_one(size, padding):
    x, w, block = RNG.standard_normal((2, *size, 3), np.float32), kernel(3, 2, 3, 4), (2, 3)
    base = [reference.same_padding(n, (k - 1) * b + 1, 1) for n, k, b in zip(size, (3, 2), block, strict=True)]
    base = base if padding == "SAME" else [(0, 0), (0, 0)]
    extra = [-(n + sum(pair)) % b for n, pair, b in zip(size, base, block, strict=True)]
    paddings = [(pair[0], pair[1] + more) for pair, more in zip(base, extra, strict=True)]
    nodes = [image(*x.shape), *dilated(w, block, paddings, [(0, more) for more in extra])]
    check(nodes, x, reference.conv2d(x, w, dilations=block, padding=padding), {"Transpose": 2, "Conv": 1})


def test_channels_first():
    x, w = RNG.standard_normal((2, 3, 8, 10), np.float32), kernel(3, 3, 3, 4)
    paddings = [(0, 0), (2, 2), (2, 2)]
    nodes = [image(2, 3, None, None), *dilated(w, [1, 2, 2], paddings, [(0, 0)] * 3, data_format="NCHW")]
    expected = reference.conv2d(x.transpose(0, 2, 3, 1), w, dilations=(2, 2), padding="SAME").transpose(0, 3, 1, 2)
    check(nodes, x, expected, {"Conv": 1})


def test_depthwise():
    x, w = RNG.standard_normal((2, 8, 10, 3), np.float32), kernel(3, 3, 3, 2)
    nodes = [image(None, None, None, 3)]
    nodes += dilated(w, [2, 2], [(2, 2), (2, 2)], [(0, 0), (0, 0)], op="DepthwiseConv2dNative")
    expected = reference.depthwise_conv2d(x, w, dilations=(2, 2), padding="SAME")
    check(nodes, x, expected, {"Transpose": 2, "Conv": 1})


def test_in_one_dimension():
    x, w = RNG.standard_normal((2, 12, 3), np.float32), kernel(1, 3, 3, 4)
    nodes = [image(None, None, 3), const("w", w), const("block", [3], np.int32), const("axis", 1, np.int32)]
    nodes += [const("paddings", [[3, 3]], np.int32), const("crops", [[0, 0]], np.int32)]
    nodes.append(node("s", "SpaceToBatchND", "x", "block", "paddings"))
    nodes.append(node("e", "ExpandDims", "s", "axis", T=FLOAT32, Tdim=INT32))
    nodes.append(node("c", "Conv2D", "e", "w", T=FLOAT32, strides=ONES, padding="VALID"))
    nodes.append(node("q", "Squeeze", "c", T=FLOAT32, squeeze_dims=[1]))
    nodes.append(node("y", "BatchToSpaceND", "q", "block", "crops"))
    expected = reference.conv2d(x[:, None], w, dilations=(1, 3), padding="SAME")[:, 0]
    check(nodes, x, expected, {"Unsqueeze": 1, "Transpose": 2, "Conv": 1, "Squeeze": 1})


@pytest.mark.parametrize("size", [(8, 9), (7, 11)])
def test_padding_that_the_graph_computes_from_its_sizes(size):
    """As tf.nn.convolution writes it where sizes are unknown: pad to a multiple of the rate, crop that again."""
    x, w = RNG.standard_normal((2, *size, 3), np.float32), kernel(3, 3, 3, 4)
    nodes = [image(None, None, None, 3), const("w", w), const("block", [2, 3], np.int32)]
    nodes += [const("one", [1], np.int32), const("two", [2], np.int32), const("base", [2, 3], np.int32)]
    nodes += [const("zeros", [0, 0], np.int32), const("both", 1, np.int32)]
    steps = {
        "shape": ("Shape", "x"),
        "size": ("Slice", "shape", "one", "two"),
        "once": ("AddV2", "size", "base"),
        "twice": ("AddV2", "once", "base"),
        "over": ("FloorMod", "twice", "block"),
        "under": ("Sub", "block", "over"),
        "extra": ("FloorMod", "under", "block"),
        "end": ("AddV2", "base", "extra"),
    }
    nodes += [node(name, op, *operands, T=INT32) for name, (op, *operands) in steps.items()]
    nodes.append(node("paddings", "Pack", "base", "end", N=2, axis=1, T=INT32))
    nodes.append(node("crops", "Pack", "zeros", "extra", N=2, axis=1, T=INT32))
    nodes.append(node("s", "SpaceToBatchND", "x", "block", "paddings"))
    nodes.append(node("c", "Conv2D", "s", "w", T=FLOAT32, strides=ONES, padding="VALID"))
    nodes.append(node("y", "BatchToSpaceND", "c", "block", "crops"))
    expected = reference.conv2d(x, w, dilations=(2, 3), padding="SAME")
    check(nodes, x, expected, {"Transpose": 2, "Conv": 1})


@pytest.mark.parametrize(
    ("paddings", "crops", "how"),
    [
        ([(0, 0), (2, 2)], [(1, 0), (0, 2)], {}),  # more is cropped than was padded
        ([(2, 2), (2, 2)], [(0, 0), (0, 0)], {"padding": "SAME"}),
        ([(2, 2), (2, 2)], [(0, 0), (0, 0)], {"strides": [1, 2, 2, 1]}),
    ],
)
def test_what_is_no_dilated_convolution_is_left_as_it_is(paddings, crops, how):
    x, w = RNG.standard_normal((2, 8, 8, 3), np.float32), kernel(3, 3, 3, 4)
    nodes = [image(*x.shape), *dilated(w, [2, 2], paddings, crops, **how)]
    model = convert(graph(*nodes), ["x"], ["y"])
    assert operators(model)["Reshape"] == 4
    spread = np.pad(x, [(0, 0), *paddings, (0, 0)])
    pieces = np.concatenate([spread[:, i::2, j::2] for i in range(2) for j in range(2)])
    strides = how.get("strides", ONES)[1:3]
    convolved = reference.conv2d(pieces, w, strides=strides, padding=how.get("padding", "VALID"))
    _, height, width, channels = convolved.shape
    whole = convolved.reshape(2, 2, 2, height, width, channels).transpose(2, 3, 0, 4, 1, 5)
    whole = whole.reshape(2, 2 * height, 2 * width, channels)
    (top, bottom), (left, right) = crops
    expected = whole[:, top : 2 * height - bottom, left : 2 * width - right]
    np.testing.assert_allclose(execute(model, {"x:0": x})[0], expected, rtol=1e-4, atol=1e-4)
