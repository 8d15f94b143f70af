"""The hub graph as ONNX's own checker and package see it."""

import math

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from tests.onnx_files import info, read, save, write

from panmodel import dtypes
from panmodel.errors import UnsupportedError, UsageError
from panmodel.model.builder import Builder
from panmodel.model.graph import Graph, Node, Value
from panmodel.model.onnx.encoding import NEWEST_IR_VERSION, encode_graph, ir_version
from panmodel.model.symbolic import Dim
from panmodel.model.tensor import ArrayTensor
from panmodel.passes.cut import cut
from panmodel.wire.protobuf import encode_bytes


def test_outputs_have_their_exact_names(tmp_path):
    build = Builder()
    x = build.input("x", dtypes.FLOAT32, (2,))
    y = build.op("Relu", x)
    weight = build.weight(ArrayTensor(np.ones(2, np.float32), "w"))
    for name, value in {"first": y, "second": y, "x": x, "copy": x, "w": weight}.items():
        build.output(name, value)
    path = write(build.graph(), tmp_path / "m.onnx")
    onnx.checker.check_model(str(path), full_check=True)
    proto = onnx.load(path)
    assert [item.name for item in proto.graph.output] == ["first", "second", "x", "copy", "w"]
    assert len({node.name for node in proto.graph.node}) == len(proto.graph.node)


def test_an_output_with_the_name_of_another_input_is_refused(tmp_path):
    build = Builder()
    x = build.input("x", dtypes.FLOAT32, (2,))
    build.output("x", build.op("Relu", x))
    with pytest.raises(UsageError, match="'x'"):
        write(build.graph(), tmp_path / "m.onnx")
    assert not list(tmp_path.iterdir())


def test_names_used_twice_become_unique(tmp_path):
    x = Value("v", dtypes.FLOAT32, (2,))
    build = Builder()
    start = build.input("x", dtypes.FLOAT32, (2,))
    y = build.op("Relu", start)
    z = build.op("Neg", y)
    y.name = z.name = x.name
    build.output("out", build.op("Add", y, z))
    path = write(build.graph(), tmp_path / "m.onnx")
    onnx.checker.check_model(str(path), full_check=True)


def test_an_optional_output_left_out(tmp_path):
    nodes = [helper.make_node("TopK", ["x", "k"], ["", "i"])]
    k = numpy_helper.from_array(np.array([1]), "k")
    path = save(tmp_path / "m.onnx", nodes, [info("x", (4,))], [info("i", (1,), TensorProto.INT64)], [k])
    written = onnx.load(write(read(path), tmp_path / "n.onnx"))
    assert list(written.graph.node[0].output) == ["", "i"]


def test_empty_lists_keep_their_kind(tmp_path):
    weights = [numpy_helper.from_array(np.ones((1, 8, 2), np.float32), name) for name in ("w", "r")]
    node = helper.make_node("LSTM", ["x", "w", "r"], ["y"], hidden_size=2)
    node.attribute.append(onnx.AttributeProto(name="activation_alpha", type=onnx.AttributeProto.FLOATS))
    path = save(tmp_path / "m.onnx", [node], [info("x", (1, 1, 2))], [info("y", (1, 1, 1, 2))], weights)
    written = onnx.load(write(read(path), tmp_path / "n.onnx"))
    assert {item.name: item.type for item in written.graph.node[0].attribute}["activation_alpha"] == 6


def encoded(graph):
    return onnx.load_from_string(encode_bytes(encode_graph(graph)[0]))


def with_attributes(**attributes):
    """A graph of one node of another domain, which may have any attribute."""
    x, y = Value("x", dtypes.FLOAT32, (2,)), Value("y", dtypes.FLOAT32, (2,))
    y.node = Node("Odd", (x,), (y,), attributes, "odd", "com.example")
    return Graph([x], {"y": y}, [y.node])


def test_the_version_of_the_file_goes_with_that_of_the_operators():
    for opset in range(9, onnx.defs.onnx_opset_version() + 1):
        least = helper.find_min_ir_version_for([helper.make_opsetid("", opset)])
        assert max(least, 4) == ir_version(opset), opset
    assert ir_version(1) == 4 and ir_version(1000) == NEWEST_IR_VERSION


def test_attributes_have_the_kind_of_their_values():
    tensor = ArrayTensor(np.array([1, 2], np.int16))
    graph = with_attributes(
        i=3, b=True, f=0.5, s="é", ints=(1, 2), mixed=(1, 2.5), strings=("a", b"b"), t=tensor, ts=(tensor, tensor),
        number=np.float32(0.25), huge=1e300, infinite=-math.inf,
    )  # fmt: skip
    (node,) = encoded(graph).graph.node
    found = {item.name: helper.get_attribute_value(item) for item in node.attribute}
    assert (found["i"], found["b"], found["f"], found["s"]) == (3, 1, 0.5, "é".encode())
    assert (found["ints"], found["mixed"], found["strings"]) == ([1, 2], [1.0, 2.5], [b"a", b"b"])
    assert (found["number"], found["huge"], found["infinite"]) == (0.25, math.inf, -math.inf)
    assert [numpy_helper.to_array(item).tolist() for item in (found["t"], *found["ts"])] == [[1, 2]] * 3
    assert node.domain == "com.example"


@pytest.mark.parametrize("value", [None, 1j, object(), {"a": 1}, (None,)])
def test_attributes_that_onnx_cannot_hold_are_refused(value):
    with pytest.raises(UnsupportedError, match=r"'k'.*'odd'"):
        encode_graph(with_attributes(k=value))


