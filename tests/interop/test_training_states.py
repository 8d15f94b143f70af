"""A training run goes on from a file that went through other containers as if it had never been moved, bit for bit."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import panmodel as pm
from panmodel.model.notice import StructureLost, TrainingStateLost

torch = pytest.importorskip("torch")
nn = torch.nn
OPTIMIZERS: dict[str, tuple[Callable[..., Any], set[str]]] = {
    "sgd": (lambda weights: torch.optim.SGD(weights, lr=0.01, momentum=0.9), {"momentum_buffer"}),
    "adam": (
        lambda weights: torch.optim.Adam(weights, lr=0.01, amsgrad=True),
        {"exp_avg", "exp_avg_sq", "max_exp_avg_sq"},
    ),
    "adamw": (lambda weights: torch.optim.AdamW(weights, lr=0.01), {"exp_avg", "exp_avg_sq"}),
    "rmsprop": (lambda weights: torch.optim.RMSprop(weights, centered=True), {"square_avg", "grad_avg"}),
    "adagrad": (lambda weights: torch.optim.Adagrad(weights), {"sum"}),
    "adadelta": (lambda weights: torch.optim.Adadelta(weights), {"square_avg", "acc_delta"}),
    "adamax": (lambda weights: torch.optim.Adamax(weights), {"exp_avg", "exp_inf"}),
    "nadam": (lambda weights: torch.optim.NAdam(weights), {"exp_avg", "exp_avg_sq"}),
    "radam": (lambda weights: torch.optim.RAdam(weights), {"exp_avg", "exp_avg_sq"}),
    "rprop": (lambda weights: torch.optim.Rprop(weights), {"prev", "step_size"}),
    "asgd": (lambda weights: torch.optim.ASGD(weights), {"ax"}),
}


def net() -> Any:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3), nn.ReLU(), nn.Flatten(), nn.Linear(48, 2))


def step(model: Any, optimizer: Any, number: int) -> float:
    torch.manual_seed(number)
    optimizer.zero_grad()
    loss = model(torch.randn(4, 1, 6, 6)).square().mean()
    loss.backward()
    optimizer.step()
    return float(loss.detach())


def trained(make: Callable[..., Any]) -> tuple[Any, Any, Any, dict[str, Any]]:
    model = net()
    optimizer = make(model.parameters())
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 10)
    for number in range(3):
        loss = step(model, optimizer, number)
        schedule.step()
    states = {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "schedule": schedule.state_dict()}
    return model, optimizer, schedule, {"epoch": 5, "loss": loss, **states}


@pytest.mark.parametrize("kind", OPTIMIZERS)
def test_training_with_torch_goes_on_from_a_file_that_was_safetensors(tmp_path: Path, kind: str) -> None:
    make, _ = OPTIMIZERS[kind]
    model, optimizer, schedule, saved = trained(make)
    torch.save(saved, tmp_path / "a.pt")
    there = pm.convert(tmp_path / "a.pt", tmp_path / "a.safetensors", strict=True)
    back = pm.convert(tmp_path / "a.safetensors", tmp_path / "b.pt", strict=True)
    assert there.training.startswith("kept: ")
    assert back.training == there.training
    loaded = torch.load(tmp_path / "b.pt", weights_only=True)
    other = net()
    again = make(other.parameters())
    following = torch.optim.lr_scheduler.CosineAnnealingLR(again, 10)
    other.load_state_dict(loaded["model"])
    again.load_state_dict(loaded["optimizer"])
    following.load_state_dict(loaded["schedule"])
    for number in (3, 4):
        assert step(model, optimizer, number) == step(other, again, number)
        schedule.step()
        following.step()
    for name, value in model.state_dict().items():
        assert other.state_dict()[name].numpy().tobytes() == value.numpy().tobytes(), name
    assert (loaded["epoch"], loaded["loss"]) == (5, saved["loss"])


@pytest.mark.parametrize("kind", OPTIMIZERS)
@pytest.mark.parametrize("name", ["a.pt", "a.safetensors"])
def test_the_state_is_told(tmp_path: Path, kind: str, name: str) -> None:
    make, slots = OPTIMIZERS[kind]
    model, optimizer, _, saved = trained(make)
    torch.save(saved, tmp_path / "a.pt")
    if name != "a.pt":
        pm.convert(tmp_path / "a.pt", tmp_path / name)
    found = pm.read(tmp_path / name)
    state = found.training
    assert state is not None
    assert (state.epoch, state.loss) == (5, pytest.approx(saved["loss"]))
    assert state.step == (None if kind == "sgd" else 3)
    assert state.optimizer == kind
    assert state.hyperparameters["lr"] == optimizer.param_groups[0]["lr"]
    assert set(found.weights) == set(model.state_dict())
    parameters = dict(model.named_parameters())
    assert set(state.slots) == set(parameters)
    for weight, parameter in parameters.items():
        held = {slot: value for slot, value in optimizer.state[parameter].items() if slot in slots}
        assert slots <= set(state.slots[weight])
        for slot, value in held.items():
            assert state.slots[weight][slot].numpy().tobytes() == value.numpy().tobytes()
            assert any(found.tensors[each] is state.slots[weight][slot] for each in state.names)


def test_slots_that_may_be_of_several_weights_stay_under_their_numbers(tmp_path: Path) -> None:
    parts = nn.ModuleDict({"encoder": nn.Linear(4, 4), "decoder": nn.Linear(4, 4), "head": nn.Linear(4, 2)})
    order = [parts["decoder"], parts["encoder"], parts["head"]]
    optimizer = torch.optim.AdamW([{"params": part.parameters()} for part in order])
    sum(part(torch.ones(2, 4)).sum() for part in order).backward()
    optimizer.step()
    torch.save({"model": parts.state_dict(), "optimizer": optimizer.state_dict()}, tmp_path / "a.pt")
    pm.convert(tmp_path / "a.pt", tmp_path / "b.safetensors", strict=True)  # nothing of it is lost
    pm.convert(tmp_path / "b.safetensors", tmp_path / "c.pt", strict=True)
    for name in ("a.pt", "b.safetensors", "c.pt"):
        found = pm.read(tmp_path / name)
        assert found.training is not None
        assert list(found.training.slots) == ["0", "1", "2", "3", "head.weight", "head.bias"]
        (notice,) = found.notices
        assert (notice.kind, notice.names) == ("slots-unassigned", ("0", "1", "2", "3"))
        assert set(found.weights) == set(parts.state_dict())


@pytest.mark.parametrize("target", ["b.pt", "b.safetensors", "b.npz", "b.ckpt", "b.h5"])
def test_training_that_is_dropped_leaves_the_weights(tmp_path: Path, target: str) -> None:
    model, _, _, saved = trained(OPTIMIZERS["adamw"][0])
    torch.save(saved, tmp_path / "a.pt")
    report = pm.convert(tmp_path / "a.pt", tmp_path / target, drop_training=True)
    assert report.training.startswith("left out as asked")
    assert not [notice for notice in report.notices if isinstance(notice, TrainingStateLost)]
    found = pm.read(tmp_path / target)
    assert {name: tensor.numpy().tobytes() for name, tensor in found.tensors.items()} == {
        name: value.numpy().tobytes() for name, value in model.state_dict().items()
    }
    assert found.training is None
    assert found.weights.keys() == found.tensors.keys()


@pytest.mark.parametrize("target", ["b.npz", "b.ckpt", "b.h5"])
def test_what_is_lost_of_it_is_said(tmp_path: Path, target: str) -> None:
    """Slots are tensors and stay such, by their names; of which weight, and plain numbers, have no place."""
    saved = trained(OPTIMIZERS["adamw"][0])[3]
    torch.save(saved, tmp_path / "a.pt")
    report = pm.convert(tmp_path / "a.pt", tmp_path / target)
    assert report.training == "not all kept: step 3, epoch 5, adamw, 18 slots (18 under numbers)"
    found, source = pm.read(tmp_path / target), pm.read(tmp_path / "a.pt")
    assert found.training is not None
    assert source.training is not None
    assert (found.training.step, found.training.epoch, found.training.optimizer) == (3, None, "adam")
    assert (found.weights.keys(), found.training.names) == (source.weights.keys(), source.training.names)
    dropped = pm.convert(tmp_path / target, tmp_path / "dropped.npz", drop_training=True)
    assert dropped.tensors == len(source.weights)
    said = " ".join(map(str, report.notices))
    assert any(isinstance(notice, StructureLost) for notice in report.notices)
    assert "the epoch (5) is not kept" in said
    assert "the loss" in said
    assert "lr" in said
    assert found.tensors.keys() == source.tensors.keys()


# TensorFlow and Keras are run by themselves: they take seconds and hundreds of megabytes
KERAS = """
import os, sys
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
import keras, numpy as np, tensorflow as tf
tf.config.experimental.enable_op_determinism()
data = np.random.default_rng(0)
x, y = data.random((8, 4), np.float32), data.random((8, 1), np.float32)
def build():
    keras.utils.set_random_seed(3)
    layers = [keras.layers.Input((4,)), keras.layers.Dense(3, name="zeta"),
              keras.layers.BatchNormalization(name="norm"), keras.layers.Dense(1, name="alpha")]
    model = keras.Sequential(layers, name="net")
    model.compile(keras.optimizers.Adam(0.01), keras.losses.MeanSquaredError())
    return model
