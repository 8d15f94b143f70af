import numpy as np
import pytest
from onnx import TensorProto

from panmodel import dtypes
from panmodel.dtypes import FLOAT32, INT32, INT64
from panmodel.model import folding
from panmodel.model.builder import Builder
from panmodel.model.symbolic import Dim
from panmodel.model.tensor import ArrayTensor

N = Dim.symbol("n")
V = np.array([3, -4, 5, 0], np.int64)


def ints(*numbers):
    return np.array(numbers, np.int64)


def shape_of(build, *sizes):
    return build.shape(build.input("x", FLOAT32, sizes))


def test_symbols_go_through_shape_arithmetic():
    build = Builder()
    shape = shape_of(build, N, 4, 6)
    first, rest = build.slice(shape, [0], [1], [0]), build.slice(shape, [1], [3], [0])
    assert first.content.tolist() == [N]
    assert rest.array().tolist() == [4, 6]
    product = build.op("ReduceProd", rest, keepdims=1)
    assert build.op("Mul", first, product).content.tolist() == [24 * N]
    assert build.op("ReduceProd", shape, keepdims=0).content.item() == 24 * N
    assert build.op("Div", build.op("Mul", first, build.constant([4])), build.constant([2])).content.tolist() == [2 * N]
    assert build.concat([first, product], 0).content.tolist() == [N, 24]
    assert build.op("Size", build.inputs[0]).content.item() == 24 * N


def test_symbols_that_cancel_leave_a_number_of_the_right_type():
    build = Builder()
    shape = build.cast(shape_of(build, N), INT32)
    difference = build.op("Sub", build.op("Add", shape, build.constant([3], INT32)), shape)
    assert difference.dtype is INT32
    assert difference.array().tolist() == [3]


def test_symbols_are_not_compared():
    build = Builder()
    assert build.op("Less", shape_of(build, N), build.constant([3])).content is None


@pytest.mark.parametrize(
    ("op", "arrays", "attributes"),
    [
        ("Div", [ints(1), ints(0)], {}),
        ("Mod", [ints(1), ints(0)], {}),
        ("Gather", [V, ints(9)], {}),
        ("Range", [np.array(0), np.array(10**9), np.array(1)], {}),
        ("Expand", [ints(1), ints(10**5)], {}),
        ("Tile", [ints(1), ints(10**5)], {}),
        ("Cast", [V], {"to": TensorProto.STRING}),
    ],
)
def test_what_is_not_folded(op, arrays, attributes):
    build = Builder()
    values = [build.constant(array) for array in arrays]
    assert folding.content(op, values, attributes) is None


def test_arithmetic_on_weights_is_left_alone():
    build = Builder()
    weight = build.weight(ArrayTensor(np.float32([1, 2])), "w")
    assert build.op("Add", weight, build.constant([1.0])).node is not None


@pytest.mark.parametrize(
    ("op", "operands", "attributes", "function"),
    [
        ("Transpose", [], {"perm": (1, 0)}, lambda w: w.T),
        ("Transpose", [], {}, lambda w: w.T),
        ("Reshape", [ints(0, -1)], {}, lambda w: w),
        ("Reshape", [ints(3, 2)], {}, lambda w: w.reshape(3, 2)),
        ("Unsqueeze", [ints(-1, 0)], {}, lambda w: w[None, ..., None]),
    ],
)
def test_weights_are_viewed_without_being_read(op, operands, attributes, function):
    build = Builder()
    stored = ArrayTensor(np.float32([[1, 2, 3], [4, 5, 6]]))
    stored.name = "w"
    result = build.op(op, build.weight(stored, "w"), *map(build.constant, operands), **attributes)
    assert result.node is None
    assert result.tensor.base is stored
    np.testing.assert_array_equal(result.tensor.numpy(), function(stored.numpy()))


@pytest.mark.parametrize(
    ("op", "attributes", "expected"),
    [
        ("Squeeze", {"axes": (1,)}, [[3, 4]]),
        ("Unsqueeze", {"axes": (0,)}, [[[[3, 4]]]]),
        ("ReduceProd", {"axes": (2,), "keepdims": 0}, [[12]]),
        ("Slice", {"starts": (1,), "ends": (2,), "axes": (2,)}, [[[4]]]),
    ],
)
def test_attributes_of_old_opsets(op, attributes, expected):
    build = Builder(opset=9)
    assert build.op(op, build.constant([[[3, 4]]]), **attributes).array().tolist() == expected
    if "queeze" in op:
        weight = build.weight(ArrayTensor(np.float32([[[3, 4]]])), "w")
        assert build.op(op, weight, **attributes).tensor.numpy().tolist() == expected


def test_what_changes_nothing_is_no_node():
    build = Builder()
    x = build.input("x", FLOAT32, (N, 4))
    assert build.op("Identity", x) is x
    assert build.cast(x, FLOAT32) is x
    assert build.transpose(x, (0, 1)) is x
    assert build.squeeze(x, []) is x
    assert build.reshape(x, (N, 4)) is x
    assert build.nodes == []


def test_strings_have_no_content():
    build = Builder()
    letters = build.constant(np.array(["a", "b"], object), dtypes.STRING)
    assert letters.content is None
    assert build.op("Gather", letters, build.constant([1])).node is not None
    assert build.constant([1, 2], INT64).content.tolist() == [1, 2]
