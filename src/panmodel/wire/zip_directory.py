"""The directory of a zip archive, held against every local header before anything of it is believed.

Every way in which two readers of one archive could come to see different things is refused: members that overlap or lie
outside the file, two members of one name, local headers that contradict the directory, bytes before or after it all.

Source: PKWARE APPNOTE.TXT 6.3.10, https://pkware.cachefly.net/webdocs/casestudies/APPNOTE.TXT
"""

from __future__ import annotations

import struct
import unicodedata
from collections.abc import Iterator, Mapping
from itertools import pairwise
from types import MappingProxyType
from typing import NamedTuple

from panmodel.errors import CorruptError, LimitError, UnsafeError, UnsupportedError
from panmodel.io.pages import PagedSource
from panmodel.io.source import Source
from panmodel.limits import Limits

STORED, DEFLATED = 0, 8
LOCAL, CENTRAL, DESCRIPTOR = b"PK\x03\x04", b"PK\x01\x02", b"PK\x07\x08"
END, END64, LOCATOR64 = b"PK\x05\x06", b"PK\x06\x06", b"PK\x06\x07"
LOCAL_HEADER = struct.Struct("<4s5H3I2H")  # signature version flags method time date crc compressed size name extra
CENTRAL_HEADER = struct.Struct("<4s6H3I5H2I")
END_RECORD = struct.Struct("<4s4H2IH")
END64_RECORD = struct.Struct("<4sQ2H2I4Q")
LOCATOR64_RECORD = struct.Struct("<4sIQI")
_DESCRIPTOR_RECORD = struct.Struct("<4s3I")
ZIP64_EXTRA = 0x0001
UNICODE_PATH = 0x7075
FULL16, FULL32 = 0xFFFF, 0xFFFFFFFF  # "see the zip64 record"

_ENCRYPTED = 0x0001 | 0x0040 | 0x2000
_SIZES_FOLLOW = 0x0008
_UTF8 = 0x0800
_BEYOND_ASCII = bytes(range(128, 256))
_NO_NAMES = frozenset(["", ".", ".."])  # of a file or folder
_SYMBOLIC_LINK, _KIND_OF_FILE = 0o120000, 0o170000
DAMAGED = "the archive is damaged or was made to deceive: fetch the file again from where it comes from"


class Member(NamedTuple):
    """One file of an archive.

    Attributes:
        name: Its name, `/` between folders.
        method: STORED or DEFLATED.
        crc: CRC-32 of its content; 0 may mean that none was computed (see `Archive`).
        compressed: Bytes in the archive.
        size: Bytes of content.
        offset: Where its bytes begin in the archive, after the local header.
    """

    name: str
    method: int
    crc: int
    compressed: int
    size: int
    offset: int


class _Entry(NamedTuple):
    """A central directory entry, not yet held against its local header."""

    raw_name: bytes
    name: str
    flags: int
    method: int
    crc: int
    compressed: int
    size: int
    header: int


def read_members(source: Source, limits: Limits) -> Mapping[str, Member]:
    """The members of an archive by name, in directory order.

    Raises:
        CorruptError: The archive contradicts itself.
        LimitError: It has too many members, or one that expands too far.
        UnsafeError: A member's name leads out of the archive.
        UnsupportedError: It is encrypted, in several volumes, or compressed by a method other than deflate.
    """
    begin, end, count = _find_directory(source, limits)
    entries = list(_entries(source, begin, end, count, limits))
    members = _placed(PagedSource(source), entries, begin)
    _check_distinct(source, members)
    return MappingProxyType(members)


def corrupt(source: Source, message: str) -> CorruptError:
    """The error to raise for a broken archive."""
    return CorruptError(message, where=source.name, hint=DAMAGED)


