"""Seeds of PyTorch."""

from __future__ import annotations

import io
import pickle
import struct
import tarfile
from typing import Any

import numpy as np
from tests import distributed_checkpoints, python2_pickles

from panmodel.model.model import Model
from panmodel.model.tensor import ArrayTensor
from panmodel.model.torch.source import TorchSource
from panmodel.wire.pickle import Global, Object, PersistentId, dump
from seeds.seed import ALL, MATRIX, PLAIN, New, has, tensors, write


def torch_source(new: New) -> None:
    source = "# Written by panmodel 0.1.0\nfrom torch import nn\n\n\nclass Net(nn.Module):\n    pass  # é\n"
    state = {"fc.weight": ArrayTensor(MATRIX), "fc.bias": ArrayTensor(np.ones(2))}
    names = {
        "parameters": {"fc.weight": {"variable": "fc/kernel", "permute": [1, 0]}},
        "inputs": [{"tensor": "x:0", "dtype": "float32", "shape": ["batch", 4]}],
        "outputs": [{"tensor": "y:0", "dtype": "float32", "shape": ["batch", 3]}],
    }
    seed = new("own")
    write("torch_source", seed / "net.py", Model("seed", TorchSource(source, "Net", state, names)))
    seed.done("net.py")


def torch_distributed(new: New) -> None:
    rows, columns = [np.s_[0:2, 0:4], np.s_[2:3, 0:4]], [np.s_[0:3, 0:3], np.s_[0:3, 3:4]]
    state = {
        "model.fc.weight": (MATRIX, rows),
        "optimizer.state.0.step": (np.array(3.0, np.float32), [()]),
        "optimizer.state.0.exp_avg": (MATRIX + 1, columns),
    }
    values = {"optimizer.param_groups.0.lr": 0.5, "optimizer.param_groups.0.params": [0], "epoch": 4}
    paths = {
        "model.fc.weight": ("model", "fc.weight"),
        "epoch": ("epoch",),
        **{name: tuple(name.split(".")) for name in state if name.startswith("optimizer")},
        **{f"optimizer.param_groups.0.{key}": ("optimizer", "param_groups", 0, key) for key in ("lr", "params")},
    }
    seed = new("handmade")
    distributed_checkpoints.write_checkpoint(seed / "dcp", state, values, paths)
    seed.done("dcp", ["dcp/__0_0.distcp", "dcp/__1_0.distcp"])
    if has("torch"):
        import torch
        import torch.distributed.checkpoint as dcp

        seed = new("torch")
        net = torch.nn.Linear(3, 2)
        dcp.save({"model": net.state_dict(), "epoch": 2}, checkpoint_id=seed / "dcp", no_dist=True)
        seed.done("dcp", ["dcp/__0_0.distcp"])


def torch_pickle(new: New) -> None:
    seed = new("own")
    write("torch_pickle", seed / "m.pt", Model("seed", tensors=tensors(*PLAIN, "bfloat16")))
    seed.done("m.pt", [ALL])
    seed = new("sharded")
    model = Model("seed", tensors={f"layer{n}": ArrayTensor(MATRIX + n) for n in range(4)})
    write("torch_pickle", seed / "m.bin", model, shard_size=100)
    seed.done("m.bin.index.json", sorted(path.name for path in seed.place.glob("*.bin")))
    seed = new("tar")
    (seed / "m.pt").write_bytes(_tar())
    seed.done("m.pt")
    seed = new("pickle")
    state = {"w": MATRIX, "n": np.float64(3), "more": [{"b": np.arange(3), "t": "text"}], "lr": 0.1}
    (seed / "m.pkl").write_bytes(pickle.dumps(state, 4))
    seed.done("m.pkl")
    old = {b"w": MATRIX, b"name": "net", "blobs": [np.arange(3), np.float64(3)], b"raw": b"\xff\0"}
    for protocol in range(3):
        seed = new(f"python2_protocol{protocol}")
        (seed / "m.pkl").write_bytes(python2_pickles.dumps(old, protocol))
        seed.done("m.pkl")
    if has("torch"):
        _torch(new)


