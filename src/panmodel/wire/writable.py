"""What a container's writer takes: anything with a dtype, a shape and bytes that come in pieces."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
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


class Output(Protocol):
    """Where a container's writer writes: a file of its own (`io.sink.StagedFile`), or one within an archive."""

    @property
    def final(self) -> Path:
        """The file's name in the end, for messages."""

    @property
    def position(self) -> int:
        """Bytes written so far."""

    def write(self, data: bytes | bytearray | memoryview) -> int:
        """Append bytes; returns their number."""

    def write_all(self, pieces: Iterable[bytes | bytearray | memoryview]) -> int:
        """Append each piece in turn; returns the number of bytes."""

    def align(self, multiple: int) -> None:
        """Append zero bytes up to the next multiple."""

    def overwrite(self, offset: int, data: bytes) -> None:
        """Replace bytes at the beginning."""
