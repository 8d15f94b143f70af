"""The right files that mutants are made of: small ones of every format that is read, by every writer there is.

    python benchmarks/mutant_seeds.py FOLDER

Makes FOLDER/format/seed/…, and beside each seed `format/seed.json`: which file or folder of it is to be opened
("target"), which of its files are wholly under checksums ("checked"), and where payload lies that is no plain extent
("payload": tensor → file, offset, bytes). The writers are this project's own, the frameworks that are installed, and
what the tests put together by hand; committed files stand for the frameworks that are seldom installed.
"""

from __future__ import annotations

import importlib.util
import io
import json
import pickle
import shutil
import struct
import sys
import tarfile
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT)]

from tests import checkpoints, distributed_checkpoints, object_checkpoints  # noqa: E402
from tests import tensorflow_graphs as graphs  # noqa: E402
from tests.saved_models import TEXT, write_saved_model  # noqa: E402
from tests.slice_tables import SliceTable  # noqa: E402

import panmodel as pm  # noqa: E402
from panmodel import dtypes  # noqa: E402
from panmodel.formats import registry  # noqa: E402
from panmodel.model.model import Model  # noqa: E402
from panmodel.model.tensor import ArrayTensor  # noqa: E402
from panmodel.model.torch.source import TorchSource  # noqa: E402
from panmodel.wire.pickle import Global, Object, PersistentId, dump  # noqa: E402
from panmodel.wire.protobuf import encode_bytes  # noqa: E402
from panmodel.wire.tensorflow_messages import MetaGraphDef, MetaInfoDef  # noqa: E402

CHECKPOINTS, KERAS = checkpoints.FIXTURES, ROOT / "tests" / "fixtures" / "keras"
MATRIX = np.arange(12, dtype=np.float32).reshape(3, 4)
ALL = "*"


class Seed:
    """A folder for the files of one seed; `done` says what is to be known of them."""

    def __init__(self, place: Path) -> None:
        self.place = place
        place.mkdir(parents=True)

    def __truediv__(self, name: str) -> Path:
        return self.place / name

    def done(
        self,
        target: str,
        checked: Sequence[str] = (),
        payload: dict[str, tuple[str, int, int]] | None = None,
    ) -> None:
        names = [str(path.relative_to(self.place)) for path in sorted(self.place.rglob("*")) if path.is_file()]
        what = {"target": target, "checked": names if ALL in checked else list(checked), "payload": payload or {}}
        self.place.with_name(f"{self.place.name}.json").write_text(json.dumps(what))


def copied(seed: Seed, folder: Path, pattern: str) -> None:
    for path in folder.glob(pattern):
        if path.suffix not in (".npz", ".meta"):
            shutil.copy(path, seed.place)


def tensors(*names: str) -> dict[str, Any]:
    """A tensor of each type, filled with noise."""
    chance, made = np.random.default_rng(0), {}
    for name in names:
        dtype = dtypes.ALL[name]
        noise = chance.integers(0, 2 if dtype.kind == "b" else 256, 6 * dtype.itemsize, np.uint8)
        made[f"layer/{name}"] = ArrayTensor(noise.view(dtype.numpy).reshape(2, 3))
    return made


PLAIN = ("float32", "float16", "float64", "int8", "int64", "bool", "uint8")


def write(format_name: str, path: Path, model: Model, **options: Any) -> None:
    record = registry()[format_name]
    assert record.write is not None
    with record.sink(path, **options) as sink:
        record.write(model, sink)


def has(*modules: str) -> bool:
    return all(importlib.util.find_spec(module) for module in modules)


# numpy


def npy(new: Callable[[str], Seed]) -> None:
    text = np.empty(3, object)
    text[:] = [b"a", b"", b"some longer text"]
    arrays = {
        "float": MATRIX,
        "fortran": np.asfortranarray(MATRIX.astype(np.float64)),
        "big": np.arange(5, dtype=">i8"),
        "scalar": np.array(7, np.uint16),
        "complex": np.ones(3, np.complex64),
        "bytes": np.array([b"abc", b"d"]),
        "text": np.array(["abc", "é"]),
        "objects": text,
        "empty": np.zeros((0, 4)),
    }
    for name, array in arrays.items():
        seed = new(name)
        np.save(seed / "a.npy", array, allow_pickle=True)
        seed.done("a.npy")
    seed = new("version_2")
    with open(seed / "a.npy", "wb") as file:
        np.lib.format.write_array(file, MATRIX, version=(2, 0))
    seed.done("a.npy")


