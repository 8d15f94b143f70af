"""Single files that were packed by gzip, xz and the like: no model is read so, but what they are can be said.

Source: RFC 1950 (zlib), 1952 (gzip) and 8878 (Zstandard), and the descriptions of the .bz2, .xz, .lzma, LZ4 frame, 7z
and RAR formats.
"""

from __future__ import annotations

import re
import shlex
import zlib
from dataclasses import dataclass
from pathlib import PurePath

_ZLIB_COMMAND = 'python -c "import sys, zlib; sys.stdout.buffer.write(zlib.decompress(sys.stdin.buffer.read()))" <'


@dataclass(frozen=True, slots=True)
class Packing:
    """A way in which a file is packed.

    Attributes:
        name: What packs it.
        begins: What the file begins with.
        unpack: The command that writes what is packed to its output, in front of the name of the file.
        suffixes: What such files are called.
        into_folder: The command writes files into the folder where it is run, and nothing to its output.
    """

    name: str
    begins: re.Pattern[bytes]
    unpack: str
    suffixes: tuple[str, ...]
    into_folder: bool = False

    def command(self, path: PurePath) -> str:
        """The command that unpacks a file, beside it."""
        if self.into_folder:
            return f"{self.unpack} {shlex.quote(str(path))}"
        inner = path.with_suffix("") if path.suffix in self.suffixes else path.with_stem(f"{path.stem}.unpacked")
        return f"{self.unpack} {shlex.quote(str(path))} > {shlex.quote(str(inner))}"


def _packing(name: str, begins: bytes, unpack: str, *suffixes: str, into_folder: bool = False) -> Packing:
    return Packing(name, re.compile(begins, re.DOTALL), unpack, suffixes, into_folder)


_KINDS = (
    _packing("gzip", rb"\x1f\x8b\x08", "gzip -dc <", ".gz"),
    _packing("bzip2", rb"BZh[1-9]1AY&SY", "bzip2 -dc <", ".bz2"),
    _packing("xz", rb"\xfd7zXZ\0", "xz -dc <", ".xz"),
    _packing("lzma", rb"\x5d\0\0..(\xff{8}|.{5}\0{3})\0", "xz --format=lzma -dc <", ".lzma"),
    _packing("Zstandard", rb"\x28\xb5\x2f\xfd", "zstd -dc <", ".zst", ".zstd"),
    _packing("LZ4", rb"\x04\x22\x4d\x18", "lz4 -dc <", ".lz4"),
    _packing("zlib", rb"\x78[\x01\x5e\x9c\xda]", _ZLIB_COMMAND, ".z", ".zlib"),
    _packing("7-Zip", rb"7z\xbc\xaf\x27\x1c", "7z x", ".7z", into_folder=True),
    _packing("RAR", rb"Rar!\x1a\x07", "unrar x", ".rar", into_folder=True),
)


def packing_of(head: bytes) -> Packing | None:
    """How a file is packed.

    Args:
        head: Its first bytes (64, if it has them).

    Returns:
        None if it is not, or not in a way that shows.
    """
    found = next((kind for kind in _KINDS if kind.begins.match(head)), None)
    if found is not None and found.name == "zlib" and not _unpacks(head):  # two bytes may be anything
        return None
    return found


def _unpacks(head: bytes) -> bool:
    try:
        return bool(zlib.decompressobj().decompress(head, 1))
    except zlib.error:
        return False
