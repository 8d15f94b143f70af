"""Keras 3 and h5py as judges of what is read from the files of Keras, and written for it."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import panmodel as pm
from panmodel.formats import keras_hdf5
from panmodel.io.sink import Sink
from panmodel.model.model import Model
from panmodel.model.tensor import ArrayTensor

h5py = pytest.importorskip("h5py")
FIXTURES = Path(__file__).parents[1] / "fixtures" / "keras"

# Keras is run by itself: it takes seconds and hundreds of megabytes, and this process stays free of it
BUILD = """
import os, sys
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
import keras, numpy as np
def build():
    layers = [keras.layers.Input((4,)), keras.layers.Dense(3, name="zeta"),
              keras.layers.BatchNormalization(name="norm"), keras.layers.Reshape((1, 3)),
              keras.layers.LSTM(2, name="memory"), keras.layers.Dropout(0.5),
              keras.layers.Dense(1, name="alpha")]
    model = keras.Sequential(layers, name="net")
    model.compile(keras.optimizers.Adam(0.01), keras.losses.MeanSquaredError())
    return model
"""
SAVE = """
keras.utils.set_random_seed(3)
model = build()
model.fit(np.random.rand(8, 4), np.random.rand(8, 1), epochs=2, batch_size=4, verbose=0)
for name in ("whole.h5", "whole.keras"): model.save(name)
model.save_weights("net.weights.h5")
values = {f"w{n}": value for n, value in enumerate(model.get_weights())}
values.update({f"o{n}": np.asarray(v) for n, v in enumerate(model.optimizer.variables)})
values.update({f"t{n}": np.asarray(v) for n, v in enumerate(model.trainable_variables)})
np.savez("values.npz", **values)
keras.config.set_dtype_policy("bfloat16")
keras.Sequential([keras.layers.Input((4,)), keras.layers.Dense(3)]).save_weights("half.weights.h5")
"""
LOAD = """
values = np.load("values.npz")
for name in sys.argv[1:]:
    if name.endswith("weights.h5"):
        model = build()
        model.optimizer.build(model.trainable_variables)
        model.load_weights(name)
        held = [np.asarray(v) for v in model.optimizer.variables]
        assert all(np.array_equal(v, values[f"o{n}"]) for n, v in enumerate(held)) and len(held) > 2, name
    else:
        model = keras.models.load_model(name)
        held = [np.asarray(v) for v in model.optimizer.variables]  # Keras 3 restores no slots from this format
        assert all(np.array_equal(v, values[f"o{n}"]) for n, v in enumerate(held)) and len(held) > 1, name
    assert all(np.array_equal(v, values[f"w{n}"]) for n, v in enumerate(model.get_weights())), name
"""
LOAD_ARCHIVE = """
model, values = keras.models.load_model(sys.argv[1]), np.load("values.npz")
assert all(np.array_equal(v, values[f"w{n}"]) for n, v in enumerate(model.get_weights()))
"""


def keras(code, folder, *arguments):
    done = subprocess.run(
        [sys.executable, "-c", BUILD + code, *arguments], cwd=folder, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr[-2000:]


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    pytest.importorskip("tensorflow")
    folder = tmp_path_factory.mktemp("keras")
    keras(SAVE, folder)
    return folder


def held_by_h5py(path):
    found = {}
    with h5py.File(path, "r") as file:
        file.visititems(lambda name, item: found.update({name: item[()]}) if isinstance(item, h5py.Dataset) else None)
    return found


def test_what_h5py_reads(saved):
    for name in ("whole.h5", "net.weights.h5", "half.weights.h5"):
        model, right = pm.read(saved / name), held_by_h5py(saved / name)
        assert len(model.tensors) == len(right)
        for key, path in model.structure.places.items():
            assert model.tensors[key].numpy().tobytes() == right[path].tobytes()
    assert {str(tensor.dtype) for tensor in pm.read(saved / "half.weights.h5").tensors.values()} == {"bfloat16"}


@pytest.mark.parametrize("name", ["whole.h5", "whole.keras"])
def test_slots_are_given_to_their_weights(saved, name):
    model, values = pm.read(saved / name), np.load(saved / "values.npz")
    training = model.training
    assert (training.step, training.optimizer) == (4, "adam")
    assert training.hyperparameters["learning_rate"] == pytest.approx(0.01)
    count = sum(key.startswith("t") for key in values)
    assert len(training.slots) == count
    for place, (key, slots) in enumerate(training.slots.items()):
        assert np.array_equal(model.tensors[key].numpy(), values[f"t{place}"])
        assert np.array_equal(slots["momentum"].numpy(), values[f"o{2 + 2 * place}"])
        assert np.array_equal(slots["velocity"].numpy(), values[f"o{3 + 2 * place}"])


def test_what_is_written_loads_in_keras(saved):
    written = []
    for name, target in {"whole.h5": "b.h5", "net.weights.h5": "b.weights.h5", "whole.keras": "c.weights.h5"}.items():
        pm.convert(saved / name, saved / target, force=True)
        written.append(target)
    pm.convert(saved / "whole.h5", saved / "between.safetensors", force=True)
    pm.convert(saved / "between.safetensors", saved / "d.h5", force=True)
    pm.convert(saved / "whole.keras", saved / "again.keras", force=True)
    keras(LOAD, saved, *written, "d.h5")
    keras(LOAD_ARCHIVE, saved, "again.keras")


def test_what_has_no_arrangement_loads_in_keras_in_order(saved):
    values = np.load(saved / "values.npz")
    names = ["zeta/kernel", "zeta/bias", "norm/gamma", "norm/beta", "norm/moving_mean", "norm/moving_variance"]
    names += ["memory/kernel", "memory/recurrent_kernel", "memory/bias", "alpha/kernel", "alpha/bias"]
    arrays = [values[f"w{place}"] for place in range(len(names))]
    tensors = {name: ArrayTensor(array, name) for name, array in zip(names, arrays, strict=True)}
    with Sink(saved / "plain.h5", force=True) as sink:
        keras_hdf5.write(Model("any", tensors=tensors), sink)
    code = """
