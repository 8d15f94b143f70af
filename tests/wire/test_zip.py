from __future__ import annotations

import io
import struct
import zipfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.damage import assert_survives

from panmodel.errors import CorruptError, LimitError, PanmodelError, UnsafeError, UnsupportedError
from panmodel.io.sink import Sink
from panmodel.io.source import FileSource, MemorySource
from panmodel.limits import Limits
from panmodel.wire.zip import Archive, first_name, is_zip
from panmodel.wire.zip_writer import ArchiveWriter


def packed(*members: tuple[str, bytes], method: int = zipfile.ZIP_STORED, comment: bytes = b"") -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for name, content in members:
            archive.writestr(name, content)
        archive.comment = comment
    return buffer.getvalue()


def opened(data: bytes, **options: object) -> Archive:
    return Archive(MemorySource(data, "a.zip"), **options)  # type: ignore[arg-type]


def everything(archive: Archive) -> dict[str, bytes]:
    return {name: archive.read(name, limit=1 << 30) for name in archive.members}


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
@given(
    st.dictionaries(
        st.text("abcé日./-", min_size=1, max_size=8).filter(
            lambda name: all(part not in ("", ".", "..") for part in name.split("/"))
        ),
        st.binary(max_size=300),
        max_size=5,
    )
)
def test_reads_what_python_writes(method: int, members: dict[str, bytes]) -> None:
    assert everything(opened(packed(*members.items(), method=method, comment=b"PK"))) == members


