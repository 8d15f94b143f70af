"""Reads zip archives in place, by their central directory: nothing is ever extracted.

Source: PKWARE APPNOTE.TXT 6.3.10, https://pkware.cachefly.net/webdocs/casestudies/APPNOTE.TXT
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator

from panmodel.errors import CorruptError, LimitError, ReadError
from panmodel.io.source import CHUNK, Extent, Source
from panmodel.limits import DEFAULT, Limits
from panmodel.wire.zip_directory import DAMAGED, LOCAL, LOCAL_HEADER, STORED, Member, corrupt, read_members

#: Bytes that deflated content can take more than the content itself, up to 64 KiB of it.
_OVERHEAD = 1024


class Archive:
    """A zip archive, its directory read and checked.

    Args:
        source: The archive's bytes.
        zero_crc_is_absent: A CRC-32 of 0 says that none was computed, which torch does on request; it is not verified.
        limits: Caps on members, names and expansion.

    Raises:
        CorruptError: The archive contradicts itself.
        LimitError: It has too many members, or one that expands too far.
        UnsafeError: A member's name leads out of the archive.
        UnsupportedError: It is encrypted, in several volumes, or compressed by a method other than deflate.
    """

    def __init__(self, source: Source, *, zero_crc_is_absent: bool = False, limits: Limits = DEFAULT) -> None:
        self.source = source
        self._zero_crc_is_absent = zero_crc_is_absent
        self._verified: set[str] = set()
        self.members = read_members(source, limits)

    def extent(self, name: str) -> Extent | None:
        """Where a member's content lies in the file; None if it is compressed."""
        member = self.members[name]
        return Extent(self.source, member.offset, member.size) if member.method == STORED else None

    def read(self, name: str, *, limit: int) -> bytes:
        """The whole content of a member, its CRC-32 verified.

        Args:
            name: A key of `members`.
            limit: Most bytes that it may have.

        Raises:
            LimitError: It has more.
            CorruptError: It does not meet its CRC-32, or does not decompress.
        """
        member = self.members[name]
        if member.size > limit:
            raise LimitError(f"member {name!r} has {member.size} bytes, more than {limit}", where=self.source.name)
        buffer, position = bytearray(member.size), 0
        for piece in self.chunks(name):
            buffer[position : position + len(piece)] = piece
            position += len(piece)
        return bytes(buffer)

    def head(self, name: str, nbytes: int) -> bytes:
        """The first bytes of a member's content, or all if it has no more. They are not verified.

        Raises:
            CorruptError: It does not decompress.
        """
        member = self.members[name]
        stored = self.source.read(member.offset, min(member.compressed, nbytes + _OVERHEAD))
        if member.method == STORED:
            return stored[:nbytes]
        try:
            return zlib.decompressobj(-zlib.MAX_WBITS).decompress(stored, nbytes)
        except zlib.error as error:
            raise corrupt(self.source, f"member {name!r} does not decompress: {error}") from None

    def chunks(self, name: str) -> Iterator[memoryview]:
        """Yield a member's content in pieces, each valid until the next; its CRC-32 is verified after the last.

        Raises:
            CorruptError: It does not meet its CRC-32, or does not decompress.
        """
        running = self.running(name)
        for piece in self._content(self.members[name]):
            running.update(piece)
            yield piece
        if said := running.verify():
            raise CorruptError(f"member {name!r}: {said}", where=self.source.name, hint=DAMAGED)

    def running(self, name: str) -> RunningCrc:
        """The checksum for somebody who reads the whole of a member by its extent."""
        return RunningCrc(self, self.members[name])

    def standing(self, name: str) -> StandingCrc:
        """The checksum for somebody who reads a part of a member: the whole is verified, once."""
        return StandingCrc(self, self.members[name])

    def _content(self, member: Member) -> Iterator[memoryview]:
        if member.method == STORED:
            return self.source.chunks(member.offset, member.size)
        return _inflated(self.source, member)


class RunningCrc:
    """CRC-32 over the bytes as they are read; a `model.tensor.Checksum`."""

    def __init__(self, archive: Archive, member: Member) -> None:
        from isal.isal_zlib import crc32  # several times as fast as zlib's

        self._archive, self._member, self._crc32 = archive, member, crc32
        self._value = 0

    def update(self, piece: memoryview) -> None:
        """Take the next piece."""
        self._value = self._crc32(piece, self._value)

    def verify(self) -> str | None:
        """None if the stored CRC-32 is met, else what was expected and found."""
        expected = self._member.crc
        if self._value != expected and not (expected == 0 and self._archive._zero_crc_is_absent):
            return f"CRC-32 {expected:08x} expected, {self._value:08x} found"
        self._archive._verified.add(self._member.name)
        return None


class StandingCrc:
    """CRC-32 of a whole member, for those who read a part of it; a `model.tensor.Checksum`."""

    def __init__(self, archive: Archive, member: Member) -> None:
        self._archive, self._member = archive, member

    def update(self, piece: memoryview) -> None:
        """A part alone tells nothing."""

    def verify(self) -> str | None:
        """None if the member meets its CRC-32; read once, however many parts are asked for."""
        if self._member.name in self._archive._verified:
            return None
        running = self._archive.running(self._member.name)
        for piece in self._archive._content(self._member):
            running.update(piece)
        return running.verify()


def _inflated(source: Source, member: Member) -> Iterator[memoryview]:
    """Yield a deflated member's content; no more than its stated size is ever made."""
    inflate, left = zlib.decompressobj(-zlib.MAX_WBITS), member.size
    try:
        for piece in source.chunks(member.offset, member.compressed):
            pending: bytes | memoryview = piece
            while pending and not inflate.eof:
                content = inflate.decompress(pending, min(CHUNK, left + 1))
                pending = inflate.unconsumed_tail
                left -= len(content)
                if left < 0:
                    break
                yield memoryview(content)
    except zlib.error as error:
        raise corrupt(source, f"member {member.name!r} does not decompress: {error}") from None
    if left or not inflate.eof or inflate.unused_data:
        raise corrupt(source, f"member {member.name!r} does not decompress to its {member.size} bytes")


def is_zip(head: bytes) -> bool:
    """Whether a file that begins with these bytes may be a zip archive with members."""
    return head.startswith(LOCAL)


def first_name(source: Source) -> str:
    """The name in the first local header, for telling what a damaged archive was meant to be; "" if there is none."""
    try:
        fields = LOCAL_HEADER.unpack(source.read(0, LOCAL_HEADER.size))
        return source.read(LOCAL_HEADER.size, fields[9]).decode() if fields[0] == LOCAL else ""
    except (ReadError, UnicodeDecodeError):
        return ""
