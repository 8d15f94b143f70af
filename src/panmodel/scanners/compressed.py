"""Single compressed files: gzip, bzip2, xz and zlib, as joblib and download sites make them.

What is unpacked stays in memory, is bounded, and is looked at like any other file.
"""

from __future__ import annotations

import bz2
import lzma
import zlib
from typing import Protocol

from panmodel.io.source import MemorySource
from panmodel.model.finding import Level, Rule
from panmodel.model.scanner import UNREADABLE, Scanner, Subject

TOO_LARGE = Rule(
    "PM-COMPRESSED-EXPANDS",
    Level.UNDECIDED,
    "A compressed file unpacks to more than is looked at.",
    "Unpack it where memory is bounded, and scan the result.",
)
OPAQUE = Rule(
    "PM-COMPRESSED-OPAQUE",
    Level.UNDECIDED,
    "A compressed file of a kind that is not unpacked here, which joblib and others may unpack and unpickle.",
    "Unpack it in a safe place and scan the files.",
)
#: Raw numbers do not begin like this but by a chance of one in four billion.
_NOT_UNPACKED = {
    b"\x04\x22\x4d\x18": "LZ4",
    b"\x28\xb5\x2f\xfd": "Zstandard",
    b"7z\xbc\xaf": "7-Zip",
    b"Rar!": "RAR",
}
_MOST = 256 << 20
_PIECE = 1 << 16
_HEAD = 8  # bytes that tell how a stream is packed
_STREAMS = 100_000


class _Unpacker(Protocol):
    @property
    def eof(self) -> bool: ...

    @property
    def unused_data(self) -> bytes: ...

    def decompress(self, data: bytes, max_length: int = ...) -> bytes: ...


def _unpacker(head: bytes) -> _Unpacker | None:
    if head[:2] == b"\x1f\x8b":
        return zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)
    if head[:3] == b"BZh":
        return bz2.BZ2Decompressor()
    if head[:6] == b"\xfd7zXZ\0" or head[:5] == b"\x5d\0\0\x80\0":
        return lzma.LZMADecompressor(memlimit=_MOST)
    if head[:1] == b"\x78" and len(head) > 1 and int.from_bytes(head[:2], "big") % 31 == 0:
        return zlib.decompressobj()
    return None


def recognises(subject: Subject) -> bool:
    """Whether it begins as compressed data, and a first piece unpacks where that is possible."""
    if subject.head(4) in _NOT_UNPACKED:
        return True
    unpacker = _unpacker(subject.head(8))
    if unpacker is None:
        return False
    try:
        return bool(unpacker.decompress(subject.head(_PIECE), 64))
    except (zlib.error, OSError, lzma.LZMAError, EOFError):
        return False


def scan(subject: Subject) -> None:
    """Unpack as much as there is, and look at it; what comes before a fault counts."""
    if kind := _NOT_UNPACKED.get(subject.head(4)):
        subject.report(OPAQUE, f"is packed by {kind}")
        return
    content, fault = _unpacked(subject)
    if fault is not None:
        subject.report(UNREADABLE, f"the compressed data are broken: {fault}")
    if content:
        subject.inside(MemorySource(bytes(content), subject.source.name), "unpacked")


def _unpacked(subject: Subject) -> tuple[bytearray, str | None]:
    """All that is packed, in as many streams behind each other as there are, and what is wrong with the rest."""
    content, source = bytearray(), subject.source
    unpacker, data, streams = None, b"", 0
    for piece in source.chunks(0, source.size, _PIECE):
        data += bytes(piece)
        try:
            while data:
                if unpacker is None and len(data) >= _HEAD and streams < _STREAMS:
                    unpacker, streams = _unpacker(data), streams + 1
                if unpacker is None:
                    break
                part = unpacker.decompress(data, _MOST - len(content) + 1)
                subject.spend(len(part))
                content += part
                if len(content) > _MOST:
                    subject.report(TOO_LARGE, f"unpacks to over {_MOST} bytes")
                    return content, None
                data = unpacker.unused_data if unpacker.eof else getattr(unpacker, "unconsumed_tail", b"")
                unpacker = None if unpacker.eof else unpacker
        except (zlib.error, OSError, lzma.LZMAError, EOFError) as error:
            return content, str(error)
        if unpacker is None and len(data) >= _HEAD and data.strip(b"\0"):
            return content, f"something else follows, which begins with {data[:_HEAD].hex(' ')}"
    if unpacker is None:
        return content, f"{len(data)} bytes follow" if data.strip(b"\0") else None
    return content, "they end too early"


SCANNER = Scanner("compressed file", recognises, scan, (TOO_LARGE, OPAQUE))
