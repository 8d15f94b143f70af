"""Sorted string tables, the container of TensorFlow's checkpoint indexes: LevelDB's file format with raw keys.

A table is a run of blocks of sorted key-value pairs, an index block that says where they lie, and a footer of 48 bytes
that says where the index block lies. A block is followed by its compression and the masked CRC-32C of both.

Source: https://github.com/google/leveldb/blob/main/doc/table_format.md, tsl/lib/io/format.h, tsl/lib/io/table_options.h
"""

from __future__ import annotations

import struct
from bisect import bisect_left
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice

from panmodel.errors import CorruptError, LimitError, PanmodelError, TruncatedError, UnsupportedError
from panmodel.io.source import Extent, MemorySource, PartSource, Source
from panmodel.limits import DEFAULT
from panmodel.wire.checksums import crc32c, mask

FOOTER_BYTES = 48
MAGIC = struct.pack("<Q", 0xDB4775248B80FB57)
_TRAILER = struct.Struct("<BI")  # compression, masked CRC-32C of the content and the compression byte
_UNCOMPRESSED, _SNAPPY = 0, 1
_BLOCK_BYTES = 262_144  # tsl's default, where LevelDB has 4 KiB
_RESTART_INTERVAL = 16
_ENTRY_HEAD = 30  # three numbers of at most ten bytes

Entry = tuple[bytes, bytes]


@dataclass(frozen=True, slots=True)
class _Handle:
    """Where a block lies; its size is without the trailer."""

    offset: int
    nbytes: int


def is_table(source: Source) -> bool:
    """Whether a source ends as a table does."""
    if source.size < FOOTER_BYTES:
        return False
    return source.read(source.size - len(MAGIC), len(MAGIC)) == MAGIC


def read_table(source: Source) -> Iterator[Entry]:
    """Read every entry of a table, block by block, each block checked against its sum before it is believed.

    Args:
        source: The table.

    Yields:
        Key and value, in strictly ascending order of the keys.

    Raises:
        TruncatedError: The source is shorter than a table is, or a block lies outside of it.
        CorruptError: It is no table, a block does not meet its sum, or keys are out of order.
        LimitError: A block or key is larger than `panmodel.limits` allows.
    """
    seen_bytes = 0
    last: bytes | None = None
    for _, value in _block_entries(*_read_block(source, _footer(source))):
        content, where = _read_block(source, _handle(value, source.name))
        for entry in _block_entries(content, where):
            key = entry[0]
            if last is not None and key <= last:
                raise CorruptError(f"key {_shown(key)} follows {_shown(last)}, which is not ascending", where=where)
            seen_bytes += len(key)  # keys share prefixes on disk, so a small file may hold very many bytes of them
            if seen_bytes > DEFAULT.header_bytes:
                raise LimitError(f"the keys take more than {DEFAULT.header_bytes} bytes", where=where)
            last = key
            yield entry