model = build()
model.load_weights("plain.h5")
values = np.load("values.npz")
assert all(np.array_equal(v, values[f"w{n}"]) for n, v in enumerate(model.get_weights()))
"""
    keras(code, saved)


@pytest.mark.parametrize("path", sorted(FIXTURES.glob("*.h5")), ids=lambda path: path.stem)
def test_files_of_keras_2_are_what_h5py_reads(path, tmp_path):
    model, right = pm.read(path), held_by_h5py(path)
    assert {model.structure.places[key]: tensor.numpy().tobytes() for key, tensor in model.tensors.items()} == {
        name: value.tobytes() for name, value in right.items()
    }
    pm.convert(path, tmp_path / "again.h5")
    again = held_by_h5py(tmp_path / "again.h5")
    assert {name: value.tobytes() for name, value in again.items()} == {n: v.tobytes() for n, v in right.items()}


COMPOSED = """
import tensorflow as tf
L = keras.layers
keras.utils.set_random_seed(3)
words = L.TextVectorization(max_tokens=9)
words.adapt(["a b c", "b c d"])
inner = keras.Sequential([L.Input((4,)), L.Dense(3), L.Dense(4, trainable=False), L.Dense(4)], name="inner")
given = L.Input((1,), dtype="string")
x = L.Bidirectional(L.LSTM(4, return_sequences=True))(L.Embedding(9, 8)(words(given)))
x = L.MultiHeadAttention(2, 4)(x, x)
x = L.RNN([L.LSTMCell(4), L.GRUCell(4)])(x)
net = keras.Model(given, L.Dense(1)(L.BatchNormalization()(inner(x))))
optimizer = keras.optimizers.Adam(0.01, use_ema=True)
net.compile(keras.optimizers.LossScaleOptimizer(optimizer), keras.losses.MeanSquaredError())
net.fit(tf.constant([["a b"], ["c d"]]), np.ones((2, 1)), epochs=2, verbose=0)
for name in ("net.keras", "net.h5"): net.save(name)
net.save_weights("net.weights.json", max_shard_size=1e-6)
net.save_weights("net.weights.h5")
tf.train.Checkpoint(model=net, optimizer=net.optimizer).write("net.ckpt")
values = {}
for number, weight in enumerate(net.trainable_variables):
    kept = optimizer._momentums, optimizer._velocities, optimizer._model_variables_moving_average
    for slot, held in zip(("w", "momentum", "velocity", "average"), (net.trainable_variables, *kept)):
        values[f"{slot}{number}"] = np.asarray(held[number])
