"""Distributed checkpoints of PyTorch (DCP): a folder with `.metadata` and the chunks of tensors that each rank saved.

The `.metadata` is a pickle, and so is the begin of every chunk: they are read by a machine that executes nothing.

Source: torch/distributed/checkpoint (filesystem.py, default_planner.py), torch 2.1 to 2.13.
"""

from __future__ import annotations

import os
from functools import partial
from typing import TYPE_CHECKING

from panmodel.errors import CorruptError, MissingFileError, ReadError, TruncatedError, UnsafeError, listed
from panmodel.io.source import Extent, FileSource, Location, PartSource
from panmodel.model.format import Format, Holds
from panmodel.model.model import Model
from panmodel.model.notice import Assumed, MetadataLost, Notice
from panmodel.model.tensor import Tensor

if TYPE_CHECKING:
    from panmodel.model.torch.checkpoint import Contents
    from panmodel.wire.torch_distributed import Blob, Metadata, TensorEntry
    from panmodel.wire.torch_records import TensorRecord


_METADATA_FILE = ".metadata"
_PROTO = b"\x80"
_HEAD = 128
_OPEN = 64  # files at once: a checkpoint of a thousand ranks has thousands


def sniff(location: Location) -> bool:
    """Whether it is a folder with such a `.metadata`, or that file itself; or with such safetensors files."""
    if not location.is_folder and location.path.name != _METADATA_FILE:
        return False
    from panmodel.model.torch.sharded_safetensors import shard_files
    from panmodel.wire.torch_distributed import METADATA

    head = location.beside(_METADATA_FILE).head(_HEAD)
    if head:
        return head.startswith(_PROTO) and METADATA.encode() in head
    return bool(shard_files(location))


def read(location: Location) -> Model:
    """Open a checkpoint: its metadata, and the plain values (settings, counters), which are small. No tensor is read.

    Names are those that the same state dict has in a file of torch.save.

    Raises:
        CorruptError: The metadata is damaged, or does not fit the files.
        MissingFileError: A file of a rank is not there.
        UnsafeError: A pickle names things that are no part of a checkpoint; all of them are listed.
    """
    from panmodel.model.partitioned import incomplete
    from panmodel.model.torch.checkpoint import contents
    from panmodel.model.torch.distributed import nested
    from panmodel.model.torch.sharded_safetensors import read_shards, shard_files
    from panmodel.model.torch.storage import tied_tensors
    from panmodel.model.torch.structure import Nested, is_flat
    from panmodel.model.torch.training import told
    from panmodel.model.training import unassigned
    from panmodel.wire.torch_distributed import TensorEntry, read_metadata

    if names := shard_files(location):
        parts, strings = read_shards(location, names)
        notices = incomplete(parts)
        return Model(FORMAT.name, tensors=parts, strings=strings, notices=notices, source=str(location))
    source = location.beside(_METADATA_FILE).open()
    metadata = read_metadata(source)
    blobs = _Blobs(location, metadata)
    items: dict[str, object] = {}
    stored: dict[str, Tensor] = {}
    for name, entry in metadata.entries.items():
        if isinstance(entry, TensorEntry):
            stored[name] = _tensor(name, entry, blobs)
            items[name] = _placeholder(stored[name])
        else:
            items[name] = blobs.value(name, entry)
    found = contents(nested(items, metadata.paths, source.name), source.name)
    own = {id(items[name]): tensor for name, tensor in stored.items()}
    in_values = tied_tensors({name: record for name, record in found.tensors.items() if id(record) not in own})
    tensors = {name: in_values.get(name) or own[id(record)] for name, record in found.tensors.items()}
    training, used = told(found.root, tensors)
    model = Model(FORMAT.name, tensors=tensors, training=training, source=str(location))
    model.structure = None if is_flat(found.root) else Nested(found.root)
    model.metadata = _described(metadata, found, used)
    model.notices = [*incomplete(stored), *_changes(found), *unassigned(training, tensors)]
    return model


