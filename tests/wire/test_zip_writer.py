from __future__ import annotations

import io
import zipfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from panmodel.io.sink import Sink
from panmodel.io.source import FileSource
from panmodel.wire.zip import Archive
from panmodel.wire.zip_writer import ArchiveWriter, MemberFile


def everything(archive: Archive) -> dict[str, bytes]:
    return {name: archive.read(name, limit=1 << 30) for name in archive.members}


def _write(path: Path, members: dict[str, list[bytes]]) -> None:
    with Sink(path) as sink:
        writer = ArchiveWriter(sink.open())
        for name, pieces in members.items():
            writer.add(name, pieces, sum(map(len, pieces)))
        writer.close()


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


@given(pieces=st.lists(st.binary(min_size=1, max_size=50), min_size=1, max_size=4), data=st.data())
def test_a_member_of_unknown_size_whose_head_is_written_last(
    tmp_path_factory: pytest.TempPathFactory, pieces: list[bytes], data: st.DataObject
) -> None:
    head = data.draw(st.binary(max_size=len(pieces[0])))

    def write(member: MemberFile) -> None:
        member.write_all(pieces)
        member.align(8)
        member.overwrite(0, head)

    path = tmp_path_factory.mktemp("zip") / "a.zip"
    with Sink(path) as sink:
        writer = ArchiveWriter(sink.open())
        writer.add("before", [b"x"], 1)
        writer.add_file("é/b", write)
        writer.add_file("nothing", lambda member: None)
        writer.close()
    whole = b"".join(pieces)
    right = head + whole[len(head) :] + bytes(-len(whole) % 8)
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None
        assert archive.read("é/b") == right
    ours = Archive(FileSource(path))
    assert all(member.offset % 64 == 0 for member in ours.members.values())
    assert everything(ours) == {"before": b"x", "é/b": right, "nothing": b""}


def test_only_the_head_of_a_member_is_replaced(tmp_path: Path) -> None:
    def write(member: MemberFile) -> None:
        member.write(b"head")
        member.write(b"rest")
        member.overwrite(2, b"abc")

    sink = Sink(tmp_path / "a.zip")
    with pytest.raises(ValueError, match="written first"):
        ArchiveWriter(sink.open()).add_file("a", write)
    sink.discard()
