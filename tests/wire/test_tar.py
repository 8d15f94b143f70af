from __future__ import annotations

import io
import tarfile

import pytest

from panmodel.errors import CorruptError, LimitError, TruncatedError, UnsafeError
from panmodel.io.source import MemorySource
from panmodel.limits import Limits
from panmodel.wire.tar import is_tar, read_tar


def packed(
    *members: tuple[str, bytes], kind: bytes = tarfile.REGTYPE, style: int = tarfile.USTAR_FORMAT, **more
) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:", format=style) as archive:
        for name, content in members:
            member = tarfile.TarInfo(name)
            member.size, member.type = len(content), kind
            for key, value in more.items():
                setattr(member, key, value)
            archive.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


@pytest.mark.parametrize("style", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_members_are_found_where_they_are(style: int) -> None:
    data = packed(
        ("a", b"1" * 700), ("b", b""), ("c", b"x"), style=style, mtime=1.5 if style == tarfile.PAX_FORMAT else 1
    )
    assert is_tar(data[:512])
    found = read_tar(MemorySource(data))
    assert {name: extent.read() for name, extent in found.items()} == {"a": b"1" * 700, "b": b"", "c": b"x"}


def test_a_size_in_an_extended_header_counts() -> None:
    data = packed(("a", b"12345"), style=tarfile.PAX_FORMAT, pax_headers={"size": "5", "comment": "c"})
    assert {name: extent.read() for name, extent in read_tar(MemorySource(data)).items()} == {"a": b"12345"}


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.DIRTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE])
def test_all_but_files_is_refused(kind: bytes) -> None:
    with pytest.raises(UnsafeError, match="is no file"):
        read_tar(MemorySource(packed(("a", b""), kind=kind, linkname="/etc/passwd")))


@pytest.mark.parametrize("name", ["../a", "/a", "a/b", "..", "a\\b"])
def test_names_that_lead_elsewhere_are_refused(name: str) -> None:
    with pytest.raises(UnsafeError, match="no plain file name"):
        read_tar(MemorySource(packed((name, b"x"))))


@pytest.mark.parametrize("key", ["path", "linkpath", "GNU.sparse.name"])
def test_extended_headers_change_no_names(key: str) -> None:
    with pytest.raises(UnsafeError, match="extended header changes"):
        read_tar(MemorySource(packed(("a", b"x"), style=tarfile.PAX_FORMAT, pax_headers={key: "b"})))


def test_broken_archives_are_refused() -> None:
    data = packed(("a", b"1" * 700))
    with pytest.raises(CorruptError, match="does not meet its checksum"):
        read_tar(MemorySource(b"b" + data[1:]))
    with pytest.raises(TruncatedError):
        read_tar(MemorySource(data[:1000]))
    with pytest.raises(CorruptError, match="two members"):
        read_tar(MemorySource(packed(("a", b"1"), ("a", b"2"))))
    with pytest.raises(LimitError):
        read_tar(MemorySource(packed(("a", b"1"), ("b", b"2"))), limits=Limits(members=1))
    assert not is_tar(b"\0" * 512)
    assert not is_tar(data[:500])
