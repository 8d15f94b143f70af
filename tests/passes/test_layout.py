import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.passes.running import assert_same, run, weight

from panmodel import dtypes
from panmodel.model.builder import Builder
from panmodel.model.graph import Graph, Node, Value
from panmodel.model.symbolic import Dim
from panmodel.passes import layout, optimize, simplify

N = Dim.symbol("n")
FLOAT = dtypes.FLOAT32


def conv(build, x, channels, name):
    """A convolution as importers write it in a graph with the channels last."""
    rank = len(x.shape)
    kernel = weight(build, name, channels, x.shape[-1], *(3,) * (rank - 2))
    with build.at(name):
        y = build.op("Conv", build.channels_first(x), kernel, pads=(1,) * (2 * (rank - 2)))
        return build.channels_last(y)


def start(*shape, channels=3):
    build = Builder()
    return build, build.input("x", FLOAT, (N, *(shape or (6, 5)), channels))


def check(build, most, **outputs):
    """The pass keeps what is computed and leaves at most so many transposes."""
    for name, value in outputs.items():
        build.output(name, value)
    before = build.graph()
    after = layout.run(before)
    assert_same(before, after)
    assert layout.permutes(after) <= min(most, layout.permutes(before)), after.operators()
    return after


@pytest.mark.parametrize("sizes", [(6,), (6, 5), (4, 3, 5)])
def test_a_chain_of_convolutions(sizes):
    build, x = start(*sizes)
    y = build.op("Add", conv(build, x, 4, "a"), weight(build, "bias", 4))
    y = build.op("Add", conv(build, build.op("Relu", y), 4, "b"), y)
    graph = check(build, 2, y=y)
    assert graph.operators()["Transpose"] == 2


def test_a_channels_first_graph_stays_as_it_is():
    build = Builder()
    x = build.input("x", FLOAT, (N, 3, 6, 6))
    build.output("y", build.op("Conv", x, weight(build, "w", 4, 3, 3, 3)))
    graph = build.graph()
    assert layout.run(graph) is graph


def test_a_bias_of_channels_becomes_a_view_of_the_variable():
    build, x = start()
    y = build.op("Mul", conv(build, x, 4, "a"), weight(build, "scale", 4))
    graph = check(build, 2, y=conv(build, y, 4, "b"))
    (scale,) = (value for value in graph.initializers() if value.name == "scale")
    assert scale.shape == (4, 1, 1)
    assert scale.tensor.base.shape == (4,)


def test_full_constants_are_permuted_lazily():
    build, x = start()
    y = build.op("Mul", conv(build, x, 4, "a"), weight(build, "mask", 6, 5, 4))
    graph = check(build, 2, y=conv(build, y, 4, "b"))
    (mask,) = (value for value in graph.initializers() if value.name == "mask")
    assert mask.shape == (4, 6, 5)


AXIS_CASES = {
    "concat": lambda b, y: b.concat([y, b.op("Relu", y)], -1),
    "concat with a constant": lambda b, y: b.concat([b.slice(y, [0], [1], [0]), weight(b, "k", 1, 6, 5, 2)], 3),
    "pad": lambda b, y: b.op("Pad", y, b.constant([0, 1, 2, 0, 0, 0, 1, 0])),
    "pad axes": lambda b, y: b.op("Pad", y, b.constant([1, 1]), None, b.constant([-3])),
    "pad reflect": lambda b, y: b.op("Pad", y, b.constant([0, 1, 2, 0, 0, 0, 1, 0]), mode="reflect"),
    "mean": lambda b, y: b.op("ReduceMean", y, b.constant([1, 2]), keepdims=1),
    "max of channels": lambda b, y: b.op("ReduceMax", y, b.constant([-1]), keepdims=1),
    "softmax": lambda b, y: b.op("Softmax", y, axis=-1),
    "slice": lambda b, y: b.slice(y, [1, 0], [4, 100], [1, 3]),
    "slice without axes": lambda b, y: b.op("Slice", y, b.constant([0, 1]), b.constant([2, 5])),
    "slice with steps": lambda b, y: b.slice(y, [4], [-100], [1], [-2]),
    "split": lambda b, y: b.op("Add", *b.ops("Split", y, outputs=2, axis=3, num_outputs=2)),
    "tile": lambda b, y: b.op("Tile", y, b.constant([1, 2, 1, 1])),
    "expand": lambda b, y: b.op("Expand", b.slice(y, [0], [1], [1]), b.constant([1, 3, 1, 1])),
    "cumsum": lambda b, y: b.op("CumSum", y, b.constant(2)),
    "gather": lambda b, y: b.op("Gather", y, b.constant([2, 0, 1]), axis=3),
    "where": lambda b, y: b.op("Where", b.op("Greater", y, b.constant(0.0)), y, weight(b, "other", 4)),
    "clip": lambda b, y: b.op("Clip", y, b.constant(-1.0), b.constant(1.0)),
    "cast": lambda b, y: b.op("Cast", b.op("Cast", y, to=11), to=1),
    "prelu": lambda b, y: b.op("PRelu", y, weight(b, "slope", 1, 1, 4)),
    "scalar": lambda b, y: b.op("Mul", y, b.constant(2.0)),
}


