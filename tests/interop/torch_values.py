"""Values of every kind that people save with torch: state dicts, checkpoints, tensors of every type; and comparing."""

from __future__ import annotations

import argparse
import collections
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
nn = torch.nn


def saved(path: Path, value: Any, *, legacy: bool = False) -> Path:
    torch.save(value, path, _use_new_zipfile_serialization=not legacy)
    return path


def same(tensors: Any, state: Any) -> None:
    assert list(tensors) == list(state)
    for name, tensor in state.items():
        assert tensors[name].shape == tuple(tensor.shape)
        assert tensors[name].numpy().tobytes() == tensor.detach().numpy().tobytes()


def net() -> Any:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 36, 2))


def trained(make: Callable[..., Any] = torch.optim.Adam, model: Any = None, **settings: Any) -> tuple[Any, Any]:
    model = model or net()
    optimizer = make(model.parameters(), lr=0.01, **settings)
    for _ in range(3):
        optimizer.zero_grad()
        model(torch.ones(2, 3, 8, 8)).sum().backward()
        optimizer.step()
    return model, optimizer


def checkpoint(make: Callable[..., Any] = torch.optim.Adam, **settings: Any) -> dict[str, Any]:
    model, optimizer = trained(make, **settings)
    state = {"model_state_dict": model.state_dict(), "optimizer_state_dict": optimizer.state_dict()}
    return {"epoch": 7, **state, "loss": torch.tensor(0.25)}


def lightning() -> dict[str, Any]:
    model, optimizer = trained(torch.optim.AdamW)
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 5)
    return {
        "epoch": 4,
        "global_step": 3,
        "pytorch-lightning_version": "2.4.0",
        "state_dict": model.state_dict(),
        "loops": {"fit_loop": {"state_dict": {}, "epoch_progress": {"total": {"ready": 5, "completed": 4}}}},
        "callbacks": {"ModelCheckpoint{'monitor': None}": {"best_model_score": torch.tensor(0.5), "dirpath": "/runs"}},
        "optimizer_states": [optimizer.state_dict()],
        "lr_schedulers": [scheduler.state_dict()],
        "hparams_name": "kwargs",
        "hyper_parameters": {"width": 4, "lr": 0.01},
    }


def parallel() -> dict[str, Any]:
    plain, optimizer = trained(torch.optim.SGD, momentum=0.9)
    return {"state_dict": nn.DataParallel(plain).state_dict(), "optimizer": optimizer.state_dict(), "epoch": 2}


def averaged() -> dict[str, Any]:
    model, optimizer = trained()
    return {"model": model.state_dict(), "model_ema": net().state_dict(), "optimizer": optimizer.state_dict()}


def fairseq() -> dict[str, Any]:
    model, optimizer = trained()
    return {
        "args": argparse.Namespace(arch="transformer", lr=[0.1]),
        "model": model.state_dict(),
        "optimizer_history": [{"criterion_name": "CrossEntropy", "num_updates": 3}],
        "extra_state": {"epoch": 2, "val_loss": 1.5},
        "last_optimizer_state": optimizer.state_dict(),
    }


def decayed() -> dict[str, Any]:
    """Two groups of parameters, with and without weight decay."""
    model = net()
    matrices = [weight for weight in model.parameters() if weight.dim() > 1]
    vectors = [weight for weight in model.parameters() if weight.dim() <= 1]
    optimizer = torch.optim.AdamW([{"params": matrices}, {"params": vectors, "weight_decay": 0.0}], lr=0.1)
    model(torch.ones(2, 3, 8, 8)).sum().backward()
    optimizer.step()
    return {"model": model.state_dict(), "optimizer": optimizer.state_dict()}


def named() -> dict[str, Any]:
    """An optimizer that was given names, in another order than the model's."""
    model = net()
    optimizer = torch.optim.Adam(list(model.named_parameters())[::-1], lr=0.1)
    model(torch.ones(2, 3, 8, 8)).sum().backward()
    optimizer.step()
    return {"model": model.state_dict(), "optimizer": optimizer.state_dict()}