def held(model):
    values = [np.asarray(v) for v in (*model.weights, *model.optimizer.variables)]
    return [(value.dtype.name, value.shape, value.tobytes()) for value in values]
def plain():
    v1 = tf.compat.v1
    v1.set_random_seed(1)
    w = v1.get_variable("layer/w", initializer=v1.constant(np.ones((4, 1), np.float32)))
    steps = v1.train.get_or_create_global_step()
    loss = v1.reduce_mean(v1.square(v1.matmul(v1.constant(x), w) - v1.constant(y)))
    return v1, w, v1.train.AdamOptimizer(0.01).minimize(loss, steps)
"""
TRAIN = """
model = build()
model.fit(x, y, epochs=2, batch_size=4, shuffle=False, verbose=0)
model.save("whole.keras"); model.save("whole.h5"); model.save_weights("net.weights.h5")
tf.train.Checkpoint(model=model, optimizer=model.optimizer).write("objects.ckpt")
names = [v.path for v in model.trainable_variables]
np.savez("trained.npz", *[np.asarray(v) for v in model.trainable_variables],
         **{f"slot{n}": np.asarray(v) for n, v in enumerate(model.optimizer.variables)})
model.fit(x, y, epochs=1, batch_size=4, shuffle=False, verbose=0)
import pickle
pickle.dump(held(model), open("next.pickle", "wb"))
with tf.Graph().as_default():
    v1, w, train = plain()
    with v1.Session() as session:
        session.run(v1.global_variables_initializer())
        for _ in range(3): session.run(train)
        v1.train.Saver().save(session, "./saver.ckpt", write_state=False)
        session.run(train)
        np.save("saver.npy", session.run(w))