def test_inputs_of_unknown_type_and_of_one_name_are_refused():
    with pytest.raises(UnsupportedError, match="'x'"):
        encode_graph(Graph([Value("x", None, None)], {}, []))
    with pytest.raises(UsageError, match="same name"):
        encode_graph(Graph([Value("x", dtypes.FLOAT32, ()), Value("x", dtypes.FLOAT32, ())], {}, []))


def test_shapes_are_told_as_far_as_they_are_known():
    build = Builder()
    batch = Dim.symbol("batch")
    build.output("y", build.op("Relu", build.input("x", dtypes.FLOAT32, (batch, 3))))
    build.output("z", build.op("Neg", build.input("any", dtypes.FLOAT32, None)))
    proto = encoded(build.graph()).graph
    sizes = [dim.dim_param or dim.dim_value for dim in proto.output[0].type.tensor_type.shape.dim]
    assert sizes == ["batch", 3]
    assert not proto.input[1].type.tensor_type.HasField("shape")


def test_bodies_hand_on_what_is_not_theirs():
    """A body's output may be a value of the graph around it, a weight, or one value twice: each is copied."""
    x, c = Value("x", dtypes.FLOAT32, (2,)), Value("c", dtypes.BOOL, ())
    w = Value("w", dtypes.FLOAT32, (2,), ArrayTensor(np.float32([5, 6]), "w"))
    inner = Value("inner", dtypes.FLOAT32, (2,))
    inner.node = Node("Neg", (x,), (inner,), {}, "inner")
    bodies = {
        "then_branch": Graph([], {"0": inner, "1": inner}, [inner.node]),
        "else_branch": Graph([], {"0": x, "1": w}, []),
    }
    results = tuple(Value(name, dtypes.FLOAT32, (2,)) for name in "ab")
    choice = Node("If", (c,), results, bodies, "choice")
    proto = encoded(Graph([x, c], {value.name: value for value in results}, [choice]))
    onnx.checker.check_model(proto, full_check=True)
    for item in proto.graph.node[0].attribute:
        assert len({output.name for output in item.g.output}) == 2
    from onnx.reference import ReferenceEvaluator

    session = ReferenceEvaluator(proto)
    feeds = {"x": np.float32([1, 2])}
    for condition, want in ((True, [[-1, -2], [-1, -2]]), (False, [[1, 2], [5, 6]])):
        found = session.run(None, {**feeds, "c": np.array(condition)})
        assert [array.tolist() for array in found] == want


def test_weights_are_those_that_are_used():
    build = Builder()
    used, unused = (build.weight(ArrayTensor(np.ones(2, np.float32), name)) for name in ("used", "unused"))
    build.output("y", build.op("Add", build.input("x", dtypes.FLOAT32, (2,)), used))
    model, weights = encode_graph(build.graph())
    assert [(proto.name, tensor) for proto, tensor in weights] == [("used", used.tensor)]
    assert [proto.name for proto in model.graph.initializer] == ["used"]
    assert unused.tensor is not None


def remark(message, text):
    message.doc_string = text
    message.metadata_props.add(key="from", value=f"{text} of old")
    return message


def remarks(message):
    """Every remark of a message and of those in it."""
    found = [message.doc_string, *((entry.key, entry.value) for entry in message.metadata_props)]
    if isinstance(message, onnx.GraphProto):
        parts = (*message.node, *message.initializer, *message.input, *message.output, *message.value_info)
        found += [each for part in parts for each in remarks(part)]
    bodies = [item.g for item in getattr(message, "attribute", ()) if item.HasField("g")]
    return found + [each for body in bodies for each in remarks(body)]


def remarked_model(path):
    body = helper.make_graph(
        [remark(helper.make_node("Neg", ["b"], ["n"], name="neg"), "inner")], "body", [], [remark(info("n"), "n")]
    )
    weight = remark(numpy_helper.from_array(np.ones(2, np.float32), "w"), "weight")
    nodes = [
        remark(helper.make_node("Add", ["x", "w"], ["a"], name="add"), "add"),
        helper.make_node("Relu", ["a"], ["b"], name="relu"),
        remark(helper.make_node("If", ["c"], ["y"], name="if", then_branch=body, else_branch=body), "if"),
    ]
    inputs = [remark(info("x"), "x"), info("c", (), TensorProto.BOOL)]
    model = onnx.load(save(path, nodes, inputs, [remark(info("y"), "y")], [weight], ir_version=10))
    model.graph.value_info.extend([remark(info("a"), "a"), info("b")])
    remark(model.graph, "graph")
    onnx.save(model, path)
    return path


def test_what_is_said_of_parts_goes_along(tmp_path):
    path = remarked_model(tmp_path / "m.onnx")
    again = onnx.load(write(read(path), tmp_path / "n.onnx"))
    assert remarks(again.graph) == remarks(onnx.load(path).graph)
    onnx.checker.check_model(again, full_check=True)
    whole = cut(read(path).program, None, None)
    assert remarks(onnx.load(write(whole, tmp_path / "c.onnx")).graph) == remarks(again.graph)


def test_what_is_said_of_a_constant_is_said_of_its_value(tmp_path):
    nodes = [remark(helper.make_node("Constant", [], ["k"], value_float=2.0), "two")]
    path = save(tmp_path / "m.onnx", [*nodes, helper.make_node("Mul", ["x", "k"], ["y"])], [info("x")], [info("y")])
    assert remarks(onnx.load(write(read(path), tmp_path / "n.onnx")).graph.initializer[0])[0] == "two"
