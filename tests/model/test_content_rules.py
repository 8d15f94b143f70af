import numpy as np
import pytest
from onnx import TensorProto
from onnx.reference.ops import load_op

from panmodel.model.builder import Builder
from panmodel.model.content_rules import RULES, integers
from panmodel.model.symbolic import Dim

V = np.array([3, -4, 5, 0], np.int64)
M = np.arange(6, dtype=np.int64).reshape(2, 3)


def ints(*numbers):
    return np.array(numbers, np.int64)


#: Operator, operands, attributes: what is folded must be what onnx's own reference computes.
CASES = [
    ("Add", [V, ints(2)], {}),
    ("Sub", [V, ints(2)], {}),
    ("Mul", [V, V], {}),
    ("Div", [ints(7, -7, 7, -7, -6), ints(2, 2, -2, -2, 3)], {}),
    ("Mod", [ints(7, -7, 7, -7), ints(3, 3, -3, -3)], {}),
    ("Mod", [ints(7, -7, 7, -7), ints(3, 3, -3, -3)], {"fmod": 1}),
    ("Max", [V, ints(1), ints(4)], {}),
    ("Min", [V, ints(1), ints(4)], {}),
    ("Neg", [V], {}),
    ("Abs", [V], {}),
    ("Sign", [V], {}),
    ("Equal", [V, ints(5)], {}),
    ("Less", [V, ints(3)], {}),
    ("GreaterOrEqual", [V, ints(3)], {}),
    ("Where", [V > 0, V, ints(9)], {}),
    ("Not", [V > 0], {}),
    ("Xor", [V > 0, V > 3], {}),
    ("Floor", [np.float32([1.5, -1.5])], {}),
    ("Cast", [np.float32([1.5, -1.5])], {"to": TensorProto.INT32}),
    ("Cast", [V], {"to": TensorProto.BOOL}),
    ("Gather", [M, ints(1, -1)], {"axis": 1}),
    ("Gather", [V, np.array(2)], {}),
    ("Slice", [V, ints(1), ints(3)], {}),
    ("Slice", [V, ints(-1), ints(-9), ints(0), ints(-2)], {}),
    ("Slice", [V, ints(0), ints(-6), ints(0)], {}),
    ("Slice", [M, ints(0, 1), ints(1, 9), ints(0, -1), ints(1, 1)], {}),
    ("Reshape", [M, ints(0, -1)], {}),
    ("Squeeze", [M[:1], ints(0)], {}),
    ("Squeeze", [M[:1]], {}),
    ("Unsqueeze", [M, ints(0, -1)], {}),
    ("Concat", [M, M], {"axis": 1}),
    ("Transpose", [M], {"perm": [1, 0]}),
    ("Transpose", [M], {}),
    ("ReduceProd", [V], {"keepdims": 0}),
    ("ReduceSum", [M, ints(1)], {"keepdims": 1}),
    ("ReduceSum", [M, ints()], {"noop_with_empty_axes": 1}),
    ("ReduceMax", [M, ints(-1)], {"keepdims": 0}),
    ("ReduceMin", [M], {"keepdims": 0}),
    ("Range", [np.array(2), np.array(9), np.array(3)], {}),
    ("Expand", [ints(1, 2), ints(3, 1)], {}),
    ("Tile", [M, ints(1, 2)], {}),
    ("Size", [M], {}),
    ("Shape", [M], {}),
    ("Shape", [M], {"start": -1}),
]


@pytest.mark.parametrize(("op", "arrays", "attributes"), CASES)
def test_folding_is_what_onnx_computes(op, arrays, attributes):
    build = Builder()
    result = build.op(op, *(build.constant(array) for array in arrays), **attributes)
    assert build.nodes == []
    expected = load_op("", op, 18).eval(*arrays, **attributes)
    np.testing.assert_array_equal(result.array(), expected)
    assert result.array().dtype == np.asarray(expected).dtype
    assert result.shape == np.shape(expected)


def test_every_rule_is_tried():
    tried = {op for op, _, _ in CASES}
    assert RULES.keys() - tried <= {"Identity", "And", "Or", "Greater", "LessOrEqual", "Ceil", "ConstantOfShape"}


def test_integers():
    assert integers(np.array([1, 2])) == [1, 2]
    assert integers(np.array([Dim.symbol("n"), 2], object)) is None
    assert integers(None) is None
