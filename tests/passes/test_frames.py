"""Operators on permuted operands: permuting what an operator gives is what it gives for permuted operands.

Each is run by onnxruntime as it is, and rewritten for another frame between permutes of what lies in the frame.
"""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.passes.running import assert_same, weight

from panmodel import dtypes
from panmodel.model.builder import Builder, rebuild
from panmodel.model.symbolic import Dim
from panmodel.passes.frames import AGNOSTIC, dropped, inverse, moves_data

FLOAT, INT64 = dtypes.FLOAT32, dtypes.INT64
SIZES = (2, 3, 4, 5)
perms = st.integers(1, 5).flatmap(lambda rank: st.permutations(range(rank))).map(tuple)


@given(perms)
def test_the_inverse_undoes(perm):
    x = np.arange(120).reshape((1, 2, 3, 4, 5)[-len(perm) :] if len(perm) == 5 else (-1,) + (1,) * (len(perm) - 1))
    np.testing.assert_array_equal(x.transpose(perm).transpose(inverse(perm)), x)


@given(perms, st.data())
def test_dropped_axes_leave_the_order_of_the_others(perm, data):
    axes = data.draw(st.sets(st.integers(0, len(perm) - 1)))
    x = np.zeros([1 if axis in axes else axis + 2 for axis in range(len(perm))])
    gone = tuple(place for place, axis in enumerate(perm) if axis in axes)
    want = x.transpose(perm).squeeze(gone).shape
    assert x.squeeze(tuple(axes)).transpose(dropped(perm, sorted(axes))).shape == want


@given(perms, st.data())
def test_data_moves_where_the_elements_come_in_another_order(perm, data):
    shape = data.draw(st.lists(st.integers(1, 3), min_size=len(perm), max_size=len(perm)))
    from panmodel.model.graph import Value

    x = np.arange(np.prod(shape)).reshape(shape)
    moved = x.transpose(perm).ravel().tolist() != x.ravel().tolist()
    assert moves_data(Value("x", FLOAT, tuple(shape)), perm) == moved
    unknown = Value("x", FLOAT, tuple(Dim.symbol(f"s{axis}") for axis in perm))
    assert moves_data(unknown, perm) == (perm != tuple(range(len(perm))))


def moved(graph, perm):
    """The graph with its one node in another frame, and permutes around it."""
    build, (node,) = rebuild(graph), graph.nodes
    rule = AGNOSTIC[node.op]
    assert graph.opset >= rule.since
    members = dict(rule.members(node))
    inside = dict(zip(graph.inputs, build.inputs, strict=True))
    inputs = [
        build.transpose(inside[value], dropped(perm, members[value])) if value in members else inside.get(value, value)
        for value in node.inputs
    ]
    operands, attributes = rule.remap(node, inputs, perm, build)
    results = build.ops(node.op, *operands, outputs=len(node.outputs), **attributes)
    for (name, old), new in zip(graph.outputs.items(), results, strict=True):
        gone = members[old]
        build.output(name, build.transpose(new, inverse(dropped(perm, gone))))
    return build.graph()


def one(write, opset=18, shape=SIZES):
    build = Builder(opset=opset)
    results = write(build, build.input("x", FLOAT, shape))
    for number, value in enumerate(results if isinstance(results, tuple) else (results,)):
        build.output(f"y{number}", value)
    graph = build.graph()
    assert len(graph.nodes) == 1
    return graph


