import os

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper
from tests.damage import assert_survives
from tests.onnx_files import external, info, load_all, read, save, small_model, write

from panmodel import dtypes
from panmodel.errors import (
    ReadError,
    UnsupportedError,
)
from panmodel.formats.onnx import FORMAT
from panmodel.io.source import Location
from panmodel.model.builder import Builder
from panmodel.model.model import Model
from panmodel.model.onnx.encoding import NEWEST_IR_VERSION
from panmodel.model.symbolic import Dim
from panmodel.model.tensor import ArrayTensor, StoredTensor


def test_reads_names_types_and_weights(tmp_path):
    model = read(small_model(tmp_path / "m.onnx"))
    graph = model.program
    assert [value.name for value in graph.inputs] == ["x", "c"]
    assert graph.inputs[0].shape == (Dim.symbol("batch"), 2)
    assert list(graph.outputs) == ["out", "label"]
    assert graph.operators()["If"] == 1 and "Constant" not in graph.operators()
    assert set(model.tensors) == {"w", "v", "h", "s"}
    assert isinstance(model.tensors["w"], StoredTensor)
    np.testing.assert_array_equal(model.tensors["v"].numpy(), [1, 2, 3])
    np.testing.assert_array_equal(model.tensors["h"].numpy(), np.array([1, 2, 3], np.float16))
    assert model.tensors["s"].numpy()[0] == b"a"
    branch = next(node for node in graph.nodes if node.op == "If").attr("then_branch")
    assert [value.name for value in branch.captures()] == ["y"]


def test_written_model_passes_the_checker_and_reads_the_same(tmp_path):
    first = read(small_model(tmp_path / "a.onnx"))
    path = write(first, tmp_path / "b.onnx")
    onnx.checker.check_model(str(path), full_check=True)
    second = read(path)
    assert second.program.operators() == first.program.operators()
    assert second.program.opset == 18
    assert load_all(path).keys() >= load_all(tmp_path / "a.onnx").keys()
    # what is read once more is written with the same bytes
    again = write(second, tmp_path / "c.onnx")
    assert write(read(again), tmp_path / "d.onnx").read_bytes() == again.read_bytes()


def test_metadata_survives(tmp_path):
    path = save(tmp_path / "a.onnx", [helper.make_node("Relu", ["x"], ["y"])], [info("x")], [info("y")], opset=13)
    proto = onnx.load(path)
    helper.set_model_props(proto, {"labels": "cat,dog"})
    proto.domain, proto.model_version, proto.ir_version, proto.doc_string = "org.example", 7, 9, "tells cats"
    onnx.save(proto, path)
    model = read(path)
    assert model.strings == {"doc_string": "tells cats", "labels": "cat,dog"}
    written = onnx.load(write(model, tmp_path / "b.onnx"))
    assert (written.domain, written.model_version, written.ir_version) == ("org.example", 7, 9)
    assert written.opset_import[0].version == 13
    assert {entry.key: entry.value for entry in written.metadata_props} == {"labels": "cat,dog"}
    assert written.doc_string == "tells cats"
    assert written.producer_name == "panmodel"


@pytest.mark.parametrize(("given", "kept"), [(3, 4), (7, 7), (8, 8), (1000, NEWEST_IR_VERSION)])
def test_the_version_of_the_file_stays_as_it_was(tmp_path, given, kept):
    nodes = [helper.make_node("Relu", ["x"], ["y"])]
    path = save(tmp_path / "a.onnx", nodes, [info("x")], [info("y")], opset=21, ir_version=given)
    assert onnx.load(write(read(path), tmp_path / "b.onnx")).ir_version == kept


def test_large_weights_go_to_a_file_of_their_own(tmp_path):
    build = Builder()
    x = build.input("x", dtypes.FLOAT32, (50, 50))
    weights = {name: np.random.default_rng(0).standard_normal((50, 50)).astype(np.float32) for name in ("a", "b")}
    for name, array in weights.items():
        x = build.op("MatMul", x, build.transpose(build.weight(ArrayTensor(array, name)), (1, 0)))
    build.output("y", build.op("Add", x, build.weight(ArrayTensor(np.ones(50, np.float32), "c"))))
    path = write(build.graph(), tmp_path / "m.onnx", largest=5000)
    assert sorted(os.listdir(tmp_path)) == ["m.onnx", "m.onnx.data"]
    assert path.stat().st_size < 5000
    onnx.checker.check_model(str(path), full_check=True)
    proto = onnx.load(path)  # with the external data
    stored = {item.name: numpy_helper.to_array(item) for item in proto.graph.initializer}
    np.testing.assert_array_equal(stored["a"], weights["a"].T)
    model = read(path)
    assert {model.tensors[name].extent.offset % 4096 for name in ("a", "b")} == {0}
    assert model.tensors["c"].extent.source.name == str(path)
    np.testing.assert_array_equal(model.tensors["b"].numpy(), weights["b"].T)


def test_a_graph_too_large_by_itself_is_refused(tmp_path):
    build = Builder()
    x = build.input("x", dtypes.FLOAT32, (2,))
    for _ in range(20):
        x = build.op("Relu", x)
    build.output("y", x)
    with pytest.raises(UnsupportedError, match="without its weights"):
        write(build.graph(), tmp_path / "m.onnx", largest=100)


# Sniffing


def test_knows_itself(tmp_path):
    path = small_model(tmp_path / "m.onnx")
    assert FORMAT.sniff(Location(path))
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])  # cut short it is still one, so that reading can say what is wrong
    assert FORMAT.sniff(Location(path))
    with pytest.raises(ReadError):
        read(path)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x08",
        b"\x08\x01",
        b"\x08\x01\x12\x00",  # a SavedModel: its second field is a message, and there is no seventh
        b"\x0a\x03\x0a\x01a",  # a GraphDef
        b"PK\x03\x04" + bytes(60),
        b"\x80\x02}q\x00.",
        b"\x89HDF\r\n\x1a\n" + bytes(50),
        b'\x10\x00\x00\x00\x00\x00\x00\x00{"a": 1}',
        b"node {\n  name: 'x'\n}\n",
    ],
)
def test_knows_what_it_is_not(tmp_path, data):
    path = tmp_path / "m.onnx"
    path.write_bytes(data)
    assert not FORMAT.sniff(Location(path))


def test_a_folder_is_no_model(tmp_path):
    assert not FORMAT.sniff(Location(tmp_path))


def test_only_hub_graphs_are_written(tmp_path):
    with pytest.raises(UnsupportedError):
        write(Model("safetensors"), tmp_path / "m.onnx")


def test_survives_damage(tmp_path):
    assert_survives(load_all, small_model(tmp_path / "m.onnx"))


def test_survives_damage_with_external_data(tmp_path):
    (tmp_path / "w.bin").write_bytes(bytes(16))
    assert_survives(load_all, external(tmp_path / "m.onnx", offset="0", length="16"), cuts=100, flips=500)