def npz(new: Callable[[str], Seed]) -> None:
    for name, save in (("stored", np.savez), ("deflated", np.savez_compressed)):
        seed = new(name)
        save(
            seed / "a.npz", w=MATRIX, b=np.arange(4), fortran=np.asfortranarray(MATRIX + 50), text=np.array(["a", "bc"])
        )
        seed.done("a.npz", [ALL])
    seed = new("own")
    write("npz", seed / "a.npz", Model("seed", tensors=tensors(*PLAIN)))
    seed.done("a.npz", [ALL])


# safetensors


def safetensors(new: Callable[[str], Seed]) -> None:
    small = ("bfloat16", "float8_e4m3fn", "float8_e5m2", "complex64", "uint64")
    seed = new("types")
    model = Model("seed", tensors=tensors(*PLAIN, *small), metadata={"format": "pt", "é": "\n"})
    write("safetensors", seed / "a.safetensors", model)
    seed.done("a.safetensors")
    seed = new("sharded")
    model = Model("seed", tensors={f"layer{n}": ArrayTensor(MATRIX + n) for n in range(4)}, metadata={"format": "pt"})
    write("safetensors", seed / "m.safetensors", model, shard_size=100)
    seed.done("m.safetensors.index.json")
    seed = new("training")  # a structure in the metadata
    write("safetensors", seed / "a.safetensors", pm.read(KERAS / "keras2_adam.h5"))
    seed.done("a.safetensors")


# ONNX


def onnx(new: Callable[[str], Seed]) -> None:
    if not has("onnx"):
        return
    from tests import onnx_files

    seed = new("graph")
    onnx_files.small_model(seed / "m.onnx")
    seed.done("m.onnx")
    seed = new("external")
    onnx_files.external(seed / "m.onnx", offset="0", length="16")
    (seed / "w.bin").write_bytes(bytes(range(16)))
    seed.done("m.onnx")
    seed = new("sparse")
    helper, kinds = onnx_files.helper, onnx_files.TensorProto
    values = helper.make_tensor("s", kinds.FLOAT, [3], [1.0, 2.0, 3.0])
    indices = helper.make_tensor("i", kinds.INT64, [3], [0, 5, 7])
    packed = helper.make_tensor("q", kinds.INT4, [3], bytes((0x21, 0x03)), raw=True)
    graph = helper.make_graph(
        [helper.make_node("Add", ["x", "s"], ["y"]), helper.make_node("Cast", ["q"], ["z"], to=1)],
        "g",
        [onnx_files.info("x", (2, 4))],
        [onnx_files.info("y", (2, 4)), onnx_files.info("z", (3,))],
        [packed],
        sparse_initializer=[helper.make_sparse_tensor(values, indices, [2, 4])],
    )
    onnx_files.onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)]), seed / "m.onnx")
    seed.done("m.onnx")


# TensorFlow


def tensorflow_checkpoint(new: Callable[[str], Seed]) -> None:
    for folder, names in ((CHECKPOINTS, checkpoints.NAMES), (object_checkpoints.FIXTURES, object_checkpoints.NAMES)):
        for name in names:
            seed = new(name)
            copied(seed, folder, f"{name}.ckpt*")
            seed.done(f"{name}.ckpt", [ALL])
    for name, rewrite in (("snappy", checkpoints.with_snappy), ("big_endian", checkpoints.with_big_endian)):
        seed = new(name)
        rewrite(CHECKPOINTS / "dtypes.ckpt", seed / "dtypes.ckpt")
        seed.done("dtypes.ckpt", [ALL])
    seed = new("state_file")
    copied(seed, CHECKPOINTS, "trained.ckpt*")
    shutil.copy(CHECKPOINTS / "checkpoint", seed.place)
    seed.done("checkpoint", ["trained.ckpt.index", "trained.ckpt.data-00000-of-00001"])
    seed = new("own")
    write("tensorflow_checkpoint", seed / "m.ckpt", Model("seed", tensors=tensors(*PLAIN, "bfloat16", "complex128")))
    seed.done("m.ckpt", ["m.ckpt.index", "m.ckpt.data-00000-of-00001"])


