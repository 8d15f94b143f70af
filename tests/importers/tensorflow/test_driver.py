import numpy as np
import pytest
from tests.importers.tensorflow.execution import convert, execute, operators
from tests.tensorflow_graphs import Shape, const, graph, node

from panmodel.dtypes import FLOAT32, STRING
from panmodel.errors import CorruptError, UnknownNameError, UnsupportedOperatorsError, UsageError
from panmodel.importers.tensorflow.driver import import_graph
from panmodel.importers.tensorflow.registry import handlers
from panmodel.model.graph import Graph
from panmodel.model.model import Model
from panmodel.model.notice import Assumed
from panmodel.model.tensor import ArrayTensor
from panmodel.model.tensorflow.graph import FunctionCall, Signature

X = np.arange(6, dtype=np.float32).reshape(2, 3)


def fed(name="x", shape=(None, 3)):
    return node(name, "Placeholder", dtype=FLOAT32, shape=Shape(shape))


def neg(name, operand):
    return node(name, "Neg", operand, T=FLOAT32)


def names(model):
    return [value.name for value in model.program.inputs], list(model.program.outputs)


CHAIN = [fed(), neg("a", "x"), node("b", "Exp", "a", T=FLOAT32), neg("c", "b:0")]


def test_a_graph():
    model = convert(graph(*CHAIN), ["x"], ["c"])
    assert isinstance(model.program, Graph)
    assert names(model) == (["x:0"], ["c:0"])
    assert [(n.name, n.output.name) for n in model.program.nodes] == [("a", "a:0"), ("b", "b:0"), ("c", "c:0")]
    np.testing.assert_allclose(execute(model, {"x:0": X})[0], -np.exp(-X), rtol=1e-6)


def test_cut_in_the_middle():
    model = convert(graph(*CHAIN), ["a:0"], ["b"])
    assert operators(model) == {"Exp": 1}
    assert names(model) == (["a:0"], ["b:0"])


def test_an_output_may_be_an_input_or_a_constant_or_asked_for_twice():
    model = convert(graph(*CHAIN, const("k", X)), ["x"], ["x", "k", "c", "c:0", "x:0"])
    assert list(model.program.outputs) == ["x:0", "k:0", "c:0", "c:0_1", "x:0_1"]
    x, k, c, c_again, x_again = execute(model, {"x:0": X})
    np.testing.assert_array_equal(x, X)
    np.testing.assert_array_equal(k, X)
    np.testing.assert_array_equal(c, c_again)
    np.testing.assert_array_equal(x, x_again)


def test_an_input_that_no_output_needs_stays():
    assert names(convert(graph(*CHAIN, fed("other")), ["other", "x"], ["c"])) == (["other:0", "x:0"], ["c:0"])


def test_placeholders_that_were_not_named_come_last():
    nodes = [fed("late"), fed(), node("y", "AddV2", "late", "x", T=FLOAT32)]
    model = convert(graph(*nodes), ["x"], ["y"])
    assert names(model) == (["x:0", "late:0"], ["y:0"])
    (notice,) = model.notices
    assert isinstance(notice, Assumed) and notice.names == ("late:0",)
    assert convert(graph(*nodes), None, ["y"]).notices == []


def test_names_left_out():
    source = graph(*CHAIN, signatures={"serving_default": Signature({"i": "x:0"}, {"o": "b:0"})})
    assert names(convert(source)) == (["x:0"], ["b:0"])
    assert names(convert(source, None, ["c"])) == (["x:0"], ["c:0"])


def test_the_model_keeps_the_rest():
    tensors = {"w": ArrayTensor(X, "w")}
    model = import_graph(Model("tensorflow_graph", graph(*CHAIN), tensors, metadata={"a": 1}), ["x"], ["c"])
    assert (model.format, model.tensors, model.metadata) == ("tensorflow_graph", tensors, {"a": 1})


def test_what_no_output_needs_is_not_looked_at():
    aside = [node("queue", "FIFOQueueV2"), node("read", "ReaderReadV2", "queue"), node("save", "SaveV2", "c")]
    controlled = node("d", "Identity", "c", "^save", "^read", T=FLOAT32)
    assert operators(convert(graph(*CHAIN, *aside, controlled), ["x"], ["d"])) == {"Neg": 2, "Exp": 1}


