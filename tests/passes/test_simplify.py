import numpy as np
import pytest
from tests.passes.running import assert_same, run

from panmodel import dtypes
from panmodel.model.builder import Builder
from panmodel.model.graph import Graph, Node, Value
from panmodel.model.symbolic import Dim
from panmodel.passes import duplicates, shapes, simplify
from panmodel.passes.rewrite import rewrite

N, H = Dim.symbol("n"), Dim.symbol("h")
FLOAT = dtypes.FLOAT32

GONE = {
    "casts": (lambda b, x: b.op("Cast", b.op("Cast", x, to=11), to=1), {}),
    "casts to another": (lambda b, x: b.op("Cast", b.op("Cast", x, to=11), to=6), {"Cast": 1}),
    "reshapes": (
        lambda b, x: b.op("Reshape", b.op("Reshape", x, b.constant([-1, 6])), b.constant([-1, 3, 2])),
        {"Reshape": 1},
    ),
    "squeeze after reshape": (lambda b, x: b.squeeze(b.op("Reshape", x, b.constant([-1, 1, 24])), [1]), {"Reshape": 1}),
    "pad": (lambda b, x: b.op("Pad", x, b.constant([0] * 6)), {}),
    "slice": (lambda b, x: b.slice(x, [0, 0], [100, 4], [2, 1]), {}),
    "tile": (lambda b, x: b.op("Tile", x, b.constant([1, 1, 1])), {}),
    "expand": (lambda b, x: b.op("Expand", x, b.constant([1, 4, 1])), {}),
    "dropout": (lambda b, x: b.op("Dropout", x, b.constant(0.5), b.constant(False)), {}),
    "dropout by default": (lambda b, x: b.op("Dropout", x), {}),
    "transposes": (lambda b, x: b.transpose(b.transpose(x, (2, 0, 1)), (1, 2, 0)), {}),
}  # fmt: skip

LEFT = {
    "narrow casts": lambda b, x: b.op("Cast", b.op("Cast", x, to=6), to=1),
    "half casts": lambda b, x: b.op("Cast", b.op("Cast", x, to=10), to=1),
    "pad by one": lambda b, x: b.op("Pad", x, b.constant([0, 0, 1, 0, 0, 0])),
    "reversed": lambda b, x: b.slice(x, [-1], [-100], [1], [-1]),
    "tile by two": lambda b, x: b.op("Tile", x, b.constant([1, 2, 1])),
    "expand by two": lambda b, x: b.op("Expand", b.slice(x, [0], [1], [1]), b.constant([1, 2, 1])),
    "transpose": lambda b, x: b.transpose(x, (0, 2, 1)),
}


def graph_of(write):
    build = Builder()
    build.output("y", build.op("Neg", write(build, build.op("Relu", build.input("x", FLOAT, (N, 4, 6))))))
    return build.graph()


@pytest.mark.parametrize("name", GONE)
def test_what_changes_nothing_goes(name):
    write, left = GONE[name]
    before = graph_of(write)
    after = simplify.run(before)
    assert_same(before, after)
    assert after.operators() == dict(sorted({"Neg": 1, "Relu": 1, **left}.items()))


@pytest.mark.parametrize("name", LEFT)
def test_what_changes_something_stays(name):
    before = graph_of(LEFT[name])
    after = simplify.run(before)
    assert_same(before, after)
    assert after.operators() == before.operators()


def test_reshapes_that_one_constant_cannot_say_stay():
    build = Builder()
    x = build.input("x", FLOAT, (N, H, 3, 1))
    y = build.transpose(x, (0, 3, 1, 2))  # n, 1, h, 3: only axes of size 1 move
    z = build.transpose(build.input("z", FLOAT, (N, H, Dim.symbol("w"), 1)), (0, 3, 1, 2))
    build.output("y", y)
    build.output("moved", z)
    before = build.graph()
    after = simplify.run(before)
    assert_same(before, after)
    assert after.operators() == {"Reshape": 1, "Transpose": 1}


def test_duplicates_are_one_node():
    build = Builder()
    x = build.input("x", FLOAT, (N, 4))
    first, second = (build.op("Add", build.op("Relu", x), build.constant(1.0)) for _ in range(2))
    build.output("y", build.op("Mul", first, second))
    before = build.graph()
    after = duplicates.run(before)
    assert_same(before, after)
    assert after.operators() == {"Add": 1, "Mul": 1, "Relu": 1}


def test_what_differs_in_an_attribute_is_no_duplicate():
    build = Builder()
    x = build.input("x", FLOAT, (N, 4))
    left, right = (build.op("LeakyRelu", x, alpha=alpha) for alpha in (0.1, 0.2))
    build.output("y", build.op("Add", left, right))
    assert duplicates.run(build.graph()).operators()["LeakyRelu"] == 2


def test_random_numbers_are_no_duplicates():
    build = Builder()
    x = build.input("x", FLOAT, (N, 4))
    build.output("y", build.op("Sub", build.op("RandomNormalLike", x), build.op("RandomNormalLike", x)))
    assert duplicates.run(build.graph()).operators()["RandomNormalLike"] == 2


def test_an_input_of_unknown_rank_gets_the_rank_of_its_use():
    build = Builder()
    x = build.input("x", FLOAT, None)
    kernel = build.constant(np.ones((2, 3, 1, 1), np.float32))
    build.output("y", build.op("Conv", build.transpose(x, (0, 3, 1, 2)), kernel))
    graph = shapes.run(build.graph())
    shape = graph.inputs[0].shape
    assert len(shape) == 4 and shape[3] == 3
    assert len(set(shape)) == 4
    assert len(graph.outputs["y"].shape) == 4
    assert run(graph)[0].shape == (2, 2, 2, 2)


def test_a_known_shape_stays():
    before = graph_of(lambda b, x: x)
    assert shapes.run(before) is before


def test_copies_keep_names_outputs_and_metadata():
    build = Builder(metadata={"by": "hand"}, opsets={"com.example": 2})
    x = build.input("x", FLOAT, (N, 4))
    with build.at("layer"):
        y = build.op("Relu", x)
        build.rename(y, "layer:0")
    build.output("same", x)
    build.output("y", y)
    after = rewrite(build.graph(), {})
    assert [node.name for node in after.nodes] == ["layer"]
    assert after.outputs["y"].name == "layer:0"
    assert after.outputs["same"] is after.inputs[0]
    assert after.metadata == {"by": "hand"} and after.opsets == {"com.example": 2}


def test_operators_of_other_domains_are_copied():
    x = Value("x", FLOAT, (2,))
    y = Value("y", FLOAT, (2,))
    node = Node("Relu", (x,), (y,), {"k": 1}, "n", "com.example")
    y.node = node
    after = rewrite(Graph([x], {"y": y}, [node], opsets={"com.example": 1}), {"Relu": [lambda n, i, a: i[0]]})
    assert after.nodes[0].domain == "com.example"
