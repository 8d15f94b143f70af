"""What a container's writer takes: anything with a dtype, a shape and bytes that come in pieces."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

from panmodel.dtypes import DType


class Writable(Protocol):
    """What a tensor must offer to be written: a `model.tensor.Tensor` does."""

    @property
    def dtype(self) -> DType:
        """Element type."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Dimensions."""

    @property
    def nbytes(self) -> int:
        """Bytes in all."""

    def chunks(self) -> Iterator[memoryview]:
        """Yield the bytes, little-endian and row-major."""
