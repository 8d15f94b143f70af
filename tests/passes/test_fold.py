import numpy as np
import pytest
from tests.passes.running import assert_same, positive, weight

from panmodel import dtypes
from panmodel.model.builder import Builder
from panmodel.model.symbolic import Dim
from panmodel.model.tensor import ArrayTensor
from panmodel.passes import fold


def folded(build):
    before = build.graph()
    after = fold.run(before)
    assert_same(before, after)
    return after


def test_weight_normalization():
    """g · v / ‖v‖, as it stands in a graph."""
    build = Builder()
    x = build.input("x", dtypes.FLOAT32, (Dim.symbol("n"), 3))
    v, g = weight(build, "v", 3, 4), weight(build, "g", 4)
    norm = build.op("Sqrt", build.op("ReduceSum", build.op("Mul", v, v), build.constant([0]), keepdims=1))
    build.output("y", build.op("MatMul", x, build.op("Div", build.op("Mul", g, v), norm)))
    graph = folded(build)
    assert graph.operators() == {"MatMul": 1}
    (value,) = graph.initializers()
    assert set(value.tensor.origins) == {"v", "g"}
    assert not value.literal


@pytest.mark.parametrize(
    "write",
    [
        lambda b, w: b.op("Reciprocal", b.op("Sqrt", w)),
        lambda b, w: b.op("Pow", w, b.constant(-0.5)),
        lambda b, w: b.concat([w, b.op("Neg", w)], 0),
        lambda b, w: b.op("Softmax", w, axis=-1),
        lambda b, w: b.op("Cast", b.op("Cast", w, to=10), to=1),
        lambda b, w: b.op("Gather", w, b.constant([1, 0]), axis=0),
        lambda b, w: b.op("Add", *b.ops("Split", w, outputs=2, axis=0, num_outputs=2)),
        lambda b, w: b.op("Clip", w, None, b.constant(1.0)),
    ],
)
def test_operators_on_weights(write):
    build = Builder()
    x = build.input("x", dtypes.FLOAT32, ())
    build.output("y", build.op("Mul", x, write(build, positive(build, "w", 2, 4))))
    assert folded(build).operators() == {"Mul": 1}


def test_what_reads_an_input_stays():
    build = Builder()
    x = build.input("x", dtypes.FLOAT32, (4,))
    build.output("y", build.op("Exp", build.op("Mul", x, weight(build, "w", 4))))
    assert folded(build).operators() == {"Exp": 1, "Mul": 1}


def test_what_would_grow_large_stays():
    build = Builder()
    w = build.weight(ArrayTensor(np.ones((1, 8), np.float32), "w"))
    big = build.op("Tile", w, build.constant([1 << 20, 1]))
    build.output("y", build.op("ReduceSum", big, keepdims=0))
    graph = fold.run(build.graph())
    assert graph.operators() == {"ReduceSum": 1, "Tile": 1}


def test_random_numbers_stay():
    build = Builder()
    build.output("y", build.op("RandomNormalLike", weight(build, "w", 4)))
    assert fold.run(build.graph()).operators() == {"RandomNormalLike": 1}


def test_weights_are_not_read_without_need():
    class Unread(ArrayTensor):
        def numpy(self):
            raise AssertionError("read")

    build = Builder()
    x = build.input("x", dtypes.FLOAT32, (4,))
    build.output("y", build.op("Mul", x, build.weight(Unread(np.ones(4, np.float32), "w"))))
    assert fold.run(build.graph()).operators() == {"Mul": 1}
