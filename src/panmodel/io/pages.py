"""Many small reads that lie close together, answered from pages that are read as a whole."""

from __future__ import annotations

from panmodel.io.source import Source

_PAGE = 1 << 14  # bytes; about what the system itself reads ahead of a first small read
_KEPT = 64


class PagedSource(Source):
    """Another source, of which a bounded number of pages is kept in memory; long reads go past them.

    Args:
        whole: The source.
    """

    def __init__(self, whole: Source) -> None:
        self._whole = whole
        self.name, self.size = whole.name, whole.size
        self._pages: dict[int, bytes] = {}

    def read(self, offset: int, nbytes: int) -> bytes:
        """See `Source.read`."""
        number, begin = divmod(offset, _PAGE)
        end = begin + nbytes
        page = self._pages.get(number)
        if page is not None and nbytes >= 0 and end <= len(page):
            return page[begin:end]
        self.check(offset, nbytes)
        if nbytes > _PAGE:
            return self._whole.read(offset, nbytes)
        page = page or self._load(number)
        if end <= _PAGE:
            return page[begin:end]
        following = self._pages.get(number + 1) or self._load(number + 1)
        return page[begin:] + following[: end - _PAGE]

    def readinto(self, offset: int, buffer: bytearray | memoryview) -> None:
        """See `Source.readinto`."""
        self._whole.readinto(offset, buffer)

    def _load(self, number: int) -> bytes:
        begin = number * _PAGE
        page = self._whole.read(begin, min(_PAGE, self.size - begin))
        if len(self._pages) >= _KEPT:
            self._pages.clear()  # those that are still in use come back soon, and threads cannot disagree
        self._pages[number] = page
        return page