def tied() -> dict[str, Any]:
    embedding, head = nn.Embedding(5, 3), nn.Linear(3, 5, bias=False)
    head.weight = embedding.weight
    return nn.ModuleDict({"embedding": embedding, "head": head}).state_dict()


def views() -> dict[str, Any]:
    whole = torch.arange(24.0).reshape(4, 6)
    return {"whole": whole, "row": whole[1], "transposed": whole.t(), "strided": whole[::2, 1::2], "one": whole[0, 0]}


def every_type() -> dict[str, Any]:
    """Each type that torch saves; int1 to uint7 are none of these."""
    kinds = {kind: str(kind).removeprefix("torch.") for kind in vars(torch).values() if isinstance(kind, torch.dtype)}
    kinds = {kind: name for kind, name in kinds.items() if not re.fullmatch(r"u?int[1-7]|qu?int\w+|bool", name)}
    raw = torch.arange(64, dtype=torch.uint8)
    return {name: raw.clone().view(kind) for kind, name in kinds.items()} | {"bool": torch.tensor([True, False])}


def quantized() -> dict[str, Any]:
    numbers = torch.linspace(-1, 1, 12).reshape(3, 4)
    scales, zeros = torch.tensor([0.1, 0.2, 0.3], dtype=torch.float64), torch.tensor([0, 1, 2])
    return {
        "each": torch.quantize_per_tensor(numbers, 0.1, 3, torch.qint8),
        "unsigned": torch.quantize_per_tensor(numbers, 0.1, 100, torch.quint8),
        "wide": torch.quantize_per_tensor(numbers, 0.1, 0, torch.qint32),
        "channels": torch.quantize_per_channel(numbers, scales, zeros, 0, torch.qint8),
    }


def packed() -> dict[str, Any]:
    """Quantized to integers of less than a byte, which no format but torch's own has."""
    numbers, scales, zeros = torch.linspace(-1, 1, 12).reshape(3, 4), torch.ones(3) / 10, torch.zeros(3)
    return {
        "halves": torch.quantize_per_channel(numbers, scales, zeros, 0, torch.quint4x2),
        "quarters": torch._empty_affine_quantized([3, 4], scale=0.1, zero_point=1, dtype=torch.quint2x4),
    }


def sparse() -> dict[str, Any]:
    dense = torch.tensor([[0.0, 1, 0], [2, 0, 3]])
    return {"coo": dense.to_sparse(), "csr": dense.to_sparse_csr(), "csc": dense.to_sparse_csc(), "plain": dense}


def special() -> dict[str, Any]:
    bits = torch.tensor([0x7FC00001, -0x400000, 0x7F800000, -0x80000000], dtype=torch.int32)
    return {"bits": bits.view(torch.float32), "none": torch.zeros(0, 3), "scalar": torch.tensor(-0.0)}


def settings() -> dict[str, Any]:
    """Plain values that `weights_only` loads beside tensors."""
    names = {str(kind): kind for kind in vars(torch).values() if isinstance(kind, torch.dtype)}
    return {
        "types": names,
        "layouts": [torch.strided, torch.sparse_coo, torch.sparse_csr, torch.jagged],
        "devices": [torch.device("cuda", 1), torch.device("meta"), torch.device("cpu:0")],
        "sizes": (torch.Size(()), torch.Size((1, 2)), (1, 2)),
        "sets": [set(), {torch.int8, torch.device("cpu"), (1, torch.Size((2,))), b"a", None}],
        "bytes": [bytearray(), bytearray(b"\0\xff"), b"", b"\0\xff"],
        "counters": [collections.Counter(), collections.Counter("abca"), collections.Counter([1, 1, 2])],
        "w": torch.ones(2),
    }


def counted() -> dict[str, Any]:
    return {
        "size": torch.Size((2, 3)),
        "device": torch.device("cpu"),
        "set": {1, 2},
        "bytes": b"\0\xff",
        "complex": 1 - 2j,
        "numbers": [1 << 70, -1, float("inf"), -0.0, True, None],
        "keys": {1: "a", 2.5: "b", None: "c", False: "d"},
        "counter": collections.Counter("abca"),
        "default": collections.defaultdict(list, {"x": [1]}),
        "w": torch.ones(2),
    }


