"""Messages of TensorFlow's first checkpoint format: a table of slices, with their values in it.

Source: tensorflow/core/util/saved_tensor_slice.proto
"""

from __future__ import annotations

from collections.abc import Sequence

from panmodel.io.source import Source
from panmodel.wire.protobuf import BYTES, Message, repeated, single, walk
from panmodel.wire.sstable import Table
from panmodel.wire.tensor_bundle import TensorSliceProto
from panmodel.wire.tensorflow_messages import TensorProto, TensorShapeProto, VersionDef


class SavedSliceMeta(Message):
    """A tensor and the slices that the file has of it; shapes and types stand here alone."""

    name: str = single(1, "string")
    shape: TensorShapeProto | None = single(2, lambda: TensorShapeProto)
    type: int = single(3, "enum")
    slice: Sequence[TensorSliceProto] = repeated(4, lambda: TensorSliceProto)


class SavedTensorSliceMeta(Message):
    """All tensors of a file."""

    tensor: Sequence[SavedSliceMeta] = repeated(1, lambda: SavedSliceMeta)
    versions: VersionDef | None = single(2, lambda: VersionDef)


class SavedSlice(Message):
    """The elements of one slice, in the list of their type."""

    name: str = single(1, "string")
    slice: TensorSliceProto | None = single(2, lambda: TensorSliceProto)
    data: TensorProto | None = single(3, lambda: TensorProto)


class SavedTensorSlices(Message):
    """The value of a key: the list of tensors under the empty one, a slice under any other."""

    meta: SavedTensorSliceMeta | None = single(1, lambda: SavedTensorSliceMeta)
    data: SavedSlice | None = single(2, lambda: SavedSlice)


def is_slices_table(source: Source) -> bool:
    """Whether a table is a checkpoint of the first format; those of the second have tables as well.

    Args:
        source: The table.

    Raises:
        CorruptError: It is damaged.
        LimitError: A size in it exceeds `panmodel.limits`.
    """
    key, extent = Table(source).peek() or (None, None)
    if key != b"" or extent is None:
        return False
    first = next(walk(extent.source, (extent.offset, extent.nbytes, None)), None)
    return first is not None and first[0] == 1 << 3 | BYTES
