"""What each format is written from, in versions that have nothing in common, and how it is read back whole."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from panmodel import dtypes, formats
from panmodel.formats import onnx
from panmodel.model.builder import Builder
from panmodel.model.keras.placing import arranged
from panmodel.model.keras.structure import LayerGroups, Layout
from panmodel.model.model import Model
from panmodel.model.tensor import ArrayTensor
from panmodel.model.tensorflow.graph import graph_from_proto, proto_from_tensor
from panmodel.model.torch.source import SOURCE_MARK, TorchSource
from panmodel.wire.tensorflow_messages import AttrValue, GraphDef, NodeDef

OLD, NEW, ALIKE = range(3)
#: An old set has more shards than a new one. The third has files of the same names and sizes as the new one.
_TENSORS = {OLD: 5, NEW: 3, ALIKE: 3}


def weights(version: int, nbytes: int) -> dict[str, ArrayTensor]:
    """Tensors that have no element in common with those of other versions."""
    count = _TENSORS[version]
    elements = np.arange(nbytes // 4 // count, dtype=np.int32)
    return {
        f"layer_{n}/w": ArrayTensor((elements * 3 + version).view(np.float32), f"layer_{n}/w") for n in range(count)
    }


def tensors_alone(version: int, nbytes: int) -> Model:
    return Model("test", tensors=weights(version, nbytes))


def one_tensor(version: int, nbytes: int) -> Model:
    return Model("test", tensors={"model": next(iter(weights(version, nbytes).values()))})


def keras_model(version: int, nbytes: int) -> Model:
    tensors = weights(version, nbytes)
    documents = {"metadata.json": json.dumps({"keras_version": "3.9.0"}), "config.json": json.dumps({"config": {}})}
    return Model("test", tensors=tensors, structure=replace(arranged(tensors), documents=documents))


def keras_variables(version: int, nbytes: int) -> Model:
    tensors = {f"layers/{name.removesuffix('/w')}/vars/0": tensor for name, tensor in weights(version, nbytes).items()}
    structure = LayerGroups(Layout.VARIABLES, places={name: name for name in tensors})
    return Model("test", tensors=tensors, structure=structure)


def hub_graph(version: int, nbytes: int) -> Model:
    build = Builder()
    x = build.input("x", dtypes.FLOAT32, (1,))
    for tensor in weights(version, nbytes).values():
        x = build.op("Add", x, build.weight(tensor))
    build.output("y", x)
    return Model("test", build.graph())


def tensorflow_graph(version: int, nbytes: int) -> Model:
    nodes = [
        NodeDef(
            name=name,
            op="Const",
            attr={
                "dtype": AttrValue(type=tensor.dtype.tensorflow),
                "value": AttrValue(tensor=proto_from_tensor(tensor)),
            },
        )
        for name, tensor in weights(version, nbytes).items()
    ]
    return Model("test", graph_from_proto(GraphDef(node=nodes), "test"))


def torch_source(version: int, nbytes: int) -> Model:
    text = f"{SOURCE_MARK}\nfrom torch import nn\n\n\nclass Net(nn.Module):\n    version = {version}\n"
    state = {name.replace("/", "."): tensor for name, tensor in weights(version, nbytes).items()}
    return Model("test", TorchSource(text, "Net", state, {"version": version}), state)


@dataclass(frozen=True)
class Case:
    """A way to write a format.

    Attributes:
        target: The target's name.
        format: The format's name.
        make: The model of a version, of a number of bytes.
        parts: How many files the tensors of the old version are split into; 0 to leave them together.
        external: Weights go to a file of their own.
        by_command: The command line writes the same set from the set itself.
    """

    target: str
    format: str
    make: Callable[[int, int], Model]
    parts: int = 0
    external: bool = False
    by_command: bool = True

    def shard_size(self, nbytes: int) -> int | None:
        """Bytes of a file."""
        return nbytes // self.parts if self.parts else None

    def write(self, model: Model, folder: Path, nbytes: int, *, force: bool = False) -> None:
        """Write a model into a folder."""
        record = formats.by_name(self.format)
        with record.sink(folder / self.target, force=force, shard_size=self.shard_size(nbytes)) as sink:
            if self.external:
                onnx.write(model, sink, largest=4096)
            else:
                assert record.write is not None
                record.write(model, sink)

    def tensors(self, folder: Path) -> dict[str, object]:
        """What is read from there."""
        model = formats.read(folder / self.target)
        source = {"source": model.program.source} if isinstance(model.program, TorchSource) else {}
        return source | {name: tensor.numpy().tobytes() for name, tensor in model.tensors.items()}

    def content(self, folder: Path) -> dict[str, object]:
        """All that is read from there, and all files."""
        return self.tensors(folder) | {f"file {name}": (folder / name).read_bytes() for name in sorted(visible(folder))}


CASES = {
    "safetensors": Case("model.safetensors", "safetensors", tensors_alone),
    "safetensors in shards": Case("model.safetensors.index.json", "safetensors", tensors_alone, parts=5),
    "torch_pickle": Case("model.pt", "torch_pickle", tensors_alone),
    "torch_pickle in shards": Case("model.bin.index.json", "torch_pickle", tensors_alone, parts=5),
    "torch_pickle with source": Case("model.pt", "torch_pickle", torch_source, by_command=False),
    "tensorflow_checkpoint": Case("model.ckpt", "tensorflow_checkpoint", tensors_alone),
    "tensorflow_checkpoint in shards": Case("model.ckpt", "tensorflow_checkpoint", tensors_alone, parts=5),
    "npz": Case("model.npz", "npz", tensors_alone),
    "npy": Case("model.npy", "npy", one_tensor),
    "keras_hdf5": Case("model.h5", "keras_hdf5", tensors_alone),
    "keras_hdf5 in shards": Case("model.weights.json", "keras_hdf5", keras_variables, parts=5, by_command=False),
    "keras_archive": Case("model.keras", "keras_archive", keras_model),
    "onnx": Case("model.onnx", "onnx", hub_graph),
    "onnx with external data": Case("model.onnx", "onnx", hub_graph, external=True, by_command=False),
    "tensorflow_graph": Case("model.pb", "tensorflow_graph", tensorflow_graph),
    "torch_source": Case("model.py", "torch_source", torch_source),
}


def visible(folder: Path) -> set[str]:
    """Names of what is no temporary file."""
    return {name for name in os.listdir(folder) if not name.startswith(".")}
