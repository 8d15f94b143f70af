"""Cutting a graph at any value."""

import numpy as np
import pytest

from panmodel import dtypes
from panmodel.errors import UnknownNameError, UsageError
from panmodel.model.builder import Builder
from panmodel.model.tensor import ArrayTensor
from panmodel.passes.cut import cut


@pytest.fixture
def graph():
    build = Builder()
    x = build.input("x:0", dtypes.FLOAT32, (2, 3))
    y = build.input("y:0", dtypes.FLOAT32, (2, 3))
    weight = build.weight(ArrayTensor(np.ones((3, 4), np.float32), "w"))
    with build.at("a"):
        a = build.op("Add", x, y)
        build.rename(a, "a:0")
    with build.at("b"):
        b = build.op("MatMul", a, weight)
        build.rename(b, "b:0")
    with build.at("c"):
        c = build.op("Relu", b)
        build.rename(c, "c:0")
    build.output("c:0", c)
    return build.graph()


def test_the_middle(graph):
    middle = cut(graph, ["a"], ["b:0"])
    assert [value.name for value in middle.inputs] == ["a:0"]
    assert list(middle.outputs) == ["b:0"]
    assert [node.op for node in middle.nodes] == ["MatMul"]
    assert [value.name for value in middle.initializers()] == ["w"]


def test_ends_stay_where_they_are_not_named(graph):
    assert [node.op for node in cut(graph, None, ["b:0"]).nodes] == ["Add", "MatMul"]
    assert [node.op for node in cut(graph, ["b:0"], None).nodes] == ["Relu"]
    assert [node.op for node in cut(graph, None, None).nodes] == ["Add", "MatMul", "Relu"]


def test_an_output_may_be_an_input(graph):
    assert list(cut(graph, ["x:0", "y:0"], ["x:0", "a:0"]).outputs) == ["x:0", "a:0"]


def test_unknown_and_missing_names(graph):
    with pytest.raises(UnknownNameError, match="'b:0'"):
        cut(graph, None, ["bb:0"])
    with pytest.raises(UsageError, match="'y:0'"):
        cut(graph, ["x:0"], ["c:0"])