def test_reads_a_streamed_archive_with_data_descriptors() -> None:
    class Pipe(io.RawIOBase):
        def __init__(self) -> None:
            self.data = bytearray()

        def writable(self) -> bool:
            return True

        def write(self, piece: bytes) -> int:  # type: ignore[override]
            self.data += bytes(piece)
            return len(piece)

    pipe = Pipe()
    with zipfile.ZipFile(pipe, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a", b"aaaa" * 100)
        with archive.open("b", "w", force_zip64=True) as member:
            member.write(b"bbbb")
    assert everything(opened(bytes(pipe.data))) == {"a": b"aaaa" * 100, "b": b"bbbb"}


def test_a_stored_member_has_an_extent_and_a_deflated_one_none() -> None:
    archive = opened(packed(("a", b"content")))
    extent = archive.extent("a")
    assert extent is not None
    assert extent.read() == b"content"
    assert opened(packed(("a", b"content"), method=zipfile.ZIP_DEFLATED)).extent("a") is None


def test_a_part_of_a_member_is_vouched_for_by_the_whole() -> None:
    data = packed(("a", b"content"))
    assert opened(data).standing("a").verify() is None
    assert "CRC-32" in (opened(data.replace(b"content", b"c0ntent")).standing("a").verify() or "")


def test_a_changed_byte_is_found_by_the_checksum() -> None:
    with pytest.raises(CorruptError, match=r"member 'a': CRC-32 \w+ expected"):
        everything(opened(packed(("a", b"content")).replace(b"content", b"c0ntent")))


def test_a_checksum_of_zero_means_none_only_where_that_is_said() -> None:
    data = packed(("a", b"content"))
    crc = struct.pack("<I", zipfile.crc32(b"content"))
    without = data.replace(crc, bytes(4))
    assert everything(opened(without, zero_crc_is_absent=True)) == {"a": b"content"}
    with pytest.raises(CorruptError):
        everything(opened(without))


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


def test_bombs_are_refused_before_they_are_unpacked() -> None:
    data = packed(("a", bytes(50 << 20)), method=zipfile.ZIP_DEFLATED)
    with pytest.raises(LimitError, match="expands"):
        opened(data)
    with pytest.raises(LimitError, match="more than 3"):
        opened(packed(("a", b"four"))).read("a", limit=3)
    with pytest.raises(LimitError, match="2 members"):
        opened(packed(("a", b""), ("b", b"")), limits=Limits(members=1))


def test_a_deflated_member_gives_no_more_than_its_stated_size() -> None:
    data = packed(("a", b"x" * 1000), method=zipfile.ZIP_DEFLATED)
    for stated in (10, 2000):
        with pytest.raises(CorruptError, match="does not decompress to its"):
            everything(opened(data.replace(struct.pack("<I", 1000), struct.pack("<I", stated))))


def test_the_first_name_of_a_damaged_archive_is_told() -> None:
    data = packed(("archive/data.pkl", b"content"))
    assert is_zip(data)
    assert first_name(MemorySource(data[:60])) == "archive/data.pkl"
    assert first_name(MemorySource(data[:20])) == ""


@given(st.dictionaries(st.text("abé", min_size=1), st.lists(st.binary(max_size=50), max_size=3), max_size=6))
def test_python_reads_what_is_written(
    tmp_path_factory: pytest.TempPathFactory, members: dict[str, list[bytes]]
) -> None:
    path = tmp_path_factory.mktemp("zip") / "a.zip"
    _write(path, members)
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None
        assert {name: archive.read(name) for name in archive.namelist()} == {n: b"".join(p) for n, p in members.items()}
    ours = Archive(FileSource(path))
    assert all(member.offset % 64 == 0 for member in ours.members.values())
    assert everything(ours) == {name: b"".join(pieces) for name, pieces in members.items()}


def _write(path: Path, members: dict[str, list[bytes]]) -> None:
    with Sink(path) as sink:
        writer = ArchiveWriter(sink.open())
        for name, pieces in members.items():
            writer.add(name, pieces, sum(map(len, pieces)))
        writer.close()


def test_equal_content_gives_equal_files(tmp_path: Path) -> None:
    for name in "ab":
        _write(tmp_path / name, {"one": [b"1"], "two": [b"2"]})
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


class _SparseFile:
    """Takes gigabytes of zeros without writing them."""

    def __init__(self, file: io.BufferedWriter) -> None:
        self.file, self.position = file, 0

    def write(self, data: bytes) -> int:
        if len(data) >= 1 << 20:
            self.file.seek(len(data), io.SEEK_CUR)
        else:
            self.file.write(data)
        self.position += len(data)
        return len(data)


def test_beyond_four_gigabytes_and_65535_members_the_archive_is_zip64(tmp_path: Path) -> None:
    path, zeros = tmp_path / "big.zip", bytes(16 << 20)
    with path.open("wb") as file:
        writer = ArchiveWriter(_SparseFile(file))  # type: ignore[arg-type]
        writer.add("big", (zeros for _ in range(257)), 257 * len(zeros))
        for index in range(3):
            writer.add(f"after/{index}", [b"content"], 7)
        writer.close()
    ours = Archive(FileSource(path))
    assert ours.members["big"].size == 257 * len(zeros)
    assert ours.read("after/2", limit=10) == b"content"
    with zipfile.ZipFile(path) as archive:
        assert archive.getinfo("big").file_size == 257 * len(zeros)
        assert archive.read("after/2") == b"content"
    many = tmp_path / "many.zip"
    _write(many, {str(index): [] for index in range(66_000)})
    assert len(Archive(FileSource(many)).members) == 66_000
    with zipfile.ZipFile(many) as archive:
        assert len(archive.namelist()) == 66_000


def test_a_writer_that_gets_other_than_the_announced_bytes_says_so(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="3 bytes came, 4 were announced"), Sink(tmp_path / "a.zip") as sink:
        ArchiveWriter(sink.open()).add("a", [b"abc"], 4)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_damage_is_found(tmp_path: Path, method: int) -> None:
    path = tmp_path / "a.zip"
    path.write_bytes(packed(("a/one", b"content" * 20), ("a/two", bytes(range(256))), method=method))
    assert_survives(lambda copy: sorted(everything(Archive(FileSource(copy))).values()), path, exact=True)


def test_only_own_errors_leave_the_reader_of_noise() -> None:
    for size in range(0, 200, 7):
        with pytest.raises(PanmodelError):
            opened((b"PK\x05\x06" + b"\xff" * size)[: size + 4])
