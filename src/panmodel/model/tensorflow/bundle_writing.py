"""Writing tensors as a TensorFlow V2 checkpoint: data files that the tensors pass through in pieces, and their index.

Used for checkpoints, and for the variables of a SavedModel, which are stored the same way.

Source: tensorflow/core/util/tensor_bundle/tensor_bundle.cc (BundleWriter)
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from panmodel.dtypes import STRING
from panmodel.errors import CorruptError, UnsupportedError, listed
from panmodel.io.sink import Sink, StagedFile
from panmodel.io.source import CHUNK
from panmodel.limits import DEFAULT
from panmodel.model.partitioned import Part, PartitionedTensor
from panmodel.model.shards import plan_shards
from panmodel.model.tensor import Tensor, unpack
from panmodel.wire.checksums import crc32c, mask
from panmodel.wire.protobuf import Message, encode_bytes
from panmodel.wire.sstable import encode_table
from panmodel.wire.tensor_bundle import (
    VERSION,
    BundleEntryProto,
    BundleHeaderProto,
    SliceExtent,
    TensorSliceProto,
    encode_strings,
    shard_name,
    slice_key,
)
from panmodel.wire.tensorflow_messages import Dim, TensorShapeProto, VersionDef

if TYPE_CHECKING:
    import numpy as np

_UNPACKED = 16  # unpacking takes up to this many times the bytes that it begins with


def write_bundle(tensors: Mapping[str, Tensor], prefix: str, sink: Sink) -> None:
    """Write tensors in the order of their names, each read once and summed while it passes.

    Slices of a tensor are put together. Where some are missing, the others are written as slices, which TensorFlow
    restores to variables that need no more than these. A tensor under several names is written once, and all names
    lead to it. Data files of an older checkpoint of this prefix go, however many there were.

    Args:
        tensors: By name.
        prefix: What the names of the files begin with.
        sink: Takes the data files and the index, which is its main file. Its `shard_size` splits the data, but never a
            tensor.

    Raises:
        UnsupportedError: Tensors with elements or names that a checkpoint cannot hold; nothing is written.
        CorruptError: No slice of a tensor is there, or one is twice (nothing is written); or stored bytes are damaged.
    """
    _require_writable(tensors, str(sink.main))
    ordered = {name: tensors[name] for name in sorted(tensors, key=str.encode)}
    shards = [ordered] if sink.shard_size is None else plan_shards(ordered, sink.shard_size, stored=_stored_bytes)
    sink.supersede(re.compile(rf"{re.escape(prefix)}\.data-\d{{5}}-of-\d{{5}}"))
    table: dict[bytes, Message] = {b"": BundleHeaderProto(num_shards=len(shards), version=VersionDef(producer=VERSION))}
    for number, content in enumerate(shards):
        data = _Data(sink.open(shard_name(prefix, number, len(shards))), number)
        for name, tensor in content.items():
            if isinstance(tensor, PartitionedTensor) and not tensor.is_complete:
                table |= _sliced(name, tensor, data)
            else:
                table[name.encode()] = data.write(name, tensor)
    encoded = ((key, encode_bytes(table[key])) for key in sorted(table))
    sink.open().write_all(encode_table(encoded))


def _sliced(name: str, whole: PartitionedTensor, data: _Data) -> Mapping[bytes, Message]:
    """Write the slices that are there: the entries of the whole, which has none of the bytes, and of each slice."""
    parts = [(_box(part), part.tensor) for part in whole.parts if part.tensor.size]
    entry = BundleEntryProto(dtype=whole.dtype.tensorflow, shape=_shape(whole), slices=[box for box, _ in parts])
    return {name.encode(): entry} | {slice_key(name, box): data.write(name, part) for box, part in parts}


def _box(part: Part) -> TensorSliceProto:
    """Where a slice lies, in the words of TensorFlow's Saver: a length along every dimension, and no start of zero."""
    along = zip(part.start, part.tensor.shape, strict=True)
    extents = (SliceExtent(start=at, length=size) if at else SliceExtent(length=size) for at, size in along)
    return TensorSliceProto(extent=list(extents))


