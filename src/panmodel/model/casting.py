"""Tensors whose elements are rounded to another floating-point type while they are read."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import TYPE_CHECKING

from panmodel.dtypes import DType
from panmodel.errors import UnsupportedError
from panmodel.io.pieces import whole
from panmodel.io.source import CHUNK
from panmodel.model.partitioned import Part, PartitionedTensor
from panmodel.model.tensor import Tensor, pack, unpack

if TYPE_CHECKING:
    import numpy as np

_LEAST = 1 << 10  # bytes of a piece, so that pieces of narrow elements still hold some


def cast(tensor: Tensor, dtype: DType) -> Tensor:
    """A tensor in another floating-point type; one of which slices are missing stays in slices."""
    if not isinstance(tensor, PartitionedTensor) or tensor.is_complete:
        return CastTensor(tensor, dtype)
    parts = [Part(part.start, CastTensor(part.tensor, dtype)) for part in tensor.parts]
    return PartitionedTensor(tensor.name, dtype, tensor.shape, parts)


class CastTensor(Tensor):
    """The elements of another tensor, each rounded to the nearest that a floating-point type has (ties to even).

    Args:
        parent: A tensor of a floating-point type.
        dtype: Another floating-point type.
    """

    def __init__(self, parent: Tensor, dtype: DType) -> None:
        self._parent, self.dtype = parent, dtype
        self.name, self.shape = parent.name, parent.shape

    @property
    def origins(self) -> tuple[str, ...]:
        """See `Tensor.origins`."""
        return self._parent.origins

    @property
    def is_complete(self) -> bool:
        """See `Tensor.is_complete`."""
        return self._parent.is_complete

    def numpy(self) -> np.ndarray:
        """See `Tensor.numpy`."""
        return self._cast(self._parent.numpy())

    def chunks(self, nbytes: int = CHUNK) -> Iterator[memoryview]:
        """See `Tensor.chunks`; read and cast piece by piece."""
        import numpy as np

        given = self._parent.dtype
        if given.bits < 8:
            yield from super().chunks(nbytes)
            return
        widest = max(given.bits, self.dtype.bits)
        pieces = self._parent.chunks(max(nbytes * given.bits // widest // 16 * 16, _LEAST))
        for piece in whole(pieces, 8 * given.itemsize):  # eight elements end with a byte in every type
            elements = unpack(np.frombuffer(piece, np.uint8), given, (len(piece) // given.itemsize,))
            yield pack(self._cast(elements), self.dtype)

    def _cast(self, elements: np.ndarray) -> np.ndarray:
        import numpy as np

        if max(self._parent.dtype.bits, self.dtype.bits) <= 8:  # not all of these are cast to each other
            elements = elements.astype(np.float32)  # which has every number of them
        with np.errstate(over="ignore", invalid="ignore"):
            cast = elements.astype(self.dtype.numpy)
            finite = np.isfinite(elements)
            lost = np.isfinite(cast) != finite
            if not finite.all():  # there are types without infinities, without NaN, or without both
                lost |= np.isnan(cast) != np.isnan(elements)
        if (limit := _limit(self.dtype)) is not None:
            lost |= finite & (np.abs(elements) > limit)
        if lost.any():
            largest = np.abs(elements[lost].astype(np.float64)).max()
            message = f"tensor {self.name!r} has elements up to {largest:.6g}, which {self.dtype} cannot hold"
            raise UnsupportedError(message, hint="choose a type of wider range (bfloat16, float32), or --exclude it")
        return cast


@cache
def _limit(dtype: DType) -> float | None:
    """What is rounded to the largest number of a type at most, where the type has nothing beyond it to tell by."""
    import ml_dtypes
    import numpy as np

    infinity = np.array([np.inf]).astype(dtype.numpy)
    if not np.isfinite(infinity).all():
        return None
    largest = float(ml_dtypes.finfo(dtype.numpy).max)
    below = (np.array([largest]).astype(dtype.numpy).view(np.uint8) - 1).view(dtype.numpy)
    return largest + (largest - float(below[0])) / 2
