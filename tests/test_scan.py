import json
import os
import pickle
import random
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from tests.scanned import CLEAN, DANGEROUS, UNDECIDED, rules_of, scan_bytes

from panmodel import scanners
from panmodel.model.finding import Level
from panmodel.scan import scan

PICKLE = b"\x80\x02cposix\nsystem\nX\x04\x00\x00\x00true\x85R."


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "models" / "deep" / "er").mkdir(parents=True)
    return tmp_path / "models"


def test_the_worst_file_decides(folder):
    (folder / "notes.txt").write_text("text")
    assert scan(folder).verdict is CLEAN
    (folder / "deep" / "unknown.bin").write_bytes(b"\x01\xff")
    assert scan(folder).verdict is UNDECIDED
    (folder / "deep" / "er" / "README.md").write_bytes(PICKLE)
    found = scan(folder)
    assert (found.verdict, found.exit_code) == (DANGEROUS, 1)
    verdicts = {os.path.basename(file.path): file.verdict for file in found.files}
    assert verdicts == {"notes.txt": CLEAN, "unknown.bin": UNDECIDED, "README.md": DANGEROUS}


def test_several_paths_are_one_scan(folder):
    for name, data in (("a", b"text"), ("b", PICKLE)):
        (folder / name).write_bytes(data)
    found = scan(folder / "a", folder / "b", folder / "a", folder / "missing")
    assert [file.verdict for file in found.files] == [CLEAN, DANGEROUS, UNDECIDED]


def test_nothing_is_not_clean(folder, tmp_path):
    assert rules_of(scan(tmp_path / "missing")) == {"PM-MISSING"}
    assert scan(tmp_path / "missing").exit_code == 2
    assert scan(folder / "deep" / "er").exit_code == 2


def test_an_empty_path_is_no_folder(folder, monkeypatch):
    monkeypatch.chdir(folder)
    (folder / "notes.txt").write_text("text")
    assert (scan("").verdict, rules_of(scan(""))) == (UNDECIDED, {"PM-MISSING"})


def test_a_path_that_cannot_be_looked_at_hides_no_other(folder):
    (folder / "a").write_bytes(PICKLE)
    found = scan(folder / "a", folder / ("x" * 5000))
    assert [file.verdict for file in found.files] == [DANGEROUS, UNDECIDED]
    assert "PM-NOT-OPENED" in rules_of(found)


def test_links_out_are_said_and_not_followed(folder, tmp_path):
    (tmp_path / "outside").write_bytes(PICKLE)
    (folder / "inside").write_text("text")
    os.symlink(folder / "inside", folder / "again")
    assert scan(folder).verdict is CLEAN
    os.symlink(tmp_path / "outside", folder / "out")
    os.symlink(tmp_path, folder / "deep" / "up")
    found = scan(folder)
    assert (found.verdict, rules_of(found)) == (UNDECIDED, {"PM-LINK-OUT"})
    assert len(found.files) == 4


def test_a_link_to_what_the_system_refuses_is_undecided_and_the_others_are_scanned(folder):
    os.symlink("n" * 300, folder / "link")
    assert (scan(folder).verdict, rules_of(scan(folder))) == (UNDECIDED, {"PM-NOT-OPENED"})
    (folder / "model.pkl").write_bytes(PICKLE)
    assert scan(folder).verdict is DANGEROUS


def test_a_link_that_is_named_is_followed(tmp_path):
    (tmp_path / "file").write_bytes(PICKLE)
    os.symlink(tmp_path / "file", tmp_path / "link")
    assert scan(tmp_path / "link").verdict is DANGEROUS


def test_pipes_are_not_waited_for(folder):
    os.mkfifo(folder / "pipe")
    found = scan(folder)
    assert (found.verdict, rules_of(found)) == (UNDECIDED, {"PM-SPECIAL-FILE"})


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_what_may_not_be_read_is_undecided(folder):
    (folder / "secret").write_bytes(b"x")
    (folder / "secret").chmod(0)
    assert scan(folder).verdict is UNDECIDED


def test_a_scanner_that_fails_leaves_the_file_undecided(folder, monkeypatch):
    def fail(_):
        raise KeyError("surprise")

    (folder / "a").write_text("text")
    monkeypatch.setattr(scanners, "look", fail)
    found = scan(folder / "a")
    assert (found.verdict, rules_of(found)) == (UNDECIDED, {"PM-SCAN-FAILED"})


