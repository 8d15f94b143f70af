from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from tests.damage import assert_survives, contents_of
from tests.distributed_checkpoints import BytesStorageMetadata, StorageInfo, entry, index, metadata, write_checkpoint

from panmodel import dtypes
from panmodel.errors import CorruptError, MissingFileError, ReadError, TruncatedError, UnsafeError
from panmodel.formats import torch_distributed
from panmodel.io.source import Location
from panmodel.model.model import Model
from panmodel.model.notice import TensorsIncomplete
from panmodel.model.tensor import ArrayTensor
from panmodel.wire.torch_writing import PlainTensor

MATRIX = np.arange(35, dtype=np.float32).reshape(7, 5)
ROWS = [np.s_[0:4, 0:5], np.s_[4:7, 0:5]]
COLUMNS = [np.s_[0:7, 0:3], np.s_[0:7, 3:5]]
TILES = [np.s_[0:4, 0:3], np.s_[0:4, 3:5], np.s_[4:7, 0:3], np.s_[4:7, 3:5]]


def read(path: Path) -> Model:
    return torch_distributed.read(Location(path))


def trained(folder: Path) -> Path:
    """A training checkpoint: two parameters, an optimizer's slots and settings, counters."""
    tensors = {
        "model.fc.weight": (MATRIX, ROWS),
        "model.fc.bias": (np.ones(7, np.float32), [(slice(0, 7),)]),
        "optimizer.state.0.step": (np.array(3.0, np.float32), [()]),
        "optimizer.state.0.exp_avg": (MATRIX + 1, COLUMNS),
        "optimizer.state.0.exp_avg_sq": (MATRIX + 2, TILES),
    }
    values = {"optimizer.param_groups.0.lr": 0.5, "optimizer.param_groups.0.params": [0, 1], "epoch": 4, "note": "é"}
    paths: dict[str, tuple[str | int, ...]] = {
        "model.fc.weight": ("model", "fc.weight"),
        "model.fc.bias": ("model", "fc.bias"),
        **{name: (*name.split("."),) for name in tensors if name.startswith("optimizer")},
        **{f"optimizer.param_groups.0.{key}": ("optimizer", "param_groups", 0, key) for key in ("lr", "params")},
        "epoch": ("epoch",),
        "note": ("note",),
    }
    return write_checkpoint(folder, tensors, values, paths)


def test_chunks_become_tensors_under_the_names_of_the_state_dict(tmp_path: Path) -> None:
    model = read(trained(tmp_path / "a"))
    slots = [f"optimizer.state.0.{slot}" for slot in ("step", "exp_avg", "exp_avg_sq")]
    assert list(model.tensors) == ["fc.weight", "fc.bias", *slots]
    assert model.tensors["fc.weight"].name == "model.fc.weight"
    for name, more in (("fc.weight", 0), (slots[1], 1), (slots[2], 2)):
        assert model.tensors[name].numpy().tolist() == (MATRIX + more).tolist()
        assert b"".join(map(bytes, model.tensors[name].chunks(16))) == (MATRIX + more).tobytes()
    assert model.notices == []
    assert model.metadata == {
        "framework": "pytorch",
        "container_version": "1.0.0",
        "chunks": 10,
        "files": 2,
        "state_dict": "model",
        "values": {"note": "é"},
    }


def test_the_training_state(tmp_path: Path) -> None:
    model = read(trained(tmp_path / "a"))
    training = model.training
    assert training is not None
    assert (training.epoch, training.step, training.optimizer) == (4, 3, "adam")
    assert training.hyperparameters == {"lr": 0.5}
    assert list(model.weights) == ["fc.weight", "fc.bias"]
    assert training.slots["fc.weight"]["exp_avg"] is model.tensors["optimizer.state.0.exp_avg"]
    assert model.structure is not None
    assert model.structure.family == "torch"


