"""Functions of a model, inlined; the judge is onnx's reference evaluator, which runs them as they are."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator
from tests.onnx_files import info, read, save, write

from panmodel.errors import CorruptError, LimitError


def test_functions_are_inlined(tmp_path):
    inner = helper.make_function(
        "f", "Scale", ["a"], ["b"],
        [
            helper.make_node("Constant", [], ["k"], value_float=3.0),
            helper.make_node("Mul", ["a", "k"], ["t"]),
            helper.make_node("LeakyRelu", ["t"], ["b"]),
        ],
        [helper.make_opsetid("", 18)],
    )  # fmt: skip
    inner.node[2].attribute.append(
        onnx.AttributeProto(name="alpha", ref_attr_name="slope", type=onnx.AttributeProto.FLOAT)
    )
    inner.attribute.append("slope")
    outer = helper.make_function(
        "f", "Twice", ["a"], ["b"],
        [
            helper.make_node("Scale", ["a"], ["m"], domain="f", slope=0.5),
            helper.make_node("Scale", ["m"], ["b"], domain="f", slope=2.0),
        ],
        [helper.make_opsetid("", 18), helper.make_opsetid("f", 1)],
    )  # fmt: skip
    nodes = [helper.make_node("Twice", ["x"], ["y"], domain="f")]
    path = tmp_path / "m.onnx"
    save(path, nodes, [info("x")], [info("y")], functions=[inner, outer], opsets=[helper.make_opsetid("f", 1)])
    graph = read(path).program
    assert graph.operators() == {"LeakyRelu": 2, "Mul": 2}
    first, second = (node for node in graph.nodes if node.op == "LeakyRelu")
    assert first.attr("alpha") == 0.5 and second.attr("alpha") == 2.0
    # by hand: three times, then leaking a half, then the same with a slope of two
    x = np.array([-1, 2], np.float32)
    from onnx.reference import ReferenceEvaluator

    (found,) = ReferenceEvaluator(onnx.load(write(graph, tmp_path / "n.onnx"))).run(None, {"x": x})
    np.testing.assert_array_equal(found, [-1 * 3 * 0.5 * 3 * 2, 2 * 3 * 3])


def test_functions_in_a_circle(tmp_path):
    loop = helper.make_function(
        "f", "F", ["a"], ["b"], [helper.make_node("F", ["a"], ["b"], domain="f")], [helper.make_opsetid("f", 1)]
    )
    nodes = [helper.make_node("F", ["x"], ["y"], domain="f")]
    path = save(tmp_path / "m.onnx", nodes, [info("x")], [info("y")], functions=[loop])
    with pytest.raises(LimitError, match="circle"):
        read(path)


def function(name, inputs, outputs, nodes, *attributes):
    return helper.make_function(
        "f", name, inputs, outputs, nodes, [helper.make_opsetid("", 18), helper.make_opsetid("f", 1)], list(attributes)
    )


def model(path, nodes, functions, inputs=("x",), outputs=("y",)):
    opsets = [helper.make_opsetid("f", 1)]
    return save(path, nodes, [info(n) for n in inputs], [info(n) for n in outputs], functions=functions, opsets=opsets)


def assert_same(path, inputs, folder):
    """The file with its functions and the inlined one compute the same."""
    folder.mkdir(exist_ok=True)
    graph = read(path).program
    assert not {node.domain for node in graph.nodes} & {"f"}
    want = ReferenceEvaluator(onnx.load(path)).run(None, inputs)
    found = ReferenceEvaluator(onnx.load(write(graph, folder / "inlined.onnx"))).run(None, inputs)
    for a, b in zip(want, found, strict=True):
        np.testing.assert_array_equal(a, b)
    return graph


def test_names_inside_do_not_meet_those_outside(tmp_path):
    """The body's t and y are none of the caller's, and each call has its own."""
    inner = function("F", ["x"], ["y"], [helper.make_node("Neg", ["x"], ["t"]), helper.make_node("Abs", ["t"], ["y"])])
    nodes = [
        helper.make_node("Relu", ["x"], ["t"]),
        helper.make_node("F", ["t"], ["a"], domain="f"),
        helper.make_node("F", ["x"], ["b"], domain="f"),
        helper.make_node("Sub", ["a", "b"], ["s"]),
        helper.make_node("Add", ["s", "t"], ["y"]),
    ]
    graph = assert_same(model(tmp_path / "m.onnx", nodes, [inner]), {"x": np.float32([-1, 2])}, tmp_path)
    assert graph.operators() == {"Abs": 2, "Neg": 2, "Add": 1, "Relu": 1, "Sub": 1}


def test_results_that_are_operands_or_not_wanted(tmp_path):
    inner = function("F", ["a", "b"], ["a", "c"], [helper.make_node("Add", ["a", "b"], ["c"])])
    nodes = [
        helper.make_node("F", ["x", "x"], ["p"], domain="f"),
        helper.make_node("F", ["x", "p"], ["", "q"], domain="f"),
        helper.make_node("Mul", ["p", "q"], ["y"]),
    ]
    path = model(tmp_path / "m.onnx", nodes, [inner])
    graph = read(path).program
    (found,) = ReferenceEvaluator(onnx.load(write(graph, tmp_path / "n.onnx"))).run(None, {"x": np.float32([3, 4])})
    assert found.tolist() == [3 * 6, 4 * 8]


def test_operands_left_out_are_left_out_inside(tmp_path):
    inner = function("F", ["a", "low", "high"], ["b"], [helper.make_node("Clip", ["a", "low", "high"], ["b"])])
    nodes = [helper.make_node("F", ["x", "", "m"], ["y"], domain="f")]
    path = save(
        tmp_path / "m.onnx", nodes, [info("x"), info("m", ())], [info("y")],
        functions=[inner], opsets=[helper.make_opsetid("f", 1)],
    )  # fmt: skip
    (clip,) = read(path).program.nodes
    assert clip.op == "Clip" and clip.inputs[1] is None and clip.inputs[2].name == "m"


def test_bodies_of_nodes_see_the_operands(tmp_path):
    branches = {
        name: helper.make_graph([helper.make_node(op, ["a"], [name])], name, [], [info(name, None)])
        for name, op in (("then_branch", "Neg"), ("else_branch", "Relu"))
    }
    inner = function("F", ["c", "a"], ["b"], [helper.make_node("If", ["c"], ["b"], **branches)])
    nodes = [helper.make_node("F", ["c", "x"], ["t"], domain="f"), helper.make_node("F", ["c", "t"], ["y"], domain="f")]
    path = save(
        tmp_path / "m.onnx", nodes, [info("x"), info("c", (), TensorProto.BOOL)], [info("y")],
        functions=[inner], opsets=[helper.make_opsetid("f", 1)],
    )  # fmt: skip
    for condition in (True, False):
        assert_same(path, {"x": np.float32([-1, 2]), "c": np.array(condition)}, tmp_path / str(condition))


def test_weights_of_bodies_are_of_their_call(tmp_path):
    """The body's own weight has the name of a value around the call, and is none of it."""
    weight = helper.make_tensor("x", TensorProto.FLOAT, [2], [10.0, 20.0])
    nodes = [helper.make_node("Add", ["a", "x"], ["r"])]
    branch = helper.make_graph(nodes, "b", [], [info("r", None)], [weight])
    inner = function(
        "F", ["c", "a"], ["b"], [helper.make_node("If", ["c"], ["b"], then_branch=branch, else_branch=branch)]
    )
    nodes = [helper.make_node("F", ["c", "x"], ["t"], domain="f"), helper.make_node("F", ["c", "t"], ["y"], domain="f")]
    path = save(
        tmp_path / "m.onnx", nodes, [info("x"), info("c", (), TensorProto.BOOL)], [info("y")],
        functions=[inner], opsets=[helper.make_opsetid("f", 1)],
    )  # fmt: skip
    graph = read(path).program
    evaluator = ReferenceEvaluator(onnx.load(write(graph, tmp_path / "n.onnx")))
    (found,) = evaluator.run(None, {"x": np.float32([1, 2]), "c": np.array(True)})
    assert found.tolist() == [21, 42]