np.savez("composed.npz", count=len(net.trainable_variables), **values)
"""
LOAD_COMPOSED = """
import tensorflow as tf
net = keras.models.load_model("again.keras")
assert net.layers[1].get_vocabulary() == keras.models.load_model("net.keras").layers[1].get_vocabulary()
right = [np.asarray(v) for v in net.weights]
for variable in net.weights: variable.assign(variable * 0)
net.load_weights("parts.weights.json")
assert all(np.array_equal(a, b) for a, b in zip(right, net.weights) if a.dtype.kind == "f")
"""


@pytest.fixture(scope="module")
def composed(tmp_path_factory):
    pytest.importorskip("tensorflow")
    folder = tmp_path_factory.mktemp("composed")
    keras(COMPOSED, folder)
    return folder


@pytest.mark.parametrize("name", ["net.keras", "net.h5", "net.ckpt"])
def test_slots_of_layers_that_are_made_of_others(composed, name):
    training, values = pm.read(composed / name).training, np.load(composed / "composed.npz")
    assert (training.optimizer, training.step) == ("adam", 2)
    weights = pm.read(composed / name).tensors
    found = {
        weights[key].numpy().tobytes(): {slot: tensor.numpy().tobytes() for slot, tensor in slots.items()}
        for key, slots in training.slots.items()
    }
    assert found == {
        values[f"w{n}"].tobytes(): {
            slot: values[f"{slot}{n}"].tobytes() for slot in ("momentum", "velocity", "average")
        }
        for n in range(int(values["count"]))
    }


def test_shards_are_what_one_file_is_and_load(composed):
    parts, whole = pm.read(composed / "net.weights.json"), pm.read(composed / "net.weights.h5")
    assert parts.metadata["shards"] > 5
    assert list(parts.tensors) == list(whole.tensors) and parts.structure == whole.structure
    for key, tensor in whole.tensors.items():
        assert parts.tensors[key].numpy().tobytes() == tensor.numpy().tobytes()
    pm.convert(composed / "net.weights.h5", composed / "parts.weights.json", to="keras_hdf5", shard_size=1000)
    pm.convert(composed / "net.keras", composed / "again.keras")
    keras(LOAD_COMPOSED, composed)


MANY = """
L = keras.layers
def many():
    image, words, wide = L.Input((8, 8, 3)), L.Input((6,)), L.Input((4,))
    x = L.DepthwiseConv2D(2, name="d_1")(L.Conv2D(4, 2, name="c_1")(image))
    x = L.GroupNormalization(2, name="g_1")(L.SeparableConv2D(4, 2, name="s_1")(x))
    x = L.PReLU(name="p_1")(L.SpectralNormalization(L.Conv2D(4, 1), name="n_1")(L.Conv2DTranspose(4, 2, name="t_1")(x)))
    y = L.Bidirectional(L.LSTM(3, return_sequences=True), name="b_1")(L.Embedding(9, 4, name="e_1")(words))
    y = L.MultiHeadAttention(2, 3, use_gate=True, name="a_1")(y, y)
    y = L.LayerNormalization(name="l_1")(L.GroupQueryAttention(4, 4, 2, name="q_1")(y, y))
    y = L.SimpleRNN(3, name="r_1")(L.GRU(3, return_sequences=True, dropout=0.1, name="u_1")(y))
    z = L.BatchNormalization(name="bn_1")(L.EinsumDense("ab,bc->ac", output_shape=4, bias_axes="c", name="ed_1")(wide))
    for number in (2, 10, 11):
        z = L.BatchNormalization(name=f"bn_{number}")(L.Dense(4, name=f"dense_{number}")(z))
    model = keras.Model([image, words, wide], [x, y, z], name="many")
    for weight in model.weights: weight.assign(np.random.rand(*weight.shape))
    return model
"""
SAVE_MANY = """
import tensorflow as tf
model = many()
np.savez("many.npz", **{weight.path: np.asarray(weight) for weight in sorted(model.weights, key=lambda w: w.path)})
tf.train.Checkpoint(net=model).write("many.ckpt")
np.savez("right.npz", *model.get_weights())
"""
LOAD_MANY = """
def holds(model):
    right = np.load("right.npz")
    return [w.path for n, w in enumerate(model.weights) if not np.array_equal(w, right[f"arr_{n}"])]
for by_name in (False, True):
    model = many()
    model.load_weights("of.ckpt.h5", by_name=by_name)
    assert not holds(model), (by_name, holds(model))
    model = many()
    if by_name:  # the names are sorted, not as the layers are
        model.load_weights("of.npz.h5", by_name=True)
        assert not holds(model), holds(model)
"""


def test_what_a_checkpoint_holds_loads_in_the_order_of_keras(saved):
    keras(MANY + SAVE_MANY, saved)
    for source in ("many.ckpt", "many.npz"):
        pm.convert(saved / source, saved / f"of.{source[5:]}.h5", force=True)
    keras(MANY + LOAD_MANY, saved)


LOAD_LAYERS = """
right = [np.asarray(v) for v in keras.models.load_model("net.keras").weights]
for by_name in (False, True, None):
    net = keras.models.load_model("by.keras")  # which came from by.h5
    assert all(np.array_equal(a, b) for a, b in zip(right, net.weights))
    for variable in net.weights: variable.assign(variable * 0)
    net.load_weights(*("by.h5", False) if by_name is not None else ["by.weights.h5"], **{"by_name": by_name})
    assert all(np.array_equal(a, b) for a, b in zip(right, net.weights))
"""


def test_variables_with_a_configuration_load_by_layers_as_well(composed):
    report = pm.convert(composed / "net.keras", composed / "by.h5", force=True)
    assert not report.notices
    pm.convert(composed / "by.h5", composed / "by.weights.h5", force=True)
    pm.convert(composed / "by.h5", composed / "by.keras", force=True)
    one, other = pm.read(composed / "net.keras"), pm.read(composed / "by.h5")
    assert list(one.tensors) == list(other.tensors) and one.training.slots.keys() == other.training.slots.keys()
    keras(LOAD_LAYERS, composed)
    assert [notice.kind for notice in pm.convert(composed / "net.weights.h5", composed / "no.h5").notices] == [
        "read-otherwise"
    ]
