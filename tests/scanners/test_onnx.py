import os

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from tests.scanned import CLEAN, DANGEROUS, UNDECIDED, rules_of, scan_bytes

from panmodel.scan import scan


def external(place):
    tensor = numpy_helper.from_array(np.zeros(2, np.float32), "w")
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    entry = tensor.external_data.add()
    entry.key, entry.value = "location", place
    return tensor


def model(nodes=None, tensors=(), **more):
    value = helper.make_tensor_value_info("x", TensorProto.FLOAT, [2])
    graph = helper.make_graph(nodes or [helper.make_node("Relu", ["x"], ["y"])], "g", [value], [], tensors)
    return helper.make_model(graph, **more)


def branch(tensor):
    inner = helper.make_graph([helper.make_node("Constant", [], ["z"], value=tensor)], "b", [], [])
    return helper.make_node("If", ["x"], ["y"], then_branch=inner, else_branch=inner)


def in_training(place):
    made = model()
    made.training_info.add().initialization.initializer.append(external(place))
    return made


def in_sparse(place):
    made = model()
    made.graph.sparse_initializer.add().values.CopyFrom(external(place))
    return made


def in_sparse_constant(place):
    made = model([helper.make_node("Constant", [], ["z"])])
    attribute = made.graph.node[0].attribute.add()
    attribute.name, attribute.type = "sparse_value", onnx.AttributeProto.SPARSE_TENSOR
    attribute.sparse_tensor.indices.CopyFrom(external(place))
    return made


def in_function(tensor):
    node = helper.make_node("Constant", [], ["z"], value=tensor)
    opset = helper.make_opsetid("", 18)
    return model(functions=[helper.make_function("own", "F", [], ["z"], [node], [opset])])


HOSTILE = {
    "parent folder": (model(tensors=[external("../w")]), "PM-ONNX-EXTERNAL-ESCAPE"),
    "hidden parent": (model(tensors=[external("a/../../w")]), "PM-ONNX-EXTERNAL-ESCAPE"),
    "absolute": (model(tensors=[external("/etc/passwd")]), "PM-ONNX-EXTERNAL-ESCAPE"),
    "backslashes": (model(tensors=[external("..\\w")]), "PM-ONNX-EXTERNAL-ESCAPE"),
    "in a branch": (model([branch(external("/w"))]), "PM-ONNX-EXTERNAL-ESCAPE"),
    "in a function": (in_function(external("/w")), "PM-ONNX-EXTERNAL-ESCAPE"),
    "in training": (in_training("/w"), "PM-ONNX-EXTERNAL-ESCAPE"),
    "sparse": (in_sparse("/w"), "PM-ONNX-EXTERNAL-ESCAPE"),
    "sparse constant": (in_sparse_constant("/w"), "PM-ONNX-EXTERNAL-ESCAPE"),
    "Python": (model([helper.make_node("PythonOp", ["x"], ["y"], domain="com.microsoft")]), "PM-ONNX-PYTHON"),
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_what_leads_out_or_calls_is_dangerous(tmp_path, kind):
    made, rule = HOSTILE[kind]
    found = scan_bytes(tmp_path, made.SerializeToString(), "model.onnx")
    assert (found.verdict, rules_of(found)) == (DANGEROUS, {rule})


def test_plain_models_are_clean(tmp_path):
    assert scan_bytes(tmp_path, model().SerializeToString()).verdict is CLEAN


def test_custom_operators_get_a_note(tmp_path):
    made = model([helper.make_node("Own", ["x"], ["y"], domain="mine")])
    found = scan_bytes(tmp_path, made.SerializeToString())
    assert (found.verdict, rules_of(found)) == (CLEAN, {"PM-ONNX-CUSTOM-OP"})


def test_external_data_beside_the_model(tmp_path):
    folder = tmp_path / "model"
    folder.mkdir()
    onnx.save(model(tensors=[external("w.bin")]), folder / "m.onnx")
    assert scan(folder).verdict is UNDECIDED
    (folder / "w.bin").write_bytes(b"\x01\xff\x00\x00\x01\xff\x00\x00")
    assert scan(folder).verdict is CLEAN
    assert scan(folder / "w.bin").verdict is UNDECIDED
    os.link(folder / "w.bin", tmp_path / "second")
    assert rules_of(scan(folder / "m.onnx")) == {"PM-ONNX-EXTERNAL-LINK"}
    os.remove(folder / "w.bin")
    os.symlink(tmp_path / "second", folder / "w.bin")
    assert scan(folder / "m.onnx").verdict is DANGEROUS


def test_external_data_under_a_name_that_no_file_can_have(tmp_path):
    found = scan_bytes(tmp_path, model(tensors=[external("w" * 300)]).SerializeToString())
    assert found.verdict is UNDECIDED


def test_damage_is_never_clean_of_what_was_dangerous(tmp_path):
    data = model(tensors=[external("/etc/passwd")]).SerializeToString()
    for cut in range(1, len(data), 5):
        assert scan_bytes(tmp_path, data[:cut]).verdict is not CLEAN


@pytest.mark.parametrize(
    ("more", "verdict", "rule"),
    [
        ({}, UNDECIDED, "PM-ONNX-COMPILED"),
        ({"embed_mode": 1}, UNDECIDED, "PM-ONNX-COMPILED"),
        ({"embed_mode": 0}, DANGEROUS, "PM-ONNX-EXTERNAL-ESCAPE"),
    ],
)
def test_compiled_parts_are_not_clean(tmp_path, more, verdict, rule):
    node = helper.make_node("EPContext", ["x"], ["y"], domain="com.microsoft", ep_cache_context="../a.bin", **more)
    found = scan_bytes(tmp_path, model([node]).SerializeToString(), "m.onnx")
    assert (found.verdict, rule in rules_of(found)) == (verdict, True)


def test_a_compiled_part_beside_the_model_is_looked_for(tmp_path):
    node = helper.make_node("EPContext", ["x"], ["y"], domain="com.microsoft", ep_cache_context="a.bin", embed_mode=0)
    found = scan_bytes(tmp_path, model([node]).SerializeToString(), "m.onnx")
    assert rules_of(found) == {"PM-ONNX-COMPILED", "PM-ONNX-EXTERNAL-MISSING"}
