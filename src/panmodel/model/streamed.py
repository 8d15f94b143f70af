"""Tensors whose bytes do not lie in a file as they are, but can be made piece by piece: inflated, or decoded."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from panmodel.dtypes import DType
from panmodel.errors import CorruptError
from panmodel.io.source import CHUNK
from panmodel.model.tensor import Tensor, gathered

if TYPE_CHECKING:
    import numpy as np


class StreamedTensor(Tensor):
    """A tensor whose bytes a function makes, in pieces, whenever they are asked for.

    Args:
        name: Its name in the file.
        dtype: Element type with a fixed width.
        shape: Its dimensions. Whoever makes the tensor has seen that the file has room for so many elements.
        pieces: Begins the bytes anew: little-endian, row-major, sub-byte types packed, in pieces of any size of which
            each is valid until the next. It verifies what there is to verify after the last.
        where: The file, for messages.
    """

    def __init__(
        self,
        name: str,
        dtype: DType,
        shape: tuple[int, ...],
        pieces: Callable[[], Iterator[memoryview]],
        *,
        where: str = "",
    ) -> None:
        self.name, self.dtype, self.shape = name, dtype, shape
        self._pieces, self._where = pieces, where

    def numpy(self) -> np.ndarray:
        """See `Tensor.numpy`."""
        return gathered(self)

    def chunks(self, nbytes: int = CHUNK) -> Iterator[memoryview]:
        """See `Tensor.chunks`."""
        left = self.nbytes
        for piece in self._pieces():
            left -= len(piece)
            if left < 0:
                break
            for start in range(0, len(piece), nbytes):
                yield piece[start : start + nbytes]
        if left:
            amount = "more" if left < 0 else f"{left} fewer"
            message = f"tensor {self.name!r}: {self.dtype}{list(self.shape)} needs {self.nbytes} bytes, {amount} came"
            raise CorruptError(message, where=self._where)
