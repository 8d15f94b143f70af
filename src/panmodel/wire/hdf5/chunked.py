"""The elements of chunked datasets, row-major, one band of chunks at a time."""

from __future__ import annotations

import bisect
import math
from collections.abc import Iterator
from typing import TYPE_CHECKING

from panmodel.errors import CorruptError
from panmodel.wire.hdf5.chunk_index import Chunk
from panmodel.wire.hdf5.file import File
from panmodel.wire.hdf5.filters import Filter, decode_chunk
from panmodel.wire.hdf5.layout import Layout

if TYPE_CHECKING:
    import numpy as np


class Bands:
    """A dataset in chunks. A band is all chunks with the same place along the first dimension.

    Args:
        file: The file.
        layout: The dataset's layout.
        shape: Its shape, at least one dimension.
        chunks: Its stored chunks in row-major order.
        filters: What they passed, checked.
        fill: Bytes of one element where no chunk is stored.
        name: The dataset's path, for messages.
    """

    def __init__(
        self,
        file: File,
        layout: Layout,
        shape: tuple[int, ...],
        chunks: list[Chunk],
        filters: tuple[Filter, ...],
        fill: bytes,
        name: str,
    ) -> None:
        self._file, self._shape, self._chunks, self._filters = file, shape, chunks, filters
        self._chunk, self._whole_edges_only = layout.chunk, layout.whole_edges_only
        self._fill, self._name = fill, name
        self._grid = tuple(-(-extent // size) for extent, size in zip(shape, layout.chunk, strict=False))

    def pieces(self, nbytes: int) -> Iterator[memoryview]:
        """Yield the elements' bytes as stored, row-major, in pieces of at most `nbytes`.

        Raises:
            CorruptError: A chunk does not decompress, does not meet its checksum, or has another size.
        """
        row = math.prod(self._shape[1:]) * self._chunk[-1]
        rows = self._chunk[0] * max(nbytes // max(self._chunk[0] * row, 1), 1)  # small bands come several at a time
        for begin in range(0, self._shape[0] if row else 0, rows):
            band = self._band(begin, min(begin + rows, self._shape[0])).reshape(-1).data
            for start in range(0, len(band), nbytes):
                yield band[start : start + nbytes]

    def _band(self, begin: int, end: int) -> np.ndarray:
        """The elements of some rows, as bytes; `begin` is a multiple of a chunk's rows."""
        import numpy as np

        found = np.empty((end - begin, *self._shape[1:], self._chunk[-1]), np.uint8)
        first, last = begin // self._chunk[0], -(-end // self._chunk[0])
        low = bisect.bisect_left(self._chunks, first, key=lambda chunk: chunk.place[0])
        high = bisect.bisect_left(self._chunks, last, key=lambda chunk: chunk.place[0])
        if high - low < (last - first) * math.prod(self._grid[1:]):
            found[...] = np.frombuffer(self._fill, np.uint8)
        for chunk in self._chunks[low:high]:
            starts = [place * size for place, size in zip(chunk.place, self._chunk, strict=False)]
            extents = [
                min(size, whole - start) for size, whole, start in zip(self._chunk, self._shape, starts, strict=False)
            ]
            starts[0] -= begin
            target = tuple(slice(start, start + extent) for start, extent in zip(starts, extents, strict=True))
            content = self._content(chunk, extents).reshape(self._chunk)
            found[target] = content[tuple(slice(extent) for extent in extents)]
        return found

    def _content(self, chunk: Chunk, extents: list[int]) -> np.ndarray:
        import numpy as np

        data = self._file.source.read(self._file.base + chunk.address, chunk.nbytes)
        is_edge = tuple(extents) != self._chunk[:-1]
        filters = () if self._whole_edges_only and is_edge else self._filters
        try:
            return np.frombuffer(decode_chunk(filters, chunk.mask, data, math.prod(self._chunk)), np.uint8)
        except CorruptError as error:
            message = f"dataset {self._name!r}, chunk {chunk.place}: {error.message}"
            raise CorruptError(message, where=self._file.where(chunk.address)) from None
