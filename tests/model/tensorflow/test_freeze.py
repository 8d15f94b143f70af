import numpy as np
import pytest
from tests.tensorflow_graphs import Shape, const, graph, node

from panmodel.dtypes import BOOL, FLOAT32, INT32, RESOURCE
from panmodel.errors import UnknownNameError, UnsupportedOperatorsError, UsageError
from panmodel.model.tensor import ArrayTensor
from panmodel.model.tensorflow.freeze import freeze, output_type
from panmodel.model.tensorflow.graph import FunctionCall, Signature
from panmodel.model.tensorflow.node import TensorFlowNode
from panmodel.wire.tensorflow_messages import FunctionDef, OpDef

W = np.arange(12, dtype=np.float32).reshape(3, 4)


def placeholder(name="x"):
    return node(name, "Placeholder", dtype=FLOAT32, shape=Shape((None, 3)))


def made(*nodes, **fields):
    return graph(*nodes, variables={"w": ArrayTensor(W, "w")}, **fields)


def reference():
    return [
        placeholder(),
        node("w", "VariableV2", dtype=FLOAT32, shape=Shape((3, 4)), device="/gpu:0"),
        node("w/read", "Identity", "w", T=FLOAT32, _class=["loc:@w"]),
        node("update", "AssignAdd", "w", "w/read"),
        node("y", "MatMul", "x", "w/read", "^update", T=FLOAT32, _class=["loc:@update"]),
    ]


def test_a_reference_variable_becomes_a_constant():
    found = freeze(made(*reference()), ["y"])
    assert list(found.nodes) == ["x", "w", "w/read", "y"]
    assert found.nodes["w"].op == "Const" and found.nodes["w"].device == ""
    np.testing.assert_array_equal(found.nodes["w"].attributes["value"].numpy(), W)
    assert found.nodes["w/read"].attributes["_class"] == [b"loc:@w"]
    assert found.nodes["y"].controls == () and "_class" not in found.nodes["y"].attributes
    assert found.signatures == {"serving_default": Signature({"x": "x:0"}, {"y": "y:0"})}
    assert not found.variables


def test_resource_variables_and_what_reads_them():
    nodes = [
        node("ids", "Placeholder", dtype=INT32),
        node("w", "VarHandleOp", dtype=FLOAT32, shape=Shape((3, 4))),
        node("handle", "Identity", "w", T=RESOURCE),
        node("read", "ReadVariableOp", "handle", dtype=FLOAT32),
        node("rows", "ResourceGather", "w", "ids", dtype=FLOAT32, Tindices=INT32, batch_dims=0),
        node("cells", "ResourceGatherNd", "w", "ids", dtype=FLOAT32, Tindices=INT32),
        node("shape", "VariableShape", "w", out_type=INT32),
        node("ready", "VarIsInitializedOp", "w"),
    ]
    found = freeze(made(*nodes), ["read", "rows", "cells", "shape", "ready"]).nodes
    ops = {name: item.op for name, item in found.items()}
    assert ops == {
        "ids": "Placeholder", "w": "Const", "handle": "Identity", "read": "Identity", "rows/axis": "Const",
        "rows": "GatherV2", "cells": "GatherNd", "shape": "Shape", "ready": "Const",
    }  # fmt: skip
    assert found["handle"].attributes["T"] is found["read"].attributes["T"] is FLOAT32
    assert found["rows"].inputs == ("w:0", "ids:0", "rows/axis:0")
    assert found["rows"].attributes["Tparams"] is FLOAT32 and "dtype" not in found["rows"].attributes


def test_all_that_changes_variables_is_refused_in_one_list():
    nodes = [*reference(), node("z", "Add", "update", "grow"), node("grow", "ScatterAdd", "w", "x", "x")]
    with pytest.raises(UnsupportedOperatorsError) as caught:
        freeze(made(*nodes), ["z"])
    assert sorted(item.node for item in caught.value.found) == ["grow", "update"]


