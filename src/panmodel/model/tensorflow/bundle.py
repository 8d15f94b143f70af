"""The tensors of a TensorFlow V2 checkpoint, each checked against the shards, none read.

Used for checkpoints, and for the variables of a SavedModel, which are stored the same way.

Source: tensorflow/core/util/tensor_bundle/tensor_bundle.cc
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from panmodel.dtypes import BY_TENSORFLOW, STRING, UINT8, DType
from panmodel.errors import CorruptError, LimitError, MissingFileError, TruncatedError, UnsupportedError
from panmodel.io.source import CHUNK, Extent, Source
from panmodel.limits import DEFAULT
from panmodel.model.notice import Notice, TensorsIncomplete
from panmodel.model.tensor import DeferredTensor, StoredTensor, Tensor
from panmodel.wire.checksums import MaskedCrc32c
from panmodel.wire.tensor_bundle import Bundle, BundleEntryProto, TensorSliceProto, read_bundle, read_strings, slice_key

if TYPE_CHECKING:
    import numpy as np

_MAX_ELEMENTS = 1 << 56  # beyond what an address space holds; shapes with a zero in them are held to it as well


@dataclass(frozen=True, slots=True)
class Part:
    """A stored slice of a partitioned tensor.

    Attributes:
        start: Its first element along each dimension.
        tensor: Its elements.
    """

    start: tuple[int, ...]
    tensor: Tensor

    @property
    def box(self) -> tuple[slice, ...]:
        """Where it belongs in the whole."""
        return tuple(slice(at, at + size) for at, size in zip(self.start, self.tensor.shape, strict=True))


class PartitionedTensor(Tensor):
    """A tensor that is stored in slices, put together when it is read.

    Args:
        name: Its name in the file.
        dtype: Element type.
        shape: Of the whole.
        parts: The slices that are there.
    """

    def __init__(self, name: str, dtype: DType, shape: tuple[int, ...], parts: list[Part]) -> None:
        self.name, self.dtype, self.shape = name, dtype, shape
        self.parts = sorted(parts, key=lambda part: part.start)

    @property
    def present(self) -> int:
        """Number of elements that the slices hold together."""
        return sum(part.tensor.size for part in self.parts)

    @property
    def is_complete(self) -> bool:
        """Whether the slices hold as many elements as the whole has."""
        return self.present == self.size

    def numpy(self) -> np.ndarray:
        """See `Tensor.numpy`."""
        import numpy as np

        self.require_complete()
        whole = np.empty(self.shape, self.dtype.numpy)
        seen = None if self._axis() is not None else np.zeros(self.shape, bool)
        for part in self.parts:
            if seen is not None:
                if seen[part.box].any():
                    raise CorruptError(f"tensor {self.name!r}: its slices overlap at {list(part.start)}")
                seen[part.box] = True
            whole[part.box] = part.tensor.numpy()
        return whole

    def chunks(self, nbytes: int = CHUNK) -> Iterator[memoryview]:
        """See `Tensor.chunks`; slices along the first dimension follow each other, and need not be put together."""
        self.require_complete()
        if self._axis() != 0 or self.dtype.bits < 8:
            yield from super().chunks(nbytes)
            return
        for part in self.parts:
            yield from part.tensor.chunks(nbytes)

    def require_complete(self) -> None:
        """Raise CorruptError unless every element is there."""
        if not self.is_complete:
            message = f"tensor {self.name!r}: {self.present} of its {self.size} elements are in the file"
            raise CorruptError(message, hint="it was saved in slices, of which some are missing: leave it out")

    def _axis(self) -> int | None:
        """The dimension along which the slices follow each other from one end to the other, if there is one."""
        for axis, size in enumerate(self.shape):
            position = 0
            for part in self.parts:
                sizes = [*part.tensor.shape]
                follows = part.start[axis] == position
                position += sizes[axis]
                sizes[axis] = size
                if not follows or tuple(sizes) != self.shape:
                    break
            else:
                if position == size:
                    return axis
        return None


@dataclass(frozen=True)
class BundleTensors:
    """The content of a V2 checkpoint.

    Attributes:
        bundle: Its index.
        tensors: Every tensor by its name, in the order of the file.
        notices: Tensors of which parts are missing.
    """

    bundle: Bundle
    tensors: dict[str, Tensor]
    notices: list[Notice]


def read_bundle_tensors(index: Source, open_shard: Callable[[int, int], Source]) -> BundleTensors:
    """List the tensors of a V2 checkpoint.

    Args:
        index: Its index file.
        open_shard: Opens a data file: its number, and how many there are.

    Raises:
        CorruptError: The index is damaged, or a tensor does not lie inside its data file.
        MissingFileError: A data file is not there; the message says which tensors it holds.
        LimitError: A number in the index exceeds `panmodel.limits`.
        UnsupportedError: The index was written for newer readers.
    """
    bundle = read_bundle(index)
    reader = _Reader(bundle, index.name, open_shard)
    tensors = {name: reader.tensor(name, entry) for name, entry in bundle.entries.items()}
    partial_ones = [tensor for tensor in tensors.values() if isinstance(tensor, PartitionedTensor)]
    names = [f"{t.name} ({t.present} of {t.size} elements)" for t in partial_ones if not t.is_complete]
    detail = "some slices are not in the file, so these tensors are listed but cannot be read"
    return BundleTensors(bundle, tensors, [TensorsIncomplete(detail, tuple(names))] if names else [])


class _Reader:
    """Makes tensors of entries; opens each data file once, when the first tensor in it is met."""

    def __init__(self, bundle: Bundle, where: str, open_shard: Callable[[int, int], Source]) -> None:
        self._bundle, self._where, self._open = bundle, where, open_shard
        self._shards: dict[int, Source] = {}
        self._claimed: set[bytes] = set()

    def tensor(self, name: str, entry: BundleEntryProto) -> Tensor:
        """The tensor of an entry, whole or in slices."""
        shape = self._shape(name, entry)
        if not entry.slices:
            return self._stored(name, entry, shape)
        parts = [self._part(name, entry, shape, box) for box in entry.slices]
        dtype = _dtype(entry.dtype)
        if dtype.kind == "o":
            return _opaque(name, dtype, shape)
        return PartitionedTensor(name, dtype, shape, parts)

    def _stored(self, name: str, entry: BundleEntryProto, shape: tuple[int, ...]) -> Tensor:
        dtype = _dtype(entry.dtype)
        extent = self._extent(name, entry)
        checksum = partial(MaskedCrc32c, entry.crc32c)
        big_endian = self._bundle.is_big_endian
        if dtype.kind == "o":
            return _opaque(name, dtype, shape)
        if dtype is STRING:
            return DeferredTensor(name, dtype, shape, lambda: self._strings(name, entry, extent, shape))
        if dtype.bits < 8:  # here TensorFlow stores a byte for each
            codes = StoredTensor(name, UINT8, shape, extent, checksum=checksum)
            return DeferredTensor(name, dtype, shape, lambda: codes.numpy().view(dtype.numpy))
        return StoredTensor(name, dtype, shape, extent, checksum=checksum, big_endian=big_endian)

    def _strings(self, name: str, entry: BundleEntryProto, extent: Extent, shape: tuple[int, ...]) -> np.ndarray:
        import numpy as np

        big_endian = self._bundle.is_big_endian
        found = read_strings(name, extent, math.prod(shape), entry.crc32c, big_endian=big_endian)
        array = np.empty(len(found), object)
        array[:] = found
        return array.reshape(shape)

    def _part(self, name: str, whole: BundleEntryProto, shape: tuple[int, ...], box: TensorSliceProto) -> Part:
        if len(box.extent) != len(shape):
            raise self._corrupt(name, f"a slice of {len(box.extent)} dimensions, the tensor has {len(shape)}")
        start, sizes = [], []
        for extent, size in zip(box.extent, shape, strict=True):
            length = extent.length if extent.has("length") and extent.length != -1 else size - extent.start
            if extent.start < 0 or length < 0 or extent.start + length > size:
                found = f"elements {extent.start} to {extent.start + length}"
                raise self._corrupt(name, f"a slice holds {found} of a dimension of {size}")
            start.append(extent.start)
            sizes.append(length)
        key = slice_key(name, box)
        entry = self._bundle.slices.get(key)
        if entry is None or key in self._claimed:
            fault = "announced twice" if entry else "announced and not there"
            raise self._corrupt(name, f"the slice of shape {sizes} at {start} is {fault}")
        self._claimed.add(key)
        stored = self._shape(name, entry)
        if entry.slices or entry.dtype != whole.dtype or stored != tuple(sizes):
            found = f"type {entry.dtype}, shape {list(stored)}"
            expected = f"type {whole.dtype}, shape {sizes}"
            raise self._corrupt(name, f"the slice at {start} has {found}, expected {expected}")
        return Part(tuple(start), self._stored(name, entry, stored))

    def _shape(self, name: str, entry: BundleEntryProto) -> tuple[int, ...]:
        if entry.shape is None:
            return ()
        if entry.shape.unknown_rank or len(entry.shape.dim) > DEFAULT.rank:
            raise self._corrupt(name, f"is of unknown rank, or one above {DEFAULT.rank}")
        shape = tuple(dim.size for dim in entry.shape.dim)
        if any(size < 0 for size in shape):
            raise self._corrupt(name, f"has the impossible shape {list(shape)}")
        if math.prod(max(size, 1) for size in shape) > _MAX_ELEMENTS:
            raise LimitError(f"tensor {name!r} has the shape {list(shape)}, larger than any memory", where=self._where)
        return shape

    def _extent(self, name: str, entry: BundleEntryProto) -> Extent:
        shard, shards = entry.shard_id, self._bundle.header.num_shards
        if not 0 <= shard < shards:
            raise self._corrupt(name, f"lies in data file {shard} of {shards}")
        source = self._shard(shard)
        if entry.offset < 0 or entry.size < 0 or entry.offset + entry.size > source.size:
            message = f"tensor {name!r} lies at bytes {entry.offset} to {entry.offset + entry.size} of {source.size}"
            hint = "the data file is cut short, or is not of this index: fetch both again"
            raise TruncatedError(message, where=source.name, hint=hint)
        return Extent(source, entry.offset, entry.size)

    def _shard(self, shard: int) -> Source:
        if shard not in self._shards:
            try:
                self._shards[shard] = self._open(shard, self._bundle.header.num_shards)
            except MissingFileError as error:
                names = self._names_in(shard)
                shown = ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
                message = f"this data file of the checkpoint is missing; it holds {shown}"
                hint = f"it belongs beside {self._where}: fetch it too"
                raise MissingFileError(message, where=error.where, hint=hint) from None
        return self._shards[shard]

    def _names_in(self, shard: int) -> list[str]:
        """The tensors that lie in a data file, in whole or in part."""
        slices = self._bundle.slices

        def entries(name: str, entry: BundleEntryProto) -> list[BundleEntryProto]:
            return [slices.get(slice_key(name, box), entry) for box in entry.slices] or [entry]

        found = self._bundle.entries.items()
        return [name for name, entry in found if any(stored.shard_id == shard for stored in entries(name, entry))]

    def _corrupt(self, name: str, message: str) -> CorruptError:
        return CorruptError(f"tensor {name!r}: {message}", where=self._where)


def _dtype(number: int) -> DType:
    """The element type; one that is not known, so that the tensor can be listed all the same."""
    return BY_TENSORFLOW.get(number) or DType(f"unknown_{number}", 0, "o", number)


def _opaque(name: str, dtype: DType, shape: tuple[int, ...]) -> Tensor:
    def refuse() -> np.ndarray:
        message = (
            f"tensor {name!r} has elements of type {dtype} ({dtype.tensorflow} in TensorFlow), which are not decoded"
        )
        raise UnsupportedError(message, hint="leave the tensor out")

    return DeferredTensor(name, dtype, shape, refuse)