def tensorflow_checkpoint_v1(new: Callable[[str], Seed]) -> None:
    for name, target in (("v1", "v1.ckpt"), ("v1s", "v1s.ckpt-00001-of-00003")):
        seed = new(name)
        copied(seed, CHECKPOINTS, f"{name}.ckpt*")
        seed.done(target, [ALL])
    text = np.array([b"x", b"yy"], object)
    seed = new("types")
    made = SliceTable().add("a", np.arange(4, dtype=np.int64)).add("b", text).add("c", np.ones(3, np.complex64))
    made.add("part", MATRIX[:2], shape=(3, 4), box=checkpoints.box((0, 2), None))
    made.add("part", MATRIX[2:], shape=(3, 4), box=checkpoints.box((2, 1), None)).write(seed / "a.ckpt")
    seed.done("a.ckpt", [ALL])
    seed = new("snappy")
    SliceTable().add("a", np.arange(40, dtype=np.float32)).add("b", text).write(seed / "a.ckpt", snappy=True)
    seed.done("a.ckpt", [ALL])


def _graph() -> Any:
    shape, kind = graphs.Shape, dtypes.FLOAT32
    return graphs.graph_def(
        graphs.node("x", "Placeholder", dtype=kind, shape=shape((None, 3))),
        graphs.const("w", MATRIX[:, :3]),
        graphs.const("text", [b"a", b"bc"]),
        graphs.const("many", np.arange(40) / 7),
        graphs.const("one", np.full((4, 4), 0.5, np.float32)),
        graphs.node("y", "MatMul", "x", "w", T=kind, transpose_a=False, transpose_b=True),
        graphs.node("z", "Conv2D", "y", "one", T=kind, strides=[1, 2, 2, 1], padding="SAME", data_format="NHWC"),
        graphs.node("out", "Identity", "z", "^text", T=kind, device="/cpu:0"),
    )


_TEXT = """# a comment
node { name: "x" op: "Placeholder" attr { key: "dtype" value { type: DT_FLOAT } } }
node {
  name: "w"
  op: "Const"
  attr { key: "value" value { tensor {
    dtype: DT_FLOAT tensor_shape { dim { size: 2 } dim { size: 1 } } tensor_content: "\\000\\000\\200?\\000\\000\\000@"
  } } }
}
node { name: "v" op: "Const" attr { key: "value" value { tensor { dtype: DT_INT32 tensor_shape { dim { size: 3 } }
  int_val: 1 int_val: [2] } } } }
versions { producer: 134 }
"""


def tensorflow_graph(new: Callable[[str], Seed]) -> None:
    seed = new("binary")
    (seed / "graph.pb").write_bytes(encode_bytes(_graph()))
    seed.done("graph.pb")
    seed = new("text")
    (seed / "graph.pbtxt").write_text(_TEXT)
    seed.done("graph.pbtxt")


def tensorflow_meta(new: Callable[[str], Seed]) -> None:
    seed = new("small")
    made = MetaGraphDef(meta_info_def=MetaInfoDef(tags=["train"], tensorflow_version="1.15.0"), graph_def=_graph())
    (seed / "model.meta").write_bytes(encode_bytes(made))
    seed.done("model.meta")
    seed = new("text")
    (seed / "model.pbtxt").write_text(f'meta_info_def {{ tags: "train" }}\ngraph_def {{ {_TEXT} }}')
    seed.done("model.pbtxt")
    seed = new("tensorflow")
    shutil.copy(CHECKPOINTS / "trained.ckpt.meta", seed / "model.meta")
    seed.done("model.meta")


def tensorflow_saved_model(new: Callable[[str], Seed]) -> None:
    variables = [f"model/variables/variables.{suffix}" for suffix in ("index", "data-00000-of-00001")]
    seed = new("binary")
    write_saved_model(seed / "model")
    seed.done("model", variables)
    seed = new("text")
    write_saved_model(seed / "model")
    (seed / "model/saved_model.pb").unlink()
    (seed / "model/saved_model.pbtxt").write_text(TEXT)
    seed.done("model", variables)


