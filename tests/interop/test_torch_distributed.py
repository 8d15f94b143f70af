"""torch.distributed.checkpoint as the writer: what it saves is read as it holds it."""

from __future__ import annotations

import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.damage import contents_of

from panmodel.errors import UnsafeError
from panmodel.formats import torch_distributed, torch_pickle
from panmodel.io.source import Location
from panmodel.model.model import Model

torch = pytest.importorskip("torch")
dcp = pytest.importorskip("torch.distributed.checkpoint")

#: Two processes save tensors that are distributed over them.
TWO_RANKS = """
import os, sys, tempfile, warnings
warnings.filterwarnings("ignore")
import torch
import torch.distributed as dist
import torch.distributed.checkpoint as dcp
from torch.distributed.tensor import Replicate, Shard, distribute_tensor, init_device_mesh

rank, folder = int(sys.argv[1]), sys.argv[2]
dist.init_process_group("gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=2)
mesh = init_device_mesh("cpu", (2,))
whole = torch.arange(35, dtype=torch.float64).reshape(7, 5)
state = {
    "rows": distribute_tensor(whole, mesh, [Shard(0)]),
    "columns": distribute_tensor(whole.to(torch.bfloat16), mesh, [Shard(1)]),
    "copied": distribute_tensor(whole + 1, mesh, [Replicate()]),
    "few": distribute_tensor(whole[:1], mesh, [Shard(0)]),
}
dcp.save({"model": state, "epoch": 2}, checkpoint_id=f"{folder}/dcp")
dcp.save(state, storage_writer=dcp.HuggingFaceStorageWriter(f"{folder}/safetensors", save_distributed=True))
dist.destroy_process_group()
os._exit(0)  # threads of gloo that are still there now and then end an interpreter that ends by itself in an abort
"""


def bits(tensor: Any) -> tuple[str, tuple[int, ...], bytes]:
    flat = tensor.detach().contiguous().reshape(-1)
    content = flat.view(torch.uint8).numpy().tobytes() if flat.numel() else b""
    return str(tensor.dtype).removeprefix("torch."), tuple(tensor.shape), content


def save(state: dict[str, Any], folder: Path) -> Model:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        dcp.save(state, checkpoint_id=folder, no_dist=True)
    assert torch_distributed.sniff(Location(folder))
    assert not torch_pickle.sniff(Location(folder / ".metadata"))
    return torch_distributed.read(Location(folder))


def trained() -> tuple[Any, Any]:
    torch.manual_seed(0)
    net = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.BatchNorm1d(4), torch.nn.Linear(4, 2, bias=False))
    optimizer = torch.optim.AdamW(net.parameters(), lr=0.25)
    for _ in range(3):
        net(torch.randn(5, 3)).sum().backward()
        optimizer.step()
    return net, optimizer


def test_a_training_checkpoint(tmp_path: Path) -> None:
    net, optimizer = trained()
    model = save({"model": net.state_dict(), "optimizer": optimizer.state_dict(), "epoch": 3}, tmp_path / "a")
    assert {name: contents_of(model)[name] for name in model.weights} == {
        name: bits(tensor) for name, tensor in net.state_dict().items()
    }
    training = model.training
    assert training is not None
    assert (training.epoch, training.step, training.optimizer) == (3, 3, "adamw")
    assert training.hyperparameters["lr"] == 0.25
    for name, parameter in net.named_parameters():
        slots = {slot: bits(torch.from_numpy(tensor.numpy())) for slot, tensor in training.slots[name].items()}
        assert slots == {slot: bits(tensor) for slot, tensor in optimizer.state[parameter].items()}


def test_it_is_the_same_model_as_that_of_torch_save(tmp_path: Path) -> None:
    net, optimizer = trained()
    state = {"model": net.state_dict(), "optimizer": optimizer.state_dict(), "list": [1, {"a": torch.ones(2)}]}
    model = save(state, tmp_path / "a")
    torch.save(state, tmp_path / "a.pt")
    other = torch_pickle.read(Location(tmp_path / "a.pt"))
    assert contents_of(model) == contents_of(other)
    assert model.training is not None and other.training is not None
    assert model.training.names == other.training.names
    assert model.training.hyperparameters == other.training.hyperparameters


def test_it_becomes_a_file_that_optimizers_load(tmp_path: Path) -> None:
    net, optimizer = trained()
    model = save({"model": net.state_dict(), "optimizer": optimizer.state_dict()}, tmp_path / "a")
    with torch_pickle.FORMAT.sink(tmp_path / "a.pt") as sink:
        torch_pickle.write(model, sink)
    back = torch.load(tmp_path / "a.pt", weights_only=True)
    fresh, other = trained()
    fresh.load_state_dict(back["model"])
    other.load_state_dict(back["optimizer"])
    for new, old in zip(fresh.parameters(), net.parameters(), strict=True):
        assert {slot: bits(t) for slot, t in other.state[new].items()} == {
            slot: bits(t) for slot, t in optimizer.state[old].items()
        }


def test_every_type_bit_by_bit(tmp_path: Path) -> None:
    names = ("float64", "float16", "bfloat16", "complex64", "complex128", "int8", "uint16", "int64", "bool")
    names += ("float8_e4m3fn", "float8_e5m2", "float8_e8m0fnu")
    noise = np.random.default_rng(0)
    state = {}
    for name in names:
        raw = torch.from_numpy(noise.integers(0, 2 if name == "bool" else 256, 96, np.uint8))
        state[name] = raw.view(getattr(torch, name)).reshape(3, -1)
        state[f"{name} scalar"] = state[name][0, 0].clone()
        state[f"{name} empty"] = state[name][:0]
        state[f"{name} view"] = state[name].T[1:]
    assert contents_of(save(state, tmp_path / "a")) == {name: bits(tensor) for name, tensor in state.items()}


def test_names_that_mean_something_else_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UnsafeError, match="eval"):
        save({"w": torch.ones(2), "hook": eval}, tmp_path / "a")


@pytest.fixture(scope="module")
def two_ranks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if not torch.distributed.is_available() or not torch.distributed.is_gloo_available():
        pytest.skip("PyTorch was built without gloo")
    folder = tmp_path_factory.mktemp("ranks")
    ranks = [subprocess.Popen([sys.executable, "-c", TWO_RANKS, str(rank), str(folder)]) for rank in range(2)]
    try:
        assert [rank.wait(120) for rank in ranks] == [0, 0]
    finally:
        for rank in ranks:
            rank.kill()
            rank.wait()
    return folder


@pytest.mark.parametrize("layout", ["dcp", "safetensors"])
def test_tensors_that_two_ranks_saved(two_ranks: Path, layout: str) -> None:
    location = Location(two_ranks / layout)
    assert torch_distributed.sniff(location)
    whole = torch.arange(35, dtype=torch.float64).reshape(7, 5)
    model = torch_distributed.read(location)
    assert contents_of(model) == {
        "rows": bits(whole),
        "columns": bits(whole.to(torch.bfloat16)),
        "copied": bits(whole + 1),
        "few": bits(whole[:1]),
    }
    assert model.notices == []