def test_attributes_have_the_default_of_the_function(tmp_path):
    node = helper.make_node("LeakyRelu", ["a"], ["b"])
    node.attribute.append(onnx.AttributeProto(name="alpha", ref_attr_name="slope", type=onnx.AttributeProto.FLOAT))
    inner = function("F", ["a"], ["b"], [node])
    inner.attribute_proto.append(helper.make_attribute("slope", 0.5))
    calls = [
        helper.make_node("F", ["x"], ["t"], domain="f"),
        helper.make_node("F", ["t"], ["y"], domain="f", slope=0.25),
    ]
    graph = read(model(tmp_path / "m.onnx", calls, [inner])).program
    assert [node.attr("alpha") for node in graph.nodes] == [0.5, 0.25]


def test_more_operands_than_the_function_has(tmp_path):
    inner = function("F", ["a"], ["b"], [helper.make_node("Neg", ["a"], ["b"])])
    nodes = [helper.make_node("F", ["x", "x"], ["y"], domain="f", name="call")]
    with pytest.raises(CorruptError, match=r"'call' calls 'F'"):
        read(model(tmp_path / "m.onnx", nodes, [inner]))


def test_calls_that_double_at_every_level_end(tmp_path):
    """Thirty functions, each calling the next twice: a thousand million nodes from a file of a few kilobytes."""
    functions = [function("F0", ["a"], ["b"], [helper.make_node("Neg", ["a"], ["b"])])]
    for level in range(1, 31):
        below = [
            helper.make_node(f"F{level - 1}", ["a"], ["t"], domain="f"),
            helper.make_node(f"F{level - 1}", ["t"], ["b"], domain="f"),
        ]
        functions.append(function(f"F{level}", ["a"], ["b"], below))
    with pytest.raises(LimitError):
        read(model(tmp_path / "m.onnx", [helper.make_node("F30", ["x"], ["y"], domain="f")], functions))


