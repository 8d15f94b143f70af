"""The tensors of a TensorFlow V2 checkpoint, each checked against the shards, none read.

Used for checkpoints, and for the variables of a SavedModel, which are stored the same way.

Source: tensorflow/core/util/tensor_bundle/tensor_bundle.cc
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from panmodel.dtypes import STRING, UINT8
from panmodel.errors import CorruptError, MissingFileError, TruncatedError, listed
from panmodel.io.source import Extent, Source
from panmodel.model.notice import Notice
from panmodel.model.partitioned import Part, PartitionedTensor, incomplete
from panmodel.model.tensor import DeferredTensor, StoredTensor, Tensor
from panmodel.model.tensorflow.checkpoint_tensor import box_of, dtype_of, opaque, shape_of
from panmodel.wire.checksums import MaskedCrc32c
from panmodel.wire.tensor_bundle import Bundle, BundleEntryProto, TensorSliceProto, read_bundle, read_strings, slice_key

if TYPE_CHECKING:
    import numpy as np


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
    return BundleTensors(bundle, tensors, incomplete(tensors))


class _Strings(Tensor):
    """A string tensor.

    Args:
        name: Its name in the file.
        shape: Its dimensions.
        extent: Where its bytes lie.
        stored: Their masked CRC-32C.
        big_endian: The byte order in which lengths are summed.
    """

    def __init__(self, name: str, shape: tuple[int, ...], extent: Extent, stored: int, *, big_endian: bool) -> None:
        self.name, self.dtype, self.shape = name, STRING, shape
        self._stored_at, self._stored, self._big_endian = extent, stored, big_endian

    def numpy(self) -> np.ndarray:
        """See `Tensor.numpy`."""
        import numpy as np

        found = self._elements()
        array = np.empty(len(found), object)
        array[:] = found
        return array.reshape(self.shape)

    def item(self) -> Any:
        """See `Tensor.item`; numpy is not worth loading for one string."""
        return self._elements()[0] if self.size == 1 else super().item()

    def _elements(self) -> list[bytes]:
        extent, stored = self._stored_at, self._stored
        return read_strings(self.name, extent, self.size, stored, big_endian=self._big_endian)


class _Reader:
    """Makes tensors of entries; opens each data file once, when the first tensor in it is met."""

    def __init__(self, bundle: Bundle, where: str, open_shard: Callable[[int, int], Source]) -> None:
        self._bundle, self._where, self._open = bundle, where, open_shard
        self._shards: dict[int, Source] = {}
        self._claimed: set[bytes] = set()
        self._stored_at: dict[tuple[object, ...], Tensor] = {}

    def tensor(self, name: str, entry: BundleEntryProto) -> Tensor:
        """The tensor of an entry, whole or in slices."""
        shape = self._shape(name, entry)
        if not entry.slices:
            return self._stored(name, entry, shape)
        parts = [self._part(name, entry, shape, box) for box in entry.slices]
        dtype = dtype_of(entry.dtype)
        if dtype.kind == "o":
            return opaque(name, dtype, shape)
        return PartitionedTensor(name, dtype, shape, parts)

    def _stored(self, name: str, entry: BundleEntryProto, shape: tuple[int, ...]) -> Tensor:
        same = (entry.dtype, shape, entry.shard_id, entry.offset, entry.size, entry.crc32c)
        if not entry.size:
            return self._at(name, entry, shape)
        if same not in self._stored_at:  # else one tensor under another name
            self._stored_at[same] = self._at(name, entry, shape)
        return self._stored_at[same]

    def _at(self, name: str, entry: BundleEntryProto, shape: tuple[int, ...]) -> Tensor:
        dtype = dtype_of(entry.dtype)
        extent = self._extent(name, entry)
        checksum = partial(MaskedCrc32c, entry.crc32c)
        big_endian = self._bundle.is_big_endian
        if dtype.kind == "o":
            return opaque(name, dtype, shape)
        if dtype is STRING:
            return _Strings(name, shape, extent, entry.crc32c, big_endian=big_endian)
        if dtype.bits < 8:  # here TensorFlow stores a byte for each
            codes = StoredTensor(name, UINT8, shape, extent, checksum=checksum)
            return DeferredTensor(name, dtype, shape, lambda: codes.numpy().view(dtype.numpy))
        return StoredTensor(name, dtype, shape, extent, checksum=checksum, big_endian=big_endian)

    def _part(self, name: str, whole: BundleEntryProto, shape: tuple[int, ...], box: TensorSliceProto) -> Part:
        start, sizes = box_of(name, shape, box, self._where)
        key = slice_key(name, box)
        entry = self._bundle.slices.get(key)
        if entry is None or key in self._claimed:
            fault = "announced twice" if entry else "announced and not there"
            raise self._corrupt(name, f"the slice of shape {list(sizes)} at {list(start)} is {fault}")
        self._claimed.add(key)
        stored = self._shape(name, entry)
        if entry.slices or entry.dtype != whole.dtype or stored != sizes:
            found = f"type {entry.dtype}, shape {list(stored)}"
            expected = f"type {whole.dtype}, shape {list(sizes)}"
            raise self._corrupt(name, f"the slice at {list(start)} has {found}, expected {expected}")
        return Part(start, self._stored(name, entry, stored))

    def _shape(self, name: str, entry: BundleEntryProto) -> tuple[int, ...]:
        return shape_of(name, entry.shape, self._where)

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
                message = f"this data file of the checkpoint is missing; it holds {listed(names)}"
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
