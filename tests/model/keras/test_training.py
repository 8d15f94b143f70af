import json

import numpy as np
import pytest

from panmodel.model.keras.structure import GroupRecord, LayerGroups, Layout
from panmodel.model.keras.training import parsed, training_state
from panmodel.model.tensor import ArrayTensor

KERNEL, BIAS = (2, 3), (3,)


def whole_model(class_name, optimizer, *, version="2.3.1", layers=(), **config):
    """A whole model in HDF5: two layers, one with statistics, and an optimizer's variables, given as name → shape."""
    weights = {"b/kernel:0": KERNEL, "b/bias:0": BIAS, "n/gamma:0": BIAS, "n/moving_mean:0": BIAS, "a/kernel:0": BIAS}
    training = {"optimizer_config": {"class_name": class_name, "config": config}}
    attributes = {"keras_version": version, "training_config": json.dumps(training)}
    attributes["model_config"] = json.dumps({"config": {"layers": list(layers)}})
    groups = {"": GroupRecord(attributes), "model_weights": GroupRecord(layers=["b", "n", "a"])}
    places = {}
    for name in weights:
        path = f"model_weights/{name[0]}"
        groups.setdefault(path, GroupRecord(weights=[])).weights.append((name, name))
        places[name] = f"{path}/{name}"
    listed = [(name, f"optimizer_weights/{name}") for name in optimizer]
    groups["optimizer_weights"] = GroupRecord(weights=listed)
    places.update((key, key) for _, key in listed)
    shapes = {**weights, **{f"optimizer_weights/{name}": shape for name, shape in optimizer.items()}}
    tensors = {
        name: ArrayTensor(np.full(shape, place, np.float32), name) for place, (name, shape) in enumerate(shapes.items())
    }
    return LayerGroups(Layout.LAYERS, "model_weights", groups, places), tensors


TRAINED = {"b/kernel": KERNEL, "b/bias": BIAS, "n/gamma": BIAS, "a/kernel": BIAS}


def blocks(*slots):
    return {f"Adam/{name}/{slot}:0": shape for slot in slots for name, shape in TRAINED.items()}


def side_by_side(*slots):
    return {f"adam/{name}_{slot}": shape for name, shape in TRAINED.items() for slot in slots}


def slots_of(state):
    return {
        key[:-2]: {slot: tensor.name.rpartition("/")[2] for slot, tensor in kinds.items()}
        for key, kinds in state.slots.items()
    }


@pytest.mark.parametrize(
    ("kind", "head", "slots"),
    [
        ("Adam", {"iter": ()}, ("m", "v")),
        ("SGD", {"iter": ()}, ("momentum",)),
        ("RMSprop", {}, ("rms",)),
        ("RMSprop", {"iter": ()}, ("rms", "momentum", "mg")),
        ("Nadam", {"iter": (), "schedule": ()}, ("m", "v")),
        ("Adadelta", {"iter": ()}, ("accum_grad", "accum_var")),
    ],
)
def test_slots_in_blocks(kind, head, slots):
    state = training_state(*whole_model(kind, {**head, **blocks(*slots)}, lr=0.5, name=None))
    assert state.optimizer == kind.lower()
    assert slots_of(state) == {name: {slot: f"{slot}:0" for slot in slots} for name in TRAINED}
    assert state.hyperparameters == {"lr": 0.5}
    assert state.step == (5 if head else None)  # five weights come before it
    assert len(state.names) == len(head) + len(slots) * 4


def test_a_dummy_is_no_slot():
    dummies = {f"vhat_{place}": (1,) for place in range(4)}
    state = training_state(*whole_model("Adam", {"iter": (), **blocks("m", "v"), **dummies}))
    assert slots_of(state) == {name: {"m": "m:0", "v": "v:0"} for name in TRAINED}
    assert "optimizer_weights/vhat_0" in state.names


def test_slots_side_by_side():
    variables = {"adam/iteration": (), "adam/learning_rate": (), **side_by_side("momentum", "velocity")}
    state = training_state(*whole_model("Adam", variables, version="3.1.0", learning_rate=0.1))
    right = {name: {slot: f"{name.rpartition('/')[2]}_{slot}" for slot in ("momentum", "velocity")} for name in TRAINED}
    assert slots_of(state) == right
    assert state.hyperparameters["learning_rate"] == 6.0  # the variable, not what the configuration began with


def test_shapes_that_disagree_give_no_slots():
    variables = blocks("m", "v")
    variables["Adam/n/gamma/v:0"] = (4,)
    state = training_state(*whole_model("Adam", {"iter": (), **variables}))
    assert (state.step, state.slots) == (5, {})


