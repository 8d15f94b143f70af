"""What can be seen in a zip archive that the strict reader refuses: every member that any other reader might find.

Readers differ: some believe the directory, some the headers before the members, some find archives behind foreign
bytes. All that one of them could take for a member is handed out, and contradictions are said.

Source: PKWARE APPNOTE.TXT 6.3.10
"""

from __future__ import annotations

import zlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

from panmodel.io.source import Source
from panmodel.wire.zip_directory import CENTRAL, CENTRAL_HEADER, DEFLATED, DESCRIPTOR, LOCAL, LOCAL_HEADER

_WINDOW, _HEADERS = 256 << 20, 100_000
_MEMBER = 64 << 20  # bytes of one member that are unpacked


@dataclass(frozen=True, slots=True)
class Glimpse:
    """A header somewhere in the bytes.

    Attributes:
        name: The member's name as it is written there.
        method: How it is packed.
        compressed: Its bytes in the archive, as it says.
        at: Where the header lies, or says that the local header lies.
    """

    name: bytes
    method: int
    compressed: int
    at: int


class Salvage:
    """The headers of a damaged or deceptive archive.

    Args:
        source: The bytes; what lies beyond a window of them is not looked at.
    """

    def __init__(self, source: Source) -> None:
        self._data = source.read(0, min(source.size, _WINDOW))
        self.locals = {glimpse.at: glimpse for glimpse in self._locals()}
        self.central = list(self._central())

    def _positions(self, signature: bytes) -> Iterator[int]:
        at = self._data.find(signature)
        for _ in range(_HEADERS):
            if at < 0:
                return
            yield at
            at = self._data.find(signature, at + 1)

    def _locals(self) -> Iterator[Glimpse]:
        for at in self._positions(LOCAL):
            if at + LOCAL_HEADER.size <= len(self._data):
                fields = LOCAL_HEADER.unpack_from(self._data, at)
                begin = at + LOCAL_HEADER.size
                yield Glimpse(self._data[begin : begin + fields[9]], fields[3], fields[7], at)

    def _central(self) -> Iterator[Glimpse]:
        for at in self._positions(CENTRAL):
            if at + CENTRAL_HEADER.size <= len(self._data):
                fields = CENTRAL_HEADER.unpack_from(self._data, at)
                begin = at + CENTRAL_HEADER.size
                yield Glimpse(self._data[begin : begin + fields[10]], fields[4], fields[8], fields[16])

    def contradictions(self) -> list[str]:
        """What two readers would see differently."""
        found: list[str] = []
        names = Counter(glimpse.name for glimpse in self.central)
        found += [
            f"two members have the name {_shown(name)}"
            for name in sorted(name for name, count in names.items() if count > 1)
        ]
        first = min(self.locals, default=0)
        for glimpse in self.central:
            local = self.locals.get(glimpse.at) or self.locals.get(glimpse.at + first)
            if local is not None and local.name != glimpse.name:
                found.append(
                    f"a member is called {_shown(glimpse.name)} in the directory, {_shown(local.name)} before it"
                )
        if self.central and first > 0:
            found.append(f"{first} foreign bytes lie before the archive")
        ends = sorted((glimpse.at, glimpse.at + LOCAL_HEADER.size + glimpse.compressed) for glimpse in self.central)
        if any(end > begin for (_, end), (begin, _) in pairwise(ends)):
            found.append("members overlap")
        return list(dict.fromkeys(found))[:20]

    def members(self) -> Iterator[tuple[str, bytes]]:
        """Name and content of every member that a header speaks of; as much of it as unpacks."""
        starts = sorted(self.locals)
        by_header = {glimpse.at: glimpse for glimpse in self.central}
        for number, at in enumerate(starts):
            local = self.locals[at]
            name_size, extra_size = LOCAL_HEADER.unpack_from(self._data, at)[9:]
            begin = at + LOCAL_HEADER.size + name_size + extra_size
            central = by_header.get(at)
            names = dict.fromkeys([local.name, *([central.name] if central else [])])
            methods = dict.fromkeys([local.method, *([central.method] if central else [])])
            end = starts[number + 1] if number + 1 < len(starts) else len(self._data)
            sizes = [each.compressed for each in (local, central) if each is not None]
            stated = begin + max((size for size in sizes if size < 1 << 32), default=0)
            for method in methods:
                content = self._unpacked(begin, max(stated, begin), end, method)
                for name in names:
                    yield name.decode("utf-8", "replace"), content

    def _unpacked(self, begin: int, stated: int, end: int, method: int) -> bytes:
        if method == DEFLATED:
            return _inflated(memoryview(self._data)[begin : min(max(stated, end), begin + _MEMBER)])
        if stated > begin:
            return self._data[begin : min(stated, begin + _MEMBER)]
        for signature in (DESCRIPTOR, CENTRAL):
            found = self._data.find(signature, begin, end)
            end = found if found >= 0 else end
        return self._data[begin : min(end, begin + _MEMBER)]


def _inflated(data: memoryview) -> bytes:
    """As much as unpacks before the first fault."""
    inflate, pieces, left = zlib.decompressobj(-zlib.MAX_WBITS), list[bytes](), _MEMBER
    for start in range(0, len(data), 1 << 16):
        try:
            piece = inflate.decompress(data[start : start + (1 << 16)], left)
        except zlib.error:
            break
        pieces.append(piece)
        left -= len(piece)
        if inflate.eof or left <= 0:
            break
    return b"".join(pieces)


def _shown(name: bytes) -> str:
    return repr(name[:120].decode("utf-8", "replace"))
