import numpy as np
import pytest
from tests.exporters.torch.execution import agrees, graph_of, numbers

from panmodel.errors import UnsupportedOperatorsError
from panmodel.exporters.torch import export
from panmodel.model.model import Model

X = numbers(1, 2, 5, 6)
COORDINATES = ["half_pixel", "pytorch_half_pixel", "align_corners", "asymmetric"]
KNOWN = pytest.mark.parametrize("known", ["static", "symbolic"])


def scaled(*scales, **attributes):
    return lambda b, x: b.op("Resize", x, None, b.constant(np.float32(scales)), **attributes)


def sized(*sizes, **attributes):
    return lambda b, x: b.op("Resize", x, None, None, b.constant(np.array(sizes)), **attributes)


@KNOWN
@pytest.mark.parametrize("coordinates", COORDINATES)
@pytest.mark.parametrize("nearest", ["floor", "ceil", "round_prefer_floor", "round_prefer_ceil"])
def test_nearest(coordinates, nearest, known):
    options = {"coordinate_transformation_mode": coordinates, "nearest_mode": nearest}
    agrees(scaled(1, 1, 2, 3, **options), X, known=known)
    agrees(sized(1, 2, 10, 3, **options), X, known=known)


@KNOWN
@pytest.mark.parametrize("coordinates", COORDINATES)
def test_linear(coordinates, known):
    options = {"mode": "linear", "coordinate_transformation_mode": coordinates}
    agrees(scaled(1, 1, 2, 2, **options), X, known=known)
    agrees(sized(1, 2, 8, 3, **options), X, known=known)
    agrees(sized(1, 2, 1, 12, **options), X, known=known)
    agrees(scaled(1, 1, 2, **options), numbers(1, 2, 4), known=known)


def test_scales_that_give_no_whole_size():
    for mode in ("nearest", "linear"):
        agrees(scaled(1, 1, 0.5, 0.7, mode=mode), X)
        agrees(scaled(1, 1, 1.3, 0.7, mode=mode), X, known="symbolic")


def test_axes_in_any_order_and_channels():
    agrees(scaled(2, 3, mode="linear", axes=(3, 2)), X)
    agrees(scaled(2, 2, mode="linear", axes=(2, 1)), X)
    agrees(scaled(2, 2, mode="nearest", axes=(0, 3)), X)
    agrees(scaled(1, 1, 1, 2, 2, mode="linear"), numbers(1, 2, 2, 3, 4))


def test_cubic_has_one_coefficient():
    assert agrees(scaled(1, 1, 2, 2, mode="cubic"), X) == ['return F.interpolate(in0, scale_factor=2, mode="bicubic")']
    for graph in (
        graph_of(scaled(1, 1, 2, 2, mode="cubic", cubic_coeff_a=-0.5), X),
        graph_of(scaled(1, 1, 2, mode="cubic"), numbers(1, 2, 6)),
    ):
        with pytest.raises(UnsupportedOperatorsError, match="cubic"):
            export(Model("onnx", graph))


@pytest.mark.parametrize("dtype", [np.int32, np.uint8])
def test_integers_are_picked_but_not_mixed(dtype):
    options = {"coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
    agrees(scaled(1, 1, 2, 2, **options), numbers(1, 2, 3, 4, dtype=np.int32).astype(dtype))
    graph = graph_of(scaled(1, 1, 2, 2, mode="linear"), np.zeros((1, 2, 3, 4), dtype))
    with pytest.raises(UnsupportedOperatorsError, match="integers"):
        export(Model("onnx", graph))


def test_sizes_of_another():
    made = lambda b, x, y: b.op("Resize", x, None, None, b.op("Shape", y), mode="linear")  # noqa: E731
    agrees(made, X, numbers(1, 2, 7, 3), known="symbolic")


def test_nothing_to_resize():
    assert agrees(scaled(1, 1, 1, 1), X) == ["return in0"]
    assert agrees(sized(1, 2, 5, 6), X) == ["return in0"]


@pytest.mark.parametrize("opset", [7, 9])
def test_the_predecessor(opset):
    scales = np.float32([1, 1, 2, 2])
    if opset == 7:
        agrees(lambda b, x: b.op("Upsample", x, scales=tuple(map(float, scales))), X, opset=opset)
    else:
        agrees(lambda b, x: b.op("Upsample", x, b.constant(scales)), X, opset=opset)


@pytest.mark.parametrize("attributes", [{"antialias": 1, "mode": "linear"}, {"keep_aspect_ratio_policy": "not_larger"}])
def test_refusals(attributes):
    graph = graph_of(sized(1, 2, 9, 9, **attributes), X)
    with pytest.raises(UnsupportedOperatorsError, match="Resize"):
        export(Model("onnx", graph))
