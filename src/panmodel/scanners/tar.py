"""Tar archives: torch's oldest files, .nemo, and models that are packed for download.

Source: POSIX.1-2017 pax, ustar; the GNU tar manual for types L and K; torch/serialization.py (`legacy_load`)
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from panmodel.errors import CorruptError
from panmodel.io.source import Extent, PartSource, Source
from panmodel.model.finding import Level, Rule
from panmodel.model.scanner import Scanner, Subject, climbs_out

ESCAPE = Rule(
    "PM-TAR-ESCAPE",
    Level.DANGEROUS,
    "A member's name or link leads out of the folder that the archive is unpacked to.",
    "Do not unpack it.",
)
LINK = Rule(
    "PM-TAR-LINK",
    Level.NOTE,
    "A link from one member of the archive to another.",
    "Nothing, as long as it stays inside of the archive.",
)
DEVICE = Rule(
    "PM-TAR-DEVICE",
    Level.DANGEROUS,
    "The archive makes a device or pipe where it is unpacked.",
    "Do not unpack it.",
)
_BLOCK, _MEMBERS, _LONGEST_NAME = 512, 100_000, 1 << 16
#: Directories, links and devices have no content; what is of an unknown type is unpacked as a file.
_WITHOUT_CONTENT = (b"1", b"2", b"3", b"4", b"5", b"6")
_PAX_LENGTH = re.compile(rb"(\d{1,6}) ")
#: Members of torch's oldest files whose pickles have raw numbers between them, told by their place beside the others.
_TORCH = frozenset({"storages", "pickle"})


@dataclass(frozen=True, slots=True)
class _Entry:
    name: str
    kind: bytes
    link: str
    prefix: str
    begin: int
    size: int


def recognises(subject: Subject) -> bool:
    """Whether it begins with a tar header: its checksum tells, with or without the mark of ustar."""
    if subject.source.size < _BLOCK:
        return False
    return _is_header(subject.head(_BLOCK))


def _is_header(block: bytes) -> bool:
    stated = _octal(block[148:156])
    return stated is not None and stated > 8 * 32 and stated == sum(block) - sum(block[148:156]) + 8 * 32


def _octal(field: bytes) -> int | None:
    if field[:1] == b"\x80":
        return int.from_bytes(field[1:], "big")
    text = field.strip(b"\0 ")
    return int(text, 8) if re.fullmatch(rb"[0-7]+", text) else None


def scan(subject: Subject) -> None:
    """Judge names and links, and look at every member."""
    entries = list(_entries(subject.source))
    names = {entry.name.removeprefix("./") for entry in entries}
    if len(names) != len(entries):
        raise CorruptError("two members of the archive have the same name", where=subject.source.name)
    for entry in entries:
        name = entry.name.removeprefix("./")
        if climbs_out(name) or climbs_out(entry.prefix):
            subject.report(ESCAPE, f"has a member {f'{entry.prefix} {name}'.strip()[:200]!r}", offset=entry.begin)
        if entry.kind in (b"1", b"2"):
            target = f"{name.rpartition('/')[0]}/{entry.link}" if entry.kind == b"2" else entry.link
            rule = ESCAPE if climbs_out(entry.link) or _climbs(target) else LINK
            subject.report(rule, f"member {name[:200]!r} leads to {entry.link[:200]!r}", offset=entry.begin)
        elif entry.kind in (b"3", b"4", b"6"):
            subject.report(DEVICE, f"member {name[:200]!r}", offset=entry.begin)
        elif entry.kind not in _WITHOUT_CONTENT and entry.size:
            part = PartSource(Extent(subject.source, entry.begin, entry.size), f"{subject.source.name}, {name}")
            subject.inside(part, name, raw_between=names >= _TORCH)


def _climbs(path: str) -> bool:
    depth = 0
    for part in path.split("/"):
        depth += {"": 0, ".": 0, "..": -1}.get(part, 1)
        if depth < 0:
            return True
    return False


def _entries(source: Source) -> Iterator[_Entry]:
    """The members, under the names that the extensions of GNU and POSIX give them."""
    position, long_name, long_link = 0, "", ""
    for _ in range(_MEMBERS):
        if position + _BLOCK > source.size:
            return
        block = source.read(position, _BLOCK)
        if not block.strip(b"\0"):
            _check_rest(source, position)
            return
        size = _octal(block[124:136])
        if size is None or not _is_header(block):
            raise CorruptError(f"there is no tar header at {position}", where=source.name)
        begin, kind = position + _BLOCK, block[156:157]
        source.check(begin, size)
        position = begin + -(-size // _BLOCK) * _BLOCK
        if kind in (b"L", b"K", b"x", b"g"):
            if size > _LONGEST_NAME:
                raise CorruptError(f"a name of {size} bytes", where=source.name)
            long_name, long_link = _extended(kind, source.read(begin, size), long_name, long_link)
            continue
        if kind == b"S":
            raise CorruptError("a sparse member, which unpacks to other bytes than are there", where=source.name)
        prefix = _text(block[345:500])
        own = prefix if block[257:262] == b"ustar" and block[263:265] == b"00" else ""
        plain = "/".join(part for part in (own, _text(block[:100])) if part)
        yield _Entry(long_name or plain, kind, long_link or _text(block[157:257]), prefix, begin, size)
        long_name = long_link = ""


def _extended(kind: bytes, content: bytes, name: str, link: str) -> tuple[str, str]:
    if kind == b"L":
        return _text(content), link
    if kind == b"K":
        return name, _text(content)
    if kind == b"g":
        raise CorruptError("a header for all members that follow, which readers apply differently")
    for key, value in _records(content):
        if key == b"path":
            name = _text(value)
        elif key == b"linkpath":
            link = _text(value)
        elif key == b"size" or key.startswith((b"GNU.sparse", b"hdrcharset")):
            raise CorruptError(f"{key.decode('ascii')!r} of a member is given a second time")
    return name, link


def _records(content: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Keys and values of an extended header; each record begins with its length."""
    position = 0
    while position < len(content) and content[position:].strip(b"\0"):
        length = _PAX_LENGTH.match(content, position)
        end = position + int(length[1]) if length else position
        if length is None or not length.end() < end <= len(content) or content[end - 1 : end] != b"\n":
            raise CorruptError(f"the extended header has no record at {position}")
        key, equals, value = content[length.end() : end - 1].partition(b"=")
        if not equals or not key.isascii():
            raise CorruptError(f"the extended header has no keyword at {position}")
        yield key, value
        position = end


def _check_rest(source: Source, position: int) -> None:
    """Readers stop at an empty block, unless they are told to go on."""
    for piece in source.chunks(position, source.size - position):
        if bytes(piece).strip(b"\0"):
            raise CorruptError(f"something follows the end of the archive at {position}", where=source.name)


def _text(field: bytes) -> str:
    return field.partition(b"\0")[0].decode("utf-8", "replace")


SCANNER = Scanner("tar archive", recognises, scan, (ESCAPE, LINK, DEVICE))
