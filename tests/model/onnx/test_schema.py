"""Nodes against ONNX's own declarations."""

import numpy as np
import pytest

from panmodel.dtypes import FLOAT32
from panmodel.errors import CorruptError, UnsupportedOperatorsError
from panmodel.model.graph import Graph, Node, Value
from panmodel.model.onnx.schema import check_operators
from panmodel.model.tensor import ArrayTensor

CODE = "1) + __import__('os').system('id'"


def graph(op, operands=1, results=1, opset=18, **attributes):
    x = Value("x", FLOAT32, (2, 3, 4, 4))
    outputs = tuple(Value(f"y{index}", FLOAT32, None) for index in range(results))
    node = Node(op, (x,) * operands, outputs, attributes, "n")
    return Graph([x], {"y": outputs[0]} if outputs else {}, [node], opset)


RIGHT = [
    ("Softmax", 1, {"axis": 1}),
    ("Softmax", 1, {"axis": np.int64(1)}),
    ("Elu", 1, {"alpha": 1.5}),
    ("Elu", 1, {"alpha": 2}),
    ("Transpose", 1, {"perm": (3, 2, 1, 0)}),
    ("Conv", 2, {"auto_pad": "SAME_UPPER", "strides": (), "group": 1}),
    ("ConstantOfShape", 1, {"value": ArrayTensor(np.ones(1, np.float32))}),
    ("Max", 9, {}),
]


@pytest.mark.parametrize(("op", "operands", "attributes"), RIGHT)
def test_what_is_declared_passes(op, operands, attributes):
    check_operators(graph(op, operands, **attributes))


WRONG = [
    ("Softmax", 1, {"axis": CODE}),
    ("Softmax", 1, {"axis": (1,)}),
    ("Softmax", 1, {"axis": 1.5}),
    ("Softmax", 1, {"made_up": 1}),
    ("Conv", 2, {"group": CODE}),
    ("Conv", 2, {"strides": (CODE, CODE)}),
    ("Conv", 2, {"group": Graph([], {}, [])}),
    ("Elu", 1, {"alpha": CODE}),
    ("ConstantOfShape", 1, {"value": 1.0}),
    ("MaxPool", 1, {}),
    ("Relu", 2, {}),
    ("Relu", 0, {}),
]


@pytest.mark.parametrize(("op", "operands", "attributes"), WRONG)
def test_what_is_not_is_refused_and_named(op, operands, attributes):
    with pytest.raises(CorruptError, match="node 'n'"):
        check_operators(graph(op, operands, **attributes))


def test_bodies_are_checked_too():
    body = graph("Softmax", axis=CODE)
    with pytest.raises(CorruptError, match="axis"):
        check_operators(graph("If", then_branch=body, else_branch=body))


def test_operators_that_do_not_exist_are_listed():
    with pytest.raises(UnsupportedOperatorsError, match="MadeUp"):
        check_operators(graph("MadeUp"))
    with pytest.raises(UnsupportedOperatorsError, match="opset 1"):
        check_operators(graph("LayerNormalization", 2, opset=1))


@pytest.mark.parametrize("opset", [-5, 0, 1 << 62])
def test_versions_that_cannot_be(opset):
    with pytest.raises(CorruptError, match="version"):
        check_operators(graph("Relu", opset=opset))


def test_newer_versions_than_this_onnx_package_knows():
    check_operators(graph("Relu", opset=1000))
