"""The `.metadata` of a distributed checkpoint of PyTorch: which tensors there are, in which chunks, and where they lie.

It is a pickle of dataclasses. Nothing of it is imported or called: they are read as inert records, and names other than
these are refused.

    Metadata.state_dict_metadata   name → TensorStorageMetadata(properties, size, chunks) or BytesStorageMetadata
    Metadata.storage_data          MetadataIndex(fqn, offset) → _StorageInfo(relative_path, offset, length)
    Metadata.planner_data          name → the keys that lead to it in the nested state dict

Source: torch/distributed/checkpoint/metadata.py, filesystem.py and default_planner.py (torch 2.1 to 2.13).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from itertools import pairwise

from panmodel import dtypes
from panmodel.dtypes import DType
from panmodel.errors import CorruptError, LimitError, UnsafeError, UnsupportedError
from panmodel.io.source import Source
from panmodel.limits import DEFAULT, Limits
from panmodel.wire.pickle import Constructor, Global, Machine, Object, describe
from panmodel.wire.torch_values import are_counts, is_count

METADATA = "torch.distributed.checkpoint.metadata"
_FILESYSTEM = "torch.distributed.checkpoint.filesystem"
_OLDER = "torch.distributed._shard.sharded_tensor.metadata"  # where torch 2.1 had the properties of tensors
_RECORDS = {
    *((METADATA, name) for name in ("Metadata", "TensorStorageMetadata", "BytesStorageMetadata", "MetadataIndex")),
    *((METADATA, name) for name in ("ChunkStorageMetadata", "StorageMeta", "TensorProperties")),
    (_FILESYSTEM, "_StorageInfo"),
    (_OLDER, "TensorProperties"),
}
_MORE = 16  # times the opcodes of other pickles: every chunk of every rank takes sixty
_PATHS = ("PosixPath", "WindowsPath", "PurePosixPath", "PureWindowsPath", "Path")


@dataclass(frozen=True, slots=True)
class Blob:
    """A run of bytes in one of the checkpoint's files: a whole torch.save file of one object.

    Attributes:
        file: The file, by a name that comes from the checkpoint and is not to be believed.
        offset: First byte.
        nbytes: Number of bytes.
    """

    file: str
    offset: int
    nbytes: int


@dataclass(frozen=True, slots=True)
class Chunk:
    """A part of a tensor.

    Attributes:
        start: Its first element along each dimension.
        shape: Its own dimensions.
        blob: Where it is; None if the checkpoint does not say.
    """

    start: tuple[int, ...]
    shape: tuple[int, ...]
    blob: Blob | None


@dataclass(frozen=True, slots=True)
class TensorEntry:
    """A tensor and its chunks, each inside it."""

    dtype: DType
    shape: tuple[int, ...]
    chunks: tuple[Chunk, ...]


@dataclass(frozen=True, slots=True)
class Metadata:
    """What a `.metadata` file says.

    Attributes:
        entries: Name → the tensor, or where the pickled value is.
        paths: Name → the keys that lead to it; empty in checkpoints that say nothing of them.
        version: Of the layout, "" before torch 2.7.
    """

    entries: Mapping[str, TensorEntry | Blob]
    paths: Mapping[str, tuple[str | int, ...]] = field(default_factory=dict)
    version: str = ""


def read_metadata(source: Source, *, limits: Limits = DEFAULT) -> Metadata:
    """Read a `.metadata` file.

    Raises:
        CorruptError: It is damaged, or says impossible things.
        LimitError: It exceeds a cap.
        UnsafeError: It names things that are no part of such metadata; all of them are listed.
        UnsupportedError: Its data went through an extension (compression).
    """
    if source.size > limits.pickle_bytes:
        raise LimitError(f"metadata of {source.size} bytes exceeds {limits.pickle_bytes}", where=source.name)
    reader = _Reader(source.name, limits)
    wider = replace(limits, pickle_opcodes=_MORE * limits.pickle_opcodes)
    machine = Machine(source.read(0, source.size), where=source.name, known=reader.known, limits=wider)
    value = machine.run()
    if unknown := [name for name in machine.globals if name not in reader.known]:
        names = ", ".join(describe(name) for name in unknown)
        message = f"the pickle names {len(unknown)} thing(s) that are no part of a checkpoint's metadata: {names}"
        hint = "unpickling it would execute them; ask its author for safetensors"
        raise UnsafeError(message, where=source.name, hint=hint)
    if machine.position != source.size:
        raise CorruptError(f"{source.size - machine.position} bytes follow the pickle", where=source.name)
    return reader.metadata(value)


class _Reader:
    """Makes sense of the records of one file."""

    def __init__(self, where: str, limits: Limits) -> None:
        self._where, self._limits = where, limits
        self.known: dict[Global, Constructor | None] = {
            **{Global(module, name): None for module, name in _RECORDS},
            **{Global("torch", name): None for name in dtypes.BY_TORCH},
            **{Global(module, name): self._text for module in ("pathlib", "pathlib._local") for name in _PATHS},
            Global(METADATA, "_MEM_FORMAT_ENCODING"): self._number,
            Global(_OLDER, "MEM_FORMAT_ENCODING"): self._number,
            Global("torch", "Size"): self._size,
            Global("torch.serialization", "_get_layout"): self._text,
        }

    def corrupt(self, message: str) -> CorruptError:
        return CorruptError(message, where=self._where, hint="the file is damaged: fetch it again")

    # What the pickle calls

    def _size(self, args: tuple[object, ...]) -> tuple[int, ...]:
        if len(args) != 1 or not are_counts(args[0]):
            raise self.corrupt("a torch.Size is made of other things than dimensions")
        return args[0]

    def _text(self, args: tuple[object, ...]) -> str:
        """A layout's name, a path's parts: neither is of use here."""
        if not all(isinstance(arg, str) for arg in args):
            raise self.corrupt("a path or layout is made of other things than strings")
        return ""

    def _number(self, args: tuple[object, ...]) -> int:
        if len(args) != 1 or not is_count(args[0]):
            raise self.corrupt("a memory format is made of something else than a number")
        return args[0]

    # The records

    def _fields(self, value: object, name: str) -> dict[object, object]:
        """The attributes of a record of that class."""
        is_one = isinstance(value, Object) and isinstance(value.cls, Global) and value.cls.name == name
        if not is_one or not isinstance(value, Object) or value.called or value.args or len(value.states) > 1:
            raise self.corrupt(f"{describe(value)} where a {name} is expected")
        state = value.states[0] if value.states else {}
        if not isinstance(state, dict):
            raise self.corrupt(f"a {name} is described by {describe(state)}")
        return state

    def metadata(self, value: object) -> Metadata:
        """Everything, held against each other."""
        fields = self._fields(value, "Metadata")
        described, stored = fields.get("state_dict_metadata"), fields.get("storage_data")
        if not isinstance(described, dict) or not isinstance(stored, dict):
            raise self.corrupt("metadata without state_dict_metadata or storage_data")
        if max(len(described), len(stored)) > self._limits.tensors:
            raise LimitError(f"more than {self._limits.tensors} tensors", where=self._where)
        blobs = self._blobs(stored)
        entries: dict[str, TensorEntry | Blob] = {}
        for name, record in described.items():
            if not isinstance(name, str) or len(name) > self._limits.name_bytes:
                raise self.corrupt(f"{describe(name)} as the name of a tensor")
            if isinstance(record, Object) and record.cls == Global(METADATA, "BytesStorageMetadata"):
                if (name, None) not in blobs:
                    raise self.corrupt(f"value {name[:200]!r} is described and not stored")
                entries[name] = blobs[name, None]
            else:
                entries[name] = self._tensor(name, record, blobs)
        version = fields.get("version")
        return Metadata(entries, self._paths(fields.get("planner_data")), version if isinstance(version, str) else "")

    def _blobs(self, stored: dict[object, object]) -> dict[tuple[str, tuple[int, ...] | None], Blob]:
        """Name and first element of a chunk → where it lies; values have no first element."""
        blobs: dict[tuple[str, tuple[int, ...] | None], Blob] = {}
        for key, value in stored.items():
            index, info = self._fields(key, "MetadataIndex"), self._fields(value, "_StorageInfo")
            name, start = index.get("fqn"), index.get("offset")
            if not isinstance(name, str) or not (start is None or are_counts(start)):
                raise self.corrupt(f"an index of {describe(name)} at {describe(start)}")
            file, offset, nbytes = (info.get(key) for key in ("relative_path", "offset", "length"))
            if not isinstance(file, str) or not is_count(offset) or not is_count(nbytes):
                raise self.corrupt(f"{name[:200]!r} is stored in no proper place")
            if extensions := info.get("transform_descriptors"):
                first = extensions[0] if isinstance(extensions, (list, tuple)) else extensions
                message = f"{name[:200]!r} was written through the extension {describe(first)}, which is not read"
                raise UnsupportedError(message, where=self._where)
            if (name, start) in blobs:
                raise self.corrupt(f"{name[:200]!r} is stored twice")
            blobs[name, start] = Blob(file, offset, nbytes)
        ordered = sorted(blobs.values(), key=lambda blob: (blob.file, blob.offset, blob.nbytes))
        for before, blob in pairwise(ordered):  # so that tensors have no more bytes than the files
            if before.file == blob.file and before.offset + before.nbytes > blob.offset:
                raise self.corrupt(f"what lies at {blob.offset} of {blob.file[:200]!r} overlaps with what is before it")
        return blobs

    def _tensor(
        self, name: str, record: object, blobs: Mapping[tuple[str, tuple[int, ...] | None], Blob]
    ) -> TensorEntry:
        fields = self._fields(record, "TensorStorageMetadata")
        shape, listed = fields.get("size"), fields.get("chunks")
        dtype = self._dtype(name, fields.get("properties"))
        if not are_counts(shape) or not isinstance(listed, list):
            raise self.corrupt(f"tensor {name[:200]!r} has no proper size and chunks")
        if len(shape) > self._limits.rank:
            raise LimitError(f"tensor {name[:200]!r} has {len(shape)} dimensions", where=self._where)
        if math.prod(max(extent, 1) for extent in shape) * dtype.itemsize >= 1 << 63:
            raise self.corrupt(f"tensor {name[:200]!r} of shape {shape} is larger than can be addressed")
        chunks: dict[tuple[int, ...], Chunk] = {}
        for item in listed:
            chunk = self._chunk(name, item, dtype, shape, blobs)
            if chunk.start in chunks:
                raise self.corrupt(f"tensor {name[:200]!r} has two chunks at {list(chunk.start)}")
            chunks[chunk.start] = chunk
        return TensorEntry(dtype, shape, tuple(chunks.values()))

    def _dtype(self, name: str, properties: object) -> DType:
        states = properties.states if isinstance(properties, Object) else []
        state = states[0] if len(states) == 1 else None
        kind = state[0] if isinstance(state, tuple) and state else None
        dtype = dtypes.BY_TORCH.get(kind.name) if isinstance(kind, Global) and kind.module == "torch" else None
        if dtype is None:
            raise self.corrupt(f"tensor {name[:200]!r} has {describe(kind)} as element type")
        return dtype

    def _chunk(
        self,
        name: str,
        record: object,
        dtype: DType,
        whole: tuple[int, ...],
        blobs: Mapping[tuple[str, tuple[int, ...] | None], Blob],
    ) -> Chunk:
        fields = self._fields(record, "ChunkStorageMetadata")
        start, shape = fields.get("offsets"), fields.get("sizes")
        if not are_counts(start) or not are_counts(shape) or not len(start) == len(shape) == len(whole):
            raise self.corrupt(f"tensor {name[:200]!r} has a chunk without proper offsets and sizes")
        if any(at + extent > size for at, extent, size in zip(start, shape, whole, strict=True)):
            raise self.corrupt(f"tensor {name[:200]!r} of shape {whole} has a chunk of {shape} at {start}")
        blob = blobs.get((name, start))
        if blob is not None and dtype.nbytes(math.prod(shape)) > blob.nbytes:
            message = f"tensor {name[:200]!r}: a chunk of shape {shape} cannot be in the {blob.nbytes} bytes stored"
            raise self.corrupt(message)
        return Chunk(start, shape, blob)

    def _paths(self, planned: object) -> dict[str, tuple[str | int, ...]]:
        """The keys that lead to each entry, as the default planner writes them; other planners write other things."""
        paths: dict[str, tuple[str | int, ...]] = {}
        for name, path in planned.items() if isinstance(planned, dict) else ():
            if not isinstance(name, str) or not isinstance(path, tuple) or not 0 < len(path) <= self._limits.nesting:
                raise self.corrupt(f"the path to {describe(name)} is {describe(path)}")
            if not all(isinstance(key, str) or is_count(key) for key in path):
                raise self.corrupt(f"the path to {name[:200]!r} has keys that are neither names nor numbers")
            paths[name] = path
        return paths
