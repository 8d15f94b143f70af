"""Bounded reads, and files beside the one that was named."""

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from panmodel.errors import CorruptError, MissingFileError, TruncatedError, UnsafeError
from panmodel.io.source import Extent, FileSource, Location, MemorySource, PartSource, watched


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "a.bin").write_bytes(bytes(range(100)))
    (tmp_path / "secret").write_bytes(b"secret")
    return tmp_path / "model"


def test_reads_by_position(folder):
    source = FileSource(folder / "a.bin")
    assert source.read(10, 3) == bytes([10, 11, 12])
    assert Extent(source, 98, 2).read() == bytes([98, 99])
    assert b"".join(bytes(piece) for piece in source.chunks(5, 50, chunk=7)) == bytes(range(5, 55))


@pytest.mark.parametrize(("offset", "nbytes"), [(99, 2), (101, 0), (-1, 1), (0, -1), (0, 1 << 62), (1 << 62, 1)])
@pytest.mark.parametrize("make", [lambda folder: FileSource(folder / "a.bin"), lambda _: MemorySource(bytes(100), "m")])
def test_nothing_outside_is_read(folder, make, offset, nbytes):
    source = make(folder)
    with pytest.raises(TruncatedError, match="ends at byte 100"):
        source.read(offset, nbytes)
    with pytest.raises(TruncatedError):
        next(source.chunks(offset, nbytes))


@given(st.binary(max_size=300), st.data())
def test_memory_reads_are_slices(data, draw):
    start = draw.draw(st.integers(0, len(data)))
    count = draw.draw(st.integers(0, len(data) - start))
    source = MemorySource(data)
    assert source.read(start, count) == data[start : start + count]


def test_files_that_are_opened_are_noted_and_told_from_others(folder):
    with watched() as outer:
        first = FileSource(folder / "a.bin")
        with watched() as inner:
            FileSource(folder.parent / "secret")
    FileSource(folder / "a.bin")
    assert not outer.are_replaced() and not inner.are_replaced()
    (folder / "b.bin").write_bytes(b"b")
    (folder / "b.bin").replace(folder / "a.bin")
    assert outer.are_replaced() and not inner.are_replaced()
    (folder.parent / "secret").unlink()
    assert inner.are_replaced()
    assert first.read(1, 1) == b"\1"
    assert (outer.held, inner.held) == ({first.identity}, set())


def test_a_file_cut_while_it_is_read(folder):
    source = FileSource(folder / "a.bin")
    os.truncate(folder / "a.bin", 10)
    with pytest.raises(TruncatedError):
        source.read(0, 50)


def test_only_regular_files_open(folder):
    with pytest.raises(UnsafeError):
        FileSource("/dev/null")
    with pytest.raises(MissingFileError):
        FileSource(folder / "none")


@pytest.mark.parametrize(
    "name", ["../secret", "/etc/passwd", "x/../../secret", "", "a\0b", "..\\secret", "link", "up/secret", "hard"]
)
def test_names_from_a_file_stay_inside(folder, name):
    (folder / "link").symlink_to(folder / "a.bin")
    (folder / "up").symlink_to(folder.parent)
    os.link(folder.parent / "secret", folder / "hard")
    with pytest.raises(UnsafeError):
        Location(folder / "a.bin").contained(name)


def test_names_from_a_file_open_inside(folder):
    (folder / "sub").mkdir()
    (folder / "sub" / "w").write_bytes(b"w")
    assert Location(folder / "a.bin").contained("sub/w").read(0, 1) == b"w"
    with pytest.raises(MissingFileError):
        Location(folder / "a.bin").contained("sub/none")


def test_names_longer_than_any_file_has_are_those_of_no_file(folder):
    for name in ("n" * 300, "/".join(["n" * 100] * 60)):
        with pytest.raises(MissingFileError):
            Location(folder / "a.bin").contained(name)
        with pytest.raises(MissingFileError):
            FileSource(folder / name)
        assert not Location(folder / name).is_file
        assert not Location(folder / name).is_folder


def test_names_made_up_by_a_format_are_plain(folder):
    assert Location(folder / "prefix").beside("a.bin").is_file
    with pytest.raises(UnsafeError):
        Location(folder / "prefix").beside("../secret")


def test_a_location_may_be_a_folder_or_nothing(folder):
    assert Location(folder).is_folder
    assert Location(folder).names() == ["a.bin"]
    assert Location(folder / "prefix").names() == ["a.bin"]
    assert Location(folder / "a.bin").head(3) == b"\0\1\2"
    assert Location(folder / "prefix").head() == b""


def test_a_pipe_is_refused_and_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(UnsafeError, match="not a regular file"):
        FileSource(tmp_path / "pipe")
    with pytest.raises(UnsafeError, match="not a regular file"):
        Location(tmp_path / "model.onnx").contained("pipe")


def test_a_part_of_a_source_is_a_source():
    part = PartSource(Extent(MemorySource(b"0123456789"), 2, 5), "inner")
    assert (part.size, part.read(1, 3), part.name) == (5, b"345", "inner")
    with pytest.raises(TruncatedError, match="ends at byte 5"):
        part.read(3, 3)
    with pytest.raises(TruncatedError):
        PartSource(Extent(MemorySource(b"0123456789"), 8, 5), "inner")


def test_links_of_a_hub_cache_are_followed_into_its_blobs_alone(tmp_path):
    """Snapshots of the Hugging Face Hub are folders of links."""
    snapshot, blobs = tmp_path / "models--a--b" / "snapshots" / "0123", tmp_path / "models--a--b" / "blobs"
    snapshot.mkdir(parents=True)
    blobs.mkdir()
    (blobs / "abcd").write_bytes(b"blob")
    (tmp_path / "secret").write_bytes(b"secret")
    (snapshot / "model.bin").symlink_to("../../blobs/abcd")
    (snapshot / "away.bin").symlink_to(tmp_path / "secret")
    (blobs / "loop").symlink_to(tmp_path / "secret")
    (snapshot / "twice.bin").symlink_to("../../blobs/loop")
    location = Location(snapshot / "model.json")
    assert location.contained("model.bin").read(0, 4) == b"blob"
    for name in ("away.bin", "twice.bin"):
        with pytest.raises(UnsafeError, match="refuses to follow the link"):
            location.contained(name)
    plain = tmp_path / "models--a--b" / "other" / "0123"
    plain.mkdir(parents=True)
    (plain / "model.bin").symlink_to("../../blobs/abcd")
    with pytest.raises(UnsafeError):
        Location(plain / "x").contained("model.bin")


def test_what_is_made_of_a_file_is_made_once(tmp_path):
    (tmp_path / "a").write_bytes(b"content")
    made = []

    def make(source):
        made.append(source.read(0, 7))
        return made[-1]

    def refuse(source):
        made.append(source)
        raise CorruptError("no")

    location = Location(tmp_path / "a")
    assert location.once(make) is location.once(make)
    for _ in range(2):
        with pytest.raises(CorruptError):
            location.once(refuse)
    assert len(made) == 2
    with pytest.raises(MissingFileError):
        Location(tmp_path / "b").once(make)
