import io
import pickle
import tarfile

import pytest
from tests.scanned import CLEAN, DANGEROUS, UNDECIDED, rules_of, scan_bytes


def archive(*members, form=tarfile.GNU_FORMAT):
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w", format=form) as tar:
        for name, content, kind, link in members:
            info = tarfile.TarInfo(name)
            info.size, info.type, info.linkname = len(content), kind, link
            tar.addfile(info, io.BytesIO(content))
    return file.getvalue()


def plain(name, content=b"text"):
    return (name, content, tarfile.REGTYPE, "")


PICKLE = b"cposix\nsystem\n(S'true'\ntR."
COUNT, FLOATS = b"\x80\x02K\x02.", b"\x80\x02(X\x01\x00\x00\x000X\x03\x00\x00\x00cpuctorch\nFloatStorage\nt."
STORED = COUNT + FLOATS + (2).to_bytes(8, "little") + b"\xff" * 8
HOSTILE = {
    "parent folder": (archive(plain("../x")), "PM-TAR-ESCAPE"),
    "absolute": (archive(plain("/etc/x")), "PM-TAR-ESCAPE"),
    "long name": (archive(plain("a/" * 80 + "../" * 90 + "x")), "PM-TAR-ESCAPE"),
    "pax name": (archive(plain("é" * 90 + "/../../x"), form=tarfile.PAX_FORMAT), "PM-TAR-ESCAPE"),
    "symbolic link": (archive(("a", b"", tarfile.SYMTYPE, "/etc/passwd")), "PM-TAR-ESCAPE"),
    "climbing link": (archive(("a/b", b"", tarfile.SYMTYPE, "../../x")), "PM-TAR-ESCAPE"),
    "hard link": (archive(("a", b"", tarfile.LNKTYPE, "../x")), "PM-TAR-ESCAPE"),
    "device": (archive(("a", b"", tarfile.BLKTYPE, "")), "PM-TAR-DEVICE"),
    "pipe": (archive(("a", b"", tarfile.FIFOTYPE, "")), "PM-TAR-DEVICE"),
    "pickle": (archive(plain("pickle", PICKLE)), "PM-PICKLE-GLOBAL"),
    "between storages": (
        archive(
            plain("pickle", pickle.dumps({})), plain("storages", b"\x80\x02K\x01." + bytes(9) + b"\x80\x02" + PICKLE)
        ),
        "PM-PICKLE-GLOBAL",
    ),
}

HOSTILE["old protocol between storages"] = (
    archive(plain("pickle", pickle.dumps({})), plain("storages", STORED + PICKLE + b".")),
    "PM-PICKLE-GLOBAL",
)


@pytest.mark.parametrize("kind", HOSTILE)
def test_tricks_are_dangerous(tmp_path, kind):
    data, rule = HOSTILE[kind]
    found = scan_bytes(tmp_path, data)
    assert found.verdict is DANGEROUS
    assert rule in rules_of(found)


def test_plain_members_are_clean(tmp_path):
    assert scan_bytes(tmp_path, archive(plain("a/b.txt"), plain("./c.txt"))).verdict is CLEAN


def test_storages_of_torch_are_clean(tmp_path):
    data = archive(plain("pickle", pickle.dumps({}, 2)), plain("storages", STORED + FLOATS + bytes(8) + b"\x80\x02]."))
    assert scan_bytes(tmp_path, data).verdict is CLEAN


def test_damage_is_undecided(tmp_path):
    data = bytearray(archive(plain("a"), plain("b")))
    data[1030] ^= 1
    assert scan_bytes(tmp_path, bytes(data)).verdict is UNDECIDED
    assert scan_bytes(tmp_path, archive(plain("a", bytes(2000)))[:1500]).verdict is UNDECIDED


def test_two_of_a_name_are_undecided(tmp_path):
    assert scan_bytes(tmp_path, archive(plain("a"), plain("a"))).verdict is UNDECIDED


def test_members_of_unknown_types_are_unpacked_as_files(tmp_path):
    assert scan_bytes(tmp_path, archive(("pickle", PICKLE, b"Z", ""))).verdict is DANGEROUS


def test_what_follows_the_end_is_undecided(tmp_path):
    data = archive(plain("a")) + archive(plain("b", PICKLE))
    assert scan_bytes(tmp_path, data).verdict is UNDECIDED


def with_headers(**headers):
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w", format=tarfile.PAX_FORMAT) as tar:
        info = tarfile.TarInfo("x")
        info.size, info.pax_headers = 1, headers
        tar.addfile(info, io.BytesIO(b"x"))
    return file.getvalue()


def test_a_comment_neither_hides_nor_says_where_a_member_goes(tmp_path):
    assert scan_bytes(tmp_path, with_headers(path="../x", comment="x\n11 path=ok")).verdict is DANGEROUS
    assert scan_bytes(tmp_path, with_headers(path="b", comment="x\n13 path=../x")).verdict is CLEAN


@pytest.mark.parametrize("key", ["GNU.sparse.name", "size", "hdrcharset"])
def test_headers_that_change_the_content_are_undecided(tmp_path, key):
    assert scan_bytes(tmp_path, with_headers(**{key: "1"})).verdict is UNDECIDED
