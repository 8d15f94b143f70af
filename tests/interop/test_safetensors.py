"""The safetensors library itself, both ways."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from panmodel import dtypes
from panmodel.errors import PanmodelError
from panmodel.formats import safetensors
from panmodel.io.sink import Sink
from panmodel.io.source import Location
from panmodel.model.model import Model
from panmodel.model.tensor import ArrayTensor, Tensor

judge = pytest.importorskip("safetensors")
torch = pytest.importorskip("torch")


def bits(tensor: object) -> bytes:
    flat = tensor.contiguous().reshape(-1)  # type: ignore[attr-defined]
    return flat.view(torch.uint8).numpy().tobytes() if flat.numel() else b""


TYPES = [dtype for dtype in dtypes.BY_SAFETENSORS.values() if dtype.torch and dtype.bits >= 8]


@pytest.mark.parametrize("dtype", TYPES, ids=str)
def test_every_type_is_read_and_written(tmp_path: Path, dtype: dtypes.DType) -> None:
    from safetensors.torch import load_file, save_file

    noise = np.random.default_rng(0)
    state = {}
    for name, shape in {"matrix": (3, 5), "scalar": (), "empty": (0, 4), "日本": (2,)}.items():
        raw = noise.integers(0, 2 if dtype.kind == "b" else 256, (int(np.prod(shape)) * dtype.itemsize,), np.uint8)
        state[name] = (
            torch.tensor(raw.tolist(), dtype=torch.uint8).view(getattr(torch, str(dtype.torch))).reshape(shape)
        )
    save_file(state, tmp_path / "a.safetensors", {"format": "pt", "author": "somebody"})
    model = safetensors.read(Location(tmp_path / "a.safetensors"))
    assert model.metadata == {"format": "pt", "author": "somebody"}
    for name, tensor in state.items():
        found = model.tensors[name]
        assert (found.dtype, found.shape) == (dtype, tuple(tensor.shape))
        assert found.numpy().tobytes() == bits(tensor)
    with Sink(tmp_path / "b.safetensors") as sink:
        safetensors.write(model, sink)
    back = load_file(tmp_path / "b.safetensors")
    assert back.keys() == state.keys()
    assert all(back[name].dtype == tensor.dtype and bits(back[name]) == bits(tensor) for name, tensor in state.items())


def test_types_that_only_the_format_has_are_taken_by_its_library(tmp_path: Path) -> None:
    given: dict[str, Tensor] = {}
    for name in ("float4_e2m1fn", "float6_e2m3fn", "float6_e3m2fn", "float8_e8m0fnu"):
        given[name] = ArrayTensor(np.arange(8, dtype=np.uint8).view(dtypes.ALL[name].numpy))
    with Sink(tmp_path / "a.safetensors") as sink:
        safetensors.write(Model("test", tensors=given), sink)
    with judge.safe_open(tmp_path / "a.safetensors", "numpy") as file:
        assert {name: file.get_slice(name).get_dtype() for name in file.keys()} == {  # noqa: SIM118
            name: dtypes.ALL[name].safetensors for name in given
        }


def test_what_its_library_refuses_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    with Sink(path) as sink:
        safetensors.write(Model("test", tensors={"a": ArrayTensor(np.zeros(4)), "b": ArrayTensor(np.ones(3))}), sink)
    whole, chance = path.read_bytes(), np.random.default_rng(0)
    header = 8 + int.from_bytes(whole[:8], "little")
    refused = 0
    for _ in range(1000):
        damaged = bytearray(whole)
        damaged[chance.integers(header)] = chance.integers(256)
        path.write_bytes(damaged)
        try:
            judge.deserialize(bytes(damaged))
        except judge.SafetensorError:
            refused += 1
            with pytest.raises(PanmodelError):
                safetensors.read(Location(path))
    assert refused > 500
