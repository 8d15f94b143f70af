"""Checkpoints of every kind, made by torch itself: what is read, and what torch loads of what is written."""

from __future__ import annotations

import argparse
import collections
import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.interop.torch_values import ARRAYS, MADE, averaged, checkpoint, decayed, lightning, named, net, parallel

import panmodel as pm
from panmodel.model.model import Model

torch = pytest.importorskip("torch")


KINDS = [
    pytest.param(make, legacy, id=name + (" legacy" if legacy else ""))
    for (name, make), legacy in itertools.product(MADE.items(), (False, True))
    if not (legacy and name == "every type")  # torch itself cannot load unsigned ones of its old container
]


def bits(tensor: Any) -> bytes:
    """The elements of a plain tensor."""
    plain = tensor.detach().resolve_conj().resolve_neg().contiguous()
    return bytes(plain.reshape(-1).view(torch.uint8).numpy().tobytes()) if plain.numel() else b""


def same(left: Any, right: Any, path: str = "") -> None:
    """Compare what torch loaded: containers and their types, values, tensors bit for bit."""
    if isinstance(left, torch.Tensor):
        same_tensor(left, right, path)
    elif isinstance(left, argparse.Namespace):
        same(vars(left), right, path)
    elif isinstance(left, dict):
        without = (collections.defaultdict,) if path else (collections.defaultdict, dict)  # names alone have an order
        assert type(left) is type(right) or type(left) in without, path
        assert [(type(key), key) for key in left] == [(type(key), key) for key in right], path
        for key in left:
            same(left[key], right[key], f"{path}.{key}")
        assert getattr(left, "_metadata", None) == getattr(right, "_metadata", None), path
    elif isinstance(left, (list, tuple)):
        assert len(left) == len(right), path
        assert type(right) is type(left), path
        for index, (one, other) in enumerate(zip(left, right, strict=True)):
            same(one, other, f"{path}.{index}")
    elif isinstance(left, set):
        assert type(left) is type(right), path
        assert left == right, path
    else:
        assert type(left) is type(right), path
        assert repr(left) == repr(right), path


def same_tensor(left: Any, right: Any, path: str) -> None:
    assert type(left) is type(right), path
    assert (left.dtype, left.shape, left.layout) == (right.dtype, right.shape, right.layout), path
    assert left.requires_grad == right.requires_grad, path
    if left.is_meta:
        assert right.is_meta, path
    elif left.is_quantized:
        assert left.qscheme() == right.qscheme(), path
        assert bytes(left.untyped_storage()) == bytes(right.untyped_storage()), path
        assert repr(quantizer(left)) == repr(quantizer(right)), path
    elif left.layout is not torch.strided:
        assert left.to_dense().equal(right.to_dense()), path
    else:
        assert bits(left) == bits(right), path


def quantizer(tensor: Any) -> list[Any]:
    """What the integers of a quantized tensor mean."""
    if "channel" not in str(tensor.qscheme()):
        return [tensor.q_scale(), tensor.q_zero_point()]
    told = (tensor.q_per_channel_scales(), tensor.q_per_channel_zero_points())
    return [*((part.dtype, part.tolist()) for part in told), tensor.q_per_channel_axis()]


def leaves(value: Any) -> list[Any]:
    """Every plain tensor in what torch loaded, in order."""
    if isinstance(value, torch.Tensor):
        return [value] if value.layout is torch.strided and not (value.is_meta or value.is_quantized) else []
    items = value.values() if isinstance(value, dict) else value if isinstance(value, (list, tuple)) else ()
    return [leaf for item in items for leaf in leaves(item)]


def saved(path: Path, value: Any, *, legacy: bool = False) -> Path:
    torch.save(value, path, _use_new_zipfile_serialization=not legacy)
    return path


def content(model: Model) -> dict[str, tuple[str, tuple[int, ...], bytes]]:
    return {
        name: (str(tensor.dtype), tensor.shape, b"".join(map(bytes, tensor.chunks())))
        for name, tensor in model.tensors.items()
    }


@pytest.mark.parametrize(("make", "legacy"), KINDS)
def test_torch_loads_what_it_saved(tmp_path: Path, make: Callable[[], Any], legacy: bool) -> None:
    """Read and written, a file is to torch what it was, with `weights_only` and `mmap`."""
    value = make()
    path = saved(tmp_path / "given.pt", value, legacy=legacy)
    model = pm.read(path)
    there = {(tensor.shape, b"".join(map(bytes, tensor.chunks()))) for tensor in model.tensors.values()}
    assert {(tuple(leaf.shape), bits(leaf)) for leaf in leaves(value)} <= there
    pm.convert(path, tmp_path / "copy.pt")
    given = torch.load(path, weights_only=False)
    copy = torch.load(tmp_path / "copy.pt", weights_only=True, mmap=True)
    same(given, copy)
    again = pm.read(tmp_path / "copy.pt")
    assert content(again) == content(model)
    assert again.training == model.training or repr(again.training).count("<") == repr(model.training).count("<")


OF_TORCH_ALONE = ("every type", "packed")


@pytest.mark.parametrize(
    "make", [pytest.param(make, id=name) for name, make in MADE.items() if name not in OF_TORCH_ALONE]
)
def test_it_survives_the_way_through_safetensors(tmp_path: Path, make: Callable[[], Any]) -> None:
    path = saved(tmp_path / "given.pt", make())
    pm.convert(path, tmp_path / "copy.safetensors")
    assert content(pm.read(tmp_path / "copy.safetensors")) == content(pm.read(path))
    pm.convert(tmp_path / "copy.safetensors", tmp_path / "copy.pt")
    given, copy = torch.load(path, weights_only=False), torch.load(tmp_path / "copy.pt", weights_only=True)
    if pm.read(path).structure is None:
        given, copy = dict(given), {name: copy[name] for name in given}  # names, without versions and order
    same(given, copy)


