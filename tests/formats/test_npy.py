from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tests.damage import assert_survives, contents_of

from panmodel.errors import CorruptError, TruncatedError, UnsafeError, UsageError
from panmodel.formats import npy
from panmodel.io.sink import Sink
from panmodel.io.source import Location
from panmodel.model.model import Model
from panmodel.model.tensor import ArrayTensor, Tensor


def written(path: Path, tensors: dict[str, Tensor]) -> Path:
    with Sink(path) as sink:
        npy.write(Model("test", tensors=tensors), sink)
    return path


def test_an_array_goes_by_the_name_of_its_file(tmp_path: Path) -> None:
    np.save(tmp_path / "kernel.npy", np.arange(3))
    assert npy.sniff(Location(tmp_path / "kernel.npy"))
    (tensor,) = npy.read(Location(tmp_path / "kernel.npy")).tensors.values()
    assert tensor.name == "kernel"
    np.testing.assert_array_equal(tensor.numpy(), np.arange(3))


def test_a_tensor_comes_back_under_its_own_name(tmp_path: Path) -> None:
    path = written(tmp_path / "a.npy", {"conv/kernel:é": ArrayTensor(np.array([[1.5, np.nan]], np.float32))})
    (tensor,) = npy.read(Location(path)).tensors.values()
    assert tensor.name == "conv/kernel:é"
    mapped = np.load(path, mmap_mode="r")
    np.testing.assert_array_equal(mapped, tensor.numpy())


def test_it_holds_one_tensor(tmp_path: Path) -> None:
    for tensors in ({}, {"a": ArrayTensor(np.zeros(1)), "b": ArrayTensor(np.zeros(1))}):
        with pytest.raises(UsageError, match=f"holds one tensor, the model has {len(tensors)}"):
            written(tmp_path / "a.npy", tensors)
    assert not list(tmp_path.iterdir())


def test_another_number_of_elements_is_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.zeros(3))
    whole = (tmp_path / "a.npy").read_bytes()
    (tmp_path / "a.npy").write_bytes(whole + whole)
    with pytest.raises(CorruptError, match="follow"):
        npy.read(Location(tmp_path / "a.npy"))
    (tmp_path / "a.npy").write_bytes(whole[:-1])
    with pytest.raises(TruncatedError):
        npy.read(Location(tmp_path / "a.npy"))


def test_pickled_objects_are_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.array([{}], object), allow_pickle=True)
    with pytest.raises(UnsafeError, match="pickled"):
        npy.read(Location(tmp_path / "a.npy"))


def test_damage_ends_in_own_errors(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.asfortranarray(np.arange(6, dtype=">f4").reshape(2, 3)))
    assert_survives(lambda copy: contents_of(npy.read(Location(copy))), tmp_path / "a.npy")


def test_damaged_strings_end_in_own_errors(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.array(["text", "é"]))

    def read_all(path: Path) -> list:
        return [tensor.numpy().tolist() for tensor in npy.read(Location(path)).tensors.values()]

    assert_survives(read_all, tmp_path / "a.npy", cuts=50, flips=500)
