"""What one framework wrote is what another reads, through every writer: the frameworks themselves are the judges."""

from __future__ import annotations

import collections
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import panmodel as pm

h5py = pytest.importorskip("h5py")
torch = pytest.importorskip("torch")
pytest.importorskip("onnx")
pytest.importorskip("safetensors")

Arrays = dict[str, np.ndarray]
#: Type, shape and bits.
Bits = tuple[str, tuple[int, ...], bytes]

# TensorFlow and Keras are run by themselves: they take seconds and hundreds of megabytes
MAKE = """
import os, sys
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
import keras, numpy as np, tensorflow as tf
keras.utils.set_random_seed(3)
layers = [keras.layers.Input((6, 4)), keras.layers.Conv1D(3, 2, name="conv"), keras.layers.BatchNormalization(),
          keras.layers.Bidirectional(keras.layers.LSTM(2), name="both"), keras.layers.Dense(1, name="last")]
model = keras.Sequential(layers, name="net")
model.compile(keras.optimizers.Adam(0.01), keras.losses.MeanSquaredError())
model.fit(np.random.rand(8, 6, 4), np.random.rand(8, 1), epochs=1, verbose=0)
kept = {str(n): np.asarray(v) for n, v in enumerate(model.get_weights())}
np.savez("keras.npz", **kept)
model.save("whole.h5"); model.save("whole.keras"); model.save_weights("net.weights.h5")
tf.train.Checkpoint(model=model).write("objects.ckpt")
np.savez("objects.npz", **kept)
plain = {"a/float": np.float32([[1, -0.0], [np.nan, np.inf]]), "a/half": np.float16([1, 2]), "count": np.int64(7),
         "flags": np.array([True, False]), "none": np.zeros((0, 3), np.float32), "bytes": np.arange(5, dtype=np.uint8),
         "z": np.array([1 - 2j], np.complex64)}
v1 = tf.compat.v1
with v1.Graph().as_default(), v1.Session() as session:
    held = [v1.get_variable(name, initializer=v1.constant(value), use_resource=True) for name, value in plain.items()]
    session.run(v1.global_variables_initializer())
    v1.train.Saver(held).save(session, "./saver.ckpt", write_state=False)
np.savez("saver.npz", **{name.replace("/", "|"): value for name, value in plain.items()})
"""
READ = """
import os, sys, json
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
import numpy as np, tensorflow as tf
found = {}
for number, prefix in enumerate(json.load(sys.stdin)):
    reader = tf.train.load_checkpoint(prefix)
    for name in reader.get_variable_to_shape_map():
        value = reader.get_tensor(name)
        if name == "_CHECKPOINTABLE_OBJECT_GRAPH":
            continue
        value = np.asarray(value)
        kind = value.dtype.name
        found[f"{number}|{kind}|{name.replace('/', '|')}"] = value.view(np.uint16) if kind == "bfloat16" else value
np.savez("judged.npz", **found)
"""


def python(code: str, folder: Path, given: object = None) -> None:
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=folder, input=json.dumps(given), capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr[-2000:]


# What the frameworks write


def numbers() -> Arrays:
    """Arrays of types that all have."""
    random = np.random.default_rng(0)
    kinds = (np.float32, np.float64, np.float16, np.int64, np.int32, np.int16, np.int8, np.uint8, np.complex64)
    found = {f"kinds.{np.dtype(kind).name}": (random.normal(size=(3, 4)) * 9).astype(kind) for kind in kinds}
    payloads = np.array([0x7FC00001, 0x7F800001, 0xFFC12345, 0x80000000, 1], np.uint32).view(np.float32)
    flags, nothing = np.array([True, False]), np.zeros((2, 0, 3), np.float32)
    return found | {"payloads": payloads, "flags": flags, "nothing": nothing, "scalar": np.array(7, np.int64)}


def of_torch(folder: Path) -> Arrays:
    torch.manual_seed(0)
    encoder = torch.nn.TransformerEncoderLayer(8, 2, 16)
    state = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4), encoder).state_dict()
    state["half"] = torch.randn(7).to(torch.bfloat16)
    state["view"] = torch.arange(24.0).reshape(4, 6).t()[1:4]
    torch.save(state, folder / "a.pth")
    return {name: as_numpy(tensor) for name, tensor in state.items()}


