import numpy as np
from tests.passes.running import assert_same, weight

from panmodel import dtypes
from panmodel.model.builder import Builder
from panmodel.model.graph import Graph, Node, Value
from panmodel.model.symbolic import Dim
from panmodel.model.tensor import ArrayTensor
from panmodel.passes import duplicates

N = Dim.symbol("n")
FLOAT = dtypes.FLOAT32


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


def test_what_differs_in_an_operand_is_no_duplicate():
    build = Builder()
    x, y = build.input("x", FLOAT, (N, 4)), build.input("y", FLOAT, (N, 4))
    build.output("z", build.op("Mul", build.op("Sub", x, y), build.op("Sub", y, x)))
    before = build.graph()
    after = duplicates.run(before)
    assert_same(before, after)
    assert after.operators()["Sub"] == 2


def test_duplicates_of_duplicates_go_in_one_walk():
    build = Builder()
    x, w = build.input("x", FLOAT, (N, 4)), weight(build, "w", 4)
    ends = [build.op("Exp", build.op("Neg", build.op("Mul", x, w))) for _ in range(3)]
    build.output("y", build.op("Sum", *ends))
    build.output("first", ends[0])
    build.output("second", ends[1])
    before = build.graph()
    after = duplicates.run(before)
    assert_same(before, after)
    assert after.operators() == {"Exp": 1, "Mul": 1, "Neg": 1, "Sum": 1}


def test_results_count():
    """One that gives two results is none that gives one, though all else is equal."""
    build = Builder()
    x = build.input("x", FLOAT, (N, 3, 4, 4))
    first = build.op("MaxPool", x, kernel_shape=(2, 2))
    second, places = build.ops("MaxPool", x, outputs=2, kernel_shape=(2, 2))
    for name, value in (("first", first), ("second", second), ("places", places)):
        build.output(name, value)
    before = build.graph()
    after = duplicates.run(before)
    assert_same(before, after)
    assert after.operators() == {"MaxPool": 2}


def test_bodies_and_other_domains_are_left_alone():
    x, c = Value("x", FLOAT, (2,)), Value("c", dtypes.BOOL, ())

    def node(op, name, *inputs, domain="", **attributes):
        value = Value(name, FLOAT, (2,))
        value.node = Node(op, inputs, (value,), attributes, name, domain)
        return value

    a, b = (node("Odd", name, x, domain="com.example") for name in "ab")
    inner = [node("Neg", name, x) for name in "pq"]
    total = node("Add", "r", *inner)
    body = Graph([], {"r": total}, [*(value.node for value in inner), total.node])
    left, right = (node("If", name, c, then_branch=body, else_branch=body) for name in ("s", "t"))
    values = [a, b, left, right]
    graph = Graph([x, c], {value.name: value for value in values}, [v.node for v in values], opsets={"com.example": 1})
    found = duplicates.run(graph)
    assert found.operators()["Odd"] == found.operators()["If"] == 2
    branch = next(node for node in found.nodes if node.op == "If").attr("then_branch")
    assert branch.operators() == {"Neg": 2, "Add": 1}


def test_tensors_in_attributes_are_compared_by_identity():
    build = Builder(opset=18)
    shape = build.input("shape", dtypes.INT64, (1,))
    one, other = (ArrayTensor(np.float32([number])) for number in (1, 2))
    for name, tensor in (("a", one), ("b", other), ("c", one)):
        build.output(name, build.op("ConstantOfShape", shape, value=tensor))
    assert duplicates.run(build.graph()).operators() == {"ConstantOfShape": 2}
