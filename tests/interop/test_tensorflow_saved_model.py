"""SavedModels that TensorFlow writes: panmodel reads the variables that they hold, and what they say of themselves."""

import numpy as np
import pytest
from tests.interop.tensorflow_judge import tensorflow

import panmodel as pm

SAVE = """
import sys
import numpy as np
import tensorflow as tf

folder, v1 = sys.argv[1], tf.compat.v1


class Net(tf.Module):
    def __init__(self):
        self.w = tf.Variable(np.arange(6, dtype=np.float32).reshape(3, 2), name="w")
        self.parts = [tf.Variable(1.5), tf.Variable([2, 3])]

    @tf.function(input_signature=[tf.TensorSpec([None, 3], tf.float32, name="x")])
    def call(self, x):
        return {"y": x @ self.w + self.parts[0]}


def objects():
    net = Net()
    tf.saved_model.save(net, folder + "/model", signatures=net.call)


def names():
    with v1.Graph().as_default(), v1.Session() as session:
        x = v1.placeholder(tf.float32, [None, 3], name="x")
        w = v1.get_variable("layer/w", initializer=np.ones((3, 2), np.float32))
        y = tf.identity(x @ w, name="y")
        session.run(v1.global_variables_initializer())
        v1.saved_model.simple_save(session, folder + "/model", {"x": x}, {"y": y})


if tf.__version__.startswith("1.") and sys.argv[2] == "objects":
    v1.enable_eager_execution()
globals()[sys.argv[2]]()
reader = tf.train.load_checkpoint(folder + "/model/variables/variables")
keys = [key for key in reader.get_variable_to_shape_map() if not key.startswith("_CHECKPOINTABLE")]
np.savez(folder + "/values.npz", **{key.replace("/", "|"): reader.get_tensor(key) for key in keys})
"""


@pytest.fixture(params=["objects", "names"])
def saved(request, tmp_path):
    tensorflow(SAVE, tmp_path, request.param)
    return tmp_path, request.param


def test_variables_and_signatures(saved):
    folder, kind = saved
    model = pm.read(folder / "model")
    assert model.format == "tensorflow_saved_model"
    with np.load(folder / "values.npz") as stored:
        assert {tensor.name for tensor in model.tensors.values()} == {key.replace("|", "/") for key in stored}
        for key in stored:
            assert model.tensors[key.replace("|", "/")].numpy().tobytes() == stored[key].tobytes()
    names = ["w", "parts/0", "parts/1"] if kind == "objects" else ["layer/w"]
    assert sorted(model.tensors) == sorted(names)
    signature = model.metadata["signatures"]["serving_default"]
    assert next(iter(signature["inputs"].values()))["shape"] == [None, 3]
    if kind == "names":
        pm.convert(folder / "model", folder / "net.onnx")