def _find_directory(source: Source, limits: Limits) -> tuple[int, int, int]:
    """Begin and end of the central directory, and the number of its entries."""
    tail_size = min(source.size, END_RECORD.size + FULL16)
    tail = source.read(source.size - tail_size, tail_size)
    found = tail.rfind(END)
    if found < 0 or len(tail) - found < END_RECORD.size:
        raise corrupt(source, "no end record of a zip archive is found: the file is cut short or no zip archive")
    position = source.size - tail_size + found
    _, disk, first_disk, here, count, size, begin, comment = END_RECORD.unpack_from(tail, found)
    if position + END_RECORD.size + comment != source.size:
        raise corrupt(source, f"the zip archive's end record at {position} does not end where the file does")
    values, end = [disk, first_disk, here, count, size, begin], position
    locator_at = position - LOCATOR64_RECORD.size
    if locator_at >= 0 and source.read(locator_at, 4) == LOCATOR64:
        end, values = _zip64_end(source, locator_at, values)
    disk, first_disk, here, count, size, begin = values
    if disk or first_disk or here != count:
        raise UnsupportedError("the zip archive is one volume of several", where=source.name)
    if begin + size != end:
        raise corrupt(source, f"the zip directory should end at {end}, where its end record is, not at {begin + size}")
    if count > limits.members or size > limits.header_bytes:
        message = f"{count} members in a directory of {size} bytes exceed {limits.members} and {limits.header_bytes}"
        raise LimitError(message, where=source.name)
    if count * CENTRAL_HEADER.size > size:
        raise corrupt(source, f"{count} members do not fit into a zip directory of {size} bytes")
    return begin, end, count


def _zip64_end(source: Source, locator_at: int, values: list[int]) -> tuple[int, list[int]]:
    """Position and numbers of the zip64 end record; they must agree with the short ones that are given."""
    _, disk, position, disks = LOCATOR64_RECORD.unpack(source.read(locator_at, LOCATOR64_RECORD.size))
    if disk or disks > 1:
        raise UnsupportedError("the zip archive is one volume of several", where=source.name)
    if position + END64_RECORD.size > locator_at:
        raise corrupt(source, f"the zip64 end record cannot lie at {position}")
    signature, size, _, _, *wide = END64_RECORD.unpack(source.read(position, END64_RECORD.size))
    if signature != END64 or position + 12 + size != locator_at:
        raise corrupt(source, f"there is no zip64 end record at {position}")
    for short, long, full in zip(values, wide, (FULL16, FULL16, FULL16, FULL16, FULL32, FULL32), strict=True):
        if short not in (full, long):
            raise corrupt(source, f"the zip end records contradict each other: {short} and {long}")
    return position, wide


def _entries(source: Source, begin: int, end: int, count: int, limits: Limits) -> Iterator[_Entry]:
    data = source.read(begin, end - begin)
    position = 0
    for _ in range(count):
        if position + CENTRAL_HEADER.size > len(data):
            raise corrupt(source, f"the zip directory ends within its entry at {begin + position}")
        fields = CENTRAL_HEADER.unpack_from(data, position)
        signature, _, _, flags, method, _, _, crc, compressed, size = fields[:10]
        name_size, extra_size, comment_size, disk, _, attributes, header = fields[10:]
        name_at = position + CENTRAL_HEADER.size
        extra_at = name_at + name_size
        position = extra_at + extra_size + comment_size
        if signature != CENTRAL or position > len(data):
            raise corrupt(source, f"the zip directory is broken before byte {begin + min(position, len(data))}")
        raw = data[name_at:extra_at]
        name = _checked_name(source, raw, flags, limits)
        if extra_size:
            extra = data[extra_at : extra_at + extra_size]
            size, compressed, header = _widened(source, name, extra, (size, compressed, header))
            _check_second_name(source, raw, name, extra)
        if disk:
            raise UnsupportedError("the zip archive is one volume of several", where=source.name)
        if (attributes >> 16) & _KIND_OF_FILE == _SYMBOLIC_LINK:
            raise UnsafeError(f"member {name!r} is a symbolic link", where=source.name)
        entry = _Entry(raw, name, flags, method, crc, compressed, size, header)
        _check_compression(source, entry, limits)
        yield entry
    if position != len(data):
        raise corrupt(source, f"{len(data) - position} bytes follow the last entry of the zip directory")


