import pytest
from tests.passes.running import assert_same, weight

from panmodel import dtypes
from panmodel.model.builder import Builder
from panmodel.model.symbolic import Dim
from panmodel.passes import activation


def half_of_difference(b, x, alpha):
    return b.op("Mul", b.op("Mul", alpha, b.op("Sub", x, b.op("Abs", x))), b.constant(0.5))


def relu6_of_x_plus_3(b, x):
    return b.op("Clip", b.op("Add", x, b.constant(3.0)), b.constant(0.0), b.constant(6.0))


FOUND = {
    "parametric relu": (
        lambda b, x: b.op("Add", b.op("Relu", x), half_of_difference(b, x, weight(b, "alpha", 4))),
        "PRelu",
    ),
    "parametric relu, commuted": (
        lambda b, x: b.op(
            "Add",
            b.op("Mul", b.op("Mul", b.op("Sub", x, b.op("Abs", x)), b.constant(0.5)), weight(b, "alpha", 3, 1, 4)),
            b.op("Relu", x),
        ),
        "PRelu",
    ),
    "parametric relu by two": (
        lambda b, x: b.op("Sub", b.op("Relu", x), b.op("Mul", weight(b, "alpha", 4), b.op("Relu", b.op("Neg", x)))),
        "PRelu",
    ),
    "parametric relu by a negative slope": (
        lambda b, x: b.op(
            "Add", b.op("Relu", x), b.op("Mul", b.op("Neg", weight(b, "alpha", 4)), b.op("Relu", b.op("Neg", x)))
        ),
        "PRelu",
    ),
    "leaky relu by a difference": (
        lambda b, x: b.op("Add", b.op("Relu", x), half_of_difference(b, x, b.constant(0.3))),
        "LeakyRelu",
    ),
    "leaky relu": (lambda b, x: b.op("Max", b.op("Mul", b.constant(0.2), x), x), "LeakyRelu"),
    "relu6": (lambda b, x: b.op("Min", b.op("Relu", x), b.constant(6.0)), "Clip"),
    "clip": (lambda b, x: b.op("Max", b.constant(-1.0), b.op("Min", x, b.constant(1.5))), "Clip"),
    "clip the other way": (lambda b, x: b.op("Min", b.constant(2.0), b.op("Max", x, b.constant(-1.0))), "Clip"),
    "hard sigmoid": (lambda b, x: b.op("Div", relu6_of_x_plus_3(b, x), b.constant(6.0)), "HardSigmoid"),
    "hard swish": (
        lambda b, x: b.op("Mul", b.op("Mul", x, relu6_of_x_plus_3(b, x)), b.constant(1 / 6)),
        "HardSwish",
    ),
    "hard swish by its gate": (
        lambda b, x: b.op("Mul", b.op("Div", relu6_of_x_plus_3(b, x), b.constant(6.0)), x),
        "HardSwish",
    ),
}

OTHERS = {
    "a slope that is doubled": lambda b, x: b.op(
        "Add", b.op("Relu", x), b.op("Mul", weight(b, "a", 4), b.op("Sub", x, b.op("Abs", x)))
    ),
    "the absolute value of something else": lambda b, x: b.op(
        "Add", b.op("Relu", x), b.op("Mul", b.constant(0.5), b.op("Sub", x, b.op("Abs", b.op("Sin", x))))
    ),
    "a slope above one": lambda b, x: b.op("Max", b.op("Mul", b.constant(1.5), x), x),
    "a negative slope": lambda b, x: b.op("Max", b.op("Mul", b.constant(-0.5), x), x),
    "a trained slope in a maximum": lambda b, x: b.op("Max", b.op("Mul", weight(b, "a", 1), x), x),
    "bounds for each channel": lambda b, x: b.op("Min", b.op("Relu", x), weight(b, "high", 4)),
    "bounds that cross": lambda b, x: b.op("Max", b.op("Min", x, b.constant(-2.0)), b.constant(2.0)),
    "another bound": lambda b, x: b.op(
        "Mul",
        x,
        b.op("Div", b.op("Clip", b.op("Add", x, b.constant(3.0)), b.constant(0.0), b.constant(5.0)), b.constant(6.0)),
    ),
}


def graph_of(write, opset=18):
    build = Builder(opset=opset)
    x = build.input("x", dtypes.FLOAT32, (Dim.symbol("n"), 3, 5, 4))
    build.output("y", write(build, x))
    return build.graph()


@pytest.mark.parametrize("name", FOUND)
def test_written_out(name):
    write, operator = FOUND[name]
    before = graph_of(write)
    after = activation.run(before)
    assert_same(before, after)
    assert after.operators() == {operator: 1}


@pytest.mark.parametrize("name", OTHERS)
def test_what_is_something_else_stays(name):
    before = graph_of(OTHERS[name])
    after = activation.run(before)
    assert_same(before, after)
    assert after.operators() == before.operators()


def test_the_trained_slope_keeps_its_name():
    graph = activation.run(graph_of(FOUND["parametric relu"][0]))
    assert [value.name for value in graph.initializers()] == ["alpha"]


def test_opset_without_the_operator():
    """Clip took its bounds as attributes."""
    before = graph_of(FOUND["relu6"][0], opset=9)
    assert activation.run(before).operators() == before.operators()


def test_inside_of_bodies():
    build = Builder()
    x = build.input("x", dtypes.FLOAT32, (4,))
    inner = Builder()
    inner.output("then", inner.op("Min", inner.op("Relu", x), inner.constant(6.0)))
    other = Builder()
    other.output("else", other.op("Neg", x))
    condition = build.op("Greater", build.op("ReduceMax", x, keepdims=0), build.constant(0.0))
    from panmodel.model.graph import Graph, Node, Value

    result = Value("y", dtypes.FLOAT32, (4,))
    node = Node("If", (condition,), (result,), {"then_branch": inner.graph(), "else_branch": other.graph()}, "if")
    result.node = node
    before = Graph(build.inputs, {"y": result}, [*build.nodes, node])
    after = activation.run(before)
    assert_same(before, after)
    assert after.operators()["Clip"] == 1