MADE: dict[str, Callable[[], Any]] = {
    "state dict": lambda: net().state_dict(),
    "plain dict": lambda: {"a": torch.ones(2, 3), "b": torch.zeros(())},
    "empty": dict,
    "one tensor": lambda: torch.arange(6).reshape(2, 3),
    "parameter": lambda: nn.Parameter(torch.ones(3)),
    "parameters": lambda: {
        "p": nn.Parameter(torch.ones(3)),
        "frozen": nn.Parameter(torch.ones(2), requires_grad=False),
    },
    "gradient": lambda: {"t": torch.ones(2, requires_grad=True), "u": torch.ones(2)},
    "list": lambda: [torch.ones(2), torch.zeros(3), [torch.ones(1)]],
    "tuple": lambda: (torch.ones(2), {"x": torch.zeros(3)}, "text"),
    "nested": lambda: {
        "encoder": {"w": torch.ones(2), "inner": {"b": torch.zeros(1)}},
        "decoder": {"w": torch.ones(3)},
    },
    "lstm": lambda: nn.LSTM(3, 4, 2, bidirectional=True).state_dict(),
    "transformer": lambda: nn.TransformerEncoderLayer(8, 2, 16).state_dict(),
    "adam": checkpoint,
    "adamw": lambda: checkpoint(torch.optim.AdamW),
    "amsgrad": lambda: checkpoint(amsgrad=True),
    "sgd": lambda: checkpoint(torch.optim.SGD),
    "momentum": lambda: checkpoint(torch.optim.SGD, momentum=0.9),
    "rmsprop": lambda: checkpoint(torch.optim.RMSprop, momentum=0.9, centered=True),
    "adagrad": lambda: checkpoint(torch.optim.Adagrad),
    "adadelta": lambda: checkpoint(torch.optim.Adadelta),
    "adamax": lambda: checkpoint(torch.optim.Adamax),
    "nadam": lambda: checkpoint(torch.optim.NAdam),
    "lightning": lightning,
    "parallel": parallel,
    "averaged": averaged,
    "fairseq": fairseq,
    "decayed": decayed,
    "named": named,
    "trainer optimizer": lambda: trained()[1].state_dict(),
    "scheduler": lambda: torch.optim.lr_scheduler.StepLR(trained()[1], 2).state_dict(),
    "random states": lambda: {"cpu": torch.get_rng_state(), "epoch": 1},
    "tied": tied,
    "views": views,
    "every type": every_type,
    "quantized": quantized,
    "packed": packed,
    "sparse": sparse,
    "special": special,
    "values": counted,
    "settings": settings,
    "meeting names": lambda: {
        "a": {"b": torch.ones(1), "b.c": torch.ones(2)},
        "a.b": torch.ones(3),
        "a.b.c": torch.ones(4),
        0: [torch.ones(5)],
        "0": [torch.ones(6)],
        "0.0": torch.ones(7),
    },
    "integer keys": lambda: {0: torch.ones(1), 1: {2: torch.zeros(2)}},
    "meta": lambda: {"w": torch.empty(3, 4, device="meta"), "b": torch.ones(1)},
    "conjugated": lambda: {"c": torch.tensor([1 + 2j]).conj(), "n": torch._neg_view(torch.ones(2))},
    "channels last": lambda: {"w": torch.ones(2, 3, 4, 5).to(memory_format=torch.channels_last)},
}
ARRAYS: dict[str, Callable[[], Any]] = {
    "numbers": lambda: {"array": np.arange(6.0).reshape(2, 3), "scalar": np.float32(1.5), "w": torch.ones(2)},
    "fortran": lambda: {"array": np.asfortranarray(np.arange(6, dtype=np.int16).reshape(2, 3)), "w": torch.ones(1)},
    "random states": lambda: {"numpy": np.random.RandomState(1).get_state(), "cpu": torch.get_rng_state()},
}