def _check_compression(source: Source, entry: _Entry, limits: Limits) -> None:
    name = entry.name
    if entry.flags & _ENCRYPTED:
        raise UnsupportedError(f"member {name!r} is encrypted", where=source.name, hint="decrypt the archive first")
    if entry.method not in (STORED, DEFLATED):
        hint = "pack the archive again with stored or deflated members"
        raise UnsupportedError(f"member {name!r} uses compression method {entry.method}", where=source.name, hint=hint)
    if entry.method == STORED and entry.compressed != entry.size:
        raise corrupt(source, f"stored member {name!r} has two sizes, {entry.compressed} and {entry.size}")
    if (
        entry.size == 0 and entry.crc
    ):  # of a tensor, no bytes can mean that it has none: nobody would read and verify it
        raise corrupt(source, f"member {name!r} is empty, but its CRC-32 is {entry.crc:#010x}, that of something else")
    if entry.size > max(entry.compressed * limits.member_ratio, limits.message_bytes) and entry.method == DEFLATED:
        message = (
            f"member {name!r} expands {entry.compressed} bytes to {entry.size}, more than {limits.member_ratio} times"
        )
        raise LimitError(message, where=source.name)


def _checked_name(source: Source, raw: bytes, flags: int, limits: Limits) -> str:
    if len(raw) > limits.name_bytes:
        raise LimitError(f"a member's name has {len(raw)} bytes", where=source.name)
    try:
        name = raw.decode("utf-8" if flags & _UTF8 else "cp437")
    except UnicodeDecodeError:
        raise corrupt(source, f"a member's name is not UTF-8: {raw[:80]!r}") from None
    parts = name.removesuffix("/").split("/")
    if "\\" in name or "\0" in name or not _NO_NAMES.isdisjoint(parts) or parts[0].endswith(":"):
        raise UnsafeError(f"member name {name[:200]!r} could lead out of the archive", where=source.name)
    return name


def _widened(source: Source, name: str, extra: bytes, values: tuple[int, int, int]) -> tuple[int, ...]:
    """Size, compressed size and header offset, those that do not fit 32 bits taken from the zip64 extra field."""
    wide = _extra_field(source, name, extra, ZIP64_EXTRA)
    result, position = [], 0
    for value in values:
        if value == FULL32 and wide is not None:
            if position + 8 > len(wide):
                raise corrupt(source, f"the zip64 field of member {name!r} is too short")
            value = int.from_bytes(wide[position : position + 8], "little")
            position += 8
        result.append(value)
    return tuple(result)


def _check_second_name(source: Source, raw: bytes, name: str, extra: bytes) -> None:
    """Refuse a second name, which some readers go by, unless it only spells letters that the first cannot."""
    if UNICODE_PATH.to_bytes(2, "little") not in extra:
        return
    second = _extra_field(source, name, extra, UNICODE_PATH)
    if second is not None and second[5:].translate(None, _BEYOND_ASCII) != raw.translate(None, _BEYOND_ASCII):
        raise corrupt(source, f"member {name!r} has a second name, {second[5:85]!r}")


def _extra_field(source: Source, name: str, extra: bytes, wanted: int) -> bytes | None:
    position, found = 0, None
    while position + 4 <= len(extra):
        kind, size = struct.unpack_from("<HH", extra, position)
        if position + 4 + size > len(extra):
            raise corrupt(source, f"the extra fields of member {name!r} are broken")
        if kind == wanted:
            if found is not None:
                raise corrupt(source, f"member {name!r} has two extra fields of kind {wanted:#06x}")
            found = extra[position + 4 : position + 4 + size]
        position += 4 + size
    return found


