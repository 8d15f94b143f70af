"""The components of sparse and nested tensors, as tensors of their own."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from panmodel.errors import CorruptError
from panmodel.limits import DEFAULT, Limits
from panmodel.model.tensor import DeferredTensor, Tensor
from panmodel.model.torch.storage import from_record
from panmodel.wire.torch_records import ComposedRecord

if TYPE_CHECKING:
    import numpy as np

_POINTERS = ("crow_indices", "ccol_indices")


def components(name: str, record: ComposedRecord, *, limits: Limits = DEFAULT) -> dict[str, Tensor]:
    """The components, each under the tensor's name and its own: `w.indices`, `w.values`.

    Args:
        name: What the tensor is called.
        record: The tensor.
        limits: Caps on what a view with repeated elements may expand to.

    Returns:
        The components in the order that torch has them. What is read of indices is held against the shape, and
        raises CorruptError if it leads out of it.
    """
    made: dict[str, Tensor] = {}
    for part, view in record.components.items():
        full = f"{name}.{part}"
        tensor = from_record(full, view, limits=limits)
        if part in ("values", "buffer"):
            made[full] = tensor
        else:
            load = partial(_checked, record, part, tensor)
            made[full] = DeferredTensor(full, tensor.dtype, tensor.shape, load)
    return made


def _checked(record: ComposedRecord, part: str, tensor: Tensor) -> np.ndarray:
    array = tensor.numpy()
    if record.layout == "nested":
        is_right = not array.size or int(array.min()) >= 0
    elif record.layout == "sparse_coo":
        is_right = _within(array, (record.shape or ())[: array.shape[0]])
    elif part in _POINTERS:
        is_right = _monotone(array, record.components["values"].shape[array.ndim - 1])
    else:
        is_right = not array.size or (int(array.min()) >= 0 and int(array.max()) < _plain_extent(record))
    if not is_right:
        message = f"tensor {tensor.name!r}: its numbers lead out of a {record.layout} tensor of shape {record.shape}"
        raise CorruptError(message)
    return array


def _within(indices: np.ndarray, extents: tuple[int, ...]) -> bool:
    """Whether row i of the indices lies within extent i."""
    if not indices.size:
        return True
    return all(int(row.min()) >= 0 and int(row.max()) < extent for row, extent in zip(indices, extents, strict=True))


def _monotone(pointers: np.ndarray, count: int) -> bool:
    """Whether pointers rise from 0 to the number of values."""
    import numpy as np

    first, last = pointers[..., 0], pointers[..., -1]
    return bool((first == 0).all() and (last == count).all() and (np.diff(pointers, axis=-1) >= 0).all())


def _plain_extent(record: ComposedRecord) -> int:
    """How many places there are along the axis that is not compressed, blocks counted as one."""
    shape, values = record.shape or (), record.components["values"].shape
    batch = next(len(view.shape) - 1 for part, view in record.components.items() if part in _POINTERS)
    axis = 1 if record.layout in ("sparse_csr", "sparse_bsr") else 0
    block = values[batch + 1 + axis] if record.layout in ("sparse_bsr", "sparse_bsc") else 1
    return shape[batch + axis] // block