class _Data:
    """A data file, in which a tensor of several names is written once."""

    def __init__(self, file: StagedFile, number: int) -> None:
        self._file, self._number = file, number
        self._written: dict[int, BundleEntryProto] = {}

    def write(self, name: str, tensor: Tensor) -> BundleEntryProto:
        """Write a tensor, unless it is there: its entry."""
        if id(tensor) not in self._written:
            entry = self._written[id(tensor)] = _write_tensor(name, tensor, self._file)
            if self._number:
                entry.shard_id = self._number
        return self._written[id(tensor)]


def _stored_bytes(tensor: Tensor) -> int:
    if isinstance(tensor, PartitionedTensor):
        return sum(_stored_bytes(part.tensor) for part in tensor.parts)
    if tensor.dtype is STRING:
        return sum(len(text) for text in _elements(tensor))
    return tensor.nbytes if tensor.dtype.bits >= 8 else tensor.size


def _write_tensor(name: str, tensor: Tensor, data: StagedFile) -> BundleEntryProto:
    offset, crc = data.position, 0
    if tensor.dtype is STRING:
        content, crc = encode_strings(_elements(tensor))
        data.write(content)
    else:
        for piece in _whole_bytes(tensor):
            crc = crc32c(piece, crc)
            data.write(piece)
        expected = tensor.nbytes if tensor.dtype.bits >= 8 else tensor.size
        if data.position - offset != expected:
            raise CorruptError(f"tensor {name!r}: {data.position - offset} bytes came, expected {expected}")
    numbers = {"offset": offset, "size": data.position - offset, "crc32c": mask(crc)}
    present = {field: number for field, number in numbers.items() if number}  # zeros are left out, as TensorFlow does
    return BundleEntryProto(dtype=tensor.dtype.tensorflow, shape=_shape(tensor), **present)


def _shape(tensor: Tensor) -> TensorShapeProto:
    return TensorShapeProto(dim=[Dim(size=size) if size else Dim() for size in tensor.shape])


def _whole_bytes(tensor: Tensor) -> Iterator[memoryview]:
    """The bytes in pieces; elements of less than a byte take a whole one here, as they do in memory."""
    if tensor.dtype.bits >= 8:
        yield from tensor.chunks()
        return
    import numpy as np

    left = tensor.size
    for piece in tensor.chunks(CHUNK // _UNPACKED):
        count = min(left, len(piece) * 8 // tensor.dtype.bits)
        left -= count
        yield unpack(np.frombuffer(piece, np.uint8), tensor.dtype, (count,)).view(np.uint8).data


def _elements(tensor: Tensor) -> Iterator[bytes]:
    array: np.ndarray = tensor.numpy()
    for element in array.reshape(-1).tolist():
        yield element.encode() if isinstance(element, str) else element


def _require_writable(tensors: Mapping[str, Tensor], where: str) -> None:
    foreign = []
    for name, tensor in tensors.items():
        if tensor.dtype.tensorflow is None or tensor.dtype.kind == "o":
            foreign.append(f"{name} ({tensor.dtype})")
        if not name or name.startswith("\0") or len(name.encode(errors="replace")) > DEFAULT.name_bytes:
            message = f"tensor {name[:80]!r}: a name in a checkpoint is not empty, does not begin with a zero byte, and"
            raise UnsupportedError(f"{message} has at most {DEFAULT.name_bytes} bytes", where=where)
        try:
            name.encode()
        except UnicodeEncodeError:
            raise UnsupportedError(f"tensor name {name!r} is no Unicode text", where=where) from None
        if isinstance(tensor, PartitionedTensor):
            _require_slices(name, tensor)
    if foreign:
        message = f"a TensorFlow checkpoint has no type for {listed(foreign, 10)}"
        raise UnsupportedError(message, where=where, hint="leave them out with --exclude")


def _require_slices(name: str, tensor: PartitionedTensor) -> None:
    if not tensor.present:
        tensor.require_complete()
    if not tensor.is_complete and len({(part.start, part.tensor.shape) for part in tensor.parts}) < len(tensor.parts):
        raise CorruptError(f"tensor {name!r}: one of its slices is there twice", hint="leave the tensor out")
