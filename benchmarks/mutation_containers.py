"""Mutators of containers: what is in them is changed, and their checksums and lengths are put right afterwards.

Without that nothing behind a checksum would ever be tried: a reader refuses at once. An attacker mends checksums too.
"""

from __future__ import annotations

import io
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable
from random import Random

from mutation import Mutator, for_content, in_place, raw, varint

from panmodel.io.source import MemorySource
from panmodel.wire.checksums import crc32c, mask
from panmodel.wire.hdf5.checksums import lookup3
from panmodel.wire.protobuf import decode, encode_bytes
from panmodel.wire.sstable import FOOTER_BYTES, MAGIC, decode_varint, encode_block, read_table, trailer
from panmodel.wire.tensor_bundle import BundleEntryProto

# Zip archives.

_Member = tuple[bytes, bytes, int]  # name, content, method
_STORED, _DEFLATED = 0, 8


def _packed(members: list[_Member]) -> bytes:
    """An archive of members, with the right sizes and sums."""
    out, directory = bytearray(), bytearray()
    for name, content, method in members:
        stored = content
        if method == _DEFLATED:
            packer = zlib.compressobj(1, zlib.DEFLATED, -15)
            stored = packer.compress(content) + packer.flush()
        fields = struct.pack(
            "<HHHHHIIIHH", 20, 0, method, 0, 33, zlib.crc32(content), len(stored), len(content), len(name), 0
        )
        directory += b"PK\x01\x02" + struct.pack("<H", 20) + fields + struct.pack("<HHHII", 0, 0, 0, 0, len(out)) + name
        out += b"PK\x03\x04" + fields + name + stored
    count, begin = len(members), len(out)
    end = struct.pack("<IHHHHIIH", 0x06054B50, 0, 0, count, count, len(directory), begin, 0)
    return bytes(out + directory + end)


def archive(data: bytes) -> list[Mutator]:
    """Members changed by the mutators of their content; left out, doubled, renamed, exchanged."""
    with zipfile.ZipFile(io.BytesIO(data)) as file:
        members = [(info.filename.encode(), file.read(info), info.compress_type) for info in file.infolist()]
    mutators = [for_content(content) for _, content, _ in members]
    # a member as often as the length of its content suggests, the small ones often enough
    weights = [min(len(content), 400) + 20 for _, content, _ in members]
    numbers = range(len(members))

    def of_content(chance: Random) -> bytes:
        (at,) = chance.choices(numbers, weights)
        changed = list(members)
        name, _, method = changed[at]
        changed[at] = name, mutators[at](chance), method
        return _packed(changed)

    def of_members(chance: Random) -> bytes:
        changed = list(members)
        at = chance.randrange(len(changed))
        name, content, method = changed[at]
        match chance.randrange(6):
            case 0:
                del changed[at]
            case 1:
                changed.append(changed[at])
            case 2:
                changed[at] = raw(name)(chance)[:60000], content, method
            case 3:
                changed[at] = name, members[chance.randrange(len(members))][1], method
            case 4:
                changed[at] = name, content, method ^ _DEFLATED
            case _:
                changed[at] = name, b"", method
        return _packed(changed)

    return [of_content, of_content, of_content, of_members]


def is_archive(data: bytes) -> bool:
    return data.startswith(b"PK\x03\x04") and zipfile.is_zipfile(io.BytesIO(data))


# Tar archives.


def tar(data: bytes) -> list[Mutator]:
    """Members changed by the mutators of their content, or left out; headers and their sums are right."""
    with tarfile.open(fileobj=io.BytesIO(data)) as file:
        members = [(info, file.extractfile(info).read()) for info in file if info.isfile()]  # type: ignore[union-attr]
    mutators = [for_content(content) for _, content in members]

    def mutate(chance: Random) -> bytes:
        at = chance.randrange(len(members))
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w") as file:
            for number, (info, content) in enumerate(members):
                if number == at:
                    if chance.random() < 0.05:
                        continue
                    content = mutators[at](chance)
                header = tarfile.TarInfo(info.name)
                header.size = len(content)
                file.addfile(header, io.BytesIO(content))
        return buffer.getvalue()

    return [mutate]


