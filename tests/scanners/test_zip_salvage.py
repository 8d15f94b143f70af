import io
import time
import zipfile

from panmodel.io.source import MemorySource
from panmodel.scanners.zip_salvage import Salvage


def archive(method):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as zipped:
        zipped.writestr("a", b"first content")
        zipped.writestr("b", b"second content")
    return file.getvalue()


def test_members_are_found_without_a_directory():
    for method in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        data = archive(method)
        salvage = Salvage(MemorySource(data[: data.index(b"PK\x01\x02")]))
        assert list(salvage.members()) == [("a", b"first content"), ("b", b"second content")]


def test_a_sound_archive_has_no_contradictions():
    assert Salvage(MemorySource(archive(zipfile.ZIP_DEFLATED))).contradictions() == []


def test_both_names_are_handed_out():
    data = archive(zipfile.ZIP_STORED).replace(b"\x01\x00\x00\x00a", b"\x01\x00\x00\x00c", 1)
    salvage = Salvage(MemorySource(data))
    assert [name for name, _ in salvage.members()] == ["c", "a", "b"]
    assert len(salvage.contradictions()) == 1


def test_a_great_many_headers_take_bounded_time():
    header = b"PK\x03\x04" + b"\x14\0\0\0\x08\0" + bytes(8) + b"\xff\xff\xff\x7f" * 2 + bytes(4)
    data = header * 20_000 + bytes(50_000_000)
    begin = time.process_time()
    assert not any(content for _, content in Salvage(MemorySource(data, "a.zip")).members())
    assert time.process_time() - begin < 30
