"""TensorFlow restores the checkpoints that panmodel writes, every type bit for bit."""

import json

import numpy as np
import pytest
from tests.interop.tensorflow_judge import tensorflow

import panmodel as pm
from panmodel.dtypes import ALL
from panmodel.model.model import Model
from panmodel.model.tensor import ArrayTensor, unpack

SHAPES = {"scalar": (), "empty": (0, 3), "matrix": (5, 8)}

RESTORE = """
import json
import sys
import numpy as np
import tensorflow as tf

v1, folder = tf.compat.v1, sys.argv[1]
prefix = tf.train.latest_checkpoint(folder)
wanted = json.load(open(folder + "/wanted.json"))
listed = {name: list(shape) for name, shape in tf.train.list_variables(prefix)}
known, values = {}, {}
for name, number in wanted.items():
    try:
        known[name] = tf.as_dtype(number)
    except TypeError:  # a type that this TensorFlow does not have
        continue
with v1.Graph().as_default(), v1.Session() as session:
    restored = tf.raw_ops.RestoreV2(
        prefix=prefix, tensor_names=list(known), shape_and_slices=[""] * len(known), dtypes=list(known.values()))
    for name, tensor in zip(known, restored):
        try:
            value = np.asarray(session.run(tensor))
        except (tf.errors.OpError, TypeError) as error:  # a type that does not go to numpy
            print(name, error, file=sys.stderr)
            continue
        if known[name] == tf.string:
            values[name] = [list(value.shape), [text.hex() for text in value.reshape(-1).tolist()]]
        else:
            values[name] = value.tobytes().hex()
json.dump({"prefix": prefix, "listed": listed, "values": values}, open(folder + "/restored.json", "w"))
"""


@pytest.fixture(scope="module")
def written():
    """Every type that TensorFlow has, in random bits: name → tensor."""
    random = np.random.default_rng(0)
    tensors = {}
    for dtype in ALL.values():
        if dtype.tensorflow is None or not dtype.bits:
            continue
        for kind, shape in SHAPES.items():
            bits = random.integers(0, 256, dtype.nbytes(int(np.prod(shape))), np.uint8)
            bits = bits & 1 if dtype.kind == "b" else bits
            tensors[f"{dtype}/{kind}"] = ArrayTensor(unpack(bits, dtype, shape), dtype=dtype)
    texts = np.empty(3, object)
    texts[:] = [b"", b"\0\xff", b"long " * 30_000]
    tensors["string/row"] = ArrayTensor(texts)
    tensors["string/scalar"] = ArrayTensor(texts[1:2].reshape(()))
    return tensors


@pytest.fixture(scope="module")
def restored(written, tmp_path_factory):
    folder = tmp_path_factory.mktemp("checkpoint")
    pm.write(Model("test", tensors=written), folder / "model.ckpt-7")
    wanted = {name: tensor.dtype.tensorflow for name, tensor in written.items()}
    (folder / "wanted.json").write_text(json.dumps(wanted))
    tensorflow(RESTORE, folder)
    return {"folder": folder, **json.loads((folder / "restored.json").read_text())}


def test_the_state_file_leads_to_it(restored):
    assert restored["prefix"] == str(restored["folder"] / "model.ckpt-7")


def test_every_tensor_is_listed(written, restored):
    assert restored["listed"] == {name: list(tensor.shape) for name, tensor in written.items()}


def test_strings_are_restored(written, restored):
    for name in ("string/row", "string/scalar"):
        array = written[name].numpy()
        assert restored["values"][name] == [list(array.shape), [text.hex() for text in array.reshape(-1).tolist()]]


def test_every_type_is_restored(written, restored):
    values = restored["values"]
    plain = {"float16", "float32", "float64", "bfloat16", "bool", "complex64", "complex128"}
    plain |= {f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)}
    assert plain <= {name.split("/")[0] for name in values}
    for name, tensor in written.items():
        if name in values and tensor.dtype.bits:
            assert values[name] == tensor.numpy().tobytes().hex(), name


PARTITIONED = """
import sys
import numpy as np
import tensorflow as tf

v1, what, prefix, values = tf.compat.v1, *sys.argv[1:]
with v1.Graph().as_default(), v1.Session() as session:
    random = v1.random_normal_initializer(seed=5)
    cut = {"initializer": random, "use_resource": False}
    rows = list(v1.get_variable("rows", [7, 4], partitioner=v1.fixed_size_partitioner(3), **cut))
    columns = list(v1.get_variable("columns", [2, 6], partitioner=v1.fixed_size_partitioner(3, axis=1), **cut))
    half = list(v1.get_variable("half", [5, 2], partitioner=v1.fixed_size_partitioner(2), **cut))
    adam = v1.train.AdamOptimizer()
    adam.minimize(sum(tf.reduce_sum(part ** 2) for part in rows + columns + half))
    saved = rows + columns + half[:1] + [adam.get_slot(rows[1], "m"), adam.get_slot(columns[0], "v")]
    saver = v1.train.Saver(saved)
    if what == "save":
        session.run(v1.global_variables_initializer())
        saver.save(session, prefix, write_meta_graph=False, write_state=False)
        np.savez(values, *session.run(saved))
    else:
        saver.restore(session, prefix)
        for value, found in zip(np.load(values).values(), session.run(saved)):
            np.testing.assert_array_equal(value, found)
"""


def test_slices_of_which_others_were_never_saved_are_restored(tmp_path):
    tensorflow(PARTITIONED, "save", tmp_path / "in", tmp_path / "values.npz")
    pm.convert(tmp_path / "in", tmp_path / "out.ckpt", strict=True)
    pm.convert(tmp_path / "out.ckpt", tmp_path / "split.ckpt", shard_size=30, strict=True)
    for prefix in ("in", "out.ckpt", "split.ckpt"):
        tensorflow(PARTITIONED, "restore", tmp_path / prefix, tmp_path / "values.npz")
