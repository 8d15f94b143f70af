"""Repeated numbers as they lie on the wire, read as an array when asked for."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from panmodel.errors import CorruptError
from panmodel.io.pieces import whole
from panmodel.io.source import CHUNK, Extent, MemorySource
from panmodel.wire.protobuf.varint import ARRAY_TYPES, unpack_varints, varint

if TYPE_CHECKING:
    import numpy as np


#: Bytes of varints that are decoded at once, which takes many times as many.
_PIECE = 256 << 10
_LONGEST_VARINT = 10


class Numbers:
    """Repeated numbers.

    Args:
        kind: Their scalar kind.
        runs: Where packed runs of them lie.
    """

    def __init__(self, kind: str, runs: list[Extent] | None = None) -> None:
        self.kind = kind
        self._runs = runs or []
        self._loose = bytearray()  # those that come one by one, packed here

    @classmethod
    def of(cls, kind: str, array: np.ndarray) -> Numbers:
        """Numbers to be written, from an array."""
        if kind in ARRAY_TYPES:
            data = array.astype(ARRAY_TYPES[kind]).tobytes()
        else:
            data = b"".join(varint(int(number)) for number in array.reshape(-1))
        return cls(kind, [Extent(MemorySource(data), 0, len(data))])

    @property
    def nbytes(self) -> int:
        """Bytes on the wire: an upper bound for the number of elements."""
        return sum(run.nbytes for run in self._runs) + len(self._loose)

    def chunks(self, nbytes: int = CHUNK) -> Iterator[memoryview]:
        """The bytes on the wire, in pieces of at most `nbytes`."""
        for run in self._runs:
            yield from run.source.chunks(run.offset, run.nbytes, nbytes)
        if self._loose:
            yield memoryview(bytes(self._loose))

    def array(self) -> np.ndarray:
        """The numbers: float32, float64, uint32 or uint64 for fixed kinds, int64 for varints (uint64 for "uint64").

        Raises:
            CorruptError: The bytes are no whole number of them.
        """
        import numpy as np

        data = b"".join(bytes(piece) for piece in self.chunks())
        if self.kind not in ARRAY_TYPES:
            return unpack_varints(data, self.kind)
        dtype = np.dtype(ARRAY_TYPES[self.kind])
        if len(data) % dtype.itemsize:
            raise self._uneven(len(data))
        return np.frombuffer(data, dtype)

    def arrays(self) -> Iterator[np.ndarray]:
        """The same numbers in several arrays, each valid until the next; no more than a piece of them is in memory.

        Raises:
            CorruptError: The bytes are no whole number of them; after the last array.
        """
        import numpy as np

        if self.kind not in ARRAY_TYPES:
            for piece in _whole_varints(self.chunks(_PIECE)):
                yield unpack_varints(piece, self.kind)
            return
        dtype = np.dtype(ARRAY_TYPES[self.kind])
        for run in whole(self.chunks(), dtype.itemsize):
            if len(run) % dtype.itemsize:
                raise self._uneven(self.nbytes)
            yield np.frombuffer(run, dtype)

    @property
    def extent(self) -> Extent | None:
        """Where the numbers lie, if they lie in one run as an array of them does."""
        alone = len(self._runs) == 1 and not self._loose and self.kind in ARRAY_TYPES
        return self._runs[0] if alone else None

    def _uneven(self, nbytes: int) -> CorruptError:
        where = self._runs[0].source.name if self._runs else ""
        return CorruptError(f"{nbytes} bytes of packed {self.kind} are no whole number of elements", where=where)

    def add_run(self, run: Extent) -> None:
        """Take a packed run, after all that came before."""
        if self._loose:
            self._runs.append(Extent(MemorySource(bytes(self._loose)), 0, len(self._loose)))
            self._loose.clear()
        self._runs.append(run)

    def add_one(self, data: bytes) -> None:
        """Take a single number, as it is on the wire."""
        self._loose += data

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Numbers):
            return NotImplemented
        return self.kind == other.kind and self.array().tolist() == other.array().tolist()

    __hash__ = None  # type: ignore[assignment]


def _whole_varints(pieces: Iterator[memoryview]) -> Iterator[bytes]:
    """The same bytes in pieces that end with a varint, but the last if it does not."""
    rest = b""
    for piece in pieces:
        data = rest + bytes(piece)
        end = len(data)
        while end and data[end - 1] >= 0x80 and len(data) - end < _LONGEST_VARINT:
            end -= 1
        rest = data[end:]
        if end:
            yield data[:end]
    if rest:
        yield rest
