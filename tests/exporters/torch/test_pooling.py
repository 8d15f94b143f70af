import numpy as np
import pytest
from tests.exporters.torch.execution import agrees, computed, graph_of, numbers

from panmodel.errors import UnsupportedOperatorsError
from panmodel.exporters.torch import export
from panmodel.model.model import Model

X = numbers(2, 3, 7, 8)
KNOWN = pytest.mark.parametrize("known", ["static", "symbolic"])
WINDOWS = [
    {"kernel_shape": (3, 2)},
    {"kernel_shape": (2, 2), "strides": (2, 2)},
    {"kernel_shape": (3, 3), "strides": (2, 2), "pads": (1, 1, 1, 1)},
    {"kernel_shape": (3, 3), "strides": (2, 2), "pads": (0, 0, 1, 1)},
    {"kernel_shape": (2, 3), "pads": (1, 2, 1, 2)},
    {"kernel_shape": (3, 3), "strides": (2, 2), "auto_pad": "SAME_UPPER"},
    {"kernel_shape": (3, 2), "strides": (3, 2), "auto_pad": "SAME_LOWER"},
    {"kernel_shape": (3, 3), "strides": (2, 3), "auto_pad": "VALID"},
    {"kernel_shape": (2, 2), "strides": (2, 2), "ceil_mode": 1},
]


@KNOWN
@pytest.mark.parametrize("window", WINDOWS, ids=str)
def test_pools(window, known):
    agrees(lambda b, x: b.op("MaxPool", x, **window), X, known=known)
    agrees(lambda b, x: b.op("AveragePool", x, **window), X, known=known)
    agrees(lambda b, x: b.op("AveragePool", x, count_include_pad=1, **window), X, known=known)


@pytest.mark.parametrize("shape", [(2, 3, 9), (1, 2, 5, 4, 6)])
@pytest.mark.parametrize("auto_pad", ["NOTSET", "SAME_UPPER"])
@KNOWN
def test_pools_over_one_axis_and_three(shape, auto_pad, known):
    for op in ("MaxPool", "AveragePool"):
        window = {"kernel_shape": (2,) * (len(shape) - 2), "strides": (2,) * (len(shape) - 2), "auto_pad": auto_pad}
        agrees(lambda b, x, o=op, w=window: b.op(o, x, **w), numbers(*shape), known=known)


@pytest.mark.parametrize("dtype", [np.int8, np.uint8])
def test_maxima_of_integers(dtype):
    for pads in ((1, 1, 1, 1), (0, 0, 1, 1)):
        x = numbers(1, 2, 4, 4, dtype=np.int8).astype(dtype)
        agrees(lambda b, v, p=pads: b.op("MaxPool", v, kernel_shape=(2, 2), pads=p), x)


def test_maxima_with_gaps():
    agrees(lambda b, x: b.op("MaxPool", x, kernel_shape=(2, 2), dilations=(2, 3)), X)


@pytest.mark.parametrize("shape", [(2, 3, 4), (2, 3, 4, 5), (1, 2, 3, 2, 2)])
def test_global_pools(shape):
    for op in ("GlobalAveragePool", "GlobalMaxPool"):
        agrees(lambda b, x, o=op: b.op(o, x), numbers(*shape), known="symbolic")


@pytest.mark.parametrize("size", [3, 5])
def test_normalization_over_neighbouring_channels(size):
    agrees(lambda b, x: b.op("LRN", x, size=size, alpha=0.5, beta=0.6, bias=2.0), numbers(1, 6, 3, 3))


@pytest.mark.parametrize("size", [2, 4])
def test_an_even_window_leans_to_the_later_channels(size):
    x = numbers(1, 6, 3, 3)
    found = computed(graph_of(lambda b, v: b.op("LRN", v, size=size, alpha=0.5), x), [x])[0]
    before, after = (size - 1) // 2, size // 2
    sums = np.stack([(x[:, max(c - before, 0) : c + after + 1] ** 2).sum(1) for c in range(6)], axis=1)
    np.testing.assert_allclose(found, x / (1 + 0.5 / size * sums) ** 0.75, rtol=1e-5)


def test_refusals():
    for made, why in (
        (lambda b, x: b.op("AveragePool", x, kernel_shape=(2, 2), dilations=(2, 2)), "dilation"),
        (lambda b, x: b.ops("MaxPool", x, kernel_shape=(2, 2), outputs=2), "indices of MaxPool"),
    ):
        with pytest.raises(UnsupportedOperatorsError, match=why):
            export(Model("onnx", graph_of(made, X, opset=19)))