def test_it_is_told_by_its_content(tmp_path: Path) -> None:
    folder = trained(tmp_path / "a")
    for path in (folder, folder / ".metadata"):
        assert torch_distributed.sniff(Location(path))
        assert len(read(path).tensors) == 5
    assert not torch_distributed.sniff(Location(tmp_path))
    assert not torch_distributed.sniff(Location(tmp_path / "absent"))
    (folder / ".metadata").write_bytes(b"\x80\x04N.")
    assert not torch_distributed.sniff(Location(folder))


@pytest.mark.parametrize("dtype", [d for d in dtypes.BY_TORCH.values() if d.bits >= 8 and d.stored is d], ids=str)
def test_every_type_and_bit(tmp_path: Path, dtype: dtypes.DType) -> None:
    noise = np.random.default_rng(0).integers(0, 2 if dtype.kind == "b" else 256, 24 * dtype.itemsize, np.uint8)
    matrix = noise.view(dtype.numpy).reshape(6, 4)
    arrays = {"w": matrix, "t": matrix, "scalar": matrix[0, 0].reshape(()), "empty": matrix[:0]}
    boxes = {"w": [np.s_[0:1, 0:4], np.s_[1:6, 0:4]], "t": [np.s_[0:6, 0:1], np.s_[0:6, 1:4]]}
    tensors = {name: (array, boxes.get(name, [(slice(0, None),) * array.ndim])) for name, array in arrays.items()}
    found = contents_of(read(write_checkpoint(tmp_path / "a", tensors, {})))
    assert found == {name: (dtype.name, array.shape, array.tobytes()) for name, array in arrays.items()}


def test_chunks_that_are_missing_are_said(tmp_path: Path) -> None:
    model = read(write_checkpoint(tmp_path / "a", {"w": (MATRIX, ROWS[:1]), "v": (MATRIX, ROWS)}, {}))
    assert [type(notice) for notice in model.notices] == [TensorsIncomplete]
    assert model.notices[0].names == ("w (20 of 35 elements: [0:4, 0:5])",)
    assert model.tensors["v"].numpy().tolist() == MATRIX.tolist()
    with pytest.raises(CorruptError, match="'w': 20 of its 35 elements"):
        model.tensors["w"].numpy()


def test_overlapping_chunks_are_refused(tmp_path: Path) -> None:
    overlapping = [np.s_[0:4, 0:5], np.s_[3:5, 0:5], np.s_[6:7, 0:5]]
    model = read(write_checkpoint(tmp_path / "a", {"w": (MATRIX, overlapping)}, {}))
    with pytest.raises(CorruptError, match="overlap"):
        model.tensors["w"].numpy()
    with pytest.raises(CorruptError, match="overlap"):
        list(model.tensors["w"].chunks())


def test_files_that_are_missing_or_cut_are_named_with_their_tensors(tmp_path: Path) -> None:
    folder = trained(tmp_path / "a")
    file = folder / "__1_0.distcp"
    with open(file, "r+b") as stream:
        stream.truncate(file.stat().st_size - 1)
    with pytest.raises(TruncatedError, match=r"it holds model\.fc\.weight"):
        read(folder)
    file.unlink()
    with pytest.raises(MissingFileError, match=r"it holds model\.fc\.weight"):
        read(folder)


@pytest.mark.parametrize("in_place", [False, True])
def test_numbers_of_another_checkpoint_are_not_given(tmp_path: Path, in_place: bool) -> None:
    folder = write_checkpoint(tmp_path / "a", {"w": (MATRIX, ROWS), "v": (MATRIX, TILES)}, {"lr": 1.0})
    model = read(folder)
    other = write_checkpoint(tmp_path / "b", {"w": (MATRIX + 1, ROWS), "v": (MATRIX, TILES)}, {"lr": 1.0})
    for file in ("__0_0.distcp", "__1_0.distcp"):
        if in_place:
            (folder / file).write_bytes((other / file).read_bytes())
        else:
            (other / file).replace(folder / file)
    with pytest.raises(ReadError, match=r"is another than when the checkpoint was opened; it holds w"):
        model.tensors["w"].numpy()
    assert read(folder).tensors["w"].numpy().tolist() == (MATRIX + 1).tolist()


