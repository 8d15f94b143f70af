import numpy as np
import pytest
from tests.exporters.torch.execution import agrees, graph_of, numbers, weight

from panmodel.errors import UnsupportedOperatorsError
from panmodel.exporters.torch import export
from panmodel.model.model import Model

X = numbers(2, 4, 7, 6)
KNOWN = pytest.mark.parametrize("known", ["static", "symbolic"])


def convolved(op, kernel, bias=None, dtype=np.float32, **attributes):
    def build(b, x):
        addend = None if bias is None else weight(b, numbers(bias, dtype=dtype), "conv/bias")
        return b.op(op, x, weight(b, numbers(*kernel, dtype=dtype), "conv/kernel"), addend, **attributes)

    return build


@KNOWN
@pytest.mark.parametrize(
    "attributes",
    [
        {},
        {"pads": (1, 1, 1, 1)},
        {"pads": (0, 1, 2, 1), "strides": (2, 1)},
        {"dilations": (2, 1), "auto_pad": "VALID"},
        {"auto_pad": "SAME_UPPER", "strides": (2, 2)},
        {"auto_pad": "SAME_LOWER", "strides": (3, 2)},
        {"auto_pad": "SAME_UPPER"},
    ],
)
@pytest.mark.parametrize("groups", [1, 2, 4])
def test_convolutions(attributes, groups, known):
    agrees(convolved("Conv", (8, 4 // groups, 3, 2), 8, group=groups, **attributes), X, known=known, tolerance=1e-4)


@pytest.mark.parametrize(("shape", "kernel"), [((2, 4, 9), (3,)), ((1, 4, 5, 4, 6), (2, 3, 3))])
def test_convolutions_over_one_axis_and_three(shape, kernel):
    agrees(convolved("Conv", (6, 4, *kernel), strides=(2,) * len(kernel)), numbers(*shape), tolerance=1e-4)
    agrees(convolved("ConvTranspose", (4, 3, *kernel), 3, strides=(2,) * len(kernel)), numbers(*shape), tolerance=1e-4)


@KNOWN
@pytest.mark.parametrize(
    "attributes",
    [
        {},
        {"strides": (2, 2), "pads": (1, 1, 1, 1)},
        {"strides": (2, 2), "pads": (0, 1, 1, 0)},
        {"strides": (3, 3), "pads": (1, 0, 0, 1), "output_padding": (1, 2)},
        {"strides": (2, 2), "auto_pad": "SAME_UPPER"},
        {"strides": (2, 3), "auto_pad": "SAME_LOWER"},
        {"strides": (3, 3), "pads": (2, 0, 1, 0), "output_padding": (2, 0)},
        {"dilations": (2, 2), "strides": (2, 1)},
        {"group": 2},
    ],
)
def test_transposed_convolutions(attributes, known):
    agrees(convolved("ConvTranspose", (4, 2, 3, 3), **attributes), X, known=known, tolerance=1e-4)


@pytest.mark.parametrize("auto_pad", ["NOTSET", "SAME_UPPER", "SAME_LOWER"])
@pytest.mark.parametrize("shape", [(13, 12), (14, 11), (15, 13)])
def test_transposed_convolutions_of_a_wanted_size(auto_pad, shape):
    made = convolved("ConvTranspose", (4, 2, 3, 3), strides=(2, 2), output_shape=shape, auto_pad=auto_pad)
    agrees(made, X, tolerance=1e-4)
    with pytest.raises(UnsupportedOperatorsError, match="fixed output_shape"):
        export(Model("onnx", graph_of(made, X, known="symbolic")))


def test_computed_kernels():
    kernel, bias = numbers(3, 4, 2, 2), numbers(3)
    line = agrees(lambda b, *values: b.op("Conv", *values, strides=(2, 2)), X, kernel, bias)
    assert line == ["return F.conv2d(in0, in1, in2, stride=2)"]
    agrees(lambda b, *values: b.op("ConvTranspose", *values), X, numbers(4, 3, 2, 2))


def test_what_is_no_convolution_of_pytorch():
    for made, why in (
        (graph_of(lambda b, x, w: b.op("Conv", x, w), X, numbers(3, 4, 2, 2), known="unknown"), "not known"),
        (graph_of(convolved("Conv", (1, 1, 1, 1, 1, 1)), numbers(1, 1, 1, 1, 1, 1)), "4 spatial axes"),
    ):
        with pytest.raises(UnsupportedOperatorsError, match=why):
            export(Model("onnx", made))
