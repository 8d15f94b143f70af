"""Writes zip archives as a stream: stored members, their content aligned, CRC-32 and sizes after each member.

Source: PKWARE APPNOTE.TXT 6.3.10, https://pkware.cachefly.net/webdocs/casestudies/APPNOTE.TXT
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from panmodel.io.sink import StagedFile
from panmodel.wire import zip_directory as layout

_FLAGS = 0x0808  # UTF-8 names, sizes and CRC-32 in a descriptor behind the content
_UTF8 = 0x0800
_VERSION, _VERSION64 = 20, 45
_DATE = 0x0021  # 1 January 1980, the first day there is: equal input gives equal files
_PADDING = b"FB"  # the extra field by which torch aligns
_PAD = b"Z"
_LONG_SIZES = struct.Struct("<HHQQ")


@dataclass(frozen=True, slots=True)
class _Written:
    name: bytes
    crc: int
    size: int
    header: int
    flags: int = _FLAGS


class MemberFile:
    """A member being written, as a file of its own. Of its content the first piece can be replaced.

    Args:
        staged: The archive, at the beginning of the content.
    """

    def __init__(self, staged: StagedFile) -> None:
        self._staged, self._begin = staged, staged.position
        self._head: bytearray | None = None
        self._crc = 0
        self.final = staged.final

    @property
    def position(self) -> int:
        """Bytes written so far."""
        return self._staged.position - self._begin

    def write(self, data: bytes | bytearray | memoryview) -> int:
        """Append bytes; returns their number."""
        from isal.isal_zlib import crc32

        if self._head is None:
            self._head = bytearray(data)
        else:
            self._crc = crc32(data, self._crc)
        return self._staged.write(data)

    def write_all(self, pieces: Iterable[bytes | bytearray | memoryview]) -> int:
        """Append each piece in turn; returns the number of bytes."""
        return sum(self.write(piece) for piece in pieces)

    def align(self, multiple: int) -> None:
        """Append zero bytes up to the next multiple, counted from the beginning of the member."""
        self.write(bytes(-self.position % multiple))

    def overwrite(self, offset: int, data: bytes) -> None:
        """Replace bytes of the first piece.

        Raises:
            ValueError: They are not all in it.
        """
        if self._head is None or offset + len(data) > len(self._head):
            raise ValueError("only what was written first can be replaced")
        self._head[offset : offset + len(data)] = data
        self._staged.overwrite(self._begin + offset, data)

    def crc(self) -> int:
        """The CRC-32 of all content."""
        from isal.isal_zlib import crc32, crc32_combine

        head = self._head or b""
        return int(crc32_combine(crc32(head), self._crc, self.position - len(head)))


class ArchiveWriter:
    """A zip archive being written.

    Args:
        staged: The file to write to, at its beginning.
        alignment: The content of each member begins at a multiple of this.
    """

    def __init__(self, staged: StagedFile, *, alignment: int = 64) -> None:
        self._staged, self._alignment = staged, alignment
        self._written: list[_Written] = []

    def add(self, name: str, pieces: Iterable[bytes | bytearray | memoryview], nbytes: int) -> None:
        """Write one member.

        Args:
            name: Its name, `/` between folders.
            pieces: Its content.
            nbytes: Bytes of content, all pieces together.

        Raises:
            ValueError: The pieces have another number of bytes.
        """
        from isal.isal_zlib import crc32

        raw, header = name.encode(), self._staged.position
        self._staged.write(self._local_header(raw, header, nbytes))
        crc, begin = 0, self._staged.position
        for piece in pieces:
            crc = crc32(piece, crc)
            self._staged.write(piece)
        if self._staged.position - begin != nbytes:
            raise ValueError(f"{name}: {self._staged.position - begin} bytes came, {nbytes} were announced")
        sizes = "<4sIQQ" if nbytes >= layout.FULL32 else "<4sIII"
        self._staged.write(struct.pack(sizes, layout.DESCRIPTOR, crc, nbytes, nbytes))
        self._written.append(_Written(raw, crc, nbytes, header))

    def add_file(self, name: str, write: Callable[[MemberFile], None]) -> None:
        """Write one member whose size is not known before, by what writes files.

        Args:
            name: Its name, `/` between folders.
            write: Writes the content.
        """
        raw, header = name.encode(), self._staged.position
        # the extra field has room for long sizes; the content begins behind padding
        unpadded = header + layout.LOCAL_HEADER.size + len(raw) + _LONG_SIZES.size + 4
        padding = -unpadded % self._alignment
        room = layout.LOCAL_HEADER.size + len(raw) + _LONG_SIZES.size + 4 + padding
        self._staged.write(bytes(room))
        member = MemberFile(self._staged)
        write(member)
        size, crc = member.position, member.crc()
        wide = size >= layout.FULL32
        short = layout.FULL32 if wide else size
        extra = _LONG_SIZES.pack(layout.ZIP64_EXTRA, 16, size, size) if wide else b""
        left = room - layout.LOCAL_HEADER.size - len(raw) - len(extra) - 4
        extra += _PADDING + struct.pack("<H", left) + _PAD * left
        version = _VERSION64 if wide else _VERSION
        fields = (version, _UTF8, layout.STORED, 0, _DATE, crc, short, short, len(raw), len(extra))
        self._staged.overwrite(header, layout.LOCAL_HEADER.pack(layout.LOCAL, *fields) + raw + extra)
        self._written.append(_Written(raw, crc, size, header, _UTF8))

    def close(self) -> None:
        """Write the directory. Nothing can be added after it."""
        begin = self._staged.position
        for member in self._written:
            self._staged.write(_central_entry(member))
        end = self._staged.position
        count, size = len(self._written), end - begin
        if count >= layout.FULL16 or end >= layout.FULL32:
            version, rest = (_VERSION64, _VERSION64), layout.END64_RECORD.size - 12
            self._staged.write(layout.END64_RECORD.pack(layout.END64, rest, *version, 0, 0, count, count, size, begin))
            self._staged.write(layout.LOCATOR64_RECORD.pack(layout.LOCATOR64, 0, end, 1))
        short, size, begin = min(count, layout.FULL16), min(size, layout.FULL32), min(begin, layout.FULL32)
        self._staged.write(layout.END_RECORD.pack(layout.END, 0, 0, short, short, size, begin, 0))

    def _local_header(self, raw: bytes, header: int, nbytes: int) -> bytes:
        wide = nbytes >= layout.FULL32
        extra = struct.pack("<HHQQ", layout.ZIP64_EXTRA, 16, 0, 0) if wide else b""
        unpadded = header + layout.LOCAL_HEADER.size + len(raw) + len(extra) + 4
        padding = -unpadded % self._alignment
        extra += _PADDING + struct.pack("<H", padding) + _PAD * padding
        size = layout.FULL32 if wide else 0
        fields = (
            _VERSION64 if wide else _VERSION,
            _FLAGS,
            layout.STORED,
            0,
            _DATE,
            0,
            size,
            size,
            len(raw),
            len(extra),
        )
        return layout.LOCAL_HEADER.pack(layout.LOCAL, *fields) + raw + extra


def _central_entry(member: _Written) -> bytes:
    wide, size, header = b"", member.size, member.header
    if size >= layout.FULL32:
        wide, size = struct.pack("<QQ", size, size), layout.FULL32
    if header >= layout.FULL32:
        wide, header = wide + struct.pack("<Q", header), layout.FULL32
    extra = struct.pack("<HH", layout.ZIP64_EXTRA, len(wide)) + wide if wide else b""
    version = _VERSION64 if wide else _VERSION
    fields = (
        version,
        version,
        member.flags,
        layout.STORED,
        0,
        _DATE,
        member.crc,
        size,
        size,
        len(member.name),
        len(extra),
    )
    return layout.CENTRAL_HEADER.pack(layout.CENTRAL, *fields, 0, 0, 0, 0, header) + member.name + extra