def test_a_handle_given_to_a_function_is_refused():
    nodes = [node("w", "VarHandleOp", dtype=FLOAT32), placeholder(), node("y", "PartitionedCall", "x", "w")]
    with pytest.raises(UnsupportedOperatorsError, match="takes a variable itself"):
        freeze(made(*nodes), ["y"])


def test_cutting_puts_a_placeholder_under_the_same_name():
    types, shapes = [FLOAT32, INT32], [Shape((None, 3)), Shape(())]
    nodes = [
        node("it", "Iterator"),
        node("next", "IteratorGetNext", "it", output_types=types, output_shapes=shapes),
        node("y", "Neg", "next", T=FLOAT32),
        node("z", "Neg", "next:1"),
    ]
    found = freeze(graph(*nodes), ["y", "z"], ["next:0", "next:1"])
    assert [(item.name, item.op) for item in found.nodes.values()] == [
        ("next", "Placeholder"), ("next_1", "Placeholder"), ("y", "Neg"), ("z", "Neg"),
    ]  # fmt: skip
    assert found.nodes["next"].attributes == {"dtype": FLOAT32, "shape": (None, 3)}
    assert found.nodes["z"].inputs == ("next_1:0",) and found.nodes["next_1"].attributes["dtype"] is INT32
    assert found.signatures["serving_default"].inputs == {"next": "next:0", "next:1": "next_1:0"}


def test_a_branch_keeps_what_holds_it():
    nodes = [placeholder(), node("p", "Placeholder", dtype=BOOL), node("switch", "Switch", "p", "p", T=BOOL)]
    nodes += [node("pivot", "Identity", "switch:1", T=BOOL), const("one", [1.0], np.float32)]
    nodes[-1].input = ["^pivot"]
    nodes += [node("else", "Switch", "x", "p", T=FLOAT32), node("merge", "Merge", "else", "one", T=FLOAT32)]
    found = freeze(graph(*nodes), ["merge"])
    assert found.nodes["one"].controls == ("pivot",) and "switch" in found.nodes


def test_only_called_functions_stay():
    functions = {name: FunctionDef(signature=OpDef(name=name)) for name in ("used", "inner", "unused")}
    functions["used"].node_def = [node("n", "inner")]
    nodes = [placeholder(), node("y", "PartitionedCall", "x", f=FunctionCall("used", {}))]
    assert list(freeze(graph(*nodes, functions=functions), ["y"]).functions) == ["used", "inner"]


def test_outputs_are_found_when_left_out():
    assert list(freeze(made(*reference())).nodes) == ["x", "w", "w/read", "y"]


def test_names_that_are_not_there():
    for outputs, inputs in ((["yy"], None), (["y"], ["xx:0"])):
        with pytest.raises(UnknownNameError, match="hint"):
            freeze(made(*reference()), outputs, inputs)


def test_types_of_outputs():
    def kind(op, port=0, **attributes):
        return output_type(TensorFlowNode(node("n", op, **attributes)), port)

    assert kind("Neg", T=FLOAT32) is FLOAT32 and kind("Less", T=FLOAT32) is BOOL
    assert kind("Cast", SrcT=FLOAT32, DstT=INT32) is INT32 and kind("TopKV2", 1, T=FLOAT32) is INT32
    assert kind("Shape", T=FLOAT32, out_type=INT32) is INT32 and kind("Mfcc") is FLOAT32
    with pytest.raises(UsageError, match="n:0"):
        kind("Mystery")


def test_what_takes_a_variable_is_named_rather_than_the_variable_that_is_not_there():
    handle = node("v", "VarHandleOp", dtype=FLOAT32, shape=Shape((3, 4)), shared_name="v")
    call = node("y", "StatefulPartitionedCall", "x", "v", f=FunctionCall("f", {}))
    with pytest.raises(UnsupportedOperatorsError, match="takes a variable itself"):
        freeze(made(placeholder(), handle, call), ["y"])
