"""numpy as the judge of .npy and .npz, with and without ml_dtypes."""

from __future__ import annotations

from pathlib import Path

import ml_dtypes
import numpy as np
import pytest

import panmodel
from panmodel.model.notice import Assumed
from panmodel.model.tensor import ArrayTensor

PLAIN = ["?", "i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8", "f2", "f4", "f8", "c8", "c16"]
FOREIGN = ["bfloat16", "float8_e4m3fn", "float8_e5m2", "int4", "uint2", "float4_e2m1fn"]


def array(dtype: str, order: str, byteorder: str) -> np.ndarray:
    kind = np.dtype(dtype).newbyteorder(byteorder)
    raw = np.random.default_rng(1).integers(0, 2 if dtype == "?" else 256, 24 * kind.itemsize, dtype=np.uint8)
    return np.asarray(raw.view(kind).reshape(2, 3, 4), order=order)


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("byteorder", ["<", ">"])
@pytest.mark.parametrize("dtype", PLAIN)
def test_files_of_numpy(tmp_path: Path, dtype: str, order: str, byteorder: str) -> None:
    given = array(dtype, order, byteorder)
    np.save(tmp_path / "a.npy", given)
    np.savez(tmp_path / "a.npz", w=given)
    np.savez_compressed(tmp_path / "b.npz", w=given)
    little = given.astype(given.dtype.newbyteorder("<"), order="C")
    for name in ("a.npy", "a.npz", "b.npz"):
        (tensor,) = panmodel.read(tmp_path / name).tensors.values()
        assert tensor.numpy().astype(given.dtype).tobytes() == given.tobytes()
        assert b"".join(map(bytes, tensor.chunks())) == little.tobytes()


@pytest.mark.parametrize("name", FOREIGN)
def test_types_of_ml_dtypes_there_and_back(tmp_path: Path, name: str) -> None:
    dtype = np.dtype(getattr(ml_dtypes, name))
    given = np.arange(8).astype(np.int8).astype(dtype)
    model = panmodel.Model("test", tensors={"w": ArrayTensor(given, "w")})
    for target in ("a.npz", "w.npy"):
        panmodel.write(model, tmp_path / target)
        loaded = np.load(tmp_path / target, allow_pickle=False)
        bits = (loaded["w"] if target == "a.npz" else loaded).view(dtype)
        assert bits.tobytes() == given.tobytes()
        (tensor,) = panmodel.read(tmp_path / target).tensors.values()
        assert tensor.dtype.name == name
        assert tensor.numpy().tobytes() == given.tobytes()


def test_what_numpy_makes_of_bfloat16(tmp_path: Path) -> None:
    given = np.array([1.5, -2.0], ml_dtypes.bfloat16)
    np.savez(tmp_path / "a.npz", w=given)
    model = panmodel.read(tmp_path / "a.npz")
    np.testing.assert_array_equal(model.tensors["w"].numpy(), given)
    assert [type(notice) for notice in model.notices] == [Assumed]


def test_strings(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", text=np.array(["a", "é"]), data=np.array([b"x", b"yz"]))
    tensors = panmodel.read(tmp_path / "a.npz").tensors
    assert tensors["text"].numpy().tolist() == ["a", "é"]
    assert tensors["data"].numpy().tolist() == [b"x", b"yz"]
    panmodel.convert(tmp_path / "a.npz", tmp_path / "b.npz")
    with np.load(tmp_path / "b.npz", allow_pickle=False) as loaded:
        assert loaded["text"].tolist() == ["a", "é"]


def test_a_file_can_be_mapped(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.arange(10.0))
    panmodel.convert(tmp_path / "a.npy", tmp_path / "b.npy")
    np.testing.assert_array_equal(np.load(tmp_path / "b.npy", mmap_mode="r"), np.arange(10.0))
