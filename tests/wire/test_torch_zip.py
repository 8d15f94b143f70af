from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

from panmodel.errors import CorruptError, LimitError
from panmodel.io.source import FileSource
from panmodel.limits import Limits
from panmodel.wire.pickle import Global
from panmodel.wire.torch_container import load
from panmodel.wire.torch_zip import find_root, is_broken_off


def packed(path: Path, **members: bytes) -> FileSource:
    with zipfile.ZipFile(path, "w") as file:
        for name, content in members.items():
            file.writestr(f"net/{name}", content)
    return FileSource(path)


@pytest.mark.parametrize(
    ("names", "root"),
    [
        (["a/version", "a/data.pkl"], "a"),
        (["data.pkl"], None),
        (["a/b/data.pkl", "a/data.pkl"], "a"),
        (["a/mydata.pkl"], None),
        ([], None),
    ],
)
def test_the_root_has_the_pickle(names: list[str], root: str | None) -> None:
    assert find_root(names) == root


def test_foreign_names_are_told_and_those_called_apart(tmp_path: Path) -> None:
    loaded = load(packed(tmp_path / "a.pt", **{"data.pkl": b"(cm\nf\n)Rcm\nC\n)\x81ccollections\nOrderedDict\n)Rl."}))
    assert list(loaded.unknown) == [Global("m", "f"), Global("m", "C")]
    assert loaded.called == {Global("m", "f")}


def test_the_records_beside_the_pickle_are_read(tmp_path: Path) -> None:
    loaded = load(packed(tmp_path / "a.pt", **{"data.pkl": b"N.", "byteorder": b"big", "version": b"6\n"}))
    assert (loaded.big_endian, loaded.version) == (True, "6")
    with pytest.raises(CorruptError, match="neither little nor big"):
        load(packed(tmp_path / "b.pt", **{"data.pkl": b"N.", "byteorder": b"middle"}))
    with pytest.raises(CorruptError, match=r"no data\.pkl"):
        load(packed(tmp_path / "c.pt", version=b"3"))
    with pytest.raises(LimitError):
        load(packed(tmp_path / "d.pt", **{"data.pkl": b"N."}), limits=Limits(pickle_bytes=1))


def test_what_is_left_of_a_failed_save_has_no_pickle() -> None:
    assert is_broken_off(["a/version"])
    assert is_broken_off(["a/version", "a/byteorder", "a/.data/serialization_id", "a/.format_version"])
    for names in ([], ["a/byteorder"], ["a/version", "a/data.pkl"], ["a/version", "a/archive_format"], ["version"]):
        assert not is_broken_off(names)
