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
_FILE_TYPES = (b"0", b"\0", b"7", b"S")
_PAX_RECORD = re.compile(rb"(?:^|\n)\d+ (path|linkpath|size)=([^\n]*)")
#: Members of torch's oldest files whose pickles have raw numbers between them, told by their place beside the others.
_TORCH = frozenset({"storages", "pickle"})


@dataclass(frozen=True, slots=True)
class _Entry:
    name: str
    kind: bytes
    link: str
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
        if climbs_out(name):
            subject.report(ESCAPE, f"has a member {name[:200]!r}", offset=entry.begin)
        if entry.kind in (b"1", b"2"):
            target = f"{name.rpartition('/')[0]}/{entry.link}" if entry.kind == b"2" else entry.link
            rule = ESCAPE if climbs_out(entry.link) or _climbs(target) else LINK
            subject.report(rule, f"member {name[:200]!r} leads to {entry.link[:200]!r}", offset=entry.begin)
        elif entry.kind in (b"3", b"4", b"6"):
            subject.report(DEVICE, f"member {name[:200]!r}", offset=entry.begin)
        elif entry.kind in _FILE_TYPES and entry.size:
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
        prefix = _text(block[345:500]) if block[257:262] == b"ustar" and block[263:265] == b"00" else ""
        plain = "/".join(part for part in (prefix, _text(block[:100])) if part)
        yield _Entry(long_name or plain, kind, long_link or _text(block[157:257]), begin, size)
        long_name = long_link = ""


def _extended(kind: bytes, content: bytes, name: str, link: str) -> tuple[str, str]:
    if kind == b"L":
        return _text(content), link
    if kind == b"K":
        return name, _text(content)
    for key, value in _PAX_RECORD.findall(content):
        if key == b"path":
            name = _text(value)
        elif key == b"linkpath":
            link = _text(value)
        else:
            raise CorruptError("a member's size is given a second time")
    return name, link


def _text(field: bytes) -> str:
    return field.partition(b"\0")[0].decode("utf-8", "replace")


SCANNER = Scanner("tar archive", recognises, scan, (ESCAPE, LINK, DEVICE))
