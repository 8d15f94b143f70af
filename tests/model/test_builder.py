import numpy as np
import pytest

from panmodel.dtypes import FLOAT32, INT32, INT64
from panmodel.errors import CorruptError
from panmodel.model.builder import Builder, rebuild
from panmodel.model.symbolic import Dim
from panmodel.model.tensor import ArrayTensor

N, H = Dim.symbol("n"), Dim.symbol("h")


def stored(array, name):
    tensor = ArrayTensor(np.asarray(array, np.float32))
    tensor.name = name
    return tensor


def test_equal_literals_are_one_value():
    build = Builder()
    assert build.constant([1, 2]) is build.constant(np.int64([1, 2]))
    assert build.constant([1, 2]) is not build.constant([1, 2], INT32)
    assert build.constant(1.5).dtype is FLOAT32
    assert build.constant(np.float64(1.5)).dtype.name == "float64"
    assert build.constant([]).shape == (0,)


def test_names_are_unique_and_follow_the_source():
    build = Builder()
    x = build.input("x", FLOAT32, (2,))
    with build.at("scope/relu"):
        first, second = build.op("Relu", x), build.op("Relu", x)
    assert (first.name, second.name) == ("scope/relu/Relu", "scope/relu/Relu_1")
    assert first.node.name == "scope/relu"
    build.rename(first, "scope/relu:0")
    build.rename(second, "scope/relu:0")
    build.rename(x, "y")
    assert (first.name, second.name, x.name) == ("scope/relu:0", "scope/relu/Relu_1", "x")
    assert build.input("x", FLOAT32, ()).name == "x_1"


def test_nodes_that_no_output_needs_are_left_out():
    build = Builder()
    x = build.input("x", FLOAT32, (2,))
    kept = build.op("Neg", build.op("Abs", x))
    build.op("Exp", kept)
    build.output("y", kept)
    assert [node.op for node in build.graph().nodes] == ["Abs", "Neg"]


def test_views_of_weights_take_the_name_of_their_variable():
    build = Builder()
    weight = build.weight(stored([[1, 2]], "dense/kernel"))
    view = build.transpose(weight, (1, 0))
    build.output("y", build.op("MatMul", weight, view))
    assert [value.name for value in build.graph().initializers()] == ["dense/kernel", "dense/kernel_1"]
    alone = Builder()
    alone.output("y", alone.op("Neg", alone.transpose(alone.weight(stored([[1, 2]], "dense/kernel")), (1, 0))))
    assert [value.name for value in alone.graph().initializers()] == ["dense/kernel"]


def test_transposes_that_follow_each_other_are_one():
    build = Builder()
    x = build.input("x", FLOAT32, (N, 2, 3, 4))
    assert build.channels_last(build.channels_first(x)) is x
    twice = build.transpose(build.transpose(x, (1, 0, 2, 3)), (0, 2, 1, 3))
    assert twice.node.inputs[0] is x
    assert twice.node.attr("perm") == (1, 2, 0, 3)
    assert twice.shape == (2, 3, N, 4)


@pytest.mark.parametrize(
    ("before", "sizes", "target"),
    [
        ((N, 3, 4), (N, 12), [0, 12]),
        ((N, 3, 4), (3 * N, 4), [-1, 4]),
        ((N, H, 4), (N, 4 * H), [0, -1]),
        ((N, 3, 4), (-1, 12), [-1, 12]),
        ((2, 6), (3, 4), [3, 4]),
        ((0, 6), (6, 0), [6, 0]),
        (None, (N, 4), [-1, 4]),
    ],
)
def test_reshapes_are_constant(before, sizes, target):
    build = Builder()
    result = build.reshape(build.input("x", FLOAT32, before), sizes)
    assert result.node.inputs[1].array().tolist() == target
    if -1 not in sizes:
        assert result.shape == sizes


def test_sizes_are_python_numbers():
    build = Builder()
    result = build.reshape(build.input("x", FLOAT32, (2, 6)), build.constant([3, 4]))
    assert [type(size) for size in result.shape] == [int, int]


def test_reshapes_to_what_is_computed():
    build = Builder()
    x, y = build.input("x", FLOAT32, (N, H)), build.input("y", FLOAT32, (H, N))
    swapped = build.reshape(x, build.shape(y))
    assert swapped.node.inputs[1].node.op == "Shape"
    assert swapped.shape == (H, N)
    assert build.reshape(x, build.shape(x)) is x
    free = build.reshape(x, build.input("sizes", INT64, (3,)))
    assert free.rank == 3
    assert free.node.attr("allowzero") == 1
    with pytest.raises(CorruptError, match="2 sizes are unknown"):
        build.reshape(x, (H, N))


def test_sizes():
    build = Builder()
    x = build.input("x", FLOAT32, (N, 3))
    assert build.sizes((2, 3)).array().tolist() == [2, 3]
    assert build.sizes((N, 3)) is None
    assert build.size(x, 1).array().tolist() == [3]
    assert build.size(x, 0).content.tolist() == [N]
    assert build.fresh() != build.fresh()


def test_small_forms():
    build = Builder()
    x = build.input("x", FLOAT32, (1, 4))
    assert build.squeeze(x, [0]).shape == (4,)
    assert build.unsqueeze(x, [0]).shape == (1, 1, 4)
    assert build.concat([x], 0) is x
    assert build.concat([x, x], 0).shape == (2, 4)
    assert build.slice(x, [1], [4], [1], [2]).shape == (1, 2)
    assert build.cast(x, INT32).dtype is INT32


def test_a_graph_is_rebuilt():
    build = Builder(name="net", opsets={"a": 2})
    x = build.input("x", FLOAT32, (N, 3))
    with build.at("sum"):
        y = build.op("Add", x, build.weight(stored([1, 2, 3], "bias")))
    build.rename(y, "sum:0")
    build.output("y", build.op("Split", y, None, axis=1, num_outputs=1))
    graph = build.graph()
    again = rebuild(graph)
    values = dict(zip(graph.inputs, again.inputs, strict=True))
    for node in graph.nodes:
        results = again.add(node, [values.get(value, value) for value in node.inputs], node.attributes)
        values.update(zip(node.outputs, results, strict=True))
    again.output("y", values[graph.outputs["y"]])
    copy = again.graph()
    assert (copy.name, copy.opsets) == ("net", {"a": 2})
    assert [(node.op, node.name, node.output.name) for node in copy.nodes] == [
        (node.op, node.name, node.output.name) for node in graph.nodes
    ]
    assert copy.nodes[0] is not graph.nodes[0]
    assert copy.outputs["y"].shape == graph.outputs["y"].shape
