"""The bytes of the pickles that a scan runs: a large file stays on disk, and so do the long strings in it.

What stands for a long string begins as it does, knows where it lies, and equals no other: nothing is a name or a word
of settings by its beginning alone.
"""

from __future__ import annotations

from bisect import bisect_right

import numpy as np

from panmodel.io.source import Extent, MemorySource, PartSource, Source
from panmodel.wire.pickle import Global, Object, Window, stored_bytes

ENCODE = Global("_codecs", "encode")
#: Bytes of a file that is read at once, since that is faster.
_AT_ONCE = 16 << 20
_SHOWN = 64  # bytes of a string that is left in its file
_BLOCK = 1 << 18
_LATIN1 = frozenset({"latin1", "latin-1", "iso-8859-1"})
_CONTINUED = -64  # bytes of UTF-8 that continue a character are below it, as signed numbers


class FileBytes(Window):
    """The bytes of a large file; each pickle that is run out of them may copy so much anew."""

    def renew(self) -> None:
        """Begin another pickle."""
        self._left = self._limit


def bytes_in(source: Source) -> bytes | FileBytes:
    """The bytes of a file, in memory if they are few."""
    return source.read(0, source.size) if source.size <= _AT_ONCE else FileBytes(source)


class LeftBytes(bytes):
    """Bytes that were left in their file.

    Attributes:
        extent: Where they lie.
    """

    extent: Extent

    @classmethod
    def of(cls, extent: Extent) -> LeftBytes:
        """What stands for the bytes there."""
        shown = extent.source.read(extent.offset, min(_SHOWN, extent.nbytes))
        made = cls(shown + f"… ({extent.nbytes} bytes at {extent.offset})".encode())
        made.extent = extent
        return made

    def content(self) -> Source:
        """All of them."""
        return PartSource(self.extent, self.extent.source.name)

    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> LeftText:
        """What stands for the text that they are."""
        made = LeftText(super().decode(encoding, "replace"))
        made.extent, made.is_encoded = self.extent, encoding == "utf-8"
        return made


class LeftText(str):
    """Text that was left in its file.

    Attributes:
        extent: Where it lies.
        is_encoded: It is UTF-8, rather than a character to each byte.
    """

    __slots__ = ("extent", "is_encoded")
    extent: Extent
    is_encoded: bool

    def content(self) -> Source:
        """The bytes that it becomes by latin-1."""
        return EncodedText(self.extent) if self.is_encoded else PartSource(self.extent, self.extent.source.name)


class EncodedText(Source):
    """What text in a file becomes by latin-1, of which protocol 2 makes bytes: one byte to each character.

    Args:
        extent: Where the text lies, as UTF-8. A character that is none of latin-1 becomes any byte.
    """

    def __init__(self, extent: Extent) -> None:
        self.name, self._extent = extent.source.name, extent
        self._before = [0]  # characters before each block
        for piece in extent.source.chunks(extent.offset, extent.nbytes, _BLOCK):
            continued = int(np.count_nonzero(np.frombuffer(piece, np.int8) < _CONTINUED))
            self._before.append(self._before[-1] + len(piece) - continued)
        self.size = self._before[-1]
        self._number, self._block = -1, b""  # of the block that is held

    def readinto(self, offset: int, buffer: bytearray | memoryview) -> None:
        """See `Source.readinto`."""
        self.check(offset, len(buffer))
        done = 0
        while done < len(buffer):
            number = bisect_right(self._before, offset + done) - 1
            begin = offset + done - self._before[number]
            piece = self._encoded(number)[begin : begin + len(buffer) - done]
            buffer[done : done + len(piece)] = piece
            done += len(piece)

    def _encoded(self, number: int) -> bytes:
        """The characters that begin in a block, as bytes."""
        if number != self._number:
            begin = number * _BLOCK
            end = min(begin + _BLOCK, self._extent.nbytes)
            data = self._extent.source.read(self._extent.offset + begin, min(end + 1, self._extent.nbytes) - begin)
            units = np.frombuffer(data + b"\0", np.uint8)  # what a character at the end may go on with
            first = np.flatnonzero(units[: end - begin].view(np.int8) >= _CONTINUED)
            lead = units[first]
            self._block = np.where(lead < 0x80, lead, (lead & 3) << 6 | units[first + 1] & 0x3F).tobytes()
            self._number = number
        return self._block


def content_of(value: object) -> Source | None:
    """The bytes that a pickled value is, or would be once `_codecs.encode` has made them of text; None of another."""
    if isinstance(value, Object):
        is_latin1 = value.args[1:] and isinstance(value.args[1], str) and value.args[1] in _LATIN1
        if value.cls != ENCODE or len(value.args) != 2 or not is_latin1 or value.kwargs or value.states:
            return None
        return content_of(value.args[0]) if isinstance(value.args[0], str) else None
    if isinstance(value, (LeftBytes, LeftText)):
        return value.content()
    content = stored_bytes(value)
    return None if content is None else MemorySource(content)