def of_old_torch(folder: Path) -> Arrays:
    state = {name: torch.from_numpy(array.copy()) for name, array in numbers().items()}
    torch.save(state, folder / "old.pt", _use_new_zipfile_serialization=False)
    return numbers()


def of_safetensors(folder: Path) -> Arrays:
    from safetensors.torch import save_file

    state = {name: torch.from_numpy(array.copy()) for name, array in numbers().items()}
    save_file(state | {"brain": torch.ones(3, dtype=torch.bfloat16)}, folder / "a.safetensors")
    return numbers() | {"brain": as_numpy(torch.ones(3, dtype=torch.bfloat16))}


def of_numpy(folder: Path) -> Arrays:
    np.savez_compressed(folder / "a.npz", **numbers(), fortran=np.asfortranarray(np.arange(6.0).reshape(2, 3)))
    return numbers() | {"fortran": np.arange(6.0).reshape(2, 3)}


def of_h5py(folder: Path) -> Arrays:
    arrays = {name.replace(".", "/"): array for name, array in numbers().items() if array.dtype.kind != "c"}
    with h5py.File(folder / "arrays.h5", "w") as file:
        for name, array in arrays.items():
            packed = {"compression": "gzip", "shuffle": True} if array.ndim == 2 else {}
            file.create_dataset(name, data=array, **packed)
    return arrays


def of_onnx(folder: Path) -> Arrays:
    import onnx
    from onnx import helper, numpy_helper

    arrays = {name: array for name, array in numbers().items() if array.dtype.kind != "c"}
    held = [numpy_helper.from_array(array, name) for name, array in arrays.items()]
    nodes = [helper.make_node("Identity", ["kinds.float32"], ["y"])]
    result = helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, [3, 4])
    graph = helper.make_graph(nodes, "graph", [], [result], held)
    onnx.save(helper.make_model(graph), folder / "a.onnx")
    return arrays


def as_numpy(tensor: Any) -> np.ndarray:
    import ml_dtypes

    if tensor.dtype is torch.bfloat16:
        return tensor.contiguous().view(torch.int16).numpy().view(ml_dtypes.bfloat16)
    return tensor.numpy()


SOURCES: dict[str, Callable[[Path], Arrays]] = {
    "a.pth": of_torch,
    "old.pt": of_old_torch,
    "a.safetensors": of_safetensors,
    "a.npz": of_numpy,
    "arrays.h5": of_h5py,
    "a.onnx": of_onnx,
}
#: Those that TensorFlow's process writes, and where it left their values; the names of the first are its own.
OF_TENSORFLOW = {"saver.ckpt": "saver.npz", "objects.ckpt": "objects.npz"}
OF_KERAS = {"whole.h5": "keras.npz", "whole.keras": "keras.npz", "net.weights.h5": "keras.npz"}
OTHERS = OF_TENSORFLOW | OF_KERAS


# What they read


def by_torch(path: Path) -> Arrays:
    loaded = torch.load(path, weights_only=True, mmap=True)
    return {name: as_numpy(tensor) for name, tensor in leaves(loaded)}


def leaves(value: Any, name: str = "") -> list[tuple[str, Any]]:
    if isinstance(value, torch.Tensor):
        return [(name, value)]
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, (list, tuple)) else ()
    return [leaf for key, item in items for leaf in leaves(item, f"{name}.{key}" if name else str(key))]


def by_torch_shards(path: Path) -> Arrays:
    index = json.loads(Path(f"{path}.index.json").read_text())
    parts = {file: by_torch(path.with_name(file)) for file in set(index["weight_map"].values())}
    return {name: parts[file][name] for name, file in index["weight_map"].items()}


def by_safetensors(path: Path) -> Arrays:
    from safetensors.torch import load_file

    return {name: as_numpy(tensor) for name, tensor in load_file(path).items()}


def by_safetensors_shards(path: Path) -> Arrays:
    index = json.loads(Path(f"{path}.index.json").read_text())
    parts = {file: by_safetensors(path.with_name(file)) for file in set(index["weight_map"].values())}
    return {name: parts[file][name] for name, file in index["weight_map"].items()}


def by_numpy(path: Path) -> Arrays:
    with np.load(path, allow_pickle=False) as file:
        return dict(file)


def by_h5py(path: Path) -> Arrays:
    found = {}
    with h5py.File(path) as file:
        file.visititems(lambda name, item: found.update({name: item[()]}) if isinstance(item, h5py.Dataset) else None)
    return found


