import numpy as np
import pytest
from tests.passes.running import assert_same

from panmodel import dtypes
from panmodel.model.builder import Builder
from panmodel.model.graph import Graph, Node, Value
from panmodel.model.symbolic import Dim
from panmodel.model.tensor import ArrayTensor
from panmodel.passes.rewrite import ANY, constant, producer, rewrite, scalar, split_constant

N = Dim.symbol("n")
FLOAT = dtypes.FLOAT32


def test_copies_keep_names_outputs_and_versions():
    build = Builder(opsets={"com.example": 2})
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
    assert after.opsets == {"com.example": 2}


def test_operators_of_other_domains_are_copied():
    x = Value("x", FLOAT, (2,))
    y = Value("y", FLOAT, (2,))
    node = Node("Relu", (x,), (y,), {"k": 1}, "n", "com.example")
    y.node = node
    after = rewrite(Graph([x], {"y": y}, [node], opsets={"com.example": 1}), {"Relu": [lambda n, i, a: i[0]]})
    assert after.nodes[0].domain == "com.example"


def double_negation(node, inputs, at):
    inner = producer(inputs[0], "Neg")
    return inner.inputs[0] if inner is not None else None


def negated(times):
    build = Builder()
    x = build.input("x", FLOAT, (N, 4))
    y = build.op("Relu", x)
    for number in range(times):
        with build.at(f"neg{number}"):
            y = build.op("Neg", y)
    build.output("y", y)
    return build.graph()


@pytest.mark.parametrize("times", [1, 2, 3, 4])
def test_rules_see_producers_that_are_rewritten_already(times):
    before = negated(times)
    after = rewrite(before, {"Neg": [double_negation]})
    assert_same(before, after)
    assert after.operators().get("Neg", 0) == times % 2


def test_a_graph_without_the_operators_is_itself():
    before = negated(2)
    assert rewrite(before, {"Exp": [double_negation]}) is before


def test_rules_are_tried_in_order_and_those_for_all_last():
    said = []

    def silent(name):
        def rule(node, inputs, at):
            said.append((name, node.op))

        return rule

    rewrite(negated(1), {"Neg": [silent("first"), silent("second")], ANY: [silent("any")]})
    assert said == [("any", "Relu"), ("first", "Neg"), ("second", "Neg"), ("any", "Neg")]


def test_new_nodes_take_place_and_name_of_the_old():
    build = Builder()
    x = build.input("x", FLOAT, (N, 4))
    with build.at("layer"):
        y = build.op("Neg", x)
        build.rename(y, "layer:0")
    build.output("y", build.op("Relu", y))
    before = build.graph()
    after = rewrite(before, {"Neg": [lambda node, inputs, at: at.build.op("Mul", inputs[0], at.build.constant(-1.0))]})
    assert_same(before, after)
    made = next(node for node in after.nodes if node.op == "Mul")
    assert (made.name, made.output.name) == ("layer", "layer:0")


def test_a_value_that_was_there_keeps_its_name():
    before = negated(2)
    relu = next(node for node in before.nodes if node.op == "Relu").output.name
    after = rewrite(before, {"Neg": [double_negation]})
    assert after.outputs["y"].name == relu


def test_readers_are_counted():
    build = Builder()
    x = build.input("x", FLOAT, (N, 4))
    once, twice = build.op("Exp", x), build.op("Abs", x)
    build.output("y", build.op("Neg", build.op("Add", once, build.op("Add", twice, build.op("Relu", twice)))))
    found = {}

    def look(node, inputs, at):
        found.update((value.node.op, at.is_only_use(value)) for value in inputs if value.node is not None)

    rewrite(build.graph(), {ANY: [look]})
    assert found["Exp"] and not found["Abs"] and found["Relu"]


def test_bodies_are_rewritten_with_the_values_around_them():
    x, c = Value("x", FLOAT, (2,)), Value("c", dtypes.BOOL, ())

    def node(op, name, *inputs, **attributes):
        value = Value(name, FLOAT, (2,))
        value.node = Node(op, inputs, (value,), attributes, name)
        return value

    first = node("Neg", "first", x)
    inner = node("Neg", "inner", first)  # reads a value of the graph around it
    branches = {"then_branch": Graph([], {"b": inner}, [inner.node]), "else_branch": Graph([], {"x": x}, [])}
    last = node("If", "last", c, **branches)
    before = Graph([x, c], {"y": last}, [first.node, last.node])
    after = rewrite(before, {"Neg": [double_negation]})
    bodies = after.nodes[-1].attributes
    assert bodies["then_branch"].operators() == {}
    assert list(bodies["then_branch"].outputs.values()) == [after.inputs[0]]
    assert before.nodes[-1].attributes["then_branch"].operators() == {"Neg": 1}  # the old graph stays


def test_what_is_known_of_initializers():
    build = Builder()
    x = build.input("x", FLOAT, (2,))
    small, stored = build.constant(0.5), build.weight(ArrayTensor(np.float32([[3]]), "w"))
    text = build.weight(ArrayTensor(np.array([b"a"], object), "s"))
    assert (scalar(small), scalar(stored), scalar(build.constant([1, 2])), scalar(x)) == (0.5, 3.0, None, None)
    assert scalar(build.constant(True)) is None and scalar(text) is None and scalar(None) is None
    assert constant(build.constant([1, 2])).tolist() == [1, 2]
    assert constant(build.constant([1, 2]), limit=1) is None
    assert split_constant((small, x)) == split_constant((x, small)) == (x, small)
    assert split_constant((x, x)) is None and split_constant((small, small)) is None and split_constant((x,)) is None


def test_producers_are_of_onnx_alone():
    value = Value("y", FLOAT, (2,))
    value.node = Node("Neg", (), (value,), {}, "", "com.example")
    assert producer(value, "Neg") is None
    value.node.domain = ""
    assert producer(value, "Abs", "Neg") is value.node
    assert producer(value, "Abs") is None and producer(None, "Neg") is None
