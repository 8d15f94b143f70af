"""TensorFlow restores object-based checkpoints that panmodel wrote, and finds in its own what panmodel finds."""

import json

import numpy as np
import pytest
from tests.interop.tensorflow_judge import tensorflow

import panmodel as pm
from panmodel.model.model import Model

SAVE = """
import json, sys
import numpy as np
import tensorflow as tf

folder, restored = sys.argv[1], sys.argv[2:]
if tf.__version__.startswith("1."):
    tf.compat.v1.enable_eager_execution()


class Net(tf.Module):
    def __init__(self, seed):
        random = np.random.RandomState(seed)
        self.w = tf.Variable(random.rand(2, 3).astype(np.float32), name="w")
        self.again = self.w
        self.deep = {"x.y": tf.Variable(random.rand()), "l": [tf.Variable([seed, 2]), tf.Variable(seed)]}


def keras(seed):
    random = np.random.RandomState(seed)
    layers = tf.keras.layers
    stack = [layers.InputLayer((4,)), layers.Dense(3), layers.BatchNormalization(), layers.Dense(2)]
    model = tf.keras.Sequential(stack)
    model.compile(tf.keras.optimizers.Adam(0.01 * (seed + 1)), "mse")
    model.fit(random.rand(8, 4), random.rand(8, 2), batch_size=4, epochs=1 + seed, verbose=0)
    return model


def checkpoint(seed):
    model = keras(seed)
    return tf.train.Checkpoint(
        net=Net(seed), model=model, optimizer=model.optimizer, step=tf.Variable(seed, dtype=tf.int64))


def values(saved):
    model = saved.model
    net = saved.net
    weights = [v.numpy() for v in (*model.weights, net.w, *net.deep["l"], net.deep["x.y"], saved.step)]
    optimizer = model.optimizer
    own = optimizer.variables() if callable(optimizer.variables) else optimizer.variables
    return [np.asarray(value).astype(float).reshape(-1).tolist() for value in (*weights, *(v.numpy() for v in own))]


saved = checkpoint(0)
if not restored:
    path = saved.save(folder + "/model.ckpt")
    reader = tf.train.load_checkpoint(path)
    keys = [key for key in reader.get_variable_to_shape_map() if not key.startswith("_CHECKPOINTABLE")]
    np.savez(folder + "/values.npz", **{key.replace("/", "|"): reader.get_tensor(key) for key in keys})
    json.dump(values(saved), open(folder + "/own.json", "w"))
for path in restored:
    other = checkpoint(1)
    status = other.restore(path)
    status.assert_existing_objects_matched().assert_consumed()
    json.dump(values(other), open(path + ".json", "w"))
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("saved")
    tensorflow(SAVE, folder)
    return folder


@pytest.fixture(scope="module")
def model(folder):
    return pm.read(folder)


def test_values_are_those_of_tensorflow(folder, model):
    with np.load(folder / "values.npz") as stored:
        values = {key.replace("|", "/"): stored[key] for key in stored}
    assert {tensor.name for tensor in model.tensors.values()} == set(values)
    for key, value in values.items():
        assert model.tensors[key].numpy().tobytes() == value.tobytes()


def test_the_training_is_found(model):
    assert model.training.step == 2
    assert model.training.optimizer == "adam"
    assert len(model.training.slots) == 6
    assert all(len(slots) == 2 for slots in model.training.slots.values())
    assert any(name.endswith("save_counter") for name in model.training.names)


def test_tensorflow_restores_what_panmodel_writes(folder, model, tmp_path):
    pm.write(model, tmp_path / "again.ckpt-1")
    pm.convert(folder, tmp_path / "via.safetensors")
    pm.convert(tmp_path / "via.safetensors", tmp_path / "back.ckpt-1")
    with_shards = pm.formats.by_name("tensorflow_checkpoint")
    with with_shards.sink(tmp_path / "many.ckpt-1", shard_size=100) as sink:
        with_shards.write(model, sink)
    assert len(list(tmp_path.glob("many.ckpt-1.data-*"))) > 3
    written = [tmp_path / f"{name}.ckpt-1" for name in ("again", "back", "many")]
    tensorflow(SAVE, folder, *written)
    own = json.loads((folder / "own.json").read_text())
    for path in written:
        assert json.loads(path.with_name(f"{path.name}.json").read_text()) == own


def test_weights_alone_are_written_as_such(model, tmp_path):
    names = {name: name for name in model.weights}
    structure = model.structure.edited(names, keep_training=False)
    pm.write(Model("test", tensors=dict(model.weights), structure=structure), tmp_path / "weights.ckpt")
    again = pm.read(tmp_path / "weights.ckpt")
    assert set(again.tensors) == set(names)
    assert again.training is None