def _placed(source: Source, entries: list[_Entry], directory: int) -> dict[str, Member]:
    """The members by name, in directory order, after every local header was seen to agree and nothing to overlap."""
    members: dict[str, Member] = {}
    spans: list[tuple[int, int, str]] = []
    for entry in entries:
        member = _member(source, entry, directory)
        if member.name in members:
            raise corrupt(source, f"two members have the name {member.name!r}")
        members[member.name] = member
        descriptor = 12 if entry.flags & _SIZES_FOLLOW else 0
        spans.append((entry.header, member.offset + member.compressed + descriptor, member.name))
    spans.sort()
    if spans and spans[0][0] != 0:
        raise corrupt(source, f"{spans[0][0]} foreign bytes lie before the first member of the archive")
    for (_, end, name), (begin, _, other) in pairwise([*spans, (directory, directory, "the directory")]):
        if end > begin:
            raise corrupt(source, f"member {name!r} ends at {end}, beyond the begin of {other!r} at {begin}")
    return members


def _member(source: Source, entry: _Entry, directory: int) -> Member:
    """Hold an entry against its local header."""
    name = entry.name
    if entry.header + LOCAL_HEADER.size > directory:
        raise corrupt(source, f"the header of member {name!r} would lie at {entry.header}, beyond the members")
    fields = LOCAL_HEADER.unpack(source.read(entry.header, LOCAL_HEADER.size))
    signature, _, flags, method, _, _, crc, compressed, size, name_size, extra_size = fields
    if signature != LOCAL:
        raise corrupt(source, f"there is no header of member {name!r} at {entry.header}")
    rest = source.read(entry.header + LOCAL_HEADER.size, name_size + extra_size)
    if rest[:name_size] != entry.raw_name or (flags, method) != (entry.flags, entry.method):
        raise corrupt(source, f"the header of member {name!r} contradicts the directory in name, flags or method")
    # A local header speaks of no offset: the third number stands for nothing.
    extra = _extra_field(source, name, rest[name_size:], ZIP64_EXTRA) if FULL32 in (compressed, size) else None
    if extra is not None:
        size, compressed, _ = _widened(source, name, rest[name_size:], (size, compressed, 0))
    found, stated = (crc, compressed, size), (entry.crc, entry.compressed, entry.size)
    if found != stated and not (flags & _SIZES_FOLLOW and found[1:] in ((0, 0), stated[1:]) and crc in (0, entry.crc)):
        raise corrupt(source, f"the header of member {name!r} contradicts the directory in size or CRC-32")
    offset = entry.header + LOCAL_HEADER.size + len(rest)
    if flags & _SIZES_FOLLOW and not any(found) and not _has_descriptor(source, entry, offset, directory):
        raise corrupt(source, f"what follows member {name!r} contradicts the directory in size or CRC-32")
    return Member(name, method, entry.crc, entry.compressed, entry.size, offset)


def _has_descriptor(source: Source, entry: _Entry, begin: int, directory: int) -> bool:
    """Whether what a header left open stands behind the content: CRC-32 and sizes of 4 or 8 bytes.

    A signature may stand before them; without one, zeros could as well be content: the next record has to follow.
    """
    end = min(begin + entry.compressed, directory)
    there = source.read(end, min(24, source.size - end))
    sizes = [struct.pack("<QQ", entry.compressed, entry.size)]
    if max(entry.compressed, entry.size) < FULL32:
        if there.startswith(_DESCRIPTOR_RECORD.pack(DESCRIPTOR, entry.crc, entry.compressed, entry.size)):
            return True  # as nearly all writers have it
        sizes.append(struct.pack("<II", entry.compressed, entry.size))
    stated = [entry.crc.to_bytes(4, "little") + both for both in sizes]
    return there.startswith((*(DESCRIPTOR + numbers for numbers in stated), *(numbers + b"PK" for numbers in stated)))


def _check_distinct(source: Source, members: Mapping[str, Member]) -> None:
    seen: dict[str, str] = {}
    for name in members:
        plain = unicodedata.normalize("NFC", name).removesuffix("/")
        if plain in seen:
            raise corrupt(source, f"members {seen[plain]!r} and {name!r} are of one name to other readers")
        seen[plain] = name
