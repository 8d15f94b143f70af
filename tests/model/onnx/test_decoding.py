"""ONNX files that onnx's own package wrote, as hub graphs; and those that are none."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from tests.onnx_files import FLOAT, info, read, save

from panmodel import dtypes
from panmodel.errors import CorruptError, LimitError, UnsupportedError
from panmodel.model.symbolic import Dim


def test_nodes_out_of_order(tmp_path):
    nodes = [helper.make_node("Neg", ["a"], ["y"], name="late"), helper.make_node("Relu", ["x"], ["a"])]
    with pytest.raises(CorruptError, match=r"'late'.*'a'"):
        read(save(tmp_path / "m.onnx", nodes, [info("x")], [info("y")]))


def test_a_missing_output(tmp_path):
    with pytest.raises(CorruptError, match=r"outputs.*'y'"):
        read(save(tmp_path / "m.onnx", [helper.make_node("Relu", ["x"], ["a"])], [info("x")], [info("y")]))


def test_a_name_defined_twice(tmp_path):
    nodes = [helper.make_node("Relu", ["x"], ["y"]), helper.make_node("Neg", ["x"], ["y"])]
    with pytest.raises(CorruptError, match="'y'"):
        read(save(tmp_path / "m.onnx", nodes, [info("x")], [info("y")]))


def test_a_sequence_as_input_is_unsupported(tmp_path):
    sequence = helper.make_tensor_sequence_value_info("x", FLOAT, None)
    with pytest.raises(UnsupportedError, match="'x'"):
        read(save(tmp_path / "m.onnx", [helper.make_node("SequenceLength", ["x"], ["y"])], [sequence], [info("y")]))


def test_an_input_with_a_default_becomes_a_constant(tmp_path):
    weight = numpy_helper.from_array(np.ones(2, np.float32), "w")
    nodes = [helper.make_node("Add", ["x", "w"], ["y"])]
    model = read(save(tmp_path / "m.onnx", nodes, [info("x"), info("w")], [info("y")], [weight]))
    assert [value.name for value in model.program.inputs] == ["x"]
    assert model.notices[0].names == ("w",)


def test_shapes_without_sizes(tmp_path):
    nodes = [helper.make_node("Relu", ["x"], ["y"])]
    path = save(tmp_path / "m.onnx", nodes, [info("x", (None, 3))], [info("y", (None, 3))])
    (x,) = read(path).program.inputs
    assert isinstance(x.shape[0], Dim) and x.shape[1] == 3


CONSTANTS = {
    "value_float": (2.5, np.float32),
    "value_floats": ([2.5, 1.0], np.float32),
    "value_int": (-3, np.int64),
    "value_ints": ([1, 2], np.int64),
    "value_string": (b"a", object),
    "value_strings": ([b"a", b"b"], object),
}


@pytest.mark.parametrize("kind", CONSTANTS)
def test_constants_of_every_kind_become_initializers(tmp_path, kind):
    value, dtype = CONSTANTS[kind]
    nodes = [helper.make_node("Constant", [], ["k"], **{kind: value}), helper.make_node("Identity", ["k"], ["y"])]
    graph = read(save(tmp_path / "m.onnx", nodes, [], [helper.make_empty_tensor_value_info("y")])).program
    assert graph.operators() == {"Identity": 1}
    (k,) = graph.initializers()
    assert k.literal and k.tensor.numpy().dtype == dtype
    found = [item.decode() if isinstance(item, bytes) else item for item in k.tensor.numpy().reshape(-1)]
    want = np.array(value, object).reshape(-1)
    assert found == [item.decode() if isinstance(item, bytes) else item for item in want]


def test_small_integers_are_known_and_large_weights_are_not_read(tmp_path):
    shape = numpy_helper.from_array(np.array([2, -1]), "s")
    weight = numpy_helper.from_array(np.ones((2, 2), np.float32), "w")
    nodes = [helper.make_node("Reshape", ["w", "s"], ["r"]), helper.make_node("Add", ["x", "r"], ["y"])]
    graph = read(save(tmp_path / "m.onnx", nodes, [info("x", (2, 2))], [info("y", (2, 2))], [shape, weight])).program
    w, s = graph.nodes[0].inputs
    assert s.content.tolist() == [2, -1] and s.literal
    assert w.content is None and not w.literal


def test_attributes_have_python_values(tmp_path):
    node = helper.make_node("Odd", ["x"], ["y"], domain="com.example", i=3, f=0.5, s="text", ints=[1, 2], strings=["a"])
    node.attribute.append(helper.make_attribute("raw", b"\xff\xfe"))
    node.attribute.append(helper.make_attribute("t", numpy_helper.from_array(np.arange(2))))
    path = save(tmp_path / "m.onnx", [node], [info("x")], [info("y")], opsets=[helper.make_opsetid("com.example", 2)])
    graph = read(path).program
    (found,) = graph.nodes
    tensor = found.attributes["t"]
    want = {"i": 3, "f": 0.5, "s": "text", "ints": (1, 2), "strings": ("a",), "raw": b"\xff\xfe", "t": tensor}
    assert found.attributes == want
    assert tensor.numpy().tolist() == [0, 1]
    assert (found.domain, graph.opsets, graph.opset) == ("com.example", {"com.example": 2}, 18)


def test_the_long_name_of_the_own_domain_is_the_short_one(tmp_path):
    node = helper.make_node("Relu", ["x"], ["y"], domain="ai.onnx")
    path = save(tmp_path / "m.onnx", [node], [info("x")], [info("y")])
    proto = onnx.load(path)
    proto.opset_import[0].domain = "ai.onnx"
    proto.opset_import[0].version = 15
    onnx.save(proto, path)
    graph = read(path).program
    assert (graph.nodes[0].domain, graph.opset, graph.opsets) == ("", 15, {})


def test_a_body_reads_the_values_around_it_and_hides_its_own(tmp_path):
    inner = helper.make_graph([helper.make_node("Neg", ["x"], ["t"])], "b", [], [info("t", None)])
    nodes = [
        helper.make_node("If", ["c"], ["a"], then_branch=inner, else_branch=inner),
        helper.make_node("Relu", ["t"], ["y"]),
    ]
    inputs = [info("x"), info("c", (), TensorProto.BOOL)]
    with pytest.raises(CorruptError, match="'t'"):
        read(save(tmp_path / "m.onnx", nodes, inputs, [info("y")]))
    nodes[1].input[0] = "a"
    graph = read(save(tmp_path / "m.onnx", nodes, inputs, [info("y")])).program
    for branch in graph.nodes[0].subgraphs():
        assert branch.captures() == [graph.inputs[0]]


def test_types_are_those_that_the_file_tells(tmp_path):
    nodes = [helper.make_node("Relu", ["x"], ["t"]), helper.make_node("Neg", ["t"], ["y"])]
    path = save(tmp_path / "m.onnx", nodes, [info("x")], [info("y", (2,))])
    proto = onnx.load(path)
    proto.graph.value_info.append(info("t", ("n",)))
    onnx.save(proto, path)
    relu, neg = read(path).program.nodes
    assert (relu.output.dtype, relu.output.shape) == (dtypes.FLOAT32, (Dim.symbol("n"),))
    assert neg.output.shape == (2,)


def test_a_rank_beyond_the_limit_is_refused(tmp_path):
    with pytest.raises(LimitError, match="rank 1000"):
        read(save(tmp_path / "m.onnx", [helper.make_node("Relu", ["x"], ["y"])], [info("x", [1] * 1000)], [info("y")]))


def test_sparse_initializers_are_read_as_dense_ones(tmp_path):
    nodes = [helper.make_node("Add", ["x", "v"], ["y"])]
    path = save(tmp_path / "m.onnx", nodes, [info("x", (3,))], [info("y", (3,))])
    proto = onnx.load(path)
    values = helper.make_tensor("v", FLOAT, [1], [1.5])
    indices = helper.make_tensor("i", TensorProto.INT64, [1], [1])
    proto.graph.sparse_initializer.append(helper.make_sparse_tensor(values, indices, [3]))
    onnx.save(proto, path)
    model = read(path)
    assert model.tensors["v"].numpy().tolist() == [0, 1.5, 0]
    (node,) = model.program.nodes
    assert node.inputs[1].tensor is model.tensors["v"]


def test_initializers_of_bodies_have_names_of_their_own(tmp_path):
    def body(name, value):
        weight = numpy_helper.from_array(np.full(2, value, np.float32), "w")
        return helper.make_graph([helper.make_node("Add", ["x", "w"], [name])], name, [], [info(name)], [weight])

    branches = {"then_branch": body("a", 1), "else_branch": body("b", 2)}
    outer = numpy_helper.from_array(np.zeros(2, np.float32), "v")
    nodes = [helper.make_node("If", ["c"], ["z"], **branches), helper.make_node("Add", ["z", "v"], ["y"])]
    inputs = [info("x"), info("c", (), TensorProto.BOOL)]
    model = read(save(tmp_path / "m.onnx", nodes, inputs, [info("y")], [outer]))
    found = {name: tensor.numpy()[0] for name, tensor in model.tensors.items()}
    assert found == {"v": 0, "w": 2, "a/w": 1}  # onnx sorts the branches by their names


@pytest.mark.parametrize("attributes", [{}, {"value_float": 1.0, "value_int": 2}])
def test_a_constant_has_one_value(tmp_path, attributes):
    nodes = [helper.make_node("Constant", [], ["y"], **attributes)]
    with pytest.raises(CorruptError, match="expected one"):
        read(save(tmp_path / "m.onnx", nodes, [], [info("y")]))