def is_tar(data: bytes) -> bool:
    return data[257:262] == b"ustar" or (len(data) % 512 == 0 and len(data) > 1024 and data.startswith(b"sys_info\0"))


# Sorted string tables: TensorFlow's indexes and V1 checkpoints.


def table(data: bytes) -> list[Mutator]:
    """Entries changed, left out, doubled, exchanged; and the bytes of blocks, each with its sum put right."""
    entries = list(read_table(MemorySource(data)))
    mutators = [for_content(value) if value else raw(b"\x08\x01") for _, value in entries]

    def of_entries(chance: Random) -> bytes:
        changed = list(entries)
        at = chance.randrange(len(changed))
        key, value = changed[at]
        match chance.randrange(8):
            case 0:
                del changed[at]
            case 1:
                changed[at] = key, entries[chance.randrange(len(entries))][1]
            case 2:
                changed[at] = raw(key)(chance)[:70000], value
            case _:
                changed[at] = key, mutators[at](chance)
        if chance.random() < 0.95:
            changed.sort()
        return _table(changed)

    return [of_entries, of_entries, _of_blocks(data)]


def _table(entries: list[tuple[bytes, bytes]]) -> bytes:
    """A table of one block, whose keys may be out of order."""
    content, empty = encode_block(entries), encode_block([])
    stored = content + trailer(content)
    handle = varint(0) + varint(len(content))
    index = encode_block([(b"\xff" * 8, handle)], interval=1)
    meta = len(stored)
    front = stored + empty + trailer(empty)
    handles = b"".join(map(varint, (meta, len(empty), len(front), len(index))))
    return front + index + trailer(index) + handles.ljust(FOOTER_BYTES - len(MAGIC), b"\0") + MAGIC


def _of_blocks(data: bytes) -> Mutator:
    position = len(data) - FOOTER_BYTES
    handles = []
    for _ in range(2):  # the meta-index and the index
        begin, position = decode_varint(data, position, "")
        size, position = decode_varint(data, position, "")
        handles.append((begin, size))
    handles.append((0, min(begin for begin, _ in handles) - 5))  # all that lies before; one block in small tables
    handles = [handle for handle in handles if handle[1] > 0]

    def mutate(chance: Random) -> bytes:
        begin, size = chance.choice(handles)
        content = in_place(data[begin : begin + size])(chance)
        compression = data[begin + size]
        return data[:begin] + content + trailer(content, compression) + data[begin + size + 5 :]

    return mutate


def is_table(data: bytes) -> bool:
    return data.endswith(MAGIC) and len(data) >= FOOTER_BYTES


# HDF5.

_SIGNED = (b"OHDR", b"OCHK", b"BTHD", b"BTLF", b"BTIN", b"FRHP", b"FHDB", b"FHIB", b"FAHD", b"FADB", b"EAHD", b"EAIB")
_LONGEST = 1200  # bytes of a structure whose sum is looked for


def _summed(data: bytes) -> list[tuple[int, int]]:
    """Where structures begin and where their sum lies: the first four bytes behind that are the sum of it."""
    places = {data.find(b"\x89HDF")} | {
        at for sign in (*_SIGNED, b"EADB", b"EASB", b"FSHD", b"SMTB", b"SMLI") for at in _all(data, sign)
    }
    found = []
    for begin in sorted(places):
        for end in range(begin + 8, min(begin + _LONGEST, len(data) - 3)):
            if lookup3(data[begin:end]) == int.from_bytes(data[end : end + 4], "little"):
                found.append((begin, end))
                break
    return found


def _all(data: bytes, sign: bytes) -> list[int]:
    places, at = [], data.find(sign)
    while at >= 0:
        places.append(at)
        at = data.find(sign, at + 1)
    return places


