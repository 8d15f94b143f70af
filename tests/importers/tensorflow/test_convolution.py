import numpy as np
import pytest
from tests.importers.tensorflow import reference
from tests.importers.tensorflow.execution import convert, execute, operators, run
from tests.tensorflow_graphs import Shape, const, graph, node

from panmodel.dtypes import FLOAT32, INT32
from panmodel.errors import CorruptError, UnsupportedOperatorsError
from panmodel.model.tensor import ArrayTensor

RNG = np.random.default_rng(0)


def images(*shape):
    return RNG.standard_normal(shape, np.float32)


def fed(shape=(None, None, None, 3), name="x", dtype=FLOAT32):
    return node(name, "Placeholder", dtype=dtype, shape=Shape(shape))


def window(strides=(1, 1), dilations=(1, 1), padding="SAME", data_format="NHWC", **more):
    def spread(numbers):
        return [1, *numbers, 1] if data_format == "NHWC" else [1, 1, *numbers]

    attributes = {"strides": spread(strides), "dilations": spread(dilations), "padding": padding}
    return {"T": FLOAT32, "data_format": data_format, **attributes, **more}


@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize("padding", ["SAME", "VALID"])
@pytest.mark.parametrize(
    ("kernel", "strides", "dilations"),
    [
        ((3, 3), (1, 1), (1, 1)),
        ((2, 5), (1, 1), (1, 1)),
        ((3, 2), (2, 3), (1, 1)),
        ((1, 1), (2, 2), (1, 1)),
        ((1, 2), (3, 3), (1, 1)),
        ((3, 3), (1, 1), (2, 3)),
        ((3, 2), (2, 2), (2, 1)),
    ],
)
@pytest.mark.parametrize("size", [(9, 8), (10, 11)])
def test_convolutions(known, padding, kernel, strides, dilations, size):
    x, w = images(2, *size, 3), images(*kernel, 3, 4)
    nodes = [fed(x.shape if known else (None, None, None, 3)), const("w", w)]
    nodes.append(node("y", "Conv2D", "x", "w", **window(strides, dilations, padding)))
    (y,) = run(nodes, {"x:0": x}, ["y:0"])
    expected = reference.conv2d(x, w, strides=strides, dilations=dilations, padding=padding)
    np.testing.assert_allclose(y, expected, rtol=1e-4, atol=1e-5)


def test_the_padding_of_a_step_of_one_is_known_at_any_size():
    nodes = [fed(), const("w", images(3, 2, 3, 4)), node("y", "Conv2D", "x", "w", **window())]
    (conv,) = [n for n in convert(graph(*nodes), ["x"], ["y"]).program.nodes if n.op == "Conv"]
    assert conv.attr("pads") == (1, 0, 1, 1)
    assert "auto_pad" not in conv.attributes


def test_channels_first():
    x, w = images(2, 3, 6, 7), images(3, 3, 3, 4)
    nodes = [fed((None, 3, None, None)), const("w", w)]
    nodes.append(node("y", "Conv2D", "x", "w", **window((2, 1), data_format="NCHW")))
    model = convert(graph(*nodes), ["x"], ["y"])
    assert operators(model) == {"Conv": 1}
    expected = reference.conv2d(x.transpose(0, 2, 3, 1), w, strides=(2, 1), padding="SAME").transpose(0, 3, 1, 2)
    np.testing.assert_allclose(execute(model, {"x:0": x})[0], expected, rtol=1e-4, atol=1e-5)


def test_the_kernel_stays_a_view_of_its_variable():
    nodes = [fed(), node("conv/weights", "VariableV2", dtype=FLOAT32, shape=Shape((3, 3, 3, 4)))]
    nodes.append(node("y", "Conv2D", "x", "conv/weights", **window()))
    variables = {"conv/weights": ArrayTensor(images(3, 3, 3, 4), "conv/weights")}
    (weight,) = convert(graph(*nodes, variables=variables), ["x"], ["y"]).program.initializers()
    assert weight.name == "conv/weights"
    assert weight.tensor.steps == (("transpose", (3, 2, 0, 1)),)


def test_groups():
    x, w = images(2, 6, 7, 6), images(3, 3, 2, 9)
    nodes = [fed((None, None, None, 6)), const("w", w), node("y", "Conv2D", "x", "w", **window())]
    (y,) = run(nodes, {"x:0": x}, ["y:0"])
    np.testing.assert_allclose(y, reference.conv2d(x, w, padding="SAME"), rtol=1e-4, atol=1e-5)


def test_explicit_padding():
    x, w = images(2, 6, 7, 3), images(3, 3, 3, 4)
    pads = [0, 0, 1, 2, 0, 1, 0, 0]
    nodes = [fed(), const("w", w)]
    nodes.append(node("y", "Conv2D", "x", "w", **window((2, 2), padding="EXPLICIT", explicit_paddings=pads)))
    (y,) = run(nodes, {"x:0": x}, ["y:0"])
    expected = reference.conv2d(x, w, strides=(2, 2), padding=[(0, 0), (1, 2), (0, 1), (0, 0)])
    np.testing.assert_allclose(y, expected, rtol=1e-4, atol=1e-5)


