import itertools

import numpy as np
import pytest
from tests.importers.tensorflow.execution import convert, execute
from tests.importers.tensorflow.single import SIZES, array, operators, run
from tests.tensorflow_graphs import Shape, const, graph, node

from panmodel.dtypes import FLOAT32, INT32, INT64

X = array("float32", 2, 3, 4)


@pytest.mark.parametrize("sizes", SIZES)
@pytest.mark.parametrize("out", [INT32, INT64])
def test_what_is_asked_of_shapes(sizes, out):
    shape = run("Shape", X, sizes=sizes, out_type=out)
    assert (shape.tolist(), shape.dtype) == ([2, 3, 4], out.numpy)
    size = run("Size", X, sizes=sizes, out_type=out)
    assert (size, size.dtype) == (24, out.numpy)
    rank = run("Rank", X, sizes=sizes)
    assert (rank, rank.dtype) == (3, np.int32)


def test_several_shapes():
    first, second = run("ShapeN", X, X[0], count=2, N=2)
    assert (first.tolist(), second.tolist()) == ([2, 3, 4], [3, 4])


@pytest.mark.parametrize("sizes", SIZES)
@pytest.mark.parametrize("shape", [[24], [-1], [4, -1], [2, 3, 4], [3, 1, 8], [-1, 1, 2, 3]])
@pytest.mark.parametrize("computed", [False, True])
def test_reshape(sizes, shape, computed):
    target = np.array(shape, np.int32) if computed else shape
    np.testing.assert_array_equal(run("Reshape", X, target, sizes=sizes), X.reshape(shape))


@pytest.mark.parametrize("target", [[0, 3], np.int64([0, 3]), [3, 0], np.int32([-1, 4])])
def test_reshape_nothing(target):
    found = run("Reshape", np.zeros((5, 0), np.float32), target, sizes="unknown")
    assert found.shape == tuple(max(size, 0) for size in target)


def flatten_nodes():
    """x → [batch, everything else], as tf.layers.flatten writes it."""
    return [
        node("x", "Placeholder", dtype=FLOAT32, shape=Shape((None, 3, 4))),
        node("shape", "Shape", "x", T=FLOAT32, out_type=INT32),
        *(const(name, [number]) for name, number in (("begin", 0), ("end", 1), ("step", 1))),
        node("first", "StridedSlice", "shape", "begin", "end", "step", T=INT32, shrink_axis_mask=1),
        const("rest", -1),
        node("target", "Pack", "first", "rest", T=INT32, N=2, axis=0),
        node("y", "Reshape", "x", "target", T=FLOAT32),
    ]


def test_flattening_is_one_reshape():
    model = convert(graph(*flatten_nodes()), ["x:0"], ["y:0"])
    (made,) = model.program.nodes
    assert made.op == "Reshape"
    assert made.inputs[1].array().tolist() == [0, -1]
    assert made.output.shape[1] == 12
    np.testing.assert_array_equal(execute(model, {"x:0": X})[0], X.reshape(2, 12))


@pytest.mark.parametrize("sizes", SIZES)
@pytest.mark.parametrize("axes", [[], [1], [-1], [3, 1], [-2, -1]])
def test_squeeze(sizes, axes):
    x = X[:, None, :, :1, None]
    expected = np.squeeze(x, tuple(axes) or None)
    np.testing.assert_array_equal(run("Squeeze", x, sizes=sizes, squeeze_dims=axes), expected)


def test_squeeze_everything_of_unknown_size():
    assert run("Squeeze", X[:1, :, :1], sizes="unknown", squeeze_dims=[]).shape == (3,)


@pytest.mark.parametrize("sizes", SIZES)
@pytest.mark.parametrize("axis", [0, 2, -1, -4, np.int32(1), np.int64(-2), np.int32([3])])
def test_expand_dims(sizes, axis):
    np.testing.assert_array_equal(run("ExpandDims", X, axis, sizes=sizes), np.expand_dims(X, int(np.ravel(axis)[0])))


@pytest.mark.parametrize("perm", list(itertools.permutations(range(3))))
@pytest.mark.parametrize("sizes", ["known", "unknown"])
def test_transpose(perm, sizes):
    for given in (list(perm), np.array(perm, np.int32)):
        np.testing.assert_array_equal(run("Transpose", X, given, sizes=sizes), X.transpose(perm))


def test_known_orders_of_axes_are_one_transpose():
    assert operators("Transpose", X, [2, 0, 1], sizes="unranked") == ["Transpose"]
    assert operators("Transpose", X, [0, 1, 2]) == []
