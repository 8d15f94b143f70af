"""What a model file says about itself, without weights being read."""

import json
from pathlib import Path

import numpy as np
import pytest
from tests.saved_models import meta_graph, write_saved_model

import panmodel as pm
from panmodel.io.source import FileSource
from panmodel.model.model import Model
from panmodel.model.tensor import ArrayTensor
from panmodel.wire.tensorflow_messages import TensorInfo

ROOT = Path(__file__).parents[1]
CHECKPOINT = ROOT / "examples" / "digits" / "model.ckpt"


@pytest.fixture(scope="module")
def found():
    return pm.inspect(CHECKPOINT)


def test_weights_are_counted_without_slots(found):
    weights = [tensor for tensor in found.tensors if not tensor.slot and tensor.dtype == "float32" and tensor.shape]
    assert found.parameters == sum(tensor.nbytes // 4 for tensor in weights) == 8050
    assert sum(tensor.slot for tensor in found.tensors) == 20
    assert found.nbytes == sum(tensor.nbytes for tensor in found.tensors)


def test_training_state_without_slots_is_not_counted_and_ties_are_once(tmp_path):
    tied, single = np.ones((4, 8), np.float32), ArrayTensor(np.ones((2, 3), np.float32), "s")
    tensors = {"e": ArrayTensor(tied, "e"), "layers/dense/vars/0": single, "optimizer/vars/2": single}
    tensors["d"] = tensors["e"]
    pm.write(Model("any", tensors=tensors), tmp_path / "a.h5")
    found = pm.inspect(tmp_path / "a.h5")
    assert (len(found.tensors), found.parameters, found.nbytes) == (4, 38, 152)


def test_the_graph_and_the_training_state(found):
    assert found.inputs == ["images:0 float32[?, 8, 8, 1]"]
    assert [name.split()[0] for name in found.outputs] == ["probabilities:0"]
    assert found.operators["Conv2D"] == 2
    assert found.training["step"] == 600
    assert found.training["slots"] == {"m": 10, "v": 10}
    assert found.metadata["version"] == "1.15.5"


def test_everything_is_plain_json(found):
    plain = json.loads(json.dumps(found.to_json(), default=str))
    assert plain["tensors"][0].keys() == {"name", "dtype", "shape", "bytes", "slot"}


def test_every_dialect(tmp_path):
    for name, dialect in (("a.onnx", "onnx"), ("a.pb", "tensorflow"), ("a.py", "torch")):
        pm.convert(CHECKPOINT, tmp_path / name)
        found = pm.inspect(tmp_path / name)
        assert found.dialect == dialect
        assert [each.split()[0] for each in found.inputs] == ["images:0"]
        assert [each.split()[0] for each in found.outputs] == ["probabilities:0"]


def test_weights_are_not_read(tmp_path, monkeypatch):
    model = Model("any", tensors={"w": ArrayTensor(np.ones((1 << 21,), np.float32))})
    pm.write(model, tmp_path / "a.safetensors")
    taken = []
    readinto = FileSource.readinto

    def counting(self, offset, buffer):
        taken.append(len(buffer))
        return readinto(self, offset, buffer)

    monkeypatch.setattr(FileSource, "readinto", counting)
    found = pm.inspect(tmp_path / "a.safetensors")
    assert found.dialect is None
    assert sum(taken) < found.nbytes / 16


def test_a_signature_of_nodes_that_are_not_there_is_said(tmp_path):
    info = {"y": TensorInfo(name="gone:0", dtype=1)}
    meta = meta_graph()
    signature = meta.signature_def["serving_default"]
    write_saved_model(
        tmp_path / "model", meta.replaced(signature_def={"serving_default": signature.replaced(outputs=info)})
    )
    found = pm.inspect(tmp_path / "model")
    assert found.inputs == ["x:0 float32[4, 3]"]
    assert found.outputs == ["gone:0"]
    assert found.notices == ["the signature names tensors of nodes that are not in the graph: gone:0"]
