"""Whole training graphs as TensorFlow saves them: the forward graph comes out, and computes the same."""

import json
from pathlib import Path

import numpy as np
import pytest
from tests.interop import tensorflow_nets
from tests.interop.tensorflow_judge import tensorflow
from tests.interop.tensorflow_nets import NETS, folder_name

import panmodel as pm


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    made = tmp_path_factory.mktemp("nets")
    tensorflow(Path(tensorflow_nets.__file__), "save", made)
    return made


class Saved:
    """A net that was saved, and what TensorFlow computes."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.prefix = folder, folder / "model.ckpt"
        net = json.loads((folder / "net.json").read_text())
        self.inputs, self.outputs, self.shown = net["inputs"], net["outputs"], net["shown"]
        self.fed, self.answers = self.read("fed"), self.read("answers")

    def read(self, name):
        return tensorflow_nets.read(self.folder, name)


@pytest.fixture(params=NETS)
def net(request, folder):
    return Saved(folder / folder_name(request.param))


def run_onnx(path, net):
    onnxruntime = pytest.importorskip("onnxruntime")
    session = onnxruntime.InferenceSession(path)
    assert [value.name for value in session.get_inputs()] == net.inputs
    fed = {name: net.fed[name] for name in net.inputs}
    return dict(zip([value.name for value in session.get_outputs()], session.run(None, fed), strict=True))


def assert_same(found, net, names):
    assert list(found) == names
    for name in names:
        assert found[name].dtype == net.answers[name].dtype
        np.testing.assert_allclose(found[name], net.answers[name], rtol=1e-4, atol=1e-5)


def test_onnx_as_it_is_asked_for(net, tmp_path):
    pm.convert(net.prefix, tmp_path / "a.onnx", inputs=net.inputs, outputs=net.outputs)
    assert_same(run_onnx(tmp_path / "a.onnx", net), net, net.outputs)


def test_onnx_by_itself(net, tmp_path):
    if net.shown is None:
        pytest.skip("which branch is meant, only a person can tell")
    pm.convert(net.prefix, tmp_path / "a.onnx")
    assert_same(run_onnx(tmp_path / "a.onnx", net), net, net.shown)


def test_torch(net):
    torch = pytest.importorskip("torch")
    module = pm.to_torch(net.prefix, inputs=net.inputs, outputs=net.outputs).eval()
    with torch.no_grad():
        found = module(*(torch.from_numpy(net.fed[name]) for name in net.inputs))
    found = found if isinstance(found, tuple) else (found,)
    assert_same(dict(zip(net.outputs, (one.numpy() for one in found), strict=True)), net, net.outputs)


@pytest.fixture(scope="module")
def judged(folder):
    """TensorFlow has run what panmodel made of each net."""
    for name in NETS:
        net = Saved(folder / folder_name(name))
        pm.convert(net.prefix, net.folder / "frozen.pb", inputs=net.inputs, outputs=net.outputs)
        pm.convert(net.prefix, net.folder / "a.safetensors", weights_only=True)
        pm.convert(net.folder / "a.safetensors", net.folder / "back.ckpt")
    tensorflow(Path(tensorflow_nets.__file__), "judge", folder)


@pytest.mark.usefixtures("judged")
def test_the_frozen_graph_runs_in_tensorflow(net):
    assert_same(net.read("frozen"), net, net.outputs)


@pytest.mark.usefixtures("judged")
def test_tensorflow_restores_what_came_back(net):
    found = net.read("back")
    assert {name: value.tobytes() for name, value in found.items()} == {
        name: net.answers[name].tobytes() for name in net.outputs
    }
