"""Sparse initializers of ONNX as dense tensors, which are made when they are read.

Source: https://onnx.ai/onnx/repo-docs/IR.html and SparseTensorProto in onnx.proto
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from panmodel.dtypes import INT64, STRING
from panmodel.errors import CorruptError, LimitError, UnsupportedError
from panmodel.limits import DEFAULT
from panmodel.model.onnx.tensor import TensorReader
from panmodel.model.tensor import DeferredTensor, Tensor
from panmodel.wire.onnx_messages import SparseTensorProto

if TYPE_CHECKING:
    import numpy as np


def dense(proto: SparseTensorProto, reader: TensorReader, where: str) -> Tensor:
    """The lazy dense tensor of a sparse one; it goes by the name of its values.

    Args:
        proto: The message.
        reader: Reads the tensors in it.
        where: The file, for messages.

    Raises:
        CorruptError: Values, indices and dimensions do not belong together.
        LimitError: It would have too many elements.
        UnsupportedError: It has strings.
    """
    if proto.values is None or proto.indices is None:
        raise CorruptError("a sparse initializer without values or indices", where=where)
    values, indices = reader.read(proto.values), reader.read(proto.indices, f"indices of {proto.values.name}")
    shape, name = tuple(proto.dims), f"tensor {values.name!r}"
    if values.dtype is STRING:
        raise UnsupportedError(f"{name}: sparse strings", where=where)
    if len(shape) > DEFAULT.rank or math.prod(max(size, 1) for size in shape) > DEFAULT.filled_elements:
        message = f"{name}: a sparse tensor of shape {list(shape[:8])} exceeds {DEFAULT.filled_elements} elements"
        raise LimitError(message, where=where)
    of_each = ((values.size,), (values.size, len(shape)))
    if (
        min(shape, default=0) < 0
        or len(values.shape) != 1
        or indices.dtype is not INT64
        or indices.shape not in of_each
    ):
        found = f"{values!r} with indices {indices!r}"
        raise CorruptError(f"{name}: a sparse tensor of shape {list(shape)} cannot be made of {found}", where=where)
    return DeferredTensor(values.name, values.dtype, shape, lambda: _filled(values, indices, shape, where))


def _filled(values: Tensor, indices: Tensor, shape: tuple[int, ...], where: str) -> np.ndarray:
    import numpy as np

    array = np.zeros(math.prod(shape), values.dtype.numpy)
    places = indices.numpy()
    if places.ndim == 2:
        if (places < 0).any() or (places >= np.array(shape, np.int64)).any():
            raise CorruptError(f"tensor {values.name!r}: an index outside {list(shape)}", where=where)
        places = np.ravel_multi_index(tuple(places.T), shape) if shape and len(places) else places[:, :0].sum(axis=1)
    elif len(places) and not 0 <= places.min() <= places.max() < len(array):
        raise CorruptError(f"tensor {values.name!r}: an index outside {len(array)} elements", where=where)
    if (np.diff(places) <= 0).any():
        raise CorruptError(f"tensor {values.name!r}: indices that do not ascend", where=where)
    array[places] = values.numpy()
    return array.reshape(shape)