class Table:
    """Looks entries up by their keys, for tables with values that are too large to hold all of them.

    Nothing but the index of the blocks is read at first. A block is checked against its sum when the first of its
    entries is looked up; where their values lie is remembered, the values themselves are not.

    Args:
        source: The table.

    Raises:
        TruncatedError: The source is shorter than a table is.
        CorruptError: It is no table, or its index does not meet its sum.
    """

    def __init__(self, source: Source) -> None:
        self.source = source
        self._lasts: list[bytes] = []
        self._handles: list[_Handle] = []
        for last, value in _block_entries(*_read_block(source, _footer(source))):
            if self._lasts and last <= self._lasts[-1]:
                raise CorruptError(f"block {_shown(last)} follows {_shown(self._lasts[-1])}", where=source.name)
            self._lasts.append(last)
            self._handles.append(_handle(value, source.name))
        self._found: dict[int, dict[bytes, tuple[int, int]]] = {}
        self._opened: tuple[int, Source] | None = None

    def find(self, key: bytes) -> Extent | None:
        """Where the value of a key lies; None if the table does not have it.

        Raises:
            TruncatedError: The block that would have it lies outside of the source.
            CorruptError: That block is damaged.
            LimitError: A key or a compressed block in it is larger than `panmodel.limits` allows.
        """
        number = bisect_left(self._lasts, key)
        if number == len(self._lasts):
            return None
        content = self._content(number)
        if number not in self._found:
            self._found[number] = {known: (offset, size) for known, offset, size in _located_entries(content)}
        place = self._found[number].get(key)
        return Extent(content, *place) if place is not None else None

    def peek(self) -> tuple[bytes, Extent] | None:
        """The first key and where its value lies, held against no sum: for a quick look at what the table is.

        Raises:
            CorruptError: The first block is no block.
        """
        if not self._handles:
            return None
        content = self._block(0)
        first = next(_located_entries(content), None)
        return (first[0], Extent(content, *first[1:])) if first is not None else None

    def beside(self, key: bytes, most: int) -> list[bytes]:
        """The first keys of the block that would have a key, held against no sum: to say what is in a damaged one.

        Args:
            key: The key.
            most: How many are wanted; there are fewer where the damage hides them.
        """
        found: list[bytes] = []
        number = bisect_left(self._lasts, key)
        if number < len(self._lasts):
            with suppress(PanmodelError):
                found.extend(known for known, _, _ in islice(_located_entries(self._block(number)), most))
        return found

    def _content(self, number: int) -> Source:
        """The content of a block that has met its sum; the last one is kept."""
        if self._opened is None or self._opened[0] != number:
            content = self._block(number)
            if number not in self._found and isinstance(content, PartSource):
                self._verify(self._handles[number], content.name)
            self._opened = number, content
        return self._opened[1]

    def _block(self, number: int) -> Source:
        """The content of a block: in the file, not looked at, or decompressed and checked."""
        handle = self._handles[number]
        compression = self.source.read(handle.offset + handle.nbytes, 1)[0]
        if compression != _UNCOMPRESSED:
            return MemorySource(*_read_block(self.source, handle))
        where = f"{self.source.name}, block at offset {handle.offset}"
        return PartSource(Extent(self.source, handle.offset, handle.nbytes), where)

    def _verify(self, handle: _Handle, where: str) -> None:
        """Hold a block that may be large against its sum, in pieces."""
        crc = 0
        for piece in self.source.chunks(handle.offset, handle.nbytes + 1):
            crc = crc32c(piece, crc)
        stored = int.from_bytes(self.source.read(handle.offset + handle.nbytes + 1, 4), "little")
        _require_sum(mask(crc), stored, where)


def _located_entries(content: Source) -> Iterator[tuple[bytes, int, int]]:
    """Key, offset and size of the value of each entry of a block, of which no value is read."""
    if content.size < 4:
        raise CorruptError(f"a block of {content.size} bytes is too short", where=content.name)
    count = int.from_bytes(content.read(content.size - 4, 4), "little")
    end = content.size - 4 - 4 * count
    if end < 0:
        raise CorruptError(f"{count} restart points do not fit a block of {content.size} bytes", where=content.name)
    position, key, where = 0, b"", content.name
    while position < end:
        head = content.read(position, min(_ENTRY_HEAD, end - position))
        shared, at = decode_varint(head, 0, where)
        unshared, at = decode_varint(head, at, where)
        value_bytes, at = decode_varint(head, at, where)
        start = position + at
        if shared > len(key) or unshared + value_bytes > end - start:
            raise CorruptError(f"the entry at byte {position} runs past its block or shares no key", where=where)
        if shared + unshared > DEFAULT.name_bytes:
            raise LimitError(f"a key of {shared + unshared} bytes, the cap is {DEFAULT.name_bytes}", where=where)
        found = key[:shared] + content.read(start, unshared)
        if position and found <= key:
            raise CorruptError(f"key {_shown(found)} follows {_shown(key)}, which is not ascending", where=where)
        key, position = found, start + unshared + value_bytes
        yield key, start + unshared, value_bytes


