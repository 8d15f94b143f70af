"""Reads the fields of one HDF5 structure, in order and never past its end."""

from __future__ import annotations

from typing import NoReturn

from panmodel.errors import CorruptError

#: The undefined address, by the bytes that an address has: all bits set.
UNDEFINED = tuple((1 << 8 * width) - 1 for width in range(9))


class Cursor:
    """A place in the bytes of one structure.

    Args:
        data: The bytes of the structure.
        name: The file, for messages.
        what: What the structure is, for messages.
        offset_size: Bytes of an address in this file.
        length_size: Bytes of a length in this file.
        place: Offset of its first byte in the file, for messages.
    """

    __slots__ = ("_name", "_place", "data", "length_size", "offset_size", "position", "what")

    def __init__(
        self,
        data: bytes,
        name: str,
        what: str,
        offset_size: int = 8,
        length_size: int = 8,
        place: int | None = None,
    ) -> None:
        self.data, self._name, self._place, self.what = data, name, place, what
        self.offset_size, self.length_size = offset_size, length_size
        self.position = 0

    @property
    def where(self) -> str:
        """File and offset of its first byte, for messages."""
        return self._name if self._place is None else f"{self._name} at offset {self._place}"

    @property
    def left(self) -> int:
        """Bytes that were not taken yet."""
        return len(self.data) - self.position

    def take(self, nbytes: int) -> bytes:
        """The next bytes.

        Raises:
            CorruptError: There are not as many.
        """
        begin = self.position
        if nbytes > len(self.data) - begin:
            self.fail(f"ends after {len(self.data)} bytes, {nbytes} more are expected at its byte {begin}")
        self.position = begin + nbytes
        return self.data[begin : begin + nbytes]

    def uint(self, nbytes: int) -> int:
        """An unsigned little-endian integer of that many bytes."""
        begin = self.position
        end = begin + nbytes
        if end > len(self.data):
            self.take(nbytes)
        self.position = end
        return int.from_bytes(self.data[begin:end], "little")

    def u8(self) -> int:
        """One byte."""
        position = self.position
        if position >= len(self.data):
            return self.take(1)[0]
        self.position = position + 1
        return self.data[position]

    def u16(self) -> int:
        """Two bytes."""
        return self.uint(2)

    def u32(self) -> int:
        """Four bytes."""
        return self.uint(4)

    def u64(self) -> int:
        """Eight bytes."""
        return self.uint(8)

    def length(self) -> int:
        """A length of the width that the file uses."""
        return self.uint(self.length_size)

    def address(self) -> int | None:
        """An address, counted from the file's base; None for the undefined one (all bits set)."""
        found = self.uint(self.offset_size)
        return None if found == UNDEFINED[self.offset_size] else found

    def defined(self) -> int:
        """An address that must not be undefined."""
        found = self.address()
        if found is None:
            self.fail("has an undefined address where one is needed")
        return found

    def skip(self, nbytes: int) -> None:
        """Pass over bytes that say nothing."""
        end = self.position + nbytes
        if end > len(self.data):
            self.take(nbytes)
        self.position = end

    def align(self, multiple: int) -> None:
        """Pass over the padding up to the next multiple, counted from the beginning of the structure."""
        self.position = min(self.position + -self.position % multiple, len(self.data))

    def text(self) -> bytes:
        """Bytes up to the next NUL, which is passed over too."""
        end = self.data.find(b"\0", self.position)
        if end < 0:
            self.fail(f"has a name at its byte {self.position} that does not end")
        found = self.data[self.position : end]
        self.position = end + 1
        return found

    def part(self, nbytes: int, what: str = "") -> Cursor:
        """A cursor over the next bytes alone."""
        return self.over(self.take(nbytes), what)

    def over(self, data: bytes, what: str = "") -> Cursor:
        """A cursor over other bytes of the same file."""
        return Cursor(data, self._name, what or self.what, self.offset_size, self.length_size, self._place)

    def expect(self, signature: bytes) -> None:
        """Take the signature that the structure begins with."""
        found = self.take(len(signature))
        if found != signature:
            self.fail(f"should begin with {signature!r}, found {found!r}")

    def version(self, *known: int) -> int:
        """Take the version byte, which must be a known one."""
        found = self.u8()
        if found not in known:
            self.fail(f"has version {found}, known are {', '.join(map(str, known))}")
        return found

    def fail(self, message: str) -> NoReturn:
        """Raise CorruptError: what the structure is, where it lies, and the message."""
        raise CorruptError(f"{self.what} {message}", where=self.where, hint="the file is damaged: fetch it again")