# Keras


def _keras_root() -> Any:
    from panmodel.wire.hdf5.writing import NewDataset, NewGroup

    def variables(name: str, *arrays: Any) -> Any:
        members = {str(n): NewDataset(ArrayTensor(np.asarray(array))) for n, array in enumerate(arrays)}
        return NewGroup({"vars": NewGroup(members, {"name": name})})

    dense = variables("head", MATRIX, np.ones(4, np.float32))
    optimizer = variables("sgd", np.int64(7), np.float32(0.05), -MATRIX, -np.ones(4, np.float32))
    return NewGroup({"layers": NewGroup({"dense": dense}), "optimizer": optimizer})


def _saved(path: Path, root: Any) -> bytes:
    from panmodel.io.sink import Sink
    from panmodel.wire.hdf5.writing import save

    with Sink(path) as sink:
        save(root, sink.open())
    return path.read_bytes()


def keras_archive(new: Callable[[str], Seed]) -> None:
    layers = [{"class_name": "Dense", "config": {"name": "head", "units": 4}}]
    optimizer = {"class_name": "SGD", "config": {"learning_rate": 0.1, "momentum": 0.9}}
    config = {"class_name": "Sequential", "config": {"layers": layers}, "compile_config": {"optimizer": optimizer}}
    for name, method in (("stored", zipfile.ZIP_STORED), ("deflated", zipfile.ZIP_DEFLATED)):
        seed = new(name)
        weights = _saved(seed / "w.h5", _keras_root())
        (seed / "w.h5").unlink()
        with zipfile.ZipFile(seed / "m.keras", "w", method) as file:
            file.writestr("metadata.json", json.dumps({"keras_version": "3.9.0"}))
            file.writestr("config.json", json.dumps(config))
            file.writestr("model.weights.h5", weights)
        seed.done("m.keras", [ALL])


def keras_hdf5(new: Callable[[str], Seed]) -> None:
    for path in sorted(KERAS.glob("*.h5")):
        seed = new(path.stem)
        shutil.copy(path, seed / "m.h5")
        seed.done("m.h5")
    seed = new("own")
    _saved(seed / "m.weights.h5", _keras_root())
    seed.done("m.weights.h5")
    if has("h5py"):
        for libver in ("earliest", "latest"):
            _h5py(new(f"h5py_{libver}"), libver)
        _fletcher(new("fletcher32"))


def _h5py(seed: Seed, libver: str) -> None:
    import h5py

    data = np.arange(120, dtype=np.float32).reshape(12, 10)
    with h5py.File(seed / "m.h5", "w", libver=libver) as file:
        file.create_dataset("gzip", data=data, chunks=(5, 4), compression="gzip", shuffle=True)
        file.create_dataset("lzf", data=data, chunks=(5, 4), compression="lzf", fletcher32=True)
        file.create_dataset("grow", data=data[0], chunks=(3,), maxshape=(None,))
        file.create_dataset("grow2", data=data, chunks=(4, 5), maxshape=(None, None))
        file.create_dataset("one", data=data[:2], chunks=(2, 10))
        file.create_dataset("empty", shape=(100, 3), dtype=np.int16, fillvalue=5)
        file.create_dataset("text", data=["a", "é", "x" * 40], dtype=h5py.string_dtype())
        file.create_dataset("fixed", data=np.array([b"abc", b"d"]))
        file["layers/dense/vars/0"] = data[:3].astype(">f8")
        file["link"] = h5py.SoftLink("/gzip")
        file["layers"].attrs["names"] = [f"name{n}" for n in range(20)]
        for n in range(12):  # more than a header holds: dense storage in a heap
            file.attrs[f"attribute{n}"] = n * 1.5
            file.require_group("many")[f"item{n}"] = np.int32(n)
        # a structure of its own for what is stored compactly
        compact = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        compact.set_layout(h5py.h5d.COMPACT)
        space = h5py.h5s.create_simple((4,))
        h5py.h5d.create(file.id, b"compact", h5py.h5t.NATIVE_INT32, space, compact).write(
            h5py.h5s.ALL, h5py.h5s.ALL, np.arange(4, dtype=np.int32)
        )
    seed.done("m.h5")


