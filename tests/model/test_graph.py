"""The hub: who computes and who reads what, bodies included."""

import numpy as np

from panmodel.dtypes import BOOL, FLOAT32, INT32, INT64
from panmodel.model.builder import Builder
from panmodel.model.graph import Graph, Node, Value
from panmodel.model.symbolic import Dim
from panmodel.model.tensor import ArrayTensor


def value(name, tensor=None):
    return Value(name, FLOAT32, (2,), tensor)


def weight(name):
    return value(name, ArrayTensor(np.ones(2, np.float32), name))


def node(op, output, *inputs, **attributes):
    output.node = Node(op, inputs, (output,), attributes, output.name)
    return output.node


def nested():
    """y = if c: (if c: x + w else: t) else: u, with t = x * v before; u is a weight."""
    x, c, t, y, inner, total = (value(name) for name in "xctyis")
    w, v, u = (weight(name) for name in "wvu")
    first = node("Mul", t, x, v)
    deepest = Graph([], {"s": total}, [node("Add", total, x, w)])
    branch = node("If", inner, c, then_branch=deepest, else_branch=Graph([], {"t": t}, []))
    middle = Graph([], {"i": inner}, [branch])
    last = node("If", y, c, then_branch=middle, else_branch=Graph([], {"u": u}, []))
    return Graph([x, c], {"y": y}, [first, last]), {item.name: item for item in (x, c, t, y, inner, total, w, v, u)}


def test_initializers_are_those_that_are_used_in_order_of_use():
    graph, values = nested()
    assert graph.initializers() == [values[name] for name in "vwu"]


def test_an_output_may_be_an_initializer():
    w, x = weight("w"), value("x")
    assert Graph([x], {"a": w, "b": w, "x": x}, []).initializers() == [w]


def test_readers_of_each_value():
    graph, values = nested()
    first, last = graph.nodes
    uses = graph.uses()
    assert uses[values["x"]] == [(first, 0), (last, -1)]  # -1: a body reads it
    assert uses[values["t"]] == [(last, -1)]
    assert uses[values["c"]] == [(last, 0), (last, -1)]
    assert uses[values["v"]] == [(first, 1)]
    assert uses[values["y"]] == [(None, 0)]
    assert values["i"] not in uses


def test_a_value_read_twice_by_one_node_has_two_uses():
    x, y = value("x"), value("y")
    add = node("Add", y, x, x)
    assert Graph([x], {"y": y, "again": y}, [add]).uses() == {x: [(add, 0), (add, 1)], y: [(None, 0), (None, 1)]}


def test_bodies_capture_what_is_around_them():
    graph, values = nested()
    then, other = graph.nodes[1].subgraphs()
    assert then.captures() == [values["c"], values["x"], values["t"]]
    assert other.captures() == []  # a weight is shared, not captured
    assert graph.captures() == []


def test_what_a_body_defines_is_not_captured():
    a, b, outer = value("a"), value("b"), value("outer")
    body = Graph([a], {"b": b}, [node("Add", b, a, outer)])
    assert body.captures() == [outer]


def test_operators_are_counted_most_frequent_first():
    graph, _ = nested()
    assert list(graph.operators().items()) == [("If", 2), ("Add", 1), ("Mul", 1)]


def test_operands_left_out():
    x, y = value("x"), value("y")
    clip = node("Clip", y, x, None, x)
    assert [clip.operand(index) for index in range(4)] == [x, None, x, None]
    assert clip.output is y and clip.attr("min", 3) == 3
    assert Graph([x], {"y": y}, [clip]).uses()[x] == [(clip, 0), (clip, 2)]


def test_elements_that_are_known():
    n = Dim.symbol("n")
    sizes = Value("s", INT32, (2,), content=np.array([3, 4], object))
    assert sizes.array().tolist() == [3, 4] and sizes.array().dtype == np.int32
    assert Value("s", INT64, (2,), content=np.array([3, n], object)).array() is None
    assert weight("w").array().tolist() == [1, 1]
    assert value("x").array() is None


def test_values_and_nodes_are_equal_to_themselves_alone():
    """Two values of one name are two; that is what passes rely on when they look values up."""
    assert value("x") != value("x") and len({value("x"), value("x")}) == 2
    assert Node("Neg", (), ()) != Node("Neg", (), ())


def test_words_for_people():
    n = Dim.symbol("n")
    assert repr(Value("x", FLOAT32, (n, 2))) == "<Value x float32[n, 2]>"
    assert repr(Value("x", BOOL, None)) == "<Value x bool?>"
    assert repr(Node("Neg", (), (), {}, "neg")) == "<Node Neg neg>"
    assert (Value("x", FLOAT32, None).rank, Value("x", FLOAT32, ()).rank) == (None, 0)


def test_graphs_share_nothing_by_default():
    one, other = Builder().graph(), Builder().graph()
    assert one.opsets is not other.opsets and one.opset == other.opset
