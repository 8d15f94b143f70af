import numpy as np
import pytest
from tests.importers.tensorflow.execution import convert, execute, run
from tests.tensorflow_graphs import Shape, const, graph, node

from panmodel.dtypes import FLOAT32, INT32, RESOURCE, STRING
from panmodel.errors import CorruptError, UnknownNameError, UsageError
from panmodel.model.tensor import ArrayTensor, DeferredTensor

W = np.arange(6, dtype=np.float32).reshape(2, 3)


def fed(name="x", shape=(2, 3)):
    return node(name, "Placeholder", dtype=FLOAT32, shape=Shape(shape))


def plus(*operands):
    return node("y", "AddV2", *operands, T=FLOAT32)


@pytest.mark.parametrize("op", ["Variable", "VariableV2"])
def test_variables(op):
    nodes = [fed(), node("w", op, dtype=FLOAT32, shape=Shape((2, 3))), node("w/read", "Identity", "w", T=FLOAT32)]
    model = convert(graph(*nodes, plus("x", "w/read"), variables={"w": ArrayTensor(W, "w")}), ["x"], ["y"])
    assert [value.name for value in model.program.initializers()] == ["w"]
    np.testing.assert_array_equal(execute(model, {"x:0": W})[0], W + W)


def test_variables_behind_a_handle():
    nodes = [fed(), node("w", "VarHandleOp", dtype=FLOAT32, shape=Shape((2, 3)), shared_name="model/w")]
    nodes.append(node("read", "ReadVariableOp", "w", dtype=FLOAT32))
    model = convert(graph(*nodes, plus("x", "read"), variables={"model/w": ArrayTensor(W, "model/w")}), ["x"], ["y"])
    assert [value.name for value in model.program.initializers()] == ["model/w"]
    np.testing.assert_array_equal(execute(model, {"x:0": W})[0], W + W)


def test_weights_are_not_read():
    def load():
        raise AssertionError("read")

    nodes = [fed(), node("w", "VariableV2", dtype=FLOAT32, shape=Shape((2, 3))), plus("x", "w")]
    model = convert(graph(*nodes, variables={"w": DeferredTensor("w", FLOAT32, (2, 3), load)}), ["x"], ["y"])
    assert model.program.outputs["y:0"].shape == (2, 3)


def test_a_variable_that_the_checkpoint_lacks():
    nodes = [fed(), node("weights", "VariableV2", dtype=FLOAT32, shape=Shape((2, 3))), plus("x", "weights")]
    with pytest.raises(UnknownNameError, match="weight_1"):
        convert(graph(*nodes, variables={"weight_1": ArrayTensor(W, "weight_1")}), ["x"], ["y"])
    with pytest.raises(UsageError, match="without a checkpoint"):
        convert(graph(*nodes), ["x"], ["y"])


@pytest.mark.parametrize(
    ("value", "is_literal"),
    [
        (np.float32(0.5), True),
        (np.array([3], np.float32), True),
        (np.array([3, 4], np.float32), False),
        (np.array([3, 4], np.int32), True),
        (np.zeros((100, 100), np.int32), False),
        (np.array([[True, False]]), True),
    ],
)
def test_constants_are_weights_or_literals(value, is_literal):
    program = convert(graph(const("c", value), node("y", "Identity", "c")), [], ["y"]).program
    (result,) = program.outputs.values()
    assert result.literal == is_literal
    np.testing.assert_array_equal(result.array(), value)


def test_a_frozen_scalar_variable_is_a_weight():
    nodes = [const("gain", np.float32(3)), node("gain/read", "Identity", "gain", T=FLOAT32), fed()]
    (weight,) = convert(graph(*nodes, plus("x", "gain/read")), ["x"], ["y"]).program.initializers()
    assert weight.name == "gain" and not weight.literal


def test_strings():
    program = convert(graph(const("s", ["a", "bc"])), [], ["s"]).program
    assert program.outputs["s:0"].dtype is STRING
    assert program.outputs["s:0"].array().tolist() == [b"a", b"bc"]


def test_placeholders_with_a_default():
    nodes = [const("d", W), node("p", "PlaceholderWithDefault", "d", dtype=FLOAT32, shape=Shape((2, 3)))]
    nodes.append(plus("p", "p"))
    np.testing.assert_array_equal(run(nodes, {}, ["y:0"])[0], W + W)
    np.testing.assert_array_equal(run(nodes, {"p:0": W + 1}, ["y:0"])[0], 2 * W + 2)


@pytest.mark.parametrize("op", ["Identity", "StopGradient", "PreventGradient", "Snapshot", "CheckNumerics"])
def test_operators_that_hand_on(op):
    program = convert(graph(fed(), node("y", op, "x", T=FLOAT32)), ["x"], ["y"]).program
    assert not program.nodes
    assert program.outputs["y:0"] is program.inputs[0]


def test_several_operands_handed_on():
    nodes = [fed("a", (2,)), fed("b", (3,)), node("i", "IdentityN", "a", "b", T=[FLOAT32, FLOAT32])]
    a, b = np.ones(2, np.float32), np.zeros(3, np.float32)
    results = run([*nodes, node("n", "Neg", "i:1", T=FLOAT32)], {"a:0": a, "b:0": b}, ["n:0", "i:0"])
    np.testing.assert_array_equal(results[0], -b)
    np.testing.assert_array_equal(results[1], a)


def test_a_constant_without_a_value():
    with pytest.raises(CorruptError, match="expected a tensor"):
        convert(graph(node("c", "Const", dtype=INT32)), [], ["c"])
    with pytest.raises(CorruptError, match="operands"):
        convert(graph(node("y", "ReadVariableOp", dtype=RESOURCE)), [], ["y"])