def _footer(source: Source) -> _Handle:
    """Where the index block lies."""
    if source.size < FOOTER_BYTES:
        message = f"a table ends with a footer of {FOOTER_BYTES} bytes, the file has {source.size} bytes in all"
        raise TruncatedError(message, where=source.name)
    start = source.size - FOOTER_BYTES
    footer = source.read(start, FOOTER_BYTES)
    where = f"{source.name} at offset {start}"
    if footer[-len(MAGIC) :] != MAGIC:
        found = footer[-len(MAGIC) :].hex()
        hint = "the file is cut short, or is no table: fetch it again"
        raise CorruptError(f"the footer ends with {found}, expected {MAGIC.hex()}", where=where, hint=hint)
    position = 0
    for _ in range(3):  # offset and size of the meta-index block, which TensorFlow leaves empty, and the index's offset
        offset, position = decode_varint(footer, position, where)
    nbytes, _ = decode_varint(footer, position, where)
    return _Handle(offset, nbytes)


def _handle(value: bytes, where: str) -> _Handle:
    offset, position = decode_varint(value, 0, where)
    nbytes, position = decode_varint(value, position, where)
    if position != len(value):
        raise CorruptError(f"an entry of the index block has {len(value) - position} bytes too many", where=where)
    return _Handle(offset, nbytes)


def _read_block(source: Source, handle: _Handle) -> tuple[bytes, str]:
    """The content of a block, uncompressed, and how to call it in messages."""
    where = f"{source.name}, block at offset {handle.offset}"
    if handle.nbytes > DEFAULT.block_bytes:
        raise LimitError(f"a block of {handle.nbytes} bytes, the cap is {DEFAULT.block_bytes}", where=where)
    data = source.read(handle.offset, handle.nbytes + _TRAILER.size)
    compression, stored = _TRAILER.unpack_from(data, handle.nbytes)
    _require_sum(mask(crc32c(data[: handle.nbytes + 1])), stored, where)
    if compression == _UNCOMPRESSED:
        return data[: handle.nbytes], where
    if compression == _SNAPPY:
        return _decompressed(data[: handle.nbytes], where), where
    raise UnsupportedError(f"the block has compression {compression}; known are 0 (none) and 1 (snappy)", where=where)


def _require_sum(found: int, stored: int, where: str) -> None:
    if found != stored:
        message = f"the block does not meet its checksum: masked crc32c {stored:08x} expected, {found:08x} found"
        raise CorruptError(message, where=where, hint="the file is damaged: fetch it again")


def _decompressed(data: bytes, where: str) -> bytes:
    import cramjam

    announced, _ = decode_varint(data, 0, where)
    # The densest element of snappy takes three bytes and copies 64, so more than 32 times the size cannot be true.
    if announced > min(DEFAULT.block_bytes, 32 * len(data)):
        raise LimitError(f"{len(data)} compressed bytes announce {announced}", where=where)
    try:
        content = bytes(cramjam.snappy.decompress_raw(data))
    except cramjam.DecompressionError as error:
        raise CorruptError(f"the block does not decompress: {error}", where=where) from None
    if len(content) != announced:
        raise CorruptError(f"{announced} bytes announced, {len(content)} decompressed", where=where)
    return content


def _block_entries(content: bytes, where: str) -> Iterator[Entry]:
    """The entries of a block: each key is what it shares with the one before, and the rest."""
    end, restarts = _restarts(content, where)
    position = 0
    key = b""
    while position < end:
        start = position
        shared, position = decode_varint(content, position, where)
        unshared, position = decode_varint(content, position, where)
        value_bytes, position = decode_varint(content, position, where)
        if shared > len(key) or (start in restarts and shared):
            raise CorruptError(f"the entry at byte {start} shares {shared} bytes with no key before it", where=where)
        if unshared + value_bytes > end - position:
            raise CorruptError(f"the entry at byte {start} runs past the end of its block", where=where)
        if shared + unshared > DEFAULT.name_bytes:
            raise LimitError(f"a key of {shared + unshared} bytes, the cap is {DEFAULT.name_bytes}", where=where)
        restarts.discard(start)
        key = key[:shared] + content[position : position + unshared]
        position += unshared
        yield key, content[position : position + value_bytes]
        position += value_bytes
    if restarts - {0}:  # an empty block has one restart, at 0
        raise CorruptError(f"restart points {sorted(restarts)[:4]} are not at the start of an entry", where=where)


