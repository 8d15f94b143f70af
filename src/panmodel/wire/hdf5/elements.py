"""Elements as stored → numpy arrays."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from panmodel import dtypes
from panmodel.errors import CorruptError, UnsupportedError
from panmodel.wire.byte_order import turned_around
from panmodel.wire.hdf5.datatype import Class, Datatype
from panmodel.wire.hdf5.file import File
from panmodel.wire.hdf5.heaps import GlobalHeap
from panmodel.wire.hdf5.strings import decode_strings

if TYPE_CHECKING:
    import numpy as np


def swap_width(kind: Datatype) -> int:
    """Bytes whose order must be turned around in a stored element; 1 if none."""
    if not kind.big_endian or kind.dtype is None:
        return 1
    return kind.dtype.number_bytes


def decode(
    file: File, heap: GlobalHeap, kind: Datatype, data: bytes | np.ndarray, shape: tuple[int, ...]
) -> np.ndarray:
    """Elements as stored → an array in the machine's own byte order.

    Args:
        file: The file.
        heap: Its heaps of elements of variable length.
        kind: What one element is.
        data: The elements as stored.
        shape: Shape of the dataspace; the dimensions of an array type come after it.

    Returns:
        The elements; strings as `bytes` objects, opaque elements as numpy's void.

    Raises:
        UnsupportedError: Elements of this kind have no counterpart among arrays.
    """
    import numpy as np

    shape = (*shape, *kind.dims)
    if kind.is_string:
        element = kind.base if kind.kind is Class.ARRAY and kind.base else kind
        return decode_strings(file, heap, element, bytes(data), math.prod(shape)).reshape(shape)
    raw = np.frombuffer(data, np.uint8).copy() if isinstance(data, bytes) else data
    if kind.kind is Class.OPAQUE:
        return raw.view(np.dtype((np.void, kind.size))).reshape(shape)
    if kind.dtype is None:
        raise UnsupportedError(f"elements of type {kind} are not read", where=file.source.name)
    if kind.dtype is dtypes.BOOL and raw.size and raw.max() > 1:
        raise CorruptError("a boolean is neither 0 nor 1", where=file.source.name)
    return turned_around(raw, swap_width(kind)).view(kind.dtype.numpy).reshape(shape)