def test_attributes_of_calls_may_be_tensors(tmp_path):
    weight = numpy_helper.from_array(np.float32([2, 3]))
    constant = helper.make_node("Constant", [], ["k"])
    constant.attribute.append(
        onnx.AttributeProto(name="value", ref_attr_name="weight", type=onnx.AttributeProto.TENSOR)
    )
    inner = function("F", ["a"], ["b"], [constant, helper.make_node("Mul", ["a", "k"], ["b"])], "weight")
    nodes = [helper.make_node("F", ["x"], ["y"], domain="f", weight=weight)]
    assert_same(model(tmp_path / "m.onnx", nodes, [inner]), {"x": np.float32([-1, 2])}, tmp_path)


def test_bodies_keep_types_and_weights_of_every_form(tmp_path):
    outside = numpy_helper.from_array(np.float32([2, 3]), "w")
    (tmp_path / "w.bin").write_bytes(outside.raw_data)
    onnx.external_data_helper.set_external_data(outside, "w.bin")
    outside.ClearField("raw_data")
    sparse = helper.make_sparse_tensor(
        helper.make_tensor("s", TensorProto.FLOAT, [1], [7.0]),
        helper.make_tensor("i", TensorProto.INT64, [1], [1]),
        [2],
    )
    nodes = [helper.make_node("Add", ["a", "w"], ["t"]), helper.make_node("Add", ["t", "s"], ["r"])]
    branch = helper.make_graph(nodes, "b", [], [info("r")], [outside], sparse_initializer=[sparse])
    inner = function(
        "F", ["c", "a"], ["b"], [helper.make_node("If", ["c"], ["b"], then_branch=branch, else_branch=branch)]
    )
    path = save(
        tmp_path / "m.onnx", [helper.make_node("F", ["c", "x"], ["y"], domain="f")],
        [info("x"), info("c", (), TensorProto.BOOL)], [info("y")],
        functions=[inner], opsets=[helper.make_opsetid("f", 1)],
    )  # fmt: skip
    graph = read(path).program
    (result,) = graph.nodes[0].attr("then_branch").outputs.values()
    assert result.shape == (2,)
    evaluator = ReferenceEvaluator(onnx.load(write(graph, tmp_path / "n.onnx")))
    (found,) = evaluator.run(None, {"x": np.float32([1, 2]), "c": np.array(True)})
    assert found.tolist() == [3, 12]
