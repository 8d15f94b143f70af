"""The safetensors library itself, both ways."""

from __future__ import annotations

import json
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
    assert model.strings == {"format": "pt", "author": "somebody"}
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


def as_library(tensors: dict[str, Tensor]) -> bytes:
    """The file that the library itself makes of tensors."""
    specs, kept = {}, []
    for name, tensor in tensors.items():
        data = np.frombuffer(b"".join(map(bytes, tensor.chunks())), np.uint8)
        kept.append(data)
        kind = SPELLED.get(tensor.dtype.name, tensor.dtype.name)
        address, shape = data.ctypes.data, shape_of(tensor)
        specs[name] = judge.TensorSpec(dtype=kind, shape=shape, data_ptr=address, data_len=data.size)
    return bytes(judge.serialize(specs, {"format": "pt"}))


SPELLED = {"float4_e2m1fn": "float4_e2m1fn_x2"}


def shape_of(tensor: Tensor) -> list[int]:
    return [tensor.size // 2] if tensor.dtype.bits == 4 else list(tensor.shape)


def test_files_are_those_of_its_library_byte_for_byte(tmp_path: Path) -> None:
    given: dict[str, Tensor] = {}
    for number, dtype in enumerate(dtypes.BY_SAFETENSORS.values()):
        if dtype.bits == 6:  # the library's writer does not take them
            continue
        codes = np.random.default_rng(number).integers(0, 1 << min(dtype.bits, 8), 16 * dtype.itemsize, np.uint8)
        given[f"t{number}"] = ArrayTensor((codes & 1 if dtype.kind == "b" else codes).view(dtype.numpy))
        given[f"a{number}"] = ArrayTensor(np.zeros(0, dtype.numpy))
    with Sink(tmp_path / "a.safetensors") as sink:
        safetensors.write(Model("test", tensors=given), sink)
    assert (tmp_path / "a.safetensors").read_bytes() == as_library(given)


def test_all_names_of_a_tied_tensor_are_loaded(tmp_path: Path) -> None:
    from safetensors.torch import load_file

    tied = ArrayTensor(np.arange(6, dtype=np.float32).reshape(2, 3))
    with Sink(tmp_path / "a.safetensors") as sink:
        safetensors.write(Model("test", tensors={"embed": tied, "head": tied}), sink)
    back = load_file(tmp_path / "a.safetensors")
    assert sorted(back) == ["embed", "head"]
    assert torch.equal(back["embed"], back["head"])


def test_shards_of_the_library_are_one_model(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    state = {f"layer.{number}.weight": torch.full((3, 2), float(number)) for number in range(5)}
    weight_map = {}
    for number, names in enumerate(
        (["layer.1.weight", "layer.0.weight"], ["layer.2.weight"], ["layer.3.weight", "layer.4.weight"])
    ):
        file = f"model-0000{number + 1}-of-00003.safetensors"
        save_file({name: state[name] for name in names}, tmp_path / file, {"format": "pt"})
        weight_map |= dict.fromkeys(names, file)
    index = {"metadata": {"total_size": 120}, "weight_map": dict(sorted(weight_map.items()))}
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps(index, indent=2) + "\n")
    (tmp_path / "config.json").write_text("{}")
    for path in (tmp_path, *tmp_path.glob("model*")):
        assert safetensors.sniff(Location(path))
        model = safetensors.read(Location(path))
        assert (model.format, model.strings) == ("safetensors", {"format": "pt"})
        assert {name: tensor.numpy().tobytes() for name, tensor in model.tensors.items()} == {
            name: bits(tensor) for name, tensor in state.items()
        }


def test_the_library_loads_our_shards(tmp_path: Path) -> None:
    from safetensors.torch import load_file

    given: dict[str, Tensor] = {f"t{number}": ArrayTensor(np.full(number, number, np.int16)) for number in range(9)}
    with safetensors.FORMAT.sink(tmp_path / "model.safetensors", shard_size=20) as sink:
        safetensors.write(Model("test", tensors=given), sink)
    index = json.loads((tmp_path / "model.safetensors.index.json").read_text())
    assert index["metadata"]["total_size"] == sum(tensor.nbytes for tensor in given.values())
    loaded = {}
    for file in sorted(set(index["weight_map"].values())):
        found = load_file(tmp_path / file)
        assert set(found) == {name for name, place in index["weight_map"].items() if place == file}
        loaded |= found
    assert {name: tensor.tolist() for name, tensor in loaded.items()} == {
        name: tensor.numpy().tolist() for name, tensor in given.items()
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
