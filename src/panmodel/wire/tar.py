"""Reads tar archives in place: plain files with plain names, nothing is ever extracted.

Source: POSIX.1-2017 pax, "pax Interchange Format" and "ustar Interchange Format".
"""

from __future__ import annotations

from panmodel.errors import CorruptError, LimitError, UnsafeError
from panmodel.io.source import Extent, Source
from panmodel.limits import DEFAULT, Limits

BLOCK = 512
_FILES = (b"0", b"\0")
_EXTENDED, _EXTENDED_FOR_ALL = b"x", b"g"
_DAMAGED = "the file is damaged or was made to deceive: fetch it again from where it comes from"


def is_tar(head: bytes) -> bool:
    """Whether a file that begins with these bytes (512 of them) is a tar archive: the sum of its header says."""
    return len(head) >= BLOCK and _number(head[148:156]) == _sum(head[:BLOCK]) and head[0] != 0


def read_tar(source: Source, *, limits: Limits = DEFAULT) -> dict[str, Extent]:
    """The files of an archive.

    Args:
        source: The archive's bytes.
        limits: Caps on the number of members.

    Returns:
        Name → where its content lies.

    Raises:
        CorruptError: A header does not meet its sum, a name comes twice, or a member is none of the above.
        UnsafeError: It holds links, folders or devices, or a name leads out of it.
    """
    members: dict[str, Extent] = {}
    offset, said_size, count = 0, None, 0
    while offset + BLOCK <= source.size:
        header = source.read(offset, BLOCK)
        if not any(header):
            break
        count += 1
        if count > limits.members:
            raise LimitError(f"a tar archive with over {limits.members} members", where=source.name)
        if _number(header[148:156]) != _sum(header):
            raise _corrupt(source, f"the header at {offset} does not meet its checksum")
        kind, size = header[156:157], _number(header[124:136])
        if size is None:
            raise _corrupt(source, f"the member at {offset} has no proper size")
        if said_size is not None and kind in _FILES:
            size, said_size = said_size, None
        extent = Extent(source, offset + BLOCK, size)
        source.check(extent.offset, size)
        if kind in (_EXTENDED, _EXTENDED_FOR_ALL):
            said_size = _extended_size(extent, limits)
        elif kind in _FILES:
            name = _plain_name(header, source)
            if name in members:
                raise _corrupt(source, f"two members are named {name!r}")
            members[name] = extent
        else:
            message = f"the member at {offset} is no file, but of the kind {kind!r} (a link, a folder, a device)"
            raise UnsafeError(message, where=source.name)
        offset += BLOCK + -(-size // BLOCK) * BLOCK
    return members


def _corrupt(source: Source, message: str) -> CorruptError:
    return CorruptError(message, where=source.name, hint=_DAMAGED)


def _sum(header: bytes) -> int:
    """The sum of a header's bytes, those of the sum itself taken for blanks."""
    return sum(header[:148]) + 8 * ord(" ") + sum(header[156:])


def _number(field: bytes) -> int | None:
    """An octal number; None if it is none."""
    text = field.strip(b" \0")
    return int(text, 8) if text and not text.strip(b"01234567") else None


def _plain_name(header: bytes, source: Source) -> str:
    prefix = header[345:500] if header[257:262] == b"ustar" else b""
    name = header[:100].partition(b"\0")[0].decode("utf-8", "replace")
    if any(prefix.partition(b"\0")[0]) or not name or "/" in name or "\\" in name or name in (".", ".."):
        raise UnsafeError(f"a member of the tar archive is named {name!r}, no plain file name", where=source.name)
    return name


def _extended_size(extent: Extent, limits: Limits) -> int | None:
    """The size that an extended header gives the next member; None if it gives none."""
    if extent.nbytes > limits.name_bytes:
        raise LimitError(f"an extended tar header of {extent.nbytes} bytes", where=extent.source.name)
    data, found = extent.read(), None
    while data:
        length = data.partition(b" ")[0]
        end = int(length) if length.isdigit() and len(length) < 10 else 0
        record = data[len(length) + 1 : end]
        key, equals, value = record.partition(b"=")
        if not len(length) + 1 < end <= len(data) or not equals or not record.endswith(b"\n"):
            raise _corrupt(extent.source, f"a broken extended header at {extent.offset}")
        if key in (b"path", b"linkpath") or key.startswith(b"GNU.sparse"):
            raise UnsafeError(f"an extended header changes the {key.decode()} of a member", where=extent.source.name)
        if key == b"size":
            if not value[:-1].isdigit() or len(value) > 20:
                raise _corrupt(extent.source, f"a broken size in the extended header at {extent.offset}")
            found = int(value)
        data = data[end:]
    return found