def _fletcher(seed: Seed) -> None:
    """Chunks under Fletcher-32, plain and deflated."""
    import h5py

    payload = {}
    data = np.arange(300, dtype=np.float32).reshape(30, 10)
    with h5py.File(seed / "m.h5", "w") as file:
        for name, options in {"plain": {}, "deflated": {"compression": "gzip"}}.items():
            made = file.create_dataset(name, data=data, chunks=(30, 10), fletcher32=True, **options)
            chunk = made.id.get_chunk_info(0)
            payload[name] = ("m.h5", chunk.byte_offset, chunk.size - 4)
    seed.done("m.h5", payload=payload)


# PyTorch


def torch_source(new: Callable[[str], Seed]) -> None:
    source = "# Written by panmodel 0.1.0\nfrom torch import nn\n\n\nclass Net(nn.Module):\n    pass  # é\n"
    state = {"fc.weight": ArrayTensor(MATRIX), "fc.bias": ArrayTensor(np.ones(2))}
    names = {
        "parameters": {"fc.weight": {"variable": "fc/kernel", "permute": [1, 0]}},
        "inputs": [{"tensor": "x:0", "dtype": "float32", "shape": ["batch", 4]}],
        "outputs": [{"tensor": "y:0", "dtype": "float32", "shape": ["batch", 3]}],
    }
    seed = new("own")
    write("torch_source", seed / "net.py", Model("seed", TorchSource(source, "Net", state, names)))
    seed.done("net.py")


def torch_distributed(new: Callable[[str], Seed]) -> None:
    rows, columns = [np.s_[0:2, 0:4], np.s_[2:3, 0:4]], [np.s_[0:3, 0:3], np.s_[0:3, 3:4]]
    state = {
        "model.fc.weight": (MATRIX, rows),
        "optimizer.state.0.step": (np.array(3.0, np.float32), [()]),
        "optimizer.state.0.exp_avg": (MATRIX + 1, columns),
    }
    values = {"optimizer.param_groups.0.lr": 0.5, "optimizer.param_groups.0.params": [0], "epoch": 4}
    paths = {
        "model.fc.weight": ("model", "fc.weight"),
        "epoch": ("epoch",),
        **{name: tuple(name.split(".")) for name in state if name.startswith("optimizer")},
        **{f"optimizer.param_groups.0.{key}": ("optimizer", "param_groups", 0, key) for key in ("lr", "params")},
    }
    seed = new("handmade")
    distributed_checkpoints.write_checkpoint(seed / "dcp", state, values, paths)
    seed.done("dcp", ["dcp/__0_0.distcp", "dcp/__1_0.distcp"])
    if has("torch"):
        import torch
        import torch.distributed.checkpoint as dcp

        seed = new("torch")
        net = torch.nn.Linear(3, 2)
        dcp.save({"model": net.state_dict(), "epoch": 2}, checkpoint_id=seed / "dcp", no_dist=True)
        seed.done("dcp", ["dcp/__0_0.distcp"])


def torch_pickle(new: Callable[[str], Seed]) -> None:
    seed = new("own")
    write("torch_pickle", seed / "m.pt", Model("seed", tensors=tensors(*PLAIN, "bfloat16")))
    seed.done("m.pt", [ALL])
    seed = new("sharded")
    model = Model("seed", tensors={f"layer{n}": ArrayTensor(MATRIX + n) for n in range(4)})
    write("torch_pickle", seed / "m.bin", model, shard_size=100)
    seed.done("m.bin.index.json", sorted(path.name for path in seed.place.glob("*.bin")))
    seed = new("tar")
    (seed / "m.pt").write_bytes(_tar())
    seed.done("m.pt")
    seed = new("pickle")
    state = {"w": MATRIX, "n": np.float64(3), "more": [{"b": np.arange(3), "t": "text"}], "lr": 0.1}
    (seed / "m.pkl").write_bytes(pickle.dumps(state, 4))
    seed.done("m.pkl")
    if has("torch"):
        _torch(new)


