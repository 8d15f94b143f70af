"""An open HDF5 file: where its structures lie, and who owns them.

Each structure of a file belongs to one object, and structures do not overlap. Both are checked while reading, so that
whatever a file says, reading all of its structures takes time in proportion to its size.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar, cast

from panmodel.errors import CorruptError
from panmodel.io.pages import PagedSource
from panmodel.io.source import Source
from panmodel.limits import DEFAULT, Limits
from panmodel.wire.hdf5.checksums import lookup3
from panmodel.wire.hdf5.cursor import Cursor

#: What structures may take beyond the file's size: prefixes are read before it is known how long they are.
_SLACK = 1 << 16
_SHORT, _MOST_KNOWN = 256, 1024  # bytes and number of the messages whose meaning is kept
_HINT = "the file is damaged, or made to mislead its readers: fetch it again"

Read = TypeVar("Read")


@dataclass
class File:
    """An open file.

    Attributes:
        source: Its bytes.
        base: Where address 0 is: after the user block.
        offset_size: Bytes of an address.
        length_size: Bytes of a length.
        limits: Caps on what is believed of it.
        shared: Messages that objects share, by the address of the header that has them and their type.
        known: What messages that are there many times mean, by the reader and the bytes: thousands of datasets have
            one datatype.
    """

    source: Source
    base: int = 0
    offset_size: int = 8
    length_size: int = 8
    limits: Limits = DEFAULT
    shared: dict[tuple[int, int], Cursor | None] = field(default_factory=dict, repr=False)
    known: dict[tuple[object, bytes], object] = field(default_factory=dict, repr=False)
    _owners: dict[int, int] = field(default_factory=dict, repr=False)
    _owned: int = field(default=0, repr=False)
    _pages: PagedSource = field(init=False, repr=False)
    _most: int = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self._pages = PagedSource(self.source)
        self._most = 2 * self.size + _SLACK

    @property
    def size(self) -> int:
        """Bytes from address 0 to the end of the file."""
        return self.source.size - self.base

    def where(self, address: int) -> str:
        """File and offset of an address, for messages."""
        return f"{self.source.name} at offset {self.base + address}"

    def cursor(self, address: int, nbytes: int, what: str) -> Cursor:
        """Read `nbytes` bytes at an address.

        Raises:
            TruncatedError: They do not lie inside the file.
        """
        place = self.base + address
        data = self._pages.read(place, nbytes)
        return Cursor(data, self.source.name, what, self.offset_size, self.length_size, place)

    def read(self, address: int, nbytes: int) -> bytes:
        """The bytes at an address; short ones come from pages that are read as a whole, since structures lie together.

        Raises:
            TruncatedError: They do not lie inside the file.
        """
        return self._pages.read(self.base + address, nbytes)

    def meaning(self, read: Callable[[Cursor, Limits], Read], body: Cursor) -> Read:
        """What a message says that depends on its bytes alone; an immutable value, read once.

        Raises:
            ReadError: What `read` raises.
        """
        key = (read, body.data)
        if key in self.known:
            return cast("Read", self.known[key])
        found = read(body, self.limits)
        if len(body.data) <= _SHORT and len(self.known) < _MOST_KNOWN:
            self.known[key] = found
        return found

    def own(self, address: int, nbytes: int, owner: int) -> None:
        """Note that an object owns the structure at an address.

        Args:
            address: Where the structure is.
            nbytes: Its length.
            owner: Address of the object's header.

        Raises:
            CorruptError: Another object owns it too, or all structures together are longer than the file.
        """
        known = self._owners.get(address)
        if known is None:
            self._owners[address] = owner
            self._owned += nbytes
        elif known != owner:
            message = f"a structure belongs to two objects, whose headers are at {known} and {owner}"
            raise CorruptError(message, where=self.where(address), hint=_HINT)
        if self._owned > self._most:
            message = f"its structures overlap: {self._owned} bytes of them in a file of {self.size}"
            raise CorruptError(message, where=self.where(address), hint=_HINT)


class Visit:
    """One walk over the structures of one object: none is entered twice.

    Args:
        file: The file.
        owner: Address of the object's header.
    """

    def __init__(self, file: File, owner: int) -> None:
        self.file, self._owner = file, owner
        self._seen: set[int] = set()

    def read(self, address: int, nbytes: int, what: str) -> Cursor:
        """Read a structure, or its next part.

        Raises:
            CorruptError: It was read before on this walk, or belongs to another object.
            TruncatedError: It does not lie inside the file.
        """
        if address in self._seen:
            message = f"{what} is reached twice"
            raise CorruptError(message, where=self.file.where(address), hint=_HINT)
        self._seen.add(address)
        cursor = self.file.cursor(address, nbytes, what)
        self.file.own(address, nbytes, self._owner)
        return cursor

    def read_summed(self, address: int, nbytes: int, what: str) -> Cursor:
        """Read a structure that ends with a lookup3 checksum, and verify it; the cursor ends before the sum."""
        cursor = self.read(address, nbytes, what)
        return verified(cursor)


def verified(cursor: Cursor) -> Cursor:
    """The structure without the lookup3 checksum in its last four bytes.

    Raises:
        CorruptError: The bytes do not meet it.
    """
    if len(cursor.data) < 4:
        cursor.fail("has no room for its checksum")
    content, stored = cursor.data[:-4], int.from_bytes(cursor.data[-4:], "little")
    found = lookup3(content)
    if found != stored:
        cursor.fail(f"does not meet its checksum: {stored:08x} expected, {found:08x} found")
    return cursor.over(content)