def test_what_is_open_stays_readable(tmp_path: Path) -> None:
    folder = write_checkpoint(tmp_path / "a", {"w": (MATRIX, ROWS)}, {})
    model = read(folder)
    model.tensors["w"].numpy()
    for file in ("__0_0.distcp", "__1_0.distcp"):
        (folder / file).unlink()
    assert model.tensors["w"].numpy().tolist() == MATRIX.tolist()


def test_files_elsewhere_are_refused(tmp_path: Path) -> None:
    folder = write_checkpoint(tmp_path / "a", {"w": (MATRIX, ROWS)}, {})
    (folder / "__1_0.distcp").rename(tmp_path / "away")
    os.symlink(tmp_path / "away", folder / "__1_0.distcp")
    with pytest.raises(UnsafeError, match="link"):
        read(folder)
    stored = {index("v"): StorageInfo(relative_path="../away", offset=0, length=100)}
    (folder / ".metadata").write_bytes(metadata({"v": BytesStorageMetadata()}, stored))
    with pytest.raises(UnsafeError, match="not a plain file name"):
        read(folder)


def test_a_chunk_that_is_something_else_is_refused(tmp_path: Path) -> None:
    folder = write_checkpoint(tmp_path / "a", {"w": (MATRIX, [np.s_[0:7, 0:5]])}, {})
    other = write_checkpoint(tmp_path / "b", {}, {"w": "x" * 2000})
    (folder / "__0_0.distcp").write_bytes((other / "__0_0.distcp").read_bytes()[:10])
    with pytest.raises(TruncatedError):
        read(folder)
    size = (other / "__0_0.distcp").stat().st_size
    stored = {index("w", (0, 0)): StorageInfo(relative_path="__0_0.distcp", offset=0, length=size)}
    (other / ".metadata").write_bytes(metadata({"w": entry("float32", (7, 5), [((0, 0), (7, 5))])}, stored))
    with pytest.raises(CorruptError, match="where a chunk of tensor 'w' is expected"):
        read(other).tensors["w"].numpy()


def test_pickles_that_name_other_things_are_refused(tmp_path: Path) -> None:
    folder = write_checkpoint(tmp_path / "a", {}, {"lr": 1.0})
    content = b"cos\nsystem\n(S'true'\ntR."
    (folder / "__0_0.distcp").write_bytes(content)
    stored = {index("lr"): StorageInfo(relative_path="__0_0.distcp", offset=0, length=len(content))}
    (folder / ".metadata").write_bytes(metadata({"lr": BytesStorageMetadata()}, stored))
    with pytest.raises(UnsafeError, match=r"'lr' names 1 thing.*os\.system"):
        read(folder)


def test_tensors_within_values(tmp_path: Path) -> None:
    pair = (PlainTensor("", ArrayTensor(MATRIX)), 5)
    model = read(write_checkpoint(tmp_path / "a", {"w": (MATRIX, ROWS)}, {"pair": pair}))
    assert list(model.tensors) == ["w", "pair.0"]
    assert model.tensors["pair.0"].numpy().tolist() == MATRIX.tolist()
    assert model.metadata["values"] == {"pair.1": 5}


@pytest.mark.parametrize("name", [".metadata", "__0_0.distcp"])
def test_damage_ends_in_own_errors(tmp_path: Path, name: str) -> None:
    tensors = {"model.w": (MATRIX, ROWS)}
    folder = write_checkpoint(tmp_path / "a", tensors, {"epoch": 4}, {"model.w": ("model", "w"), "epoch": ("epoch",)})
    # a flip in the metadata may well say something else that is possible; in the data, checksums find it
    read_all = lambda copy: contents_of(read(copy.parent))  # noqa: E731
    assert_survives(read_all, folder / name, cuts=100, exact=name != ".metadata")