def _tar() -> bytes:
    """As PyTorch 0.1 wrote it."""
    floats, tensor = Global("torch", "FloatStorage"), Global("torch", "FloatTensor")
    storages = dump(1) + dump((10, "cpu", floats)) + struct.pack("<q4f", 4, 1, 2, 3, 4) + dump([(11, 10, 1, 2)])
    views = dump(2) + dump((20, 10, tensor)) + struct.pack("<ii5q", 2, 0, 2, 2, 2, 1, 0)
    views += dump((21, 11, tensor)) + struct.pack("<ii3q", 1, 0, 1, 1, 1)
    value = Object(Global("collections", "OrderedDict"), items=[("w", PersistentId("20")), ("b", PersistentId("21"))])
    system = {"protocol_version": 1000, "little_endian": True, "type_sizes": {"short": 2, "int": 4, "long": 4}}
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:", format=tarfile.PAX_FORMAT) as file:
        members = {"sys_info": dump(system), "pickle": dump(value), "storages": storages, "tensors": views}
        for name, content in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            file.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


def _torch(new: Callable[[str], Seed]) -> None:
    import torch

    torch.manual_seed(0)
    net = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.BatchNorm1d(4), torch.nn.Linear(4, 2))
    optimizer = torch.optim.Adam(net.parameters(), lr=0.25)
    net(torch.randn(5, 3)).sum().backward()
    optimizer.step()
    tied = torch.arange(6.0).reshape(2, 3)
    values = {
        "state_dict": {"a": tied, "same": tied, "t": tied.t(), "row": tied[1], "half": tied.bfloat16()},
        "training": {"model": net.state_dict(), "optimizer": optimizer.state_dict(), "epoch": 3, "loss": 0.5},
        "module": net,
        "kinds": {
            "quantized": torch.quantize_per_tensor(tied, 0.1, 3, torch.qint8),
            "channels": torch.quantize_per_channel(
                tied, torch.tensor([0.1, 0.2], dtype=torch.double), torch.tensor([0, 1]), 0, torch.qint8
            ),
            "sparse": tied.to_sparse(),
            "csr": tied.to_sparse_csr(),
            "parameter": torch.nn.Parameter(tied),
            "conj": torch.ones(2, dtype=torch.complex64).conj(),
            "meta": torch.empty(3, device="meta"),
        },
    }
    for name, value in values.items():
        for form in ("zip", "legacy"):
            seed = new(f"{name}_{form}")
            torch.save(value, seed / "m.pt", _use_new_zipfile_serialization=form == "zip")
            seed.done("m.pt", [ALL] if form == "zip" else [])


class _Net:
    """Made when torch is there: a module with weights, a buffer and a choice."""

    @staticmethod
    def make() -> Any:
        import torch

        torch.manual_seed(0)
        return torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.BatchNorm1d(4), torch.nn.ReLU()).eval()


def torchscript(new: Callable[[str], Seed]) -> None:
    if not has("torch"):
        return
    import torch

    example = torch.ones(2, 3)
    for name, made in {"script": torch.jit.script(_Net.make()), "trace": torch.jit.trace(_Net.make(), example)}.items():
        seed = new(name)
        torch.jit.save(made, str(seed / "m.pt"))
        seed.done("m.pt", [ALL])


def torch_export(new: Callable[[str], Seed]) -> None:
    if not has("torch"):
        return
    import torch

    seed = new("export")
    torch.export.save(torch.export.export(_Net.make(), (torch.ones(2, 3),)), str(seed / "m.pt2"))
    seed.done("m.pt2", [ALL])


MAKERS = (
    *(npy, npz, safetensors, onnx, tensorflow_checkpoint, tensorflow_checkpoint_v1, tensorflow_graph),
    *(tensorflow_meta, tensorflow_saved_model, keras_archive, keras_hdf5),
    *(torch_source, torch_distributed, torch_pickle, torchscript, torch_export),
)


def main() -> None:
    folder = Path(sys.argv[1])
    for make in MAKERS:
        make(lambda name, place=folder / make.__name__: Seed(place / name))
    for name, record in registry().items():
        if record.read is not None and not list((folder / name).glob("*.json")):
            print(f"no seeds for {name}: add them to {Path(__file__).name}", file=sys.stderr)


if __name__ == "__main__":
    main()