class _Blobs:
    """The files of a checkpoint, opened when something in them is read, and what they hold."""

    def __init__(self, location: Location, metadata: Metadata) -> None:
        self._location = location
        self._open: dict[str, FileSource] = {}
        self._seen: dict[str, tuple[int, ...]] = {}
        self._check(metadata)

    def _check(self, metadata: Metadata) -> None:
        """See that all files are there, no links, and long enough; none stays open."""
        from panmodel.wire.torch_distributed import Blob

        ends: dict[str, int] = {}
        held: dict[str, list[str]] = {}
        for name, entry in metadata.entries.items():
            blobs = [entry] if isinstance(entry, Blob) else [chunk.blob for chunk in entry.chunks if chunk.blob]
            for blob in blobs:
                ends[blob.file] = max(ends.get(blob.file, 0), blob.offset + blob.nbytes)
                held.setdefault(blob.file, []).append(name)
        there = set(self._location.names())
        for file, end in ends.items():
            names = listed(held[file])
            path = self._location.beside(file).path
            if file not in there:
                message = f"this file of the checkpoint is missing; it holds {names}"
                raise MissingFileError(message, where=str(path), hint="fetch it too")
            if path.is_symlink():
                self._location.contained(file)  # says why it is refused
            status = os.stat(path)
            self._seen[file] = _version(status)
            if status.st_size < end:
                message = f"the file ends at byte {status.st_size}, the metadata says {end}; it holds {names}"
                raise TruncatedError(message, where=str(path), hint="the file is cut short: fetch it again")

    def source(self, name: str, blob: Blob) -> PartSource:
        """The bytes of one object, as a file of its own.

        Raises:
            ReadError: The file is another by now, or has been written to.
        """
        if blob.file not in self._open:
            while len(self._open) >= _OPEN:
                del self._open[next(iter(self._open))]
            opened = self._location.contained(blob.file)
            if _version(os.fstat(opened.fileno())) != self._seen[blob.file]:
                message = f"this file of the checkpoint is another than when the checkpoint was opened; it holds {name}"
                raise ReadError(message, where=opened.name, hint="read the checkpoint again")
            self._open[blob.file] = opened
        file = self._open[blob.file]
        return PartSource(Extent(file, blob.offset, blob.nbytes), f"{file.name} at offset {blob.offset} ({name})")

    def value(self, name: str, blob: Blob) -> object:
        """What was pickled there.

        Raises:
            UnsafeError: The pickle names things that no plain value consists of.
        """
        from panmodel.model.torch.classes import refused
        from panmodel.wire.pickle import describe
        from panmodel.wire.torch_container import load

        loaded = load(self.source(name, blob))
        if unknown := refused(loaded, beside_tensors=True):
            names = ", ".join(map(describe, unknown))
            message = f"the pickle of {name!r} names {len(unknown)} thing(s) that are no part of a checkpoint: {names}"
            hint = "unpickling it would execute them; ask its author for a checkpoint without them"
            raise UnsafeError(message, where=f"{self._location.folder / blob.file} at offset {blob.offset}", hint=hint)
        return loaded.value

    def tensor(self, name: str, blob: Blob) -> Tensor:
        """The tensor that was pickled there."""
        from panmodel.model.torch.storage import from_record
        from panmodel.wire.pickle import describe
        from panmodel.wire.torch_records import TensorRecord

        record = self.value(name, blob)
        if not isinstance(record, TensorRecord):
            where = f"{self._location.folder / blob.file} at offset {blob.offset}"
            raise CorruptError(f"{describe(record)} where a chunk of tensor {name!r} is expected", where=where)
        return from_record(name, record)


def _version(status: os.stat_result) -> tuple[int, ...]:
    """What tells a file from another that has its name, and its number in the file system, later."""
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns


def _tensor(name: str, entry: TensorEntry, blobs: _Blobs) -> Tensor:
    """The tensor of an entry: its one chunk, or all of them put together when it is read."""
    from panmodel.model.partitioned import Part, PartitionedTensor
    from panmodel.model.torch.distributed import ChunkTensor

    parts = [
        Part(chunk.start, ChunkTensor(name, entry.dtype, chunk.shape, partial(blobs.tensor, name, chunk.blob)))
        for chunk in entry.chunks
        if chunk.blob is not None
    ]
    if len(parts) == 1 and parts[0].tensor.shape == entry.shape:
        return parts[0].tensor
    return PartitionedTensor(name, entry.dtype, entry.shape, parts)


def _placeholder(tensor: Tensor) -> TensorRecord:
    """What stands for a tensor while the containers are put together; its bytes are not here."""
    from panmodel.wire.torch_records import StorageBytes, StorageRecord, TensorRecord

    content = StorageBytes(tensor.nbytes)
    storage = StorageRecord(tensor.name, tensor.dtype, "cpu", tensor.nbytes, content)
    return TensorRecord(storage, tensor.dtype, 0, tensor.shape, (0,) * len(tensor.shape))


def _described(metadata: Metadata, found: Contents, used: frozenset[str]) -> dict[str, object]:
    """What the checkpoint says about itself; its values as far as the training state does not tell them."""
    from panmodel.model.torch.skeleton import scalars
    from panmodel.wire.torch_distributed import TensorEntry

    chunks = [chunk for entry in metadata.entries.values() if isinstance(entry, TensorEntry) for chunk in entry.chunks]
    values = {
        name: value
        for name, value in scalars(found.root)
        if not any(name == path or name.startswith(f"{path}.") for path in used)
    }
    described = {
        "framework": "pytorch",
        "container_version": metadata.version,
        "chunks": len(chunks),
        "files": len({chunk.blob.file for chunk in chunks if chunk.blob}),
        "state_dict": found.key,
        "values": values,
    }
    return {key: value for key, value in described.items() if value}


def _changes(found: Contents) -> list[Notice]:
    """What is not kept of the pickled values."""
    notices: list[Notice] = []
    if found.opaque:
        notices.append(MetadataLost("values that are neither tensors nor plain values", tuple(found.opaque)))
    notices += [Assumed(f"takes {what}", tuple(names)) for what, names in found.changed.items()]
    return notices


FORMAT = Format(
    name="torch_distributed",
    summary="PyTorch distributed checkpoints (DCP): a folder with .metadata and .distcp files",
    extensions=(".distcp",),
    spec="https://docs.pytorch.org/docs/stable/distributed.checkpoint.html",
    holds=Holds.WEIGHTS | Holds.TRAINING | Holds.METADATA,
    sniff=sniff,
    read=read,
)
