from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import pytest

from panmodel import dtypes
from panmodel.errors import CorruptError, LimitError
from panmodel.io.sink import Sink
from panmodel.io.source import FileSource
from panmodel.limits import Limits
from panmodel.model.tensor import ArrayTensor
from panmodel.wire.pickle import Global
from panmodel.wire.torch_records import TensorRecord
from panmodel.wire.torch_zip import find_root, load, save


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


def test_what_is_saved_is_loaded(tmp_path: Path) -> None:
    given = {"w": ArrayTensor(np.arange(6, dtype=np.float32).reshape(2, 3)), "n": ArrayTensor(np.array(3, np.uint32))}
    with Sink(tmp_path / "a.pt") as sink:
        save(given, sink.open(), root="net")
    loaded = load(FileSource(tmp_path / "a.pt"))
    assert (loaded.root, loaded.version, loaded.big_endian, dict(loaded.unknown)) == ("net", "3", False, {})
    assert isinstance(loaded.value, dict)
    record = loaded.value["w"]
    assert isinstance(record, TensorRecord)
    assert (record.dtype, record.shape, record.strides, record.storage.nbytes) == (dtypes.FLOAT32, (2, 3), (3, 1), 24)
    assert (loaded.value["n"].dtype, loaded.value["n"].storage.dtype) == (dtypes.UINT32, None)  # type: ignore[attr-defined]
    with zipfile.ZipFile(tmp_path / "a.pt") as file:
        assert file.namelist() == ["net/data.pkl", "net/byteorder", "net/data/0", "net/data/1", "net/version"]


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
