"""Distributed checkpoints for tests, written without PyTorch: pickles of dataclasses under its names for them."""

from __future__ import annotations

import io
import pickle
from pathlib import Path
from typing import Any

import numpy as np

from panmodel.dtypes import from_numpy
from panmodel.io.sink import Sink
from panmodel.model.tensor import ArrayTensor
from panmodel.wire import torch_writing

METADATA = "torch.distributed.checkpoint.metadata"


def named(module: str, name: str) -> Any:
    """A class that is pickled under another name; instances keep what they are given as attributes."""

    def __init__(self: Any, **fields: object) -> None:
        self.__dict__.update(fields)

    return type(name, (), {"__init__": __init__, "__module__": module, "__qualname__": name})


def call(module: str, name: str, *args: object) -> Any:
    """An object that is pickled as a call."""
    function = named(module, name)
    return type("Call", (), {"__reduce__": lambda self: (function, args)})()


def size(*dims: int) -> Any:
    return call("torch", "Size", tuple(dims))


class Pickler(pickle._Pickler):  # type: ignore[misc, name-defined]
    """Writes names as they are, without a look at whether they can be imported."""

    def save_global(self, obj: Any, name: str | None = None) -> None:
        for text in (obj.__module__, obj.__qualname__):
            self.save(text)
        self.write(pickle.STACK_GLOBAL)
        self.memoize(obj)


def pickled(value: object) -> bytes:
    out = io.BytesIO()
    Pickler(out, 4).dump(value)
    return out.getvalue()


Metadata, StorageMeta = named(METADATA, "Metadata"), named(METADATA, "StorageMeta")
MetadataIndex, BytesStorageMetadata = named(METADATA, "MetadataIndex"), named(METADATA, "BytesStorageMetadata")
TensorStorageMetadata = named(METADATA, "TensorStorageMetadata")
ChunkStorageMetadata = named(METADATA, "ChunkStorageMetadata")
StorageInfo = named("torch.distributed.checkpoint.filesystem", "_StorageInfo")


def properties(dtype: str, module: str = METADATA, prefix: str = "_") -> Any:
    """TensorProperties, whose state is a tuple."""
    layout = call("torch.serialization", "_get_layout", "torch.strided")
    state = (named("torch", dtype), layout, False, call(module, f"{prefix}MEM_FORMAT_ENCODING", 0), False)
    cls = named(module, "TensorProperties")
    cls.__getstate__ = lambda self: state
    return cls()


def entry(dtype: str, shape: tuple[int, ...], boxes: list[tuple[tuple[int, ...], tuple[int, ...]]]) -> Any:
    """TensorStorageMetadata with chunks (first element, dimensions)."""
    chunks = [ChunkStorageMetadata(offsets=size(*start), sizes=size(*sizes)) for start, sizes in boxes]
    return TensorStorageMetadata(properties=properties(dtype), size=size(*shape), chunks=chunks)


def index(name: str, start: tuple[int, ...] | None = None) -> Any:
    return MetadataIndex(fqn=name, index=None, offset=None if start is None else size(*start))


def metadata(entries: dict[str, Any], stored: dict[Any, Any], paths: object = None, **more: object) -> bytes:
    """The bytes of a `.metadata`."""
    meta = StorageMeta(checkpoint_id=call("pathlib", "PosixPath", "/", "tmp", "a"), modules=[])
    fields = {"planner_data": paths, "storage_data": stored, "storage_meta": meta, "version": "1.0.0", **more}
    return pickled(Metadata(state_dict_metadata=entries, **fields))


def saved(value: object, path: Path) -> bytes:
    """What torch.save writes of a value; an array is a tensor."""
    if isinstance(value, np.ndarray):
        value = torch_writing.PlainTensor("", ArrayTensor(value))
    with Sink(path, force=True) as sink:
        torch_writing.save(value, sink.open())
    content = path.read_bytes()
    path.unlink()
    return content


Box = tuple[slice, ...]


def write_checkpoint(
    folder: Path, tensors: dict[str, tuple[np.ndarray, list[Box]]], values: dict[str, object], paths: object = None
) -> Path:
    """Write a checkpoint of two ranks, whose chunks are given as boxes of the arrays; every other one on each rank."""
    folder.mkdir(exist_ok=True)
    files = {"__0_0.distcp": bytearray(), "__1_0.distcp": bytearray()}
    entries: dict[str, Any] = {}
    stored: dict[Any, Any] = {}

    def add(key: Any, value: object) -> None:
        file = list(files)[len(stored) % 2]
        content = saved(value, folder / "part")
        stored[key] = StorageInfo(relative_path=file, offset=len(files[file]), length=len(content))
        files[file] += content

    for name, (array, boxes) in tensors.items():
        starts = [tuple(part.start for part in box) for box in boxes]
        shapes = [array[box].shape for box in boxes]
        dtype = from_numpy(array.dtype).torch
        assert dtype is not None
        entries[name] = entry(dtype, array.shape, list(zip(starts, shapes, strict=True)))
        for start, box in zip(starts, boxes, strict=True):
            add(index(name, start), np.ascontiguousarray(array[box]).reshape(array[box].shape))
    for name, value in values.items():
        entries[name] = BytesStorageMetadata()
        add(index(name), value)
    for file, content in files.items():
        (folder / file).write_bytes(content)
    (folder / ".metadata").write_bytes(metadata(entries, stored, paths))
    return folder
