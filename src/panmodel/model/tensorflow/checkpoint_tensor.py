"""What a checkpoint, of either format, says of a tensor: its type, its shape, and the slices of it, all checked.

Source: tensorflow/core/framework/{tensor_shape,tensor_slice}.proto
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from panmodel.dtypes import BY_TENSORFLOW, DType
from panmodel.errors import CorruptError, LimitError, UnsupportedError
from panmodel.limits import DEFAULT
from panmodel.model.tensor import DeferredTensor, Tensor
from panmodel.wire.tensor_bundle import TensorSliceProto
from panmodel.wire.tensorflow_messages import TensorShapeProto

if TYPE_CHECKING:
    import numpy as np

_MAX_ELEMENTS = 1 << 56  # beyond what an address space holds; shapes with a zero in them are held to it as well


def dtype_of(number: int) -> DType:
    """The element type; one that is not known, so that the tensor can be listed all the same."""
    return BY_TENSORFLOW.get(number) or DType(f"unknown_{number}", 0, "o", number)


def opaque(name: str, dtype: DType, shape: tuple[int, ...]) -> Tensor:
    """A tensor that can be listed and not read."""

    def refuse() -> np.ndarray:
        message = (
            f"tensor {name!r} has elements of type {dtype} ({dtype.tensorflow} in TensorFlow), which are not decoded"
        )
        raise UnsupportedError(message, hint="leave the tensor out")

    return DeferredTensor(name, dtype, shape, refuse)


def shape_of(name: str, shape: TensorShapeProto | None, where: str) -> tuple[int, ...]:
    """The shape of a stored tensor.

    Raises:
        CorruptError: It is not known in full, or negative.
        LimitError: It is larger than any memory.
    """
    if shape is None:
        return ()
    if shape.unknown_rank or len(shape.dim) > DEFAULT.rank:
        raise CorruptError(f"tensor {name!r}: is of unknown rank, or one above {DEFAULT.rank}", where=where)
    sizes = tuple(dim.size for dim in shape.dim)
    if any(size < 0 for size in sizes):
        raise CorruptError(f"tensor {name!r}: has the impossible shape {list(sizes)}", where=where)
    if math.prod(max(size, 1) for size in sizes) > _MAX_ELEMENTS:
        raise LimitError(f"tensor {name!r} has the shape {list(sizes)}, larger than any memory", where=where)
    return sizes


def box_of(
    name: str, shape: tuple[int, ...], box: TensorSliceProto, where: str
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Where a slice begins in its tensor, and its shape.

    Raises:
        CorruptError: It does not lie inside the tensor.
    """
    if len(box.extent) != len(shape):
        message = f"tensor {name!r}: a slice of {len(box.extent)} dimensions, the tensor has {len(shape)}"
        raise CorruptError(message, where=where)
    start, sizes = [], []
    for extent, size in zip(box.extent, shape, strict=True):
        length = extent.length if extent.has("length") and extent.length != -1 else size - extent.start
        if extent.start < 0 or length < 0 or extent.start + length > size:
            found = f"elements {extent.start} to {extent.start + length}"
            raise CorruptError(f"tensor {name!r}: a slice holds {found} of a dimension of {size}", where=where)
        start.append(extent.start)
        sizes.append(length)
    return tuple(start), tuple(sizes)
