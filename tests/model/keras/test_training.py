import json

import numpy as np
import pytest

from panmodel.model.keras.structure import GroupRecord, LayerGroups, Layout
from panmodel.model.keras.training import training_state
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


def test_a_dummy_of_the_shape_of_its_weight_is_no_slot():
    variables = {f"{slot}_{place}": shape for slot in "mv" for place, shape in enumerate(TRAINED.values())}
    structure, found = whole_model("Adam", {"iter": (), **variables, **{f"vhat_{n}": (1,) for n in range(4)}})
    found["a/kernel:0"] = ArrayTensor(np.zeros(1, np.float32), "a/kernel:0")
    for slot in "mv":
        found[f"optimizer_weights/{slot}_3"] = ArrayTensor(np.zeros(1, np.float32), f"{slot}_3")
    assert {tuple(slots) for slots in training_state(structure, found).slots.values()} == {("m", "v")}


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


def test_layers_that_were_frozen_later_have_slots():
    layers = [{"class_name": "Dense", "config": {"name": "b", "trainable": False}}]
    variables = {f"variable_{slot}_{place}": shape for slot in "mv" for place, shape in enumerate(TRAINED.values())}
    state = training_state(*whole_model("Adam", {"iter": (), **variables}, layers=layers))
    assert state.slots["b/kernel:0"]["v"].name == "optimizer_weights/variable_v_0"
    assert state.slots["a/kernel:0"]["v"].name == "optimizer_weights/variable_v_3"


def test_what_a_layer_has_measured_is_not_trained():
    layers = [{"class_name": "Normalization", "config": {"name": "n"}}]
    names = [name for name in TRAINED if name[0] != "n"]
    variables = {f"of_{place}_momentum": TRAINED[name] for place, name in enumerate(names)}
    head = {"iteration": (), "learning_rate": ()}
    state = training_state(*whole_model("SGD", {**head, **variables}, layers=layers, version="3.0.5"))
    assert state.slots["a/kernel:0"]["momentum"].name == "optimizer_weights/of_2_momentum"
    assert len(state.slots) == 3


def test_adadelta_of_keras_3_by_its_order():
    head = {"iteration": (), "learning_rate": ()}
    ends = ("accumulated_grad", "accumulated_delta_var")
    variables = {f"of_{place}_{end}": shape for place, shape in enumerate(TRAINED.values()) for end in ends}
    state = training_state(*whole_model("Adadelta", {**head, **variables}, version="3.0.5"))
    for place, name in enumerate(TRAINED):
        slots = {slot: tensor.name for slot, tensor in state.slots[f"{name}:0"].items()}
        assert slots == {end: f"optimizer_weights/of_{place}_{end}" for end in ends}


def test_adafactor_has_sums_of_rows_and_columns_of_what_is_no_vector():
    variables = {"iteration": (), "learning_rate": (), "r": (2,), "c": (3,)}
    variables |= {f"of_{place}_velocity": shape for place, shape in enumerate(TRAINED.values())}
    state = training_state(*whole_model("Adafactor", variables, version="3.8.0"))
    assert slots_of(state)["b/kernel"] == {"r": "r", "c": "c", "v": "of_0_velocity"}
    assert slots_of(state)["a/kernel"] == {"v": "of_3_velocity"}
    fillers = {"iteration": (), "learning_rate": ()}  # Keras 3 has numbers in their place
    for place, shape in enumerate(TRAINED.values()):
        factors = {f"r_{place}": (2,), f"c_{place}": (3,)} if len(shape) > 1 else {f"r_{place}": (), f"c_{place}": ()}
        fillers |= {**factors, f"v_{place}_velocity": shape}
    state = training_state(*whole_model("Adafactor", fillers, version="3.8.0"))
    assert slots_of(state)["b/kernel"] == {"r": "r_0", "c": "c_0", "v": "v_0_velocity"}
    assert slots_of(state)["a/kernel"] == {"v": "v_3_velocity"}
    swapped = {"iteration": (), "learning_rate": (), "c": (3,), "r": (2,), **dict(list(variables.items())[4:])}
    assert training_state(*whole_model("Adafactor", swapped, version="3.8.0")).slots == {}


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


def test_the_optimizer_inside_counts_the_steps():
    inner = {"ls/iteration": (), "ls/dynamic_scale": (), "adam/iteration": (), "adam/learning_rate": ()}
    variables = {**inner, **{f"ls/{name}": shape for name, shape in side_by_side("momentum", "velocity").items()}}
    state = training_state(*whole_model("LossScaleOptimizer", variables, version="3.1.0"))
    assert state.step == 7  # five weights, and two numbers of the outer one, come before it
    assert state.hyperparameters["learning_rate"] == 8.0 and state.hyperparameters["dynamic_scale"] == 6.0
    assert set(state.slots["b/kernel:0"]) == {"momentum", "velocity"}


def test_the_variables_of_an_optimizer_that_another_one_lists_again():
    structure, tensors = archive()
    for key in [key for key in tensors if key.startswith("optimizer/")]:
        again = key.replace("optimizer/", "optimizer/inner_optimizer/")
        tensors[again] = ArrayTensor(tensors[key].numpy() + 1, again)
        structure.places[again] = again
    state = training_state(structure, tensors)
    assert state.step == 4
    assert state.slots["layers/dense/vars/0"]["momentum"].name == "optimizer/inner_optimizer/vars/2"


def test_what_is_measured_is_no_weight():
    structure, tensors = archive()
    tensors["metrics/mean/vars/0"] = ArrayTensor(np.float32(1), "metrics/mean/vars/0")
    structure.places["metrics/mean/vars/0"] = "metrics/mean/vars/0"
    assert "metrics/mean/vars/0" in training_state(structure, tensors).names
    edited = structure.edited({key: key for key in tensors}, keep_training=False)
    assert not any(place.startswith(("metrics/", "optimizer/")) for place in edited.places.values())


def test_layers_are_not_sorted_by_their_names_in_an_archive():
    structure, tensors = archive()
    config = json.loads(structure.documents["config.json"])
    config["config"]["layers"] = [layer for layer in config["config"]["layers"] if layer["config"]["name"] != "n"]
    structure.documents["config.json"] = json.dumps(config)
    trained = ["layers/dense/vars/0", "layers/dense/vars/1"]
    structure.places = {key: key for key in [*trained, *(f"optimizer/vars/{n}" for n in range(6))]}
    swapped = {"layers/dense/vars/0": "b", "layers/dense/vars/1": "a"}
    structure.places = {swapped.get(key, key): place for key, place in structure.places.items()}
    tensors = {swapped.get(key, key): ArrayTensor(np.zeros(3, np.float32), key) for key in structure.places.values()}
    for n in (0, 1):
        tensors[f"optimizer/vars/{n}"] = ArrayTensor(np.float32(0), f"optimizer/vars/{n}")
    state = training_state(structure, tensors)
    assert [slots["momentum"].name for slots in state.slots.values()] == ["optimizer/vars/2", "optimizer/vars/4"]
    assert list(state.slots) == ["b", "a"]


def test_nothing_to_tell():
    structure, tensors = whole_model("Adam", {})
    structure.groups[""].attributes.clear()
    assert training_state(structure, tensors) is None