def _tar() -> bytes:
    """As PyTorch 0.1 wrote it."""
    floats, tensor = Global("torch", "FloatStorage"), Global("torch", "FloatTensor")
    storages = dump(1) + dump((10, "cpu", floats)) + struct.pack("<q4f", 4, 1, 2, 3, 4) + dump([(11, 10, 1, 2)])
    views = dump(2) + dump((20, 10, tensor)) + struct.pack("<ii5q", 2, 0, 2, 2, 2, 1, 0)
    views += dump((21, 11, tensor)) + struct.pack("<ii3q", 1, 0, 1, 1, 1)
    value = Object(Global("collections", "OrderedDict"), items=[("w", PersistentId("20")), ("b", PersistentId("21"))])
    system = {"protocol_version": 1000, "little_endian": True, "type_sizes": {"short": 2, "int": 4, "long": 4}}
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:", format=tarfile.PAX_FORMAT) as file:
        members = {"sys_info": dump(system), "pickle": dump(value), "storages": storages, "tensors": views}
        for name, content in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            file.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


def _torch(new: New) -> None:
    import torch

    torch.manual_seed(0)
    net = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.BatchNorm1d(4), torch.nn.Linear(4, 2))
    optimizer = torch.optim.Adam(net.parameters(), lr=0.25)
    net(torch.randn(5, 3)).sum().backward()
    optimizer.step()
    tied = torch.arange(6.0).reshape(2, 3)
    values = {
        "state_dict": {"a": tied, "same": tied, "t": tied.t(), "row": tied[1], "half": tied.bfloat16()},
        "training": {"model": net.state_dict(), "optimizer": optimizer.state_dict(), "epoch": 3, "loss": 0.5},
        "module": net,
        "kinds": {
            "quantized": torch.quantize_per_tensor(tied, 0.1, 3, torch.qint8),
            "channels": torch.quantize_per_channel(
                tied, torch.tensor([0.1, 0.2], dtype=torch.double), torch.tensor([0, 1]), 0, torch.qint8
            ),
            "sparse": tied.to_sparse(),
            "csr": tied.to_sparse_csr(),
            "parameter": torch.nn.Parameter(tied),
            "conj": torch.ones(2, dtype=torch.complex64).conj(),
            "meta": torch.empty(3, device="meta"),
        },
        "packed": {
            "quantized": torch._empty_affine_quantized([2, 3], scale=0.1, zero_point=1, dtype=torch.quint4x2),
            "fourths": torch.arange(8, dtype=torch.uint8).view(torch.float4_e2m1fn_x2),
            "complex": torch.zeros(2, dtype=torch.complex32),
        },
    }
    for name, value in values.items():
        for form in ("zip", "legacy"):
            seed = new(f"{name}_{form}")
            torch.save(value, seed / "m.pt", _use_new_zipfile_serialization=form == "zip")
            seed.done("m.pt", [ALL] if form == "zip" else [])


class _Net:
    """Made when torch is there: a module with weights, a buffer and a choice."""

    @staticmethod
    def make() -> Any:
        import torch

        torch.manual_seed(0)
        return torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.BatchNorm1d(4), torch.nn.ReLU()).eval()


def torchscript(new: New) -> None:
    if not has("torch"):
        return
    import torch

    example = torch.ones(2, 3)
    for name, made in {"script": torch.jit.script(_Net.make()), "trace": torch.jit.trace(_Net.make(), example)}.items():
        seed = new(name)
        torch.jit.save(made, str(seed / "m.pt"))
        seed.done("m.pt", [ALL])


def torch_export(new: New) -> None:
    if not has("torch"):
        return
    import torch

    seed = new("export")
    torch.export.save(torch.export.export(_Net.make(), (torch.ones(2, 3),)), str(seed / "m.pt2"))
    seed.done("m.pt2", [ALL])