"""
GO_ON = """
import pickle
right = pickle.load(open("next.pickle", "rb"))
for name in sys.argv[1:]:
    model = build()
    if name.endswith(".weights.h5"):
        model.optimizer.build(model.trainable_variables)
        model.load_weights(name)
    elif name.endswith(".ckpt"):
        model.optimizer.build(model.trainable_variables)
        tf.train.Checkpoint(model=model, optimizer=model.optimizer).read(name).assert_consumed()
    else:
        model = keras.models.load_model(name)
    if name.endswith("back.h5"):  # with what is restored from this format Keras 3 cannot go on
        assert held(model) == held(keras.models.load_model("whole.h5"))
        continue
    model.fit(x, y, epochs=1, batch_size=4, shuffle=False, verbose=0)
    assert held(model) == right, name
with tf.Graph().as_default():
    v1, w, train = plain()
    with v1.Session() as session:
        v1.train.Saver().restore(session, "./back.saver.ckpt")
        session.run(train)
        assert session.run(w).tobytes() == np.load("saver.npy").tobytes()
"""


def keras(code: str, folder: Path, *arguments: str) -> None:
    command = [sys.executable, "-c", KERAS + code, *arguments]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]


@pytest.fixture(scope="module")
def saved_by_keras(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("tensorflow")
    folder = tmp_path_factory.mktemp("keras")
    keras(TRAIN, folder)
    return folder


#: What was saved, and under what name it comes back.
BACK = {
    "whole.h5": "back.h5",
    "whole.keras": "back.keras",
    "net.weights.h5": "back.weights.h5",
    "objects.ckpt": "back.objects.ckpt",
    "saver.ckpt": "back.saver.ckpt",
}


def test_training_with_tensorflow_goes_on_from_files_that_were_safetensors(saved_by_keras: Path) -> None:
    folder = saved_by_keras
    for name, target in BACK.items():
        there = pm.convert(folder / name, folder / f"{name}.safetensors", weights_only=True)
        back = pm.convert(folder / f"{name}.safetensors", folder / target, weights_only=True)
        assert there.training.startswith("kept: step"), (name, there.training)
        assert back.training == there.training, name
        assert [str(notice) for notice in (*there.notices, *back.notices)] == [], name
    pm.convert(folder / "whole.keras.safetensors", folder / "archive.weights.h5")
    keras(GO_ON, folder, "archive.weights.h5", *[name for name in BACK.values() if "saver" not in name])


@pytest.mark.parametrize("way", ["as saved", "in safetensors"])
@pytest.mark.parametrize("name", BACK)
def test_the_state_of_tensorflow_is_told(saved_by_keras: Path, tmp_path: Path, name: str, way: str) -> None:
    path = saved_by_keras / name
    if way == "in safetensors":
        pm.convert(path, tmp_path / "a.safetensors", weights_only=True)
        path = tmp_path / "a.safetensors"
    found = pm.read(path)
    state = found.training
    assert state is not None
    assert state.optimizer == "adam"
    assert state.step == (3 if name == "saver.ckpt" else 4)
    if name == "saver.ckpt":
        assert {weight: set(slots) for weight, slots in state.slots.items()} == {"layer/w": {"m", "v"}}
        assert list(found.weights) == ["layer/w"]
        return
    with np.load(saved_by_keras / "trained.npz") as file:
        right = dict(file)
    assert len(found.weights) == 8
    assert len(state.names) == 14
    if name == "net.weights.h5":  # the order in which the optimizer has the layers is not in the file
        assert state.slots == {}
        return
    assert len(state.slots) == 6
    for place in range(6):
        value = right[f"arr_{place}"].tobytes()
        (weight,) = [name for name in state.slots if found.tensors[name].numpy().tobytes() == value]
        slots = {tensor.numpy().tobytes() for tensor in state.slots[weight].values()}
        assert slots == {right[f"slot{2 + 2 * place}"].tobytes(), right[f"slot{3 + 2 * place}"].tobytes()}, weight


@pytest.mark.parametrize("name", BACK)
def test_the_receipt_says_what_is_found_again(saved_by_keras: Path, tmp_path: Path, name: str) -> None:
    source = pm.read(saved_by_keras / name).training
    assert source is not None
    for target in ("b.pt", "b.npz", "b.ckpt", "b.h5"):
        report = pm.convert(saved_by_keras / name, tmp_path / target, weights_only=True)
        found = pm.read(tmp_path / target).training
        said = report.training.partition(":")[0]
        if found is None:
            assert said == "not kept", target
        else:
            same = (found.step, found.optimizer, found.names) == (source.step, source.optimizer, source.names)
            same = same and found.slots.keys() == source.slots.keys()
            assert (said == "kept") == (same and found.hyperparameters == source.hyperparameters), target
        if name in ("objects.ckpt", "saver.ckpt"):
            assert said == "kept", target


@pytest.mark.parametrize("name", BACK)
def test_dropped_it_leaves_the_weights(saved_by_keras: Path, tmp_path: Path, name: str) -> None:
    source = pm.read(saved_by_keras / name)
    for target in ("b.safetensors", "b.pt", "b.npz", "b.ckpt", "b.h5"):
        pm.convert(saved_by_keras / name, tmp_path / target, weights_only=True, drop_training=True)
        found = pm.read(tmp_path / target)
        assert set(found.tensors) == set(source.weights), target
        assert found.training is None or not (found.training.names or found.training.slots), target
