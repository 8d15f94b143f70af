from __future__ import annotations

import io
import struct
import zipfile
import zlib

import pytest

from panmodel.errors import CorruptError, UnsafeError, UnsupportedError
from panmodel.io.source import MemorySource
from panmodel.limits import DEFAULT
from panmodel.wire.zip_directory import DEFLATED, STORED, UNICODE_PATH, Member, read_members


def packed(*members: tuple[str, bytes], method: int = zipfile.ZIP_STORED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for name, content in members:
            archive.writestr(name, content)
    return buffer.getvalue()


def opened(data: bytes) -> dict[str, Member]:
    return dict(read_members(MemorySource(data, "a.zip"), DEFAULT))


def test_members_say_where_their_bytes_are() -> None:
    data = packed(("folder/a", b"content"))
    assert opened(data) == {
        "folder/a": Member("folder/a", STORED, zipfile.crc32(b"content"), 7, 7, data.index(b"content"))
    }
    assert opened(packed(("a", b"c" * 99), method=zipfile.ZIP_DEFLATED))["a"].method == DEFLATED


@pytest.mark.parametrize("field", [4, 6, 8, 10])
def test_volumes_and_counts_must_agree(field: int) -> None:
    data = packed(("a", b"content"))
    place = data.rindex(b"PK\x05\x06") + field
    with pytest.raises((CorruptError, UnsupportedError)):
        opened(data[:place] + struct.pack("<H", 7) + data[place + 2 :])


@pytest.mark.parametrize("name", ["/a", "../a", "a/../../b", "a\\b", "a//b", "./a", "C:/a", ".."])
def test_names_that_lead_out_are_refused(name: str) -> None:
    placeholder = "n" * len(name.encode())
    data = packed((placeholder, b"")).replace(placeholder.encode(), name.encode())
    with pytest.raises(UnsafeError, match="could lead out"):
        opened(data)


def test_two_members_of_one_name_are_refused() -> None:
    with pytest.raises(CorruptError, match="two members have the name"):
        opened(packed(("a1", b"one"), ("a2", b"two")).replace(b"a2", b"a1"))
    with pytest.raises(CorruptError, match="of one name to other readers"):
        opened(packed(("e\u0301", b"one"), ("\u00e9", b"two")))


def _central(data: bytes, nth: int = 0) -> int:
    position = -1
    for _ in range(nth + 1):
        position = data.index(b"PK\x01\x02", position + 1)
    return position


@pytest.mark.parametrize(
    ("offset", "value", "error"),
    [
        (8, b"\x01\x00", UnsupportedError),  # flags: encrypted
        (8, b"\x00\x08", CorruptError),  # flags: other than in the local header
        (10, b"\x0c\x00", UnsupportedError),  # method: bzip2
        (10, b"\x08\x00", CorruptError),  # method: other than in the local header
        (16, b"\x00\x00\x00\x00", CorruptError),  # CRC-32: other than in the local header
        (20, b"\x09\x00\x00\x00", CorruptError),  # compressed size
        (38, b"\x00\x00\xff\xa1", UnsafeError),  # attributes: a symbolic link
        (42, b"\x01\x00\x00\x00", CorruptError),  # local header elsewhere
        (42, b"\xf0\xff\xff\xff", CorruptError),  # local header beyond the end
    ],
)
def test_a_directory_that_contradicts_the_members_is_refused(offset: int, value: bytes, error: type[Exception]) -> None:
    data = packed(("a", b"content"))
    place = _central(data) + offset
    with pytest.raises(error):
        opened(data[:place] + value + data[place + len(value) :])


def test_local_names_that_differ_from_the_directory_are_refused() -> None:
    data = packed(("safe", b"content"))
    with pytest.raises(CorruptError, match="contradicts the directory in name"):
        opened(data.replace(b"safe", b"evil", 1))


def test_an_empty_member_with_the_checksum_of_something_is_refused() -> None:
    """A header that lost its sizes in both places: of a tensor, no bytes would mean that none were saved."""
    data = packed(("a", b""), ("b", b""))
    assert [member.crc for member in opened(data).values()] == [0, 0]
    for place in (14, _central(data) + 16):
        data = data[:place] + b"\x49\x22\0\0" + data[place + 4 :]
    with pytest.raises(CorruptError, match="'a' is empty, but its CRC-32 is 0x00002249"):
        opened(data)


def second_name(first: str, second: bytes) -> bytes:
    """An archive whose member has another name in an extra field, for which Python 3.12 and others take it."""
    info, out = zipfile.ZipInfo(first), io.BytesIO()
    content = b"\x01" + struct.pack("<I", zlib.crc32(first.encode())) + second
    info.extra = struct.pack("<HH", UNICODE_PATH, len(content)) + content
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr(info, b"content")
    return out.getvalue()


def test_a_second_name_is_refused_unless_it_spells_the_first() -> None:
    for first in ("m/data/0", "ä/data/0"):
        with pytest.raises(CorruptError, match="second name"):
            opened(second_name(first, b"config.json"))
    assert list(opened(second_name("m/data/0", b"m/data/0"))) == ["m/data/0"]
    assert len(opened(second_name("ä", "ä".encode()))) == 1


def test_overlapping_members_are_refused() -> None:
    data = packed(("a", b"content"), ("b", b"content"))
    second = _central(data, 1) + 42
    with pytest.raises(CorruptError):
        opened(data[:second] + bytes(4) + data[second + 4 :])


def test_foreign_bytes_before_or_after_are_refused() -> None:
    data = packed(("a", b"content"))
    for polyglot in (b"#!/bin/sh\n" + data, data + b"tail"):
        with pytest.raises(CorruptError):
            opened(polyglot)