WRITERS: dict[str, tuple[str, int | None, Callable[[Path], Arrays]]] = {
    "torch": ("b.pt", None, by_torch),
    "torch in shards": ("b.bin", 500, by_torch_shards),
    "safetensors": ("b.safetensors", None, by_safetensors),
    "safetensors in shards": ("c.safetensors", 500, by_safetensors_shards),
    "numpy": ("b.npz", None, by_numpy),
    "h5py": ("b.h5", None, by_h5py),
}


def bits(array: np.ndarray) -> Bits:
    """Bits of an array; numbers of two bytes that numpy has no name for are told by their bits alone."""
    kind = array.dtype.name if array.dtype.kind in "fiubc" and array.dtype.name != "bfloat16" else "bits"
    if array.dtype.itemsize == 2 and array.dtype.kind in "Vu":
        kind = "bits"
    return kind, array.shape, np.ascontiguousarray(array).tobytes()


def assert_same(found: Arrays, right: Arrays, *, named: bool) -> None:
    if named:
        assert {name: bits(array) for name, array in found.items()} == {n: bits(array) for n, array in right.items()}
    else:  # under other names, and the optimizer's beside them
        lacking = collections.Counter(map(bits, right.values())) - collections.Counter(map(bits, found.values()))
        assert not lacking


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Arrays]]:
    folder = tmp_path_factory.mktemp("made")
    return folder, {name: make(folder) for name, make in SOURCES.items()}


@pytest.fixture(scope="module")
def made_by_tensorflow(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Arrays]]:
    pytest.importorskip("tensorflow")
    folder = tmp_path_factory.mktemp("tensorflow")
    python(MAKE, folder)
    values = {}
    for source, name in OTHERS.items():
        with np.load(folder / name) as file:
            values[source] = {key.replace("|", "/"): value for key, value in file.items()}
    return folder, values


def through(source: Path, writer: str, folder: Path) -> Arrays:
    target, shard_size, judge = WRITERS[writer]
    report = pm.convert(
        source, folder / target, shard_size=shard_size, weights_only=True, drop_training=bool(shard_size)
    )
    assert report.tensors > 2
    return judge(folder / target)


@pytest.mark.parametrize("writer", WRITERS)
@pytest.mark.parametrize("source", SOURCES)
def test_what_is_written_is_what_the_framework_reads(
    made: tuple[Path, dict[str, Arrays]], tmp_path: Path, source: str, writer: str
) -> None:
    folder, values = made
    assert_same(through(folder / source, writer, tmp_path), values[source], named=writer != "h5py")


@pytest.mark.parametrize("writer", WRITERS)
@pytest.mark.parametrize("source", OTHERS)
def test_what_tensorflow_wrote_is_what_others_read(
    made_by_tensorflow: tuple[Path, dict[str, Arrays]], tmp_path: Path, source: str, writer: str
) -> None:
    folder, values = made_by_tensorflow
    named = source == "saver.ckpt" and writer != "h5py"
    assert_same(through(folder / source, writer, tmp_path), values[source], named=named)


def test_what_is_written_is_what_tensorflow_reads(
    made: tuple[Path, dict[str, Arrays]], made_by_tensorflow: tuple[Path, dict[str, Arrays]], tmp_path: Path
) -> None:
    sources = [(made[0] / name, made[1][name]) for name in SOURCES]
    sources += [(made_by_tensorflow[0] / name, made_by_tensorflow[1][name]) for name in OTHERS]
    cases = [(source, right, shard_size) for source, right in sources for shard_size in (None, 500)]
    prefixes = []
    for number, (source, _, shard_size) in enumerate(cases):
        prefixes.append(str(tmp_path / f"{number}.ckpt"))
        pm.convert(source, prefixes[-1], shard_size=shard_size, weights_only=True)
    python(READ, tmp_path, prefixes)
    judged: list[Arrays] = [{} for _ in cases]
    with np.load(tmp_path / "judged.npz") as file:
        for key, value in file.items():
            number, _, name = key.split("|", 2)
            judged[int(number)][name.replace("|", "/")] = value
    for (source, right, _), found in zip(cases, judged, strict=True):
        assert_same(found, right, named=source.name in SOURCES or source.name == "saver.ckpt")
