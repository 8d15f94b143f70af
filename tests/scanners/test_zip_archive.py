import io
import pickle
import struct
import warnings
import zipfile

import numpy as np
import pytest
from tests.scanned import CLEAN, DANGEROUS, UNDECIDED, rules_of, scan_bytes

from panmodel.model.scanner import Subject
from panmodel.scanners import zip_archive

PICKLE = b"cposix\nsystem\n(S'true'\ntR."


def archive(members, method=zipfile.ZIP_STORED):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as zipped, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of duplicate names
        for name, data in members:
            zipped.writestr(name, data)
    return file.getvalue()


def replaced(data, old, new, count=1):
    assert old in data
    return data.replace(old, new, count)


def with_symbolic_link():
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as zipped:
        info = zipfile.ZipInfo("link")
        info.create_system, info.external_attr = 3, 0o120777 << 16
        zipped.writestr(info, "/etc/passwd")
    return file.getvalue()


def overlapping():
    data = bytearray(archive([("a.txt", "a" * 10), ("b.txt", "b" * 100)]))
    second = data.rindex(b"PK\x01\x02")
    data[second + 42 : second + 46] = struct.pack("<I", 0)
    return bytes(data)


def with_flag(flag):
    data = bytearray(archive([("archive/data.pkl", PICKLE)]))
    data[6] |= flag
    data[data.index(b"PK\x01\x02") + 8] |= flag
    return bytes(data)