CASES = {
    "unary": lambda b, x: b.op("Tanh", x),
    "cast": lambda b, x: b.op("Cast", x, to=11),
    "clip": lambda b, x: b.op("Clip", x, b.constant(-0.5), b.constant(0.5)),
    "add vector": lambda b, x: b.op("Add", x, weight(b, "w", 5)),
    "add weight": lambda b, x: b.op("Sub", weight(b, "w", 3, 1, 5), x),
    "add full": lambda b, x: b.op("Mul", x, weight(b, "w", 2, 3, 4, 5)),
    "add itself": lambda b, x: b.op("Add", x, x),
    "prelu": lambda b, x: b.op("PRelu", x, weight(b, "slope", 4, 1)),
    "computed operand of the same rank": lambda b, x: b.op("Add", x, b.input("z", FLOAT, (1, 3, 1, 5))),
    "computed vector": lambda b, x: b.op("Div", x, b.input("z", FLOAT, (5,))),
    "where": lambda b, x: b.op("Where", b.constant([True, False, True, True, False]), x, b.constant(0.0)),
    "softmax": lambda b, x: b.op("Softmax", x, axis=-2),
    "softmax by default": lambda b, x: b.op("LogSoftmax", x),
    "argmax": lambda b, x: b.op("ArgMax", x, axis=-1),
    "argmin without the axis": lambda b, x: b.op("ArgMin", x, axis=1, keepdims=0),
    "split": lambda b, x: b.ops("Split", x, b.constant([1, 3]), outputs=2, axis=2),
    "concat": lambda b, x: b.op("Concat", x, weight(b, "w", 2, 1, 4, 5), x, axis=-3),
    "gather one": lambda b, x: b.op("Gather", x, b.constant(2), axis=-1),
    "gather some": lambda b, x: b.op("Gather", x, b.constant([2, 0, 0]), axis=1),
    "mean": lambda b, x: b.op("ReduceMean", x, b.constant([1, -1])),
    "sum without axes": lambda b, x: b.op("ReduceSum", x, b.constant([-2, 0]), keepdims=0),
    "max of all": lambda b, x: b.op("ReduceMax", x, keepdims=0),
    "nothing reduced": lambda b, x: b.op("ReduceMax", x, noop_with_empty_axes=1),
    "pad": lambda b, x: b.op("Pad", x, b.constant([0, 1, 2, 0, 3, 0, 0, 1])),
    "pad some axes": lambda b, x: b.op("Pad", x, b.constant([1, 2, 0, 3]), None, b.constant([-1, 1])),
    "computed pads": lambda b, x: b.op("Pad", x, b.input("pads", INT64, (8,))),
    "slice": lambda b, x: b.op("Slice", x, b.constant([1, 0]), b.constant([3, 2]), b.constant([-1, 1])),
    "slice of the first axes": lambda b, x: b.op("Slice", x, b.constant([1, 0, 2]), b.constant([2, 2, 4])),
    "slice with steps": lambda b, x: b.op(
        "Slice", x, b.constant([-1, 0]), b.constant([-9, 9]), b.constant([3, 2]), b.constant([-2, 3])
    ),
    "tile": lambda b, x: b.op("Tile", x, b.constant([1, 2, 1, 3])),
    "expand": lambda b, x: b.op("Expand", x, b.constant([2, 3, 4, 5])),
    "cumsum": lambda b, x: b.op("CumSum", x, b.constant(-2), reverse=1),
}  # fmt: skip

#: The ways in which operators were written in older opsets.
OLD = {
    "reduced axes": (11, lambda b, x: b.op("ReduceSum", x, axes=(1, -1), keepdims=0)),
    "clip": (9, lambda b, x: b.op("Clip", x, min=0.0, max=0.5)),
    "pads": (9, lambda b, x: b.op("Pad", x, pads=(0, 1, 2, 0, 3, 0, 0, 1))),
    "slice": (9, lambda b, x: b.op("Slice", x, axes=(1, 3), starts=(1, 0), ends=(3, 4))),
    "slice of the first axes": (9, lambda b, x: b.op("Slice", x, starts=(1, 0), ends=(2, 2))),
    "split": (11, lambda b, x: b.ops("Split", x, outputs=2, axis=-2, split=(1, 3))),
}

FRAMES = [(0, 3, 1, 2), (0, 2, 3, 1), (3, 1, 0, 2), (1, 0, 2, 3)]


@pytest.mark.parametrize("perm", FRAMES)
@pytest.mark.parametrize("name", CASES)
def test_computes_the_same_in_another_frame(name, perm):
    graph = one(CASES[name])
    assert_same(graph, moved(graph, perm))


@pytest.mark.parametrize("perm", FRAMES[:3])
@pytest.mark.parametrize("name", OLD)
def test_the_older_ways_of_writing(name, perm):
    opset, write = OLD[name]
    graph = one(write, opset)
    assert_same(graph, moved(graph, perm))


@pytest.mark.parametrize("perm", FRAMES)
@pytest.mark.parametrize("op", ["Squeeze", "Unsqueeze"])
def test_axes_of_one_come_and_go(op, perm):
    shape = (2, 1, 4, 1) if op == "Squeeze" else (2, 4)
    graph = one(lambda b, x: b.op(op, x, b.constant([1, -1])), shape=shape)
    assert_same(graph, moved(graph, perm))


LEFT = {
    "a smaller operand with axes of its own": lambda b, x: b.op("Add", x, b.input("z", FLOAT, (4, 5))),
    "an operand of unknown shape": lambda b, x: b.op("Neg", b.input("z", FLOAT, None)),
    "computed axes": lambda b, x: b.op("ReduceSum", x, b.input("axes", INT64, (2,))),
    "computed axes of a slice": lambda b, x: b.op(
        "Slice", x, b.constant([1]), b.constant([2]), b.input("axes", INT64, (1,))
    ),
    "computed axes of a padding": lambda b, x: b.op(
        "Pad", x, b.constant([1, 1]), None, b.input("axes", INT64, (1,))
    ),
    "a computed axis of sums": lambda b, x: b.op("CumSum", x, b.input("axis", INT64, ())),
    "a table of indices": lambda b, x: b.op("Gather", x, b.constant([[0, 1]]), axis=1),
    "fewer repeats than axes": lambda b, x: b.op("Expand", x, b.constant([7, 2, 3, 4, 5])),
}  # fmt: skip


@pytest.mark.parametrize("name", LEFT)
def test_what_cannot_be_moved_says_so(name):
    build = Builder()
    value = LEFT[name](build, build.input("x", FLOAT, SIZES))
    assert AGNOSTIC[value.node.op].members(value.node) is None
