import json

import numpy as np

from panmodel.io.sink import Sink
from panmodel.io.source import FileSource
from panmodel.model.keras.opening import model_of
from panmodel.model.keras.placing import arranged, file_of
from panmodel.model.notice import MetadataLost, TensorsIncomplete
from panmodel.model.tensor import ArrayTensor
from panmodel.wire.hdf5 import read_file
from panmodel.wire.hdf5.writing import NewDataset, NewGroup, save


def test_a_model_says_what_its_file_says(tmp_path):
    layer = NewGroup({"k": NewDataset(ArrayTensor(np.zeros(2)))}, {"weight_names": np.array([b"k"])})
    weights = NewGroup({"a": layer}, {"layer_names": np.array([b"a"]), "backend": "jax"})
    config = {"class_name": "Net"}
    root = NewGroup({"model_weights": weights}, {"model_config": json.dumps(config), "training_config": "no JSON"})
    root.attributes["odd"] = np.complex64(1)
    with Sink(tmp_path / "a.h5") as sink:
        save(root, sink.open())
    model = model_of("any", read_file(FileSource(tmp_path / "a.h5")), "a.h5", documents={"metadata.json": '{"v": 1}'})
    assert (model.format, list(model.tensors), model.training) == ("any", ["k"], None)
    assert model.metadata == {
        "framework": "keras",
        "backend": "jax",
        "model_config": config,
        "training_config": "no JSON",
        "metadata": {"v": 1},
    }
    assert [type(notice) for notice in model.notices] == [MetadataLost]
    assert TensorsIncomplete not in map(type, model.notices)
    assert model.structure.documents == {"metadata.json": '{"v": 1}'}


def test_slots_of_tensorflow_are_told_by_their_names(tmp_path):
    arrays = {"w": np.zeros((2, 3)), "w/Momentum": np.ones((2, 3)), "global_step": np.int64(7)}
    tensors = {name: ArrayTensor(np.asarray(array), name) for name, array in arrays.items()}
    with Sink(tmp_path / "a.h5") as sink:
        save(file_of(tensors, arranged(tensors)), sink.open())
    model = model_of("any", read_file(FileSource(tmp_path / "a.h5")), "a.h5")
    assert (model.training.step, model.training.optimizer) == (7, "momentum")
    assert model.training.slots["w"]["momentum"] is model.tensors["w/Momentum"]
    assert list(model.weights) == ["w"]
