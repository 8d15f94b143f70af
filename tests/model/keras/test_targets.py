import json

import numpy as np
import pytest

from panmodel.dtypes import BFLOAT16
from panmodel.model.keras.structure import GroupRecord, LayerGroups, Layout
from panmodel.model.keras.targets import opaque, remarks, structure_for, with_layers
from panmodel.model.model import Model
from panmodel.model.notice import Assumed, ReadOtherwise
from panmodel.model.tensor import ArrayTensor
from panmodel.model.tensorflow.object_graph import ObjectGraph
from panmodel.model.tensorflow.objects import Attribute, TrackedObject
from panmodel.model.training import TrainingState


def model_of(*names, **fields):
    return Model("any", tensors={name: ArrayTensor(np.zeros(2, np.float32), name) for name in names}, **fields)


def layers_of(model):
    structure = structure_for(model)
    return {
        layer: [key for _, key in structure.groups[layer].weights] for layer in structure.groups[structure.base].layers
    }


def test_the_training_state_belongs_to_no_layer():
    model = model_of("beta1_power", "d/bias", "d/bias/Adam", "d/kernel", "d/kernel/Adam")
    model.training = TrainingState(names=frozenset(name for name in model.tensors if "bias" != name[2:] != "kernel"))
    assert layers_of(model) == {"d": ["d/kernel", "d/bias"]}
    assert structure_for(model).places["d/kernel/Adam"] == "d/kernel/Adam"
    assert remarks(model, "x.h5") == []  # one layer, of weights that are known


def test_objects_tell_the_order_of_layers():
    def variable(name):
        return TrackedObject((), (Attribute("VARIABLE_VALUE", name, name),), (), None, ())

    def container(**children):
        return TrackedObject(tuple(children.items()), (), (), None, ())

    names = ["a/beta", "a/gamma", "z/bias", "z/kernel"]
    layers = [container(**{"0": 4, "1": 5}), container(b=6, k=7), container(b=8, g=9)]
    nodes = (
        container(optimizer=2, layers=3),
        container(),
        container(x=8),
        *layers,
        *map(variable, names[2:] + names[:2]),
    )
    model = model_of(*names, structure=ObjectGraph(nodes, {name: name for name in names}))
    assert list(layers_of(model).items()) == [("z", ["z/kernel", "z/bias"]), ("a", ["a/gamma", "a/beta"])]
    (notice,) = remarks(model, "x.h5")
    assert "objects" in notice.detail and notice.names == ("z", "a")


def test_positions_that_nobody_told_are_said():
    (notice,) = remarks(model_of("a/bias", "a/kernel", "b/kernel"), "x.h5")
    assert isinstance(notice, Assumed) and notice.names == ("a", "b") and "names" in notice.detail
    (notice,) = remarks(model_of("a/odd", "a/kernel"), "x.h5")
    assert isinstance(notice, Assumed) and notice.names == ("a/odd",)


@pytest.mark.parametrize("name", ["x.weights.h5", "x.weights.json"])
def test_paths_of_variables_are_taken_for_such(name):
    model = model_of("layers/dense/vars/0", "layers/dense/vars/1", "optimizer/vars/0")
    structure = structure_for(model)
    assert structure.layout is Layout.VARIABLES
    (notice,) = remarks(model, name)
    assert isinstance(notice, Assumed)
    model.structure = structure
    assert remarks(model, name) == []


@pytest.mark.parametrize(
    ("layout", "name"),
    [(Layout.LAYERS, "x.weights.h5"), (Layout.PATHS, "x.weights.h5"), (Layout.VARIABLES, "x.h5")],
)
def test_what_keras_does_not_load_is_said(layout, name):
    model = model_of("a/vars/0", structure=LayerGroups(layout, "", {"": GroupRecord()}, {"a/vars/0": "a/vars/0"}))
    (notice,) = remarks(model, name)
    assert isinstance(notice, ReadOtherwise) and "name the target" in notice.detail
    other = "x.h5" if name != "x.h5" else "x.weights.h5"
    assert remarks(model, other) == []


def test_elements_that_hdf5_has_no_type_for_are_said():
    model = model_of("a")
    model.tensors["a"] = ArrayTensor(np.zeros(2, np.uint16), "a", dtype=BFLOAT16)
    assert [(notice.kind, notice.names) for notice in opaque(model)] == [("read-otherwise", ("bfloat16",))]
    model.structure = structure_for(model)
    assert opaque(model) == opaque(model_of("a")) == []


@pytest.mark.parametrize("layer", ["a//b", "layers/dense/vars/0/x", "ok"])
def test_layers_are_listed_where_their_names_can_be_paths(layer):
    config = json.dumps({"config": {"layers": [{"class_name": "Dense", "config": {"name": layer}}]}})
    model = model_of(place := "layers/dense/vars/0")
    given = LayerGroups(Layout.VARIABLES, "", {"": GroupRecord()}, {place: place}, {"config.json": config})
    found = with_layers(given, model.tensors)
    assert (found is not None) is (layer == "ok")
    assert list(given.groups) == [""] and given.groups[""] == GroupRecord()
    if found is not None:
        assert found.groups["ok"].weights == [("weight_0", place)]
        assert found.groups[""].layers == ["ok"]
