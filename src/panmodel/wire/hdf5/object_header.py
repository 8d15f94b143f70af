"""Object headers: the messages that say what a group or a dataset is.

Source: HDF5 File Format Specification 3.0, IV.A.1 (object headers, versions 1 and 2), IV.A.2 (message types).
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from enum import IntEnum
from typing import NamedTuple

from panmodel.errors import CorruptError, LimitError, UnsupportedError
from panmodel.wire.hdf5.cursor import Cursor
from panmodel.wire.hdf5.file import File, Visit, verified


class Kind(IntEnum):
    """Types of messages that mean something to a reader."""

    NIL = 0x00
    DATASPACE = 0x01
    LINK_INFO = 0x02
    DATATYPE = 0x03
    OLD_FILL_VALUE = 0x04
    FILL_VALUE = 0x05
    LINK = 0x06
    EXTERNAL_FILES = 0x07
    LAYOUT = 0x08
    GROUP_INFO = 0x0A
    FILTERS = 0x0B
    ATTRIBUTE = 0x0C
    SHARED_TABLE = 0x0F
    CONTINUATION = 0x10
    SYMBOL_TABLE = 0x11
    DRIVER = 0x14
    ATTRIBUTE_INFO = 0x15
    CACHE_IMAGE = 0x18


_SHARED, _MUST_BE_KNOWN = 0x02, 0x80
_NIL, _CONTINUATION = Kind.NIL.value, Kind.CONTINUATION.value
_KNOWN = frozenset(range(0x19))
_NAMES = {kind.value: f"the {kind.name.lower().replace('_', ' ')} message" for kind in Kind}
_OLD_MESSAGE = struct.Struct("<HHB3x")  # type, size, flags
#: Messages of one header: attributes that are not many enough for a heap, and links likewise.
_MOST_MESSAGES = 1 << 16


class Message(NamedTuple):
    """One message of a header.

    Attributes:
        kind: Its type.
        flags: Its flags.
        data: Its bytes.
        block: What it stands in.
        order: When it was created among the others of its header; None if the file does not say.
    """

    kind: int
    flags: int
    data: bytes
    block: Cursor
    order: int | None = None

    @property
    def body(self) -> Cursor:
        """A cursor over its bytes, at their beginning."""
        return self.block.over(self.data, _named(self.kind))

    @property
    def shared(self) -> bool:
        """Whether the body only says where the message is."""
        return bool(self.flags & _SHARED)


@dataclass(slots=True)
class Header:
    """An object header.

    Attributes:
        file: The file.
        address: Where the header is.
        messages: Its messages in order, without fillers and continuations.
    """

    file: File
    address: int
    messages: list[Message] = field(default_factory=list)

    def all(self, kind: Kind) -> list[Message]:
        """Every message of a type."""
        wanted = kind.value  # comparing plain numbers is a good deal faster
        return [message for message in self.messages if message.kind == wanted]

    def body(self, kind: Kind) -> Cursor | None:
        """The body of the first message of a type, from its beginning; None if there is none."""
        wanted = kind.value
        for message in self.messages:
            if message.kind == wanted:
                return message.body
        return None

    def has(self, kinds: frozenset[int]) -> bool:
        """Whether there is a message of one of these types."""
        return any(message.kind in kinds for message in self.messages)


def read_header(file: File, address: int) -> Header:
    """Read an object header with all of its continuation blocks, checksums verified.

    Raises:
        CorruptError: It contradicts the format or a checksum.
        LimitError: It is larger than `Limits.header_bytes`, or has too many messages.
        UnsupportedError: It has a message that a reader must know, and none does.
    """
    visit, header = Visit(file, address), Header(file, address)
    prefix = visit.read(address, min(16, max(file.size - address, 4)), "an object header")
    if prefix.data[:4] == b"OHDR":
        _read_new(visit, header)
    else:
        _read_old(visit, header, prefix)
    for message in header.messages:
        if message.flags & _MUST_BE_KNOWN and message.kind not in _KNOWN:
            text = f"a message of unknown type {message.kind:#x} that must be understood"
            raise UnsupportedError(text, where=file.where(address))
    return header


def _read_old(visit: Visit, header: Header, prefix: Cursor) -> None:
    prefix.version(1)
    prefix.skip(1)
    count = prefix.u16()
    prefix.skip(4)  # reference count
    blocks = [(header.address + 16, prefix.u32())]
    for address, nbytes in blocks:
        _check_size(visit.file, address, nbytes)
        block = visit.read(address, nbytes, "an object header's block")
        last = nbytes - _OLD_MESSAGE.size
        while block.position <= last and count:
            kind, size, flags = _OLD_MESSAGE.unpack_from(block.data, block.position)
            block.position += _OLD_MESSAGE.size
            _keep(header, Message(kind, flags, block.take(size), block), blocks)
            count -= 1


def _read_new(visit: Visit, header: Header) -> None:
    file, address = visit.file, header.address
    prefix = file.cursor(address, min(64, file.size - address), "an object header")
    prefix.expect(b"OHDR")
    prefix.version(2)
    flags = prefix.u8()
    prefix.skip((16 if flags & 0x20 else 0) + (4 if flags & 0x10 else 0))  # times; when attributes go to a heap
    nbytes = prefix.uint(1 << (flags & 3))
    _check_size(file, address, nbytes)
    begin = prefix.position
    whole = file.cursor(address, begin + nbytes + 4, "an object header")
    file.own(address + begin, nbytes, address)
    first = verified(whole)
    first.position = begin
    blocks: list[tuple[int, int]] = []
    _read_block(header, first, flags, blocks)
    for place, size in blocks:
        _check_size(file, place, size)
        block = visit.read_summed(place, size, "an object header's continuation")
        block.expect(b"OCHK")
        _read_block(header, block, flags, blocks)


def _read_block(header: Header, block: Cursor, flags: int, blocks: list[tuple[int, int]]) -> None:
    ordered = bool(flags & 0x04)
    while block.left >= (6 if ordered else 4):  # fewer bytes than a message needs are a gap
        kind, size, own = block.u8(), block.u16(), block.u8()
        order = block.u16() if ordered else None
        _keep(header, Message(kind, own, block.take(size), block, order), blocks)


def _keep(header: Header, message: Message, blocks: list[tuple[int, int]]) -> None:
    if message.kind == _CONTINUATION:
        body = message.body
        blocks.append((body.defined(), body.length()))
    elif message.kind != _NIL:
        header.messages.append(message)
    if len(header.messages) + len(blocks) > _MOST_MESSAGES:
        where = header.file.where(header.address)
        raise LimitError(f"an object header has more than {_MOST_MESSAGES} messages", where=where)


def _named(kind: int) -> str:
    return _NAMES.get(kind, "a message")


def _check_size(file: File, address: int, nbytes: int) -> None:
    if nbytes > file.limits.header_bytes:
        message = f"an object header has {nbytes} bytes, more than {file.limits.header_bytes}"
        raise LimitError(message, where=file.where(address))


def resolve(file: File, body: Cursor, kind: Kind) -> Cursor:
    """The body of a message that is stored once and shared: a committed datatype, for most.

    Args:
        file: The file.
        body: What stands in its place.
        kind: The type of the message.

    Raises:
        CorruptError: It is not where it should be.
        UnsupportedError: It is in the file's heap of shared messages.
    """
    version = body.version(1, 2, 3)
    place = body.u8()
    if version == 1:
        body.skip(6)
    if version == 3 and place == 1:
        raise UnsupportedError("messages in a shared message heap are not read", where=body.where)
    address = body.defined()
    if (address, kind) not in file.shared:
        # a message that is shared itself leads nowhere in the end
        own = [message for message in read_header(file, address).all(kind) if not message.shared]
        file.shared[address, kind] = own[0].body if own else None
    found = file.shared[address, kind]
    if found is not None:
        return found.over(found.data)
    raise CorruptError(f"no {_named(kind)} of its own is where one is shared from", where=file.where(address))