PLAIN = archive([("notes.txt", b"nothing but text")])
HOSTILE = {
    "parent folder": (archive([("../outside.txt", b"x")]), "PM-ZIP-ESCAPE"),
    "absolute name": (archive([("/etc/cron.d/job", b"x")]), "PM-ZIP-ESCAPE"),
    "symbolic link": (with_symbolic_link(), "PM-ZIP-ESCAPE"),
    "two of a name": (archive([("a.txt", b"first"), ("a.txt", b"second")]), "PM-ZIP-AMBIGUOUS"),
    "other name before the member": (replaced(PLAIN, b"notes.txt", b"votes.txt"), "PM-ZIP-AMBIGUOUS"),
    "overlap": (overlapping(), "PM-ZIP-AMBIGUOUS"),
    "bytes before": (b"#!/bin/sh\nexit\n" + PLAIN, "PM-ZIP-AMBIGUOUS"),
    "pickle under another name": (
        replaced(archive([("archive/data.pkl", PICKLE)]), b"data.pkl", b"data.txt"),
        "PM-PICKLE-GLOBAL",
    ),
    "pickle marked as encrypted": (with_flag(1), "PM-PICKLE-GLOBAL"),
    "pickle with a wrong checksum": (
        replaced(archive([("archive/data.pkl", PICKLE)]), b"'true'", b"'ture'"),
        "PM-PICKLE-GLOBAL",
    ),
    "pickle in an archive that is cut": (archive([("archive/data.pkl", PICKLE)])[:-30], "PM-PICKLE-GLOBAL"),
    "archive behind a pickle": (PICKLE + PLAIN, "PM-PICKLE-GLOBAL"),
    "pickle behind an archive": (archive([("archive/data.pkl", PICKLE)]) + b"x", "PM-PICKLE-GLOBAL"),
    "compiled code in an exported program": (
        archive([("m/archive_format", b"pt2"), ("m/data/aotinductor/model/a.so", b"\x7fELF\x02" + bytes(60))]),
        "PM-NATIVE-CODE",
    ),
    "sample inputs of an exported program": (
        archive([("m/archive_format", b"pt2"), ("m/data/sample_inputs/model.pt", PICKLE)]),
        "PM-PICKLE-GLOBAL",
    ),
    "pickled weight of an exported program": (
        archive([("m/archive_format", b"pt2"), ("m/data/weights/weight_0", b"\x80\x02" + PICKLE)]),
        "PM-PICKLE-GLOBAL",
    ),
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_tricks_are_dangerous(tmp_path, kind):
    data, rule = HOSTILE[kind]
    found = scan_bytes(tmp_path, data)
    assert found.verdict is DANGEROUS
    assert rule in rules_of(found)


def test_a_long_line_in_an_archive_makes_no_pickle_of_it(tmp_path):
    """What an archive begins with, P, is an opcode that takes a line."""
    text = b'{"layers": [' + b'"a layer of many", ' * 10_000 + b"0]}"
    found = scan_bytes(tmp_path, archive([("config.json", text)]))
    assert found.verdict is CLEAN
    assert "pickle" not in found.files[0].kinds


def test_a_bomb_is_undecided(tmp_path):
    found = scan_bytes(tmp_path, archive([("a.txt", bytes(50_000_000))], zipfile.ZIP_DEFLATED))
    assert (found.verdict, rules_of(found) & {"PM-ZIP-EXPANDS"}) == (UNDECIDED, {"PM-ZIP-EXPANDS"})


@pytest.mark.parametrize("cut", [10, 40, 60, 100])
def test_what_is_cut_is_undecided(tmp_path, cut):
    assert scan_bytes(tmp_path, PLAIN[:cut]).verdict is UNDECIDED


def test_archives_in_archives_have_an_end(tmp_path):
    data = PLAIN
    for _ in range(20):
        data = archive([("inner", data)])
    found = scan_bytes(tmp_path, data)
    assert (found.verdict, rules_of(found)) == (UNDECIDED, {"PM-UNFINISHED"})


def test_what_is_unknown_inside_is_undecided(tmp_path):
    found = scan_bytes(tmp_path, archive([("a", b"\x01\x02\x03\xff")]))
    assert (found.verdict, rules_of(found)) == (UNDECIDED, {"PM-UNKNOWN-CONTENT"})


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_arrays_are_clean(tmp_path, save):
    file = io.BytesIO()
    save(file, a=np.arange(10), b=np.ones((2, 3)))
    assert scan_bytes(tmp_path, file.getvalue()).verdict is CLEAN


def test_storages_of_torch_may_be_anything(tmp_path):
    members = [("m/data.pkl", pickle.dumps({"a": 1})), ("m/data/0", b"\x01\xff" * 40), ("m/version", b"3\n")]
    assert scan_bytes(tmp_path, archive(members)).verdict is CLEAN


CALL = b"cposix\nsystem\n(S'true'\ntR."


def test_weights_of_exported_programs_may_be_pickles(tmp_path):
    members = [("a/archive_format", b"pt2"), ("a/data/weights/weight_0", b"N0" + CALL)]
    assert scan_bytes(tmp_path, archive(members)).verdict is DANGEROUS


def test_storages_may_be_arrays_of_objects(tmp_path):
    text = b"{'descr': '|O', 'fortran_order': False, 'shape': (1,), }".ljust(117) + b"\n"
    array = b"\x93NUMPY\x01\0" + struct.pack("<H", len(text)) + text + CALL
    assert scan_bytes(tmp_path, archive([("x/byteorder", b"little"), ("x/data/0", array)])).verdict is DANGEROUS


def test_what_is_stored_as_it_is_unpacks_to_nothing(tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(Subject, "spend", lambda _, nbytes: asked.append(nbytes))
    for method in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        assert scan_bytes(tmp_path, archive([("a.txt", b"text")], method)).verdict is CLEAN
    assert asked == [4]


def test_what_is_stored_is_verified_where_it_lies(tmp_path, monkeypatch):
    monkeypatch.setattr(zip_archive, "_HELD", 100)
    members = [("archive/data.pkl", pickle.dumps(list(range(1000)))), ("a.txt", b"text" * 1000)]
    whole = archive(members)
    assert scan_bytes(tmp_path, whole).verdict is CLEAN
    assert rules_of(scan_bytes(tmp_path, replaced(whole, b"texttext", b"textTEXT"))) == {"PM-UNREADABLE"}
    hostile = archive([("archive/data.pkl", b"(" + b"N" * 1000 + b"t0" + PICKLE)])
    assert scan_bytes(tmp_path, hostile).verdict is DANGEROUS


def test_a_second_name_hides_nothing(tmp_path):
    text = b'{"class_name": "Lambda", "config": {}}'
    info = zipfile.ZipInfo("m/data/0")
    content = b"\x01" + struct.pack("<I", zipfile.crc32(b"m/data/0")) + b"config.json"
    info.extra = b"up" + struct.pack("<H", len(content)) + content
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as zipped:
        zipped.writestr(info, text)
        zipped.writestr("m/byteorder", "little")
    found = scan_bytes(tmp_path, file.getvalue())
    assert (found.verdict, "PM-KERAS-LAMBDA" in rules_of(found)) == (DANGEROUS, True)
