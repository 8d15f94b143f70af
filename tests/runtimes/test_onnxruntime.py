"""onnxruntime as it is asked: the tensors wanted, in their order, of the model as written."""

import numpy as np
import onnx
import onnxruntime as installed
import pytest
from onnx import TensorProto, helper

from panmodel.errors import UnsupportedError
from panmodel.runtimes import child
from panmodel.runtimes import onnxruntime as runtime


def save(path, nodes, inputs, outputs, kind=TensorProto.FLOAT, shape=(2,)):
    def infos(names):
        return [helper.make_tensor_value_info(name, kind, shape) for name in names]

    graph = helper.make_graph(nodes, "g", infos(inputs), infos(outputs))
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8), path)
    return path


@pytest.fixture
def model(tmp_path):
    nodes = [
        helper.make_node("Add", ["a", "b"], ["s"]),
        helper.make_node("Neg", ["s"], ["n"]),
        helper.make_node("Identity", ["n"], ["y"]),
    ]
    return save(tmp_path / "m.onnx", nodes, ["a", "b"], ["s", "n", "y"])


FEEDS = {"b": np.float32([10, 20]), "a": np.float32([1, 2])}


def test_the_label_names_what_is_installed():
    assert runtime.label() == f"onnxruntime {installed.__version__}"


def test_tensors_come_by_name_in_the_order_asked_for(model):
    found = runtime.run(model, FEEDS, ["y", "s"])
    assert {name: array.tolist() for name, array in found.items()} == {"y": [-11, -22], "s": [11, 22]}
    assert list(found) == ["y", "s"]


def test_the_same_in_a_child(model, tmp_path):
    folder = tmp_path / "exchange"
    folder.mkdir()
    found = child.call("onnxruntime", model, FEEDS, ["n"], folder)
    assert list(found) == ["n"] and found["n"].tolist() == [-11, -22]


def test_what_onnxruntime_has_no_kernel_for_is_run_by_the_reference(tmp_path):
    path = save(tmp_path / "m.onnx", [helper.make_node("Max", ["a", "b"], ["y"])], "ab", "y", TensorProto.INT16)
    with pytest.raises(Exception, match="NOT_IMPLEMENTED"):
        installed.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    found = runtime.run(path, {"a": np.int16([1, 5]), "b": np.int16([3, 2])}, ["y"])
    assert found["y"].tolist() == [3, 5] and found["y"].dtype == np.int16


def test_what_is_no_model_is_refused(tmp_path):
    (tmp_path / "m.onnx").write_bytes(b"\x08\x08noise")
    folder = tmp_path / "exchange"
    folder.mkdir()
    with pytest.raises(UnsupportedError, match=r"m\.onnx: onnxruntime cannot run it"):
        child.call("onnxruntime", tmp_path / "m.onnx", {}, ["y"], folder)


def test_inputs_that_do_not_fit_are_told(model, tmp_path):
    folder = tmp_path / "exchange"
    folder.mkdir()
    with pytest.raises(UnsupportedError, match="onnxruntime cannot run it"):
        child.call("onnxruntime", model, {"a": np.float32([1, 2, 3]), "b": np.float32([1, 2])}, ["y"], folder)