@pytest.mark.parametrize("make", [pytest.param(make, id=name) for name, make in ARRAYS.items()])
def test_numpy_arrays_become_tensors(tmp_path: Path, make: Callable[[], Any]) -> None:
    value = make()
    pm.convert(saved(tmp_path / "given.pt", value), tmp_path / "copy.pt")
    copy = torch.load(tmp_path / "copy.pt", weights_only=True)
    flat = {str(index): item for index, item in enumerate(value["numpy"])} if "numpy" in value else value
    found = {str(index): item for index, item in enumerate(copy["numpy"])} if "numpy" in value else copy
    for name, item in flat.items():
        if isinstance(item, np.ndarray):
            assert np.array_equal(found[name].numpy(), item)
            assert str(found[name].dtype) == f"torch.{item.dtype}"


def test_the_training_state_of_a_checkpoint(tmp_path: Path) -> None:
    value = checkpoint()
    model = pm.read(saved(tmp_path / "a.pt", value))
    training = model.training
    assert training is not None
    assert (training.epoch, training.step, training.loss, training.optimizer) == (7, 3, 0.25, "adam")
    assert training.hyperparameters["betas"] == (0.9, 0.999)
    assert list(training.slots) == ["0.weight", "0.bias", "1.weight", "1.bias", "4.weight", "4.bias"]
    slot = training.slots["4.weight"]["exp_avg"]
    assert slot is model.tensors["optimizer_state_dict.state.4.exp_avg"]
    assert list(model.weights) == list(value["model_state_dict"])


@pytest.mark.parametrize("make", [lightning, parallel, decayed, named, averaged])
def test_slots_belong_to_their_parameters(tmp_path: Path, make: Callable[[], Any]) -> None:
    value = make()
    training = pm.read(saved(tmp_path / "a.pt", value)).training
    assert training is not None
    weights = value.get("state_dict") or value["model"]
    if make is averaged:  # there are two of each name but the key of the state dict
        weights = {f"model.{name}": tensor for name, tensor in weights.items()}
    assert set(training.slots) == {name for name in weights if "running" not in name and "tracked" not in name}
    for name, slots in training.slots.items():
        shapes = {tensor.shape for tensor in slots.values()}
        assert shapes <= {(), tuple(weights[name].shape)}


def test_groups_of_parameters_have_their_settings(tmp_path: Path) -> None:
    training = pm.read(saved(tmp_path / "a.pt", decayed())).training
    assert training is not None
    assert [group["weight_decay"] for group in training.hyperparameters["param_groups"]] == [0.01, 0.0]


def test_lightning_tells_step_and_epoch(tmp_path: Path) -> None:
    model = pm.read(saved(tmp_path / "a.ckpt", lightning()))
    assert model.training is not None
    assert (model.training.step, model.training.epoch, model.training.optimizer) == (3, 4, "adamw")
    assert model.metadata["values"]["hyper_parameters.width"] == 4


def test_wrapped_and_averaged_models_keep_their_names(tmp_path: Path) -> None:
    model = pm.read(saved(tmp_path / "a.pt", parallel()))
    assert model.metadata["prefix"] == "module."
    assert next(iter(model.weights)) == "module.0.weight"
    assert "model_ema.0.weight" in pm.read(saved(tmp_path / "b.pt", averaged())).tensors


def test_dropping_the_training_state_leaves_the_state_dict(tmp_path: Path) -> None:
    path = saved(tmp_path / "a.pt", checkpoint())
    pm.convert(path, tmp_path / "b.pt", drop_training=True)
    loaded = torch.load(tmp_path / "b.pt", weights_only=True)
    same(dict(torch.load(path)["model_state_dict"]), dict(loaded))
    net().load_state_dict(loaded)


def test_shards_are_those_of_hugging_face(tmp_path: Path) -> None:
    path = saved(tmp_path / "a.pt", net().state_dict())
    pm.convert(path, tmp_path / "pytorch_model.bin", shard_size=1000)
    loaded: dict[str, Any] = {}
    for shard in sorted(tmp_path.glob("pytorch_model-*-of-*.bin")):
        loaded |= torch.load(shard, weights_only=True)
    same(dict(net().state_dict()), dict(loaded))
    assert content(pm.read(tmp_path / "pytorch_model.bin.index.json")) == content(pm.read(path))


def test_views_are_written_each_by_itself_and_this_is_said(tmp_path: Path) -> None:
    report = pm.convert(saved(tmp_path / "a.pt", MADE["views"]()), tmp_path / "b.pt")
    assert [(notice.kind, len(notice.names)) for notice in report.notices] == [("structure-lost", 5)]
    assert not pm.convert(saved(tmp_path / "c.pt", MADE["tied"]()), tmp_path / "d.pt").notices


def test_a_module_learns_on_from_what_is_written(tmp_path: Path) -> None:
    pm.convert(saved(tmp_path / "a.pt", checkpoint()), tmp_path / "b.safetensors")
    pm.convert(tmp_path / "b.safetensors", tmp_path / "c.pt")
    loaded = torch.load(tmp_path / "c.pt", weights_only=True)
    model = net()
    optimizer = torch.optim.Adam(model.parameters())
    model.load_state_dict(loaded["model_state_dict"])
    optimizer.load_state_dict(loaded["optimizer_state_dict"])
    assert optimizer.param_groups[0]["lr"] == 0.01
    model(torch.ones(2, 3, 8, 8)).sum().backward()
    optimizer.step()