@pytest.mark.parametrize("name", AXIS_CASES)
def test_operators_with_axes(name):
    build, x = start()
    y = AXIS_CASES[name](build, conv(build, x, 4, "a"))
    check(build, 2, y=conv(build, y, 3, "b"))


LEAVING_CASES = {
    "mean": lambda b, y: b.op("ReduceMean", y, b.constant([1, 2]), keepdims=0),
    "sum of all": lambda b, y: b.op("ReduceSum", y, keepdims=0),
    "argmax of channels": lambda b, y: b.op("ArgMax", y, axis=3, keepdims=0),
    "argmin": lambda b, y: b.op("ArgMin", y, axis=-1, keepdims=0),
    "channel": lambda b, y: b.op("Gather", y, b.constant(1), axis=-1),
    "squeeze": lambda b, y: b.squeeze(b.slice(y, [0], [1], [3]), [3]),
    "squeeze of pooled": lambda b, y: b.squeeze(b.op("ReduceMax", y, b.constant([1, 2]), keepdims=1), [1, 2]),
}


@pytest.mark.parametrize("name", LEAVING_CASES)
def test_operators_that_leave_the_frame(name):
    build, x = start()
    check(build, 1, y=LEAVING_CASES[name](build, conv(build, x, 4, "a")))


def test_squeeze_and_excitation():
    """Computed factors for each channel come back through Unsqueeze."""
    build, x = start()
    y = conv(build, x, 4, "a")
    gate = build.op(
        "Sigmoid",
        build.op("MatMul", build.op("ReduceMean", y, build.constant([1, 2]), keepdims=0), weight(build, "w", 4, 4)),
    )
    y = build.op("Mul", y, build.unsqueeze(gate, [1, 2]))
    check(build, 2, y=conv(build, y, 4, "b"))


def test_a_computed_vector_broadcasts():
    build, x = start()
    v = build.input("v", FLOAT, (4,))
    y = build.op("Mul", conv(build, x, 4, "a"), v)
    check(build, 2, y=conv(build, y, 4, "b"))


def test_shapes_are_read_in_the_old_order():
    build = Builder()
    x = build.input("x", FLOAT, (N, Dim.symbol("h"), Dim.symbol("w"), 3))
    y = conv(build, x, 4, "a")
    z = build.op("Relu", y)
    shape = build.op("Shape", z)
    shape.content = None  # as in a graph that was read, whose contents nobody followed
    check(build, 2, y=conv(build, z, 4, "b"), shape=shape, part=build.op("Shape", y, start=1, end=3))


def test_sizes_computed_from_shapes():
    build = Builder()
    x = build.input("x", FLOAT, (N, Dim.symbol("h"), Dim.symbol("w"), 3))
    y = conv(build, x, 4, "a")
    repeats = build.op("Cast", build.op("Div", build.op("Shape", y), build.op("Shape", y)), to=7)
    y = build.op("Tile", y, repeats)
    check(build, 2, y=conv(build, y, 4, "b"))


def test_both_layouts_wanted_costs_one_transpose():
    build, x = start()
    y = build.op("Relu", conv(build, x, 4, "a"))
    flat = build.reshape(y, (N, 120))
    check(build, 2, y=flat, z=build.op("Neg", y), first=build.channels_first(y))


def test_the_smallest_value_is_transposed():
    """Between a convolution and a reader that needs the channels last, the cut goes where least is moved."""
    build, x = start(channels=1)
    y = build.op("Relu", conv(build, x, 64, "a"))
    y = build.op("ReduceMax", y, build.constant([1]), keepdims=1)
    graph = check(build, 1, y=build.op("Abs", y))
    (moved,) = (
        node for node in graph.nodes if node.op == "Transpose" and layout.moves_data(node.inputs[0], node.attr("perm"))
    )
    assert moved.output.shape[1] == 1


def test_a_single_channel_needs_no_transpose():
    build, x = start(channels=1)
    y = build.op("Tanh", conv(build, x, 4, "a"))
    graph = check(build, 0, y=conv(build, y, 1, "b"))
    assert layout.permutes(graph) == 0


def test_other_transposes_take_either_form():
    build, x = start()
    y = build.op("Relu", conv(build, x, 4, "a"))
    check(build, 2, y=build.transpose(y, (0, 2, 1, 3)))


