"""Pickles without a container that are larger than what is held in memory: their arrays stay in the file."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
from tests.damage import assert_survives, contents_of
from tests.python2_pickles import dumps

import panmodel as pm
from panmodel.formats import torch_pickle
from panmodel.io.source import FileSource, Location

BIG = np.random.default_rng(0).standard_normal((300, 1000), np.float32)
ARRAYS = {
    "a": BIG,
    "fortran": np.asfortranarray(BIG[:, :100]),
    "big": BIG[:100].astype(">f8"),
    "text": np.frombuffer(b"abcd" * 50_000, "f4"),
    "small": np.arange(3),
    "names": np.array(["a" * 20_000, "b"]),
}


@pytest.mark.parametrize("protocol", [0, 2, 3, 4, 5])
def test_arrays_are_those_that_python_reads(tmp_path: Path, protocol: int) -> None:
    (tmp_path / "a.pkl").write_bytes(pickle.dumps(ARRAYS, protocol))
    assert_same(tmp_path / "a.pkl", in_file=protocol > 2)


@pytest.mark.parametrize("protocol", [1, 2])
def test_arrays_of_python_2(tmp_path: Path, protocol: int) -> None:
    (tmp_path / "a.pkl").write_bytes(dumps(ARRAYS, protocol))
    assert_same(tmp_path / "a.pkl", in_file=True)


def assert_same(path: Path, *, in_file: bool) -> None:
    model = pm.read(path)
    assert list(model.tensors) == [name for name in ARRAYS if name != "names"]
    for name, tensor in model.tensors.items():
        want = ARRAYS[name].astype(ARRAYS[name].dtype.newbyteorder("="))
        assert (tensor.numpy().dtype, tensor.shape) == (want.dtype, want.shape)
        assert tensor.numpy().tobytes() == want.tobytes()
    extent = model.tensors["a"].extent
    assert extent is not None and isinstance(extent.source, FileSource) is in_file


def test_damage_ends_in_own_errors(tmp_path: Path) -> None:
    (tmp_path / "a.pkl").write_bytes(pickle.dumps(ARRAYS))
    assert_survives(lambda path: contents_of(torch_pickle.read(Location(path))), tmp_path / "a.pkl", cuts=40, flips=200)
