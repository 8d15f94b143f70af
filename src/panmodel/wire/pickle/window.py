"""The bytes of a large file for the pickle machine, which holds a part of them at a time."""

from __future__ import annotations

from panmodel.errors import LimitError
from panmodel.io.source import Source
from panmodel.limits import DEFAULT, Limits

_HELD = 1 << 18


class Window:
    """A file as a run of bytes that can be indexed, sliced and searched.

    Args:
        source: The file.
        limits: Caps on how much of it may be copied in all.
    """

    def __init__(self, source: Source, limits: Limits = DEFAULT) -> None:
        self.source = source
        self._left, self._limit = limits.pickle_bytes, limits.pickle_bytes
        self._begin, self._held = 0, b""

    def __len__(self) -> int:
        return self.source.size

    def __getitem__(self, key: int | slice) -> int | bytes:
        if isinstance(key, int):
            if not 0 <= key - self._begin < len(self._held):
                self._hold(key)
            return self._held[key - self._begin]
        begin, end = key.start, key.stop
        self._left -= end - begin
        if self._left < 0:
            raise LimitError(f"the small values of the pickle exceed {self._limit} bytes", where=self.source.name)
        if end - begin > _HELD:
            return self.source.read(begin, end - begin)
        if not 0 <= begin - self._begin <= end - self._begin <= len(self._held):
            self._hold(begin)
        return self._held[begin - self._begin : end - self._begin]

    def find(self, byte: bytes, begin: int) -> int:
        """Where a byte is found first, from a place on; -1 if nowhere."""
        while begin < len(self):
            if not 0 <= begin - self._begin < len(self._held):
                self._hold(begin)
            found = self._held.find(byte, begin - self._begin)
            if found >= 0:
                return self._begin + found
            begin = self._begin + len(self._held)
        return -1

    def _hold(self, begin: int) -> None:
        self._begin, self._held = begin, self.source.read(begin, min(_HELD, len(self) - begin))