def test_weights_sorted_by_name_where_keras_sorted_them():
    by_name = sorted(TRAINED)
    variables = {f"Variable_{slot}_{name}": TRAINED[name] for slot in "mv" for name in by_name}
    model = whole_model("Adam", {"iter": (), **variables}, version="2.0.5")
    assert model[0].groups[""].attributes["keras_version"] == "2.0.5"
    state = training_state(*model)
    assert state.slots["b/kernel:0"]["v"].name == "optimizer_weights/Variable_v_b/kernel"
    assert training_state(*whole_model("Adam", {"iter": (), **variables}, version="2.3.1")).slots == {}


def test_layers_that_are_frozen_have_no_slots():
    layers = [{"class_name": "Dense", "config": {"name": "b", "trainable": False}}]
    variables = {f"{name}/m:0": shape for name, shape in TRAINED.items() if name[0] != "b"}
    state = training_state(*whole_model("SGD", {"iter": (), **variables}, layers=layers))
    assert set(state.slots) == {"n/gamma:0", "a/kernel:0"}


def test_an_optimizer_within_one_that_scales_the_loss():
    inner = {"class_name": "Custom>AdamW", "config": {"beta_1": 0.9}}
    state = training_state(*whole_model("LossScaleOptimizer", {}, inner_optimizer=inner))
    assert (state.optimizer, state.hyperparameters) == ("adamw", {"beta_1": 0.9})


def archive(**normalization):
    layers = [
        {"class_name": "Dense", "config": {"name": "z", "trainable": True}},
        {"class_name": "BatchNormalization", "config": {"name": "n", **normalization}},
        {"class_name": "Dropout", "config": {"name": "d"}},
        {"class_name": "Dense", "config": {"name": "a"}},
    ]
    compiled = {"optimizer": {"class_name": "Adam", "config": {"learning_rate": 0.1}}}
    config = json.dumps({"config": {"layers": layers}, "compile_config": compiled})
    groups = {
        f"layers/{group}/vars": GroupRecord({"name": name})
        for group, name in {"dense": "z", "dense_1": "a", "batch_normalization": "n"}.items()
    }
    shapes = {"layers/batch_normalization": [BIAS] * 4, "layers/dense": [KERNEL, BIAS], "layers/dense_1": [BIAS, (7,)]}
    places = {f"{group}/vars/{n}": shape for group, found in shapes.items() for n, shape in enumerate(found)}
    places["layers/dropout/seed_generator/vars/0"] = (2,)
    order = [*shapes["layers/dense"], BIAS, BIAS, *shapes["layers/dense_1"]]
    for n, shape in enumerate([(), (), *(shape for weight in order for shape in (weight, weight))]):
        places[f"optimizer/vars/{n}"] = shape
    tensors = {place: ArrayTensor(np.full(shape, 3, np.float32), place) for place, shape in places.items()}
    structure = LayerGroups(Layout.VARIABLES, "", groups, {place: place for place in places}, {"config.json": config})
    return structure, tensors


def test_the_order_of_layers_is_that_of_the_configuration():
    state = training_state(*archive())
    assert (state.step, state.optimizer) == (3, "adam")
    assert state.slots["layers/dense/vars/0"]["momentum"].name == "optimizer/vars/2"
    assert state.slots["layers/batch_normalization/vars/1"]["velocity"].name == "optimizer/vars/9"
    assert state.slots["layers/dense_1/vars/1"]["velocity"].name == "optimizer/vars/13"
    assert len(state.slots) == 6
    assert training_state(*archive(scale=False)).slots == {}


def test_an_optimizer_may_be_known_by_its_name_alone():
    structure, tensors = archive()
    structure.documents.clear()
    structure.groups["optimizer/vars"] = GroupRecord({"name": "rm_sprop_12"})
    assert training_state(structure, tensors).optimizer == "rmsprop"
    structure.groups["optimizer/vars"] = GroupRecord({"name": "mine"})
    assert training_state(structure, tensors).optimizer == ""


def test_nothing_to_tell():
    structure, tensors = whole_model("Adam", {})
    structure.groups[""].attributes.clear()
    assert training_state(structure, tensors) is None


@pytest.mark.parametrize("text", [None, 3, "", "[]", "{", "[" * 100_000])
def test_configurations_that_are_none(text):
    assert parsed(text) == {}


@pytest.mark.parametrize(
    "config", [[], {"config": 3}, {"class_name": "Adam", "config": []}, {"class_name": []}, 3, None]
)
def test_optimizers_that_are_none(config):
    structure, tensors = whole_model("Adam", {"iter": ()})
    structure.groups[""].attributes["training_config"] = json.dumps({"optimizer_config": config})
    structure.groups[""].attributes["model_config"] = json.dumps({"config": config})
    assert training_state(structure, tensors).optimizer == ""
