import numpy as np
import pytest
from tests.exporters.torch.execution import agrees, graph_of, ints, numbers, weight

from panmodel.dtypes import INT32, INT64
from panmodel.errors import UnsupportedOperatorsError
from panmodel.exporters.torch import export
from panmodel.model.model import Model

X = numbers(3, 5, 4)
PAIRS = np.array([[0, -1], [1, 2]])
KNOWN = pytest.mark.parametrize("known", ["static", "symbolic", "unknown"])


def applied(op, **attributes):
    return lambda build, *values: build.op(op, *values, **attributes)


@KNOWN
@pytest.mark.parametrize(
    ("starts", "ends", "axes", "steps"),
    [
        ([1], [3], [1], [1]),
        ([0, -3], [2, -1], [0, 1], [1, 1]),
        ([-100], [1 << 40], [1], [2]),
        ([-1], [-(1 << 40)], [1], [-1]),
        ([100], [-100], [1], [-2]),
        ([3], [0], [1], [-2]),
        ([-2, 1], [-5, 3], [1, 2], [-1, 1]),
        ([4], [2], [1], [1]),
    ],
)
def test_slices(starts, ends, axes, steps, known):
    agrees(lambda b, x: b.slice(x, starts, ends, axes, steps), X, known=known)
    operands = [np.array(bound) for bound in (starts, ends)]
    agrees(lambda b, x, s, e: b.op("Slice", x, s, e, ints(b, *axes), ints(b, *steps)), X, *operands)


def test_slices_before_opset_10_and_by_computed_steps():
    agrees(applied("Slice", starts=(1, -2), ends=(3, 9), axes=(1, 2)), X, opset=9)
    steps = np.array([-2])
    agrees(lambda b, x, s: b.op("Slice", x, ints(b, 4), ints(b, 0), ints(b, 1), s), X, steps)


def test_an_axis_from_the_end_of_an_unknown_rank_cannot_be_sliced():
    graph = graph_of(lambda b, x: b.slice(x, [1], [2], [-1]), X, known="unknown")
    with pytest.raises(UnsupportedOperatorsError, match="counts from the end"):
        export(Model("onnx", graph))


@KNOWN
@pytest.mark.parametrize("axis", [0, 1, 2, -1, -2, -3])
def test_gathers(axis, known):
    for indices in (2, -1, [0, 1], [2, 0, 0], [], [[0, 1], [-1, 0]]):
        constant = np.array(indices, np.int64)
        agrees(lambda b, x, c=constant: b.op("Gather", x, b.constant(c), axis=axis), X, known=known)
    for indices in (np.array(1), PAIRS, PAIRS.astype(np.int32)):
        agrees(applied("Gather", axis=axis), X, indices, known=known)


def test_gathers_read_as_indices():
    def line(axis, *indices, known="static"):
        constant = np.array(indices if len(indices) > 1 else indices[0])
        return agrees(lambda b, x: b.op("Gather", x, b.constant(constant), axis=axis), X, known=known)[0]

    assert line(1, 2) == "return in0[:, 2]"
    assert line(-1, 0, known="unknown") == "return in0[..., 0]"
    assert line(-2, 3, 1, known="unknown") == "return in0[..., [3, 1], :]"
    assert line(1, 2, 3) == "return in0[:, 2:4]"


def test_rows_of_weights_are_an_embedding():
    table = numbers(6, 3)
    line = agrees(lambda b, i: b.op("Gather", weight(b, table), i), np.array([[5, 0], [1, 1]], np.int32))
    assert line == ["return self.embedding(in0)"]


@pytest.mark.parametrize("dtype", [np.int32, np.int64])
def test_elements_along_an_axis(dtype):
    x, indices, updates = numbers(2, 3), np.array([[0, -1], [1, 2]], dtype), numbers(2, 2, seed=1)
    for axis in (1, -1):
        agrees(applied("GatherElements", axis=axis), x, indices)
        agrees(applied("ScatterElements", axis=axis), x, indices, updates)
    positive = np.array([[0, 1], [1, 2]], dtype)
    agrees(lambda b, v: b.op("GatherElements", v, b.constant(positive), axis=1), x)
    agrees(lambda b, v, u: b.op("ScatterElements", v, b.constant(positive), u, axis=1), x, updates)
    for how in ("add", "mul", "max", "min"):
        agrees(applied("ScatterElements", axis=1, reduction=how), x, indices, updates)


def test_tuples_of_indices():
    agrees(applied("GatherND"), X, PAIRS)
    agrees(applied("GatherND"), X, np.array([[[0, 1, -1]], [[1, 2, 3]]]))
    agrees(applied("GatherND", batch_dims=1), X, np.array([[0], [2], [-1]]))
    agrees(applied("GatherND", batch_dims=2), X[:, :2], np.array([[[0], [2]]] * 3))
    updates = numbers(2, 4, seed=1)
    agrees(applied("ScatterND"), X, PAIRS, updates)
    agrees(applied("ScatterND", reduction="add"), X, np.array([[0, 1], [0, 1]]), updates)


@pytest.mark.parametrize("op", ["ScatterND", "ScatterElements"])
def test_reductions_that_nothing_does_are_refused(op):
    x, indices = numbers(2, 2), np.zeros((2, 2), np.int64)
    updates = numbers(2) if op == "ScatterND" else x
    graph = graph_of(applied(op), x, indices, updates)
    graph.nodes[0].attributes["reduction"] = b"median"
    with pytest.raises(UnsupportedOperatorsError):
        export(Model("onnx", graph))


@pytest.mark.parametrize("axis", [0, 1, -1, -2])
@pytest.mark.parametrize("values", [(0.0, 1.0), (2.0, -1.0)])
def test_one_hot(axis, values):
    pair = np.array(values, np.float32)
    make = lambda b, i: b.op("OneHot", i, b.constant(3, INT64), b.constant(pair), axis=axis)  # noqa: E731
    agrees(make, np.array([[0, -1], [5, 2]]))
    agrees(lambda b, x: b.op("Add", x, make(b, b.constant(np.array([[0, 1], [2, 2]])))), np.zeros(1, np.float32))
    agrees(lambda b, i, d: b.op("OneHot", i, d, b.constant(pair), axis=axis), np.array([[0, 1]]), np.array([4]))


@pytest.mark.parametrize("upper", [0, 1])
@pytest.mark.parametrize("k", [-1, 0, 2])
def test_triangles(upper, k):
    agrees(lambda b, x: b.op("Trilu", x, b.constant(k, INT64), upper=upper), X)
    agrees(lambda b, x: b.op("Trilu", x, upper=upper), np.ones((3, 3), bool))


def test_where_something_is():
    agrees(applied("NonZero"), np.array([[1, 0], [2, 3]], np.int32))
    agrees(applied("Compress", axis=-1), X, np.array([True, False, True, True]))
    agrees(applied("Compress"), X, np.array([True, False, True]))
    agrees(lambda b, x: b.op("NonZero", b.op("Equal", x, b.constant(1, INT32))), np.array([1, 0, 1], np.int32))