def test_a_long_chain():
    nodes = [fed(), *(neg(f"n{i}", f"n{i - 1}" if i else "x") for i in range(3000))]
    assert len(convert(graph(*nodes), ["x"], ["n2999"]).program.nodes) == 3000


def test_all_unsupported_operators_in_one_error():
    nodes = [
        fed(),
        node("w1", "Whirl", "x"),
        node("after", "Neg", "w1", T=FLOAT32),
        node("w2", "Whirl", "after"),
        node("other", "Twirl", "x"),
        node("fine", "Neg", "x", T=FLOAT32),
        node("part", "SpaceToDepth", "fine", block_size=2, data_format="NCHW_VECT_C"),
        node("y", "AddN", "w2", "other", "part", N=3, T=FLOAT32),
        node("unneeded", "Swirl", "x"),
    ]
    with pytest.raises(UnsupportedOperatorsError) as caught:
        convert(graph(*nodes), ["x"], ["y"])
    assert {(item.operator, item.node) for item in caught.value.found} == {
        ("Whirl", "w1"),
        ("Whirl", "w2"),
        ("Twirl", "other"),
        ("SpaceToDepth", "part"),
    }
    assert "Whirl × 2" in str(caught.value) and "NCHW_VECT_C" in str(caught.value)
    assert caught.value.exit_code == 4


def test_functions_are_named_rather_than_the_variables_that_they_take():
    called = node("call", "StatefulPartitionedCall", "x", "w", f=FunctionCall("__inference_f_12", {}))
    nodes = [fed(), node("w", "VarHandleOp", dtype=FLOAT32, shape=Shape((3,)), shared_name="dense/kernel"), called]
    with pytest.raises(UnsupportedOperatorsError, match="functions are not converted yet: __inference_f_12") as caught:
        convert(graph(*nodes, variables={"variables/0": ArrayTensor(X, "variables/0")}), ["x"], ["call"])
    assert [item.node for item in caught.value.found] == ["call"]


@pytest.mark.parametrize(
    ("inputs", "outputs", "suggested"),
    [(["xx"], ["c"], "'x'"), (["x"], ["logit"], "'logits'"), (["x"], ["logits:3"], "'logits:0'")],
)
def test_unknown_names(inputs, outputs, suggested):
    with pytest.raises(UnknownNameError, match=suggested):
        convert(graph(*CHAIN, neg("logits", "c")), inputs, outputs)


def test_an_input_named_twice():
    with pytest.raises(UsageError, match="twice"):
        convert(graph(*CHAIN), ["x", "x:0"], ["c"])


def test_a_model_without_a_graph():
    with pytest.raises(UsageError, match="no TensorFlow graph"):
        import_graph(Model("safetensors"))


@pytest.mark.parametrize(
    ("nodes", "said"),
    [
        ([neg("y", "gone")], "gone"),
        ([fed(), neg("y", "x:4")], "x:4"),
        ([neg("y", "z"), neg("z", "y")], "need each other"),
        ([fed(), node("y", "MatMul", "x")], "operands"),
        ([fed(), node("y", "Tanh", "x", "x")], "2 operands, expected 1"),
        ([fed(), node("y", "AddV2", "x", "x", "x")], "3 operands, expected 2"),
        ([fed(), node("y", "LeakyRelu", "x", alpha="steep")], "malformed LeakyRelu"),
        ([fed(), const("w", X), node("y", "MatMul", "x", "w")], "MatMul"),
        ([const("s", ["a"]), node("y", "Conv2D", "s", "s", dtype=STRING)], "axes"),
    ],
)
def test_graphs_that_contradict_themselves(nodes, said):
    with pytest.raises(CorruptError, match=said) as caught:
        convert(graph(*nodes), None, ["y"])
    assert "test.pb" in str(caught.value) and "y" in str(caught.value)


def test_every_module_has_its_handlers():
    assert {"Conv2D", "AddV2", "StridedSlice", "Placeholder"} <= set(handlers())
