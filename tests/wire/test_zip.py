from __future__ import annotations

import io
import random
import struct
import zipfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.damage import assert_survives

from panmodel.errors import CorruptError, LimitError, PanmodelError
from panmodel.io.source import FileSource, MemorySource
from panmodel.limits import Limits
from panmodel.wire.zip import Archive, first_name, is_zip


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
    for place in (at for at in range(len(pipe.data)) if pipe.data.startswith(b"PK\x07\x08", at)):
        damaged = pipe.data[: place + 5] + bytes([pipe.data[place + 5] ^ 1]) + pipe.data[place + 6 :]
        with pytest.raises(CorruptError, match="contradicts the directory in size or CRC-32"):
            opened(bytes(damaged))


def test_zeros_that_are_content_are_not_taken_for_what_follows_an_empty_member() -> None:
    """A member of zeros whose sizes and CRC-32 were lost everywhere, but for the descriptor behind its content."""
    name = b"a"
    local = struct.pack("<4s5H3I2H", b"PK\x03\x04", 20, 8, 0, 0, 0, 0, 0, 0, len(name), 0) + name
    central = struct.pack("<4s6H3I5H2I", b"PK\x01\x02", 20, 20, 8, 0, 0, 0, 0, 0, 0, len(name), 0, 0, 0, 0, 0, 0) + name

    def archive(behind: bytes) -> bytes:
        end = struct.pack("<4s4H2IH", b"PK\x05\x06", 0, 0, 1, 1, len(central), len(local) + len(behind), 0)
        return local + behind + central + end

    for descriptor in (bytes(12), bytes(20), b"PK\x07\x08" + bytes(12), b"PK\x07\x08" + bytes(20)):
        assert everything(opened(archive(descriptor))) == {"a": b""}
    with pytest.raises(CorruptError, match="what follows member 'a' contradicts"):
        opened(archive(bytes(16) + b"PK\x07\x08" + bytes(12)))


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


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_damage_is_found(tmp_path: Path, method: int) -> None:
    path = tmp_path / "a.zip"
    path.write_bytes(packed(("a/one", b"content" * 20), ("a/two", bytes(range(256))), method=method))
    assert_survives(lambda copy: sorted(everything(Archive(FileSource(copy))).values()), path, exact=True)


def test_only_own_errors_leave_the_reader_of_noise() -> None:
    for size in range(0, 200, 7):
        with pytest.raises(PanmodelError):
            opened((b"PK\x05\x06" + b"\xff" * size)[: size + 4])


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_the_head_of_a_member_is_read_alone(method: int) -> None:
    content = random.Random(0).randbytes(70_000)
    data = packed(("a", content), ("b", b"xy"), method=method)
    archive = opened(data)
    assert archive.head("a", 65536) == content[:65536]
    assert archive.head("b", 65536) == b"xy"
    damaged = bytearray(data)
    at = archive.members["a"].offset
    damaged[at : at + 50] = b"\xff" * 50
    if method == zipfile.ZIP_DEFLATED:
        with pytest.raises(CorruptError, match="'a'"):
            opened(bytes(damaged)).head("a", 100)