def test_every_rule_is_documented_once():
    rules = scan(os.devnull).rules
    assert len({rule.id for rule in rules}) == len(rules) > 40
    for rule in rules:
        assert rule.id.startswith("PM-") and rule.summary.endswith(".") and rule.help.endswith(".")
    assert {rule.level for rule in rules} == set(Level)


def test_two_things_at_once_are_looked_at_twice(tmp_path):
    import io
    import tarfile
    import zipfile

    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as zipped:
        zipped.writestr("a.txt", "text")
    both = PICKLE + packed.getvalue()
    assert set(scan_bytes(tmp_path, both).files[0].kinds) == {"pickle", "zip archive"}
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        info = tarfile.TarInfo("cposix\nsystem\n(S'true'\ntR.")
        tar.addfile(info, io.BytesIO())
    found = scan_bytes(tmp_path, packed.getvalue())
    assert "tar archive" in found.files[0].kinds
    assert found.verdict is DANGEROUS


def test_no_framework_is_imported(folder):
    (folder / "a.pkl").write_bytes(pickle.dumps({"a": 1}))
    (folder / "b.json").write_text(json.dumps({"class_name": "Dense", "config": {}}))
    code = f"""
        import sys, panmodel
        panmodel.scan({str(folder)!r})
        names = "torch tensorflow keras onnxruntime onnx h5py joblib yaml".split()
        print([name for name in names if name in sys.modules])
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_random_bytes_behind_every_magic_number_never_break_it(tmp_path):
    chance = random.Random(0)
    magics = [
        b"\x80\x02",
        b"\x80\x04\x95",
        b"PK\x03\x04",
        b"PK\x05\x06",
        b"\x89HDF\r\n\x1a\n",
        b"\x93NUMPY\x01\x00",
        b"{",
    ]
    magics += [
        b"\x0a\x05\x0a\x01x\x12",
        b"\x08\x07\x3a",
        b"\x1f\x8b\x08",
        b"BZh9",
        b"\xfd7zXZ\0",
        b"\x78\x9c",
        b"(c",
        b"[",
        b"",
    ]
    for magic in magics:
        for size in (0, 3, 30, 300, 1500):
            for _ in range(8):
                data = magic + chance.randbytes(size)
                found = scan_bytes(tmp_path, data)
                assert found.verdict is not CLEAN or found.files[0].kinds in (("text",), ("JSON", "text"), ("pickle",))


def test_progress_is_told_in_bytes(tmp_path):
    (tmp_path / "a.txt").write_bytes(b"words\n")
    (tmp_path / "b.txt").write_bytes(b"more words\n")
    told = []
    found = scan(tmp_path, tmp_path / "a.txt", tmp_path / "gone", progress=lambda *at: told.append(at))
    assert told == [(6, 17), (17, 17), (17, 17)]
    assert [Path(file.path).name for file in found.files] == ["a.txt", "b.txt", "gone"]


def test_folders_are_looked_through_as_far_as_is_sensible(folder, monkeypatch):
    (folder / "deep" / "er" / "notes.txt").write_text("text")
    monkeypatch.setattr(sys.modules["panmodel.scan"], "_DEPTH", 2)
    assert scan(folder).verdict is CLEAN
    monkeypatch.setattr(sys.modules["panmodel.scan"], "_DEPTH", 1)
    found = scan(folder)
    assert (found.verdict, found.files[0].path) == (UNDECIDED, str(folder / "deep" / "er"))
    for name in ("a", "b"):
        (folder / name).write_text("text")
    monkeypatch.undo()
    monkeypatch.setattr(sys.modules["panmodel.scan"], "_FILES", 3)
    assert scan(folder).verdict is CLEAN
    monkeypatch.setattr(sys.modules["panmodel.scan"], "_FILES", 2)
    assert scan(folder).verdict is UNDECIDED


def test_the_common_name_of_shards_means_all_of_them(folder):
    for name in ("net.bin.index.json", "net-00001-of-00002.bin", "net-00002-of-00002.bin", "net2-00001-of-00001.bin"):
        (folder / name).write_bytes(PICKLE if name.endswith(".bin") else b"{}")
    found = scan(folder / "net.bin")
    assert [Path(file.path).name for file in found.files] == [
        "net-00001-of-00002.bin",
        "net-00002-of-00002.bin",
        "net.bin.index.json",
    ]
    assert found.verdict is DANGEROUS
