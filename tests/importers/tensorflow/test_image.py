import numpy as np
import pytest
from tests.importers.tensorflow import reference
from tests.importers.tensorflow.execution import convert, execute, operators, run
from tests.tensorflow_graphs import Shape, const, graph, node

from panmodel.dtypes import FLOAT32, INT32, UINT8
from panmodel.errors import CorruptError, UnsupportedOperatorsError

RNG = np.random.default_rng(3)
PLACES = {
    "asymmetric": {},
    "align_corners": {"align_corners": True},
    "half_pixel": {"half_pixel_centers": True},
}


def fed(shape, dtype=FLOAT32):
    return node("x", "Placeholder", dtype=dtype, shape=Shape(shape))


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("op", ["ResizeBilinear", "ResizeNearestNeighbor"])
@pytest.mark.parametrize("size", [(10, 14), (3, 4), (7, 13), (5, 7), (1, 1)])
@pytest.mark.parametrize("how", ["known", "batch", "computed"])
def test_resizing(place, op, size, how):
    x = RNG.standard_normal((2, 5, 7, 3), np.float32)
    feeds, shape = {"x:0": x}, {"known": x.shape, "batch": (None, 5, 7, 3), "computed": (None, None, None, 3)}[how]
    if how == "computed":
        nodes = [fed(shape), node("size", "Placeholder", dtype=INT32, shape=Shape((2,)))]
        feeds["size:0"] = np.array(size, np.int32)
    else:
        nodes = [fed(shape), const("size", size, np.int32)]
    (y,) = run([*nodes, node("y", op, "x", "size", T=FLOAT32, **PLACES[place])], feeds, ["y:0"])
    expected = reference.resized(x, size, place, is_nearest=op == "ResizeNearestNeighbor")
    np.testing.assert_allclose(y, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("place", PLACES)
def test_twice_the_size_is_a_factor_at_any_size(place):
    x = RNG.standard_normal((2, 4, 5, 3), np.float32)
    nodes = [fed((None, None, None, 3)), node("sizes", "Shape", "x", T=FLOAT32, out_type=INT32)]
    nodes += [const("begin", [1], np.int32), const("count", [2], np.int32), const("two", 2, np.int32)]
    nodes.append(node("size", "Slice", "sizes", "begin", "count", T=INT32, Index=INT32))
    nodes.append(node("double", "Mul", "size", "two", T=INT32))
    nodes.append(node("y", "ResizeBilinear", "x", "double", T=FLOAT32, **PLACES[place]))
    model = convert(graph(*nodes), ["x"], ["y"])
    assert operators(model) == {"Transpose": 2, "Resize": 1}
    assert [str(size) for size in model.program.outputs["y:0"].shape] == ["batch", "2*x_1", "2*x_2", "3"]
    expected = reference.resized(x, (8, 10), place, is_nearest=False)
    np.testing.assert_allclose(execute(model, {"x:0": x})[0], expected, rtol=1e-4, atol=1e-5)


def test_bilinear_results_are_floats():
    x = RNG.integers(0, 255, (1, 4, 5, 3)).astype(np.uint8)
    nodes = [fed(x.shape, UINT8), const("size", [8, 5], np.int32), node("y", "ResizeBilinear", "x", "size", T=UINT8)]
    (y,) = run(nodes, {"x:0": x}, ["y:0"])
    assert y.dtype == np.float32
    expected = reference.resized(x.astype(np.float32), (8, 5), "asymmetric", is_nearest=False)
    np.testing.assert_allclose(y, expected, rtol=1e-4, atol=1e-3)


def to_depth(x, block):
    batch, height, width, channels = x.shape
    x = x.reshape(batch, height // block, block, width // block, block, channels)
    return x.transpose(0, 1, 3, 2, 4, 5).reshape(batch, height // block, width // block, -1)


@pytest.mark.parametrize("data_format", ["NHWC", "NCHW"])
@pytest.mark.parametrize("block", [2, 3])
def test_space_and_depth(data_format, block):
    image = RNG.standard_normal((2, 6, 12, 2), np.float32)
    depth = to_depth(image, block)
    pairs = {"SpaceToDepth": (image, depth), "DepthToSpace": (depth, image)}
    for op, (x, expected) in pairs.items():
        if data_format == "NCHW":
            x, expected = x.transpose(0, 3, 1, 2), expected.transpose(0, 3, 1, 2)
        nodes = [fed(x.shape), node("y", op, "x", T=FLOAT32, block_size=block, data_format=data_format)]
        np.testing.assert_array_equal(run(nodes, {"x:0": x}, ["y:0"])[0], expected)


def test_depth_to_space_at_any_size():
    source = graph(fed((None, None, None, 8)), node("y", "DepthToSpace", "x", T=FLOAT32, block_size=2))
    shape = convert(source, ["x"], ["y"]).program.outputs["y:0"].shape
    assert [str(size) for size in shape] == ["batch", "2*x_1", "2*x_2", "2"]


def test_blocks_that_make_no_sense():
    with pytest.raises(CorruptError, match="block_size is 0"):
        convert(graph(fed((1, 2, 2, 4)), node("y", "DepthToSpace", "x", block_size=0)), ["x"], ["y"])
    with pytest.raises(UnsupportedOperatorsError, match="NCHW_VECT_C"):
        source = graph(fed((1, 2, 2, 4)), node("y", "DepthToSpace", "x", block_size=2, data_format="NCHW_VECT_C"))
        convert(source, ["x"], ["y"])
