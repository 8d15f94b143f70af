from __future__ import annotations

import json
import zipfile
from pathlib import Path

import numpy as np
import pytest

from panmodel import dtypes
from panmodel.errors import CorruptError, LimitError
from panmodel.io.sink import Sink
from panmodel.io.source import FileSource
from panmodel.model.tensor import DeferredTensor, StoredTensor
from panmodel.model.torch.source import TorchSource, stage_source
from panmodel.model.torch.storage import from_record
from panmodel.wire.torch_records import StorageRecord, TensorRecord
from panmodel.wire.zip import Archive

NUMBERS = np.arange(12, dtype=np.float32)


def archive(path: Path, method: int = zipfile.ZIP_STORED, order: str = "<") -> Archive:
    with zipfile.ZipFile(path / "a.pt", "w", method) as file:
        file.writestr("a/data/0", NUMBERS.astype(f"{order}f4").tobytes())
    return Archive(FileSource(path / "a.pt"))


def view(offset: int, shape: tuple[int, ...], strides: tuple[int, ...]) -> TensorRecord:
    return TensorRecord(
        StorageRecord("0", "a/data/0", dtypes.FLOAT32, "cpu", 48), dtypes.FLOAT32, offset, shape, strides
    )


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_views_are_read_however_they_are_stored(tmp_path: Path, method: int, order: str) -> None:
    stored = archive(tmp_path, method, order)
    for record, expected in (
        (view(0, (3, 4), (4, 1)), NUMBERS.reshape(3, 4)),
        (view(5, (2,), (1,)), [5, 6]),
        (view(0, (4, 3), (1, 4)), NUMBERS.reshape(3, 4).T),
        (view(0, (0, 3), (1, 4)), np.empty((0, 3))),
        (view(11, (), ()), 11),
    ):
        tensor = from_record("t", record, stored, big_endian=order == ">")
        np.testing.assert_array_equal(tensor.numpy(), expected)
        assert b"".join(bytes(piece) for piece in tensor.chunks()) == np.asarray(expected, np.float32).tobytes()


def test_only_rows_of_a_stored_member_have_an_extent(tmp_path: Path) -> None:
    stored = archive(tmp_path)
    assert isinstance(from_record("t", view(4, (4,), (1,)), stored), StoredTensor)
    assert isinstance(from_record("t", view(0, (3,), (4,)), stored), DeferredTensor)
    assert isinstance(from_record("t", view(0, (12,), (1,)), archive(tmp_path, zipfile.ZIP_DEFLATED)), DeferredTensor)


def test_repetition_is_bounded(tmp_path: Path) -> None:
    with pytest.raises(LimitError, match="repeats the 48 bytes"):
        from_record("t", view(0, (1 << 40,), (0,)), archive(tmp_path))


def test_damage_anywhere_in_the_storage_is_told_of_every_view(tmp_path: Path) -> None:
    archive(tmp_path)
    data = (tmp_path / "a.pt").read_bytes()
    (tmp_path / "a.pt").write_bytes(data.replace(NUMBERS[11:].tobytes(), NUMBERS[:1].tobytes()))
    stored = Archive(FileSource(tmp_path / "a.pt"))
    for record in (view(0, (12,), (1,)), view(0, (2,), (1,)), view(0, (2,), (3,))):
        with pytest.raises(CorruptError, match="tensor 't' does not meet its checksum"):
            from_record("t", record, stored).numpy()


def test_source_and_names_are_staged(tmp_path: Path) -> None:
    program = TorchSource("# é\n", "Net", {}, {"inputs": ["x:0"]})
    with Sink(tmp_path / "net.pt") as sink:
        sink.open().write(b"state")
        stage_source(program, sink, "net")
    assert program.dialect == "torch"
    assert (tmp_path / "net.py").read_text("utf-8") == "# é\n"
    assert json.loads((tmp_path / "net.names.json").read_text("utf-8")) == {"class": "Net", "inputs": ["x:0"]}
