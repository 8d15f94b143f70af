"""TensorFlow itself writes checkpoints with random content and panmodel reads them; it reads tables of panmodel's."""

import shutil

import numpy as np
import pytest
from tests.checkpoints import FIXTURES, expected
from tests.interop.tensorflow_judge import tensorflow

import panmodel as pm
from panmodel.io.source import FileSource
from panmodel.wire.sstable import encode_table, read_table

WRITE = """
import sys
import numpy as np
import tensorflow as tf

v1, kind, folder = tf.compat.v1, sys.argv[1], sys.argv[2]
random = np.random.RandomState(0)
values = {}


def save_many():
    # an index of several blocks: more than 256 KiB of keys and entries
    for number in range(4000):
        name = "%032x/%032x" % tuple(random.randint(0, 2**31, 2))
        values[name] = random.standard_normal(random.randint(1, 9)).astype(np.float32)
    save()


def save_large():
    values["large"] = random.standard_normal((1100, 1000))
    values["after"] = np.arange(5)
    save()


def save_strings():
    lengths = [0, 1, 127, 128, 5000, 70000]
    values["strings"] = np.array([random.bytes(length) for length in lengths], object)
    values["pages"] = np.array([["ä" * 9, ""]], object)
    save()


def save():
    names = sorted(values)
    with v1.Graph().as_default():
        tensors = [v1.constant(values[name]) for name in names]
        written = tf.raw_ops.SaveV2(
            prefix=folder + "/model.ckpt", tensor_names=names, shape_and_slices=[""] * len(names), tensors=tensors)
        with v1.Session() as session:
            session.run(written)


def save_v1(sharded=False):
    values["float"] = random.standard_normal((1000, 700)).astype(np.float32)
    for name in ("float64", "int8", "uint8", "int16", "int32", "int64", "float16"):
        values[name] = (random.standard_normal((3, 5)) * 100).astype(name)
    values["bool"] = random.rand(7) > 0.5
    values["negative"] = np.array([-1, -(2**62), 2**62], np.int64)
    values["complex"] = random.rand(3) + 1j
    values["rows"] = random.rand(5, 4)
    with v1.Graph().as_default():
        parts = [slice(0, 2), slice(2, 4), slice(4, 5)]
        saved = {}
        for number, name in enumerate(sorted(values)):
            with v1.device("/cpu:%d" % (number % 2)):
                if name == "rows":
                    rows = [v1.Variable(values[name][part], use_resource=False) for part in parts]
                    continue
                saved[name] = v1.Variable(values[name], use_resource=False)
        for variable, part in zip(rows, parts):
            info = v1.Variable.SaveSliceInfo("rows", [5, 4], [part.start, 0], [part.stop - part.start, 4])
            variable._set_save_slice_info(info)
        saved["rows"] = rows
        saver = v1.train.Saver(saved, write_version=v1.train.SaverDef.V1, sharded=sharded)
        with v1.Session(config=v1.ConfigProto(device_count={"CPU": 2})) as session:
            session.run(v1.global_variables_initializer())
            saver.save(session, folder + "/model.ckpt", write_meta_graph=False)


def save_v1_sharded():
    save_v1(sharded=True)


def save_objects():
    v1.enable_eager_execution()
    kernel = tf.Variable(random.standard_normal((3, 4)).astype(np.float32))
    steps = tf.Variable(3, dtype=tf.int64)
    path = tf.train.Checkpoint(kernel=kernel, steps=steps).save(folder + "/model.ckpt")
    reader = tf.train.load_checkpoint(path)
    for name in reader.get_variable_to_shape_map():
        values[name] = reader.get_tensor(name)


globals()["save_" + kind]()
flat = {}
for name, value in values.items():
    value = np.asarray(value)
    if value.dtype == object or value.dtype.kind == "S":
        encoded = [item.encode() if isinstance(item, str) else item for item in value.reshape(-1).tolist()]
        value = np.array([item.hex() for item in encoded], "U").reshape(value.shape)
    flat[name.replace("/", "|")] = value
np.savez(folder + "/values.npz", **flat)
"""


READ = """
import sys
import numpy as np
import tensorflow as tf

reader = tf.train.load_checkpoint(sys.argv[1])
names = sorted(reader.get_variable_to_shape_map())
np.savez(sys.argv[2], **{name.replace("/", "|"): reader.get_tensor(name) for name in names})
"""


@pytest.mark.parametrize("kind", ["many", "large", "strings", "objects", "v1", "v1_sharded"])
def test_what_tensorflow_writes_is_read(kind, tmp_path):
    tensorflow(WRITE, kind, tmp_path)
    tensors = {tensor.name: tensor for tensor in pm.read(tmp_path).tensors.values()}
    with np.load(tmp_path / "values.npz") as stored:
        names = {name.replace("|", "/") for name in stored} - {"_CHECKPOINTABLE_OBJECT_GRAPH"}
        assert set(tensors) == names
        for name, tensor in tensors.items():
            assert_equal(tensor, stored[name.replace("/", "|")])


@pytest.mark.parametrize("block_bytes", [64, 262144])
def test_tables_that_panmodel_writes_are_read_by_tensorflow(block_bytes, tmp_path):
    source = FIXTURES / "trained.ckpt"
    table = encode_table(read_table(FileSource(f"{source}.index")), block_bytes=block_bytes)
    (tmp_path / "again.index").write_bytes(b"".join(table))
    shutil.copy(f"{source}.data-00000-of-00001", tmp_path / "again.data-00000-of-00001")
    tensorflow(READ, tmp_path / "again", tmp_path / "values.npz")
    with np.load(tmp_path / "values.npz") as values:
        assert {name.replace("|", "/"): values[name].tolist() for name in values} == {
            name: value.tolist() for name, value in expected("trained").items()
        }


def assert_equal(tensor, value):
    found = tensor.numpy()
    assert found.shape == value.shape
    if found.dtype == object:
        assert [text.hex() for text in found.reshape(-1)] == value.reshape(-1).tolist()
    else:
        assert found.dtype == value.dtype
        assert found.tobytes() == value.tobytes()