def _restarts(content: bytes, where: str) -> tuple[int, set[int]]:
    """Where the entries of a block end, and where keys are stored whole."""
    if len(content) < 4:
        raise CorruptError(f"a block of {len(content)} bytes is too short to count its restart points", where=where)
    (count,) = struct.unpack_from("<I", content, len(content) - 4)
    end = len(content) - 4 - 4 * count
    if end < 0:
        raise CorruptError(f"{count} restart points do not fit a block of {len(content)} bytes", where=where)
    return end, set(struct.unpack_from(f"<{count}I", content, end))


def decode_varint(data: bytes, position: int, where: str) -> tuple[int, int]:
    """A number of seven bits a byte, lowest first, and the position after it."""
    result = shift = 0
    while position < len(data) and shift < 64:
        byte = data[position]
        position += 1
        result |= (byte & 0x7F) << shift
        if byte < 0x80 and result < 1 << 64:
            return result, position
        shift += 7
    raise CorruptError("a number runs past its end or has more than 64 bits", where=where)


def _shown(key: bytes) -> str:
    return repr(key if len(key) <= 80 else key[:77] + b"...")


# Writing


def encode_table(entries: Iterable[Entry], *, block_bytes: int = _BLOCK_BYTES) -> Iterator[bytes]:
    """Write a table, uncompressed as TensorFlow itself writes them.

    Args:
        entries: Keys and values in strictly ascending order of the keys.
        block_bytes: A block is closed when it has reached that size.

    Yields:
        The bytes of the file in pieces.
    """
    position = 0
    index: list[Entry] = []
    for last, content in _blocks(entries, block_bytes):
        index.append((last, _encode_varint(position) + _encode_varint(len(content))))
        yield (piece := content + trailer(content))
        position += len(piece)
    handles = b""
    for content in (encode_block([]), encode_block(index, interval=1)):
        handles += _encode_varint(position) + _encode_varint(len(content))
        yield (piece := content + trailer(content))
        position += len(piece)
    yield handles.ljust(FOOTER_BYTES - len(MAGIC), b"\0") + MAGIC


def encode_block(entries: Iterable[Entry], *, interval: int = _RESTART_INTERVAL) -> bytes:
    """The content of one block, with every `interval`-th key stored whole."""
    content = bytearray()
    restarts = []
    before = b""
    for number, (key, value) in enumerate(entries):
        shared = 0
        if number % interval:
            shared = _common_prefix(before, key)
        else:
            restarts.append(len(content))
        content += _encode_varint(shared) + _encode_varint(len(key) - shared) + _encode_varint(len(value))
        content += key[shared:] + value
        before = key
    restarts = restarts or [0]
    return bytes(content) + struct.pack(f"<{len(restarts) + 1}I", *restarts, len(restarts))


def trailer(content: bytes, compression: int = _UNCOMPRESSED) -> bytes:
    """The five bytes after the content of a block, given as it is stored."""
    return _TRAILER.pack(compression, mask(crc32c(bytes((compression,)), crc32c(content))))


def _blocks(entries: Iterable[Entry], block_bytes: int) -> Iterator[tuple[bytes, bytes]]:
    """The last key and the content of each block."""
    pending: list[Entry] = []
    nbytes = 0
    for entry in entries:
        if pending and entry[0] <= pending[-1][0]:
            raise ValueError(f"key {entry[0]!r} follows {pending[-1][0]!r}")
        pending.append(entry)
        nbytes += len(entry[0]) + len(entry[1])
        if nbytes >= block_bytes:
            yield entry[0], encode_block(pending)
            pending, nbytes = [], 0
    if pending:
        yield pending[-1][0], encode_block(pending)


def _common_prefix(first: bytes, second: bytes) -> int:
    limit = min(len(first), len(second))
    return next((at for at in range(limit) if first[at] != second[at]), limit)


def _encode_varint(number: int) -> bytes:
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)