def test_bodies_read_captured_values_as_before():
    build, x = start()
    y = build.op("Relu", conv(build, x, 4, "a"))
    inner = Builder()
    then = inner.op("ReduceSum", y, inner.constant([1]), keepdims=0)
    inner.output("then", then)
    other = Builder()
    other.output("else", other.op("ReduceMax", y, other.constant([1]), keepdims=0))
    condition = build.op("Greater", build.op("ReduceMax", x, keepdims=0), build.constant(0.0))
    before = build.graph()
    result = Value("z", FLOAT, (N, 5, 4))
    node = Node("If", (condition,), (result,), {"then_branch": inner.graph(), "else_branch": other.graph()}, "if")
    result.node = node
    graph = Graph(before.inputs, {"z": result, "y": conv(build, y, 2, "b")}, [*build.nodes, node])
    after = layout.run(graph)
    feeds = {"x": np.random.default_rng(0).standard_normal((2, 6, 5, 3)).astype(np.float32)}
    for want, have in zip(run(graph, feeds), run(after, feeds), strict=True):
        np.testing.assert_allclose(have, want, rtol=1e-5, atol=1e-5)
    assert layout.permutes(after) < layout.permutes(graph)


@pytest.mark.parametrize("opset", [9, 11, 12, 13, 18, 21])
def test_softmax_of_old_opsets_is_not_moved(opset):
    build = Builder(opset=opset)
    x = build.input("x", FLOAT, (N, 6, 5, 3))
    y = build.op("Softmax", conv(build, x, 4, "a"), axis=3)
    build.output("y", conv(build, y, 4, "b"))
    before = build.graph()
    after = layout.run(before)
    assert_same(before, after)
    assert layout.permutes(after) == (2 if opset >= 13 else 4)


def test_attributes_of_old_opsets():
    build = Builder(opset=9)
    x = build.input("x", FLOAT, (2, 6, 5, 3))
    y = conv(build, x, 4, "a")
    y = build.op("Pad", y, mode="constant", pads=(0, 1, 2, 0, 0, 0, 1, 0))
    y = build.op("Slice", y, starts=(1, 1), ends=(5, 4), axes=(1, 3))
    y = build.op("ReduceMean", y, axes=(2,), keepdims=1)
    before = build
    before.output("y", conv(build, y, 4, "b"))
    graph = before.graph()
    after = layout.run(graph)
    assert_same(graph, after)
    assert layout.permutes(after) == 2


def test_names_follow_the_source():
    build, x = start()
    y = conv(build, x, 4, "a")
    build.rename(y, "a:0")
    graph = check(build, 2, y=conv(build, build.op("Relu", y), 4, "b"))
    (found,) = (node for node in graph.nodes if node.output.name == "a:0")
    assert found.op == "Conv"


STEPS = {
    "conv": lambda b, values, pick, name: conv(b, values[pick], 4, name),
    "relu": lambda b, values, pick, _: b.op("Relu", values[pick]),
    "add": lambda b, values, pick, _: b.op("Add", values[pick], values[-1]),
    "bias": lambda b, values, pick, name: b.op("Add", values[pick], weight(b, name, 4)),
    "mask": lambda b, values, pick, name: b.op("Mul", weight(b, name, 5, 4), values[pick]),
    "softmax": lambda b, values, pick, _: b.op("Softmax", values[pick], axis=-1),
    "pooled": lambda b, values, pick, _: b.op("Add", values[-1], b.op("ReduceMean", values[pick], b.constant([1, 2]))),
    "reversed": lambda b, values, pick, _: b.slice(values[pick], [-1], [-100], [2], [-1]),
    "flat": lambda b, values, pick, _: b.reshape(b.reshape(values[pick], (N, 120)), (N, 6, 5, 4)),
    "first": lambda b, values, pick, _: b.channels_last(b.op("Abs", b.channels_first(values[pick]))),
    "cast": lambda b, values, pick, _: b.op("Cast", b.op("Cast", values[pick], to=11), to=1),
    "swap": lambda b, values, pick, _: b.concat(
        [b.slice(values[pick], [2], [4], [3]), b.slice(values[-1], [0], [2], [3])], 3
    ),
}  # fmt: skip


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(sorted(STEPS)), st.integers(0, 20)), min_size=1, max_size=9), st.booleans())
def test_random_graphs(steps, both):
    build = Builder()
    values = [build.input("x", FLOAT, (N, 6, 5, 4))]
    for number, (step, pick) in enumerate(steps):
        values.append(STEPS[step](build, values, pick % len(values), f"w{number}"))
    build.output("y", values[-1])
    if both:
        build.output("z", values[len(values) // 2])
    before = build.graph()
    after = layout.run(before)
    assert_same(before, after)
    assert layout.permutes(after) <= layout.permutes(before)
    assert_same(before, optimize(before))


def test_size_one_transposes_become_reshapes():
    build = Builder()
    x = build.input("x", FLOAT, (N, 6, 5, 1))
    build.output("y", build.channels_first(x))
    graph = simplify.run(build.graph())
    assert graph.operators() == {"Reshape": 1}
    assert_same(build.graph(), graph)
    assert run(graph)[0].shape == (2, 1, 6, 5)