def hdf5(data: bytes) -> list[Mutator]:
    """Bytes changed in place, mostly where there are any but zeros, and the sums of structures put right."""
    summed = _summed(data)
    blocks = [at for at in range(0, len(data), 16) if data[at : at + 16].strip(b"\0")]

    def mended(changed: bytearray) -> bytes:
        for begin, end in summed:
            if changed[begin:end] != data[begin:end]:
                changed[end : end + 4] = lookup3(bytes(changed[begin:end])).to_bytes(4, "little")
        return bytes(changed)

    def of_structures(chance: Random) -> bytes:
        changed = bytearray(data)
        begin, end = chance.choice(summed)
        changed[begin + 4 : end] = in_place(data[begin + 4 : end])(chance)
        return mended(changed)

    def of_blocks(chance: Random) -> bytes:
        changed = bytearray(data)
        for _ in range(chance.choice((1, 1, 2, 3))):
            at = chance.choice(blocks)
            changed[at : at + 16] = in_place(data[at : at + 16])(chance)
        return mended(changed)

    return [of_structures, of_blocks] if summed else [of_blocks]


def is_hdf5(data: bytes) -> bool:
    return data.startswith(b"\x89HDF\r\n\x1a\n")


# A run of archives in one file, as PyTorch's distributed checkpoints are.


def archives(data: bytes) -> list[Mutator]:
    """Contents of stored members changed in place, and their sums put right."""
    places = []
    for local in _all(data, b"PK\x03\x04"):
        names, extra = struct.unpack_from("<HH", data, local + 26)
        places.append((data[local + 30 : local + 30 + names], local, local + 30 + names + extra))
    found = []
    for entry in _all(data, b"PK\x01\x02"):
        crc, size, _, names = struct.unpack_from("<IIIH", data, entry + 16)
        name = data[entry + 46 : entry + 46 + names]
        before = [place for place in places if place[0] == name and place[1] < entry]
        if before and size and zlib.crc32(data[before[-1][2] : before[-1][2] + size]) == crc:
            found.append((entry, before[-1][1], before[-1][2], size, struct.pack("<I", crc)))

    def mutate(chance: Random) -> bytes:
        changed = bytearray(data)
        entry, local, begin, size, old = chance.choice(found)
        changed[begin : begin + size] = in_place(data[begin : begin + size])(chance)
        new = struct.pack("<I", zlib.crc32(changed[begin : begin + size]))
        changed[entry + 16 : entry + 20] = new
        for at in (local + 14, begin + size, begin + size + 4):  # the header, or the descriptor behind the content
            if data[at : at + 4] == old:
                changed[at : at + 4] = new
        return bytes(changed)

    return [mutate] if found else []


# A bundle: two files that belong together.


def bundle(index: bytes, data: bytes) -> Callable[[Random], tuple[bytes, bytes]]:
    """The stored bytes of an entry changed in place, and their sum in the index put right."""
    entries = dict(read_table(MemorySource(index)))
    places = []
    for key, value in entries.items():
        entry = decode(BundleEntryProto, MemorySource(value)) if key else None
        if entry is not None and entry.size and not entry.shard_id and entry.offset + entry.size <= len(data):
            places.append((key, entry))

    def mutate(chance: Random) -> tuple[bytes, bytes]:
        key, entry = chance.choice(places)
        begin, end = entry.offset, entry.offset + entry.size
        content = in_place(data[begin:end])(chance)
        again = entry.replaced(crc32c=mask(crc32c(content)))
        table = {**entries, key: encode_bytes(again)}
        return _table(sorted(table.items())), data[:begin] + content + data[end:]

    return mutate


CONTAINERS: tuple[tuple[Callable[[bytes], bool], Callable[[bytes], list[Mutator]]], ...] = (
    (lambda data: is_archive(data) and data.count(b"PK\x05\x06") == 1, lambda data: [*archive(data), *archives(data)]),
    (lambda data: data.startswith(b"PK\x03\x04"), archives),
    (is_hdf5, hdf5),
    (is_table, table),
    (is_tar, tar),
)