def test_a_computed_kernel():
    x, w = images(2, 6, 7, 3), images(3, 3, 3, 4)
    nodes = [fed(), fed(w.shape, "w"), node("y", "Conv2D", "x", "w", **window())]
    (y,) = run(nodes, {"x:0": x, "w:0": w}, ["y:0"])
    np.testing.assert_allclose(y, reference.conv2d(x, w, padding="SAME"), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("multiplier", [1, 2])
@pytest.mark.parametrize("strides", [(1, 1), (2, 2)])
def test_depthwise_convolutions(multiplier, strides):
    x, w = images(2, 6, 7, 3), images(3, 2, 3, multiplier)
    nodes = [fed(), const("w", w), node("y", "DepthwiseConv2dNative", "x", "w", **window(strides))]
    model = convert(graph(*nodes), ["x"], ["y"])
    (conv,) = [n for n in model.program.nodes if n.op == "Conv"]
    assert conv.attr("group") == 3
    assert conv.inputs[1].shape == (3 * multiplier, 1, 3, 2)
    expected = reference.depthwise_conv2d(x, w, strides=strides, padding="SAME")
    np.testing.assert_allclose(execute(model, {"x:0": x})[0], expected, rtol=1e-4, atol=1e-5)


TRANSPOSED = [
    (padding, kernel, strides, size)
    for padding in ("SAME", "VALID")
    for kernel, strides in (((3, 3), (2, 2)), ((2, 4), (1, 1)), ((3, 1), (2, 3)), ((5, 2), (3, 2)))
    for size in ((9, 8), (10, 11))
]


@pytest.mark.parametrize("how", ["constant", "computed", "batch"])
@pytest.mark.parametrize(("padding", "kernel", "strides", "size"), TRANSPOSED)
def test_transposed_convolutions(how, padding, kernel, strides, size):
    w = images(*kernel, 4, 3)
    steps = zip(size, kernel, strides, strict=True)
    small = [-(-n // s) if padding == "SAME" else (n - k) // s + 1 for n, k, s in steps]
    y, shape = images(2, *small, 3), np.array([2, *size, 4], np.int32)
    feeds = {"y:0": y}
    if how == "constant":
        nodes = [fed(y.shape, "y"), const("shape", shape)]
    elif how == "computed":
        nodes, feeds["shape:0"] = [fed((None, None, None, 3), "y"), fed((4,), "shape", INT32)], shape
    else:
        nodes = [fed((None, *small, 3), "y"), node("sizes", "Shape", "y", T=FLOAT32, out_type=INT32)]
        nodes += [const("zero", [0], np.int32), const("one", [1], np.int32), const("rest", shape[1:])]
        nodes.append(node("batch", "Slice", "sizes", "zero", "one", T=INT32, Index=INT32))
        nodes += [const("axis", 0, np.int32), node("shape", "ConcatV2", "batch", "rest", "axis", N=2, T=INT32)]
    nodes += [const("w", w), node("x", "Conv2DBackpropInput", "shape", "w", "y", **window(strides, (1, 1), padding))]
    model = convert(graph(*nodes), list(feeds), ["x"])
    expected = reference.conv2d_transpose(y, w, size, strides, padding)
    np.testing.assert_allclose(execute(model, feeds)[0], expected, rtol=1e-4, atol=1e-5)
    if how != "computed":
        assert operators(model) == {"Transpose": 2, "ConvTranspose": 1}


def test_a_transposed_convolution_to_twice_the_size_needs_no_arithmetic():
    y, w = images(1, 4, 5, 3), images(4, 4, 2, 3)
    nodes = [fed((None, None, None, 3), "y"), node("sizes", "Shape", "y", T=FLOAT32, out_type=INT32)]
    nodes += [const("w", w), const("factors", [1, 2, 2, 1], np.int32)]
    nodes.append(node("shape", "Mul", "sizes", "factors", T=INT32))
    nodes.append(node("x", "Conv2DBackpropInput", "shape", "w", "y", **window((2, 2))))
    model = convert(graph(*nodes), ["y"], ["x"])
    assert operators(model) == {"Transpose": 2, "ConvTranspose": 1}
    expected = reference.conv2d_transpose(y, w, (8, 10), (2, 2), "SAME")
    np.testing.assert_allclose(execute(model, {"y:0": y})[0], expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    "changed", [{"strides": [2, 1, 1, 1]}, {"dilations": [1, 1, 1, 2]}, {"data_format": "NCHW_VECT_C"}]
)
def test_what_onnx_has_not_is_refused(changed):
    nodes = [fed(), const("w", images(3, 3, 3, 4)), node("y", "Conv2D", "x", "w", **(window() | changed))]
    with pytest.raises(UnsupportedOperatorsError, match="Conv2D"):
        convert(graph(*nodes), ["x"], ["y"])


@pytest.mark.parametrize(
    "changed",
    [{"strides": [1, 1]}, {"strides": [1, 0, 1, 1]}, {"strides": 3}, {"padding": "REFLECT"}, {"strides": "SAME"}],
)
def test_attributes_that_make_no_sense(changed):
    nodes = [fed(), const("w", images(3, 3, 3, 4)), node("y", "Conv2D", "x", "w", **(window() | changed))]
    with pytest.raises(CorruptError, match="'y'"):
        convert(graph(*nodes), ["x"], ["y"])


def test_a_kernel_that_does_not_fit_the_channels():
    nodes = [fed(), const("w", images(3, 3, 2, 4)), node("y", "Conv2D", "x", "w", **window())]
    with pytest.raises(CorruptError, match="2 channels on 3"):
        convert(graph(*nodes), ["x"], ["y"])
