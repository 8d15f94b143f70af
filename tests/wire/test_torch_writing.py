from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np

from panmodel import dtypes
from panmodel.io.sink import Sink
from panmodel.io.source import FileSource
from panmodel.model.tensor import ArrayTensor
from panmodel.wire.torch_records import TensorRecord
from panmodel.wire.torch_writing import save
from panmodel.wire.torch_zip import load


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
