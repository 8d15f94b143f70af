"""Modules that torch.jit.save wrote; torch.jit.load is the judge of what is in them."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.damage import assert_survives, contents_of

import panmodel as pm
from panmodel.formats import detect, torchscript
from panmodel.io.source import Location

torch = pytest.importorskip("torch")
nn = torch.nn
pytestmark = pytest.mark.filterwarnings("ignore")


class Block(nn.Module):
    def __init__(self, features: int = 4) -> None:
        super().__init__()
        self.conv, self.bn = nn.Conv2d(3, features, 3), nn.BatchNorm2d(features)
        self.offset = torch.randn(features)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return (
            self.bn(self.conv(x)) + self.offset.reshape(4, 1, 1) + torch.tensor([1.0, 2.0, 3.0, 4.0]).reshape(4, 1, 1)
        )


class Net(nn.Module):
    """Lists of modules, shared weights, and attributes of every kind that TorchScript knows."""

    def __init__(self) -> None:
        super().__init__()
        self.blocks = nn.ModuleList([nn.Linear(4, 4), nn.Linear(4, 4)])
        self.embedding, self.head = nn.Embedding(5, 4), nn.Linear(4, 5, bias=False)
        self.head.weight = self.embedding.weight
        self.scale, self.labels, self.sizes, self.table = 1.5, ["a", "b"], [1, 2], {"a": 1}
        self.anchors, self.named = [torch.ones(2), torch.arange(3.0)], {"x": torch.arange(4.0)}
        self.mixed = (1, "x", torch.full((1,), 7.0))
        self.register_buffer("narrow", torch.randn(3).half())
        self.register_buffer("brain", torch.randn(4).bfloat16())
        self.register_buffer("passing", torch.arange(5), persistent=False)
        self.turned = torch.randn(2, 3).t()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for block in self.blocks:
            x = block(x)
        x = self.head(x) + self.embedding(torch.tensor([1])).sum() * self.scale + len(self.labels) + self.table["a"]
        x = x + self.anchors[0].sum() + self.named["x"].sum() + self.mixed[2] + self.turned.sum() + self.sizes[0]
        return x + self.narrow.sum().float() + self.brain.sum().float() + self.passing.sum()


def quantized() -> Any:
    plain = nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2))
    return torch.jit.script(torch.ao.quantization.quantize_dynamic(plain, dtype=torch.qint8))


def frozen() -> Any:
    return torch.jit.freeze(torch.jit.script(Net().eval()))


MODULES: dict[str, Callable[[], Any]] = {
    "scripted": lambda: torch.jit.script(Net()),
    "traced": lambda: torch.jit.trace(Block().eval(), torch.ones(1, 3, 5, 5)),
    "lstm": lambda: torch.jit.script(nn.LSTM(3, 4, 2)),
    "attention": lambda: torch.jit.script(nn.TransformerEncoderLayer(8, 2, 16)),
    "frozen": frozen,
    "quantized": quantized,
}


def bits(tensor: Any) -> tuple[tuple[int, ...], bytes]:
    plain = tensor.int_repr() if tensor.is_quantized else tensor.detach()
    flat = plain.contiguous().reshape(-1)
    return tuple(tensor.shape), flat.view(torch.uint8).numpy().tobytes() if flat.numel() else b""


def saved(folder: Path, name: str, mobile: bool = False) -> Path:
    torch.manual_seed(0)
    path = folder / f"{name}.pt"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        module = MODULES[name]()
        module._save_for_lite_interpreter(str(path)) if mobile else module.save(str(path))
    return path


def followed(module: Any, name: str) -> Any:
    """What lies at a path of attributes, positions and keys."""
    for key in name.split("."):
        if isinstance(module, dict):
            module = module[key]
        else:
            module = module[int(key)] if isinstance(module, (list, tuple)) else getattr(module, key)
    return module


@pytest.mark.parametrize("name", MODULES)
@pytest.mark.parametrize("mobile", [False, True], ids=["full", "mobile"])
def test_tensors_are_torch_s(tmp_path: Path, name: str, mobile: bool) -> None:
    path = saved(tmp_path, name, mobile)
    assert detect(Location(path)) is torchscript.FORMAT
    model = pm.read(path)
    found = contents_of(model)
    loaded = torch.jit.load(path)
    attributes = [key for key in model.metadata.get("attributes", ()) if "_packed_params" not in key]
    want = {**loaded.state_dict(), **{key: followed(loaded, key) for key in attributes}}
    assert {key: found[key][1:] for key in want} == {key: bits(tensor) for key, tensor in want.items()}
    assert not [key for key in found.keys() - want.keys() if "_packed_params" not in key and "CONSTANTS." not in key]
    assert model.notices == [] or name == "quantized"


def test_attributes_and_constants(tmp_path: Path) -> None:
    path = saved(tmp_path, "scripted")
    model = pm.read(path)
    assert model.tensors["head.weight"] is model.tensors["embedding.weight"]
    np.testing.assert_array_equal(model.tensors["anchors.1"].numpy(), np.arange(3.0))
    np.testing.assert_array_equal(model.tensors["named.x"].numpy(), np.arange(4.0))
    np.testing.assert_array_equal(model.tensors["mixed.2"].numpy(), [7.0])
    np.testing.assert_array_equal(model.tensors["turned"].numpy(), torch.jit.load(path).turned.numpy())
    values = {key: model.metadata["values"][key] for key in ("scale", "labels", "sizes", "table.a", "mixed.1")}
    assert values == {"scale": 1.5, "labels": ["a", "b"], "sizes": [1, 2], "table.a": 1, "mixed.1": "x"}
    tree = model.metadata["module_tree"]
    assert tree[""]["buffers"] == ["narrow", "brain", "passing"]
    assert tree["blocks.0"] == {
        "class": "torch.nn.modules.linear.Linear",
        "parameters": ["weight", "bias"],
        "training": True,
    }


def test_constants_are_those_of_the_program(tmp_path: Path) -> None:
    path = saved(tmp_path, "traced")
    loaded = torch.jit.load(path)
    graph = loaded.inlined_graph
    nodes = [node for node in graph.findAllNodes("prim::Constant") if "value" in node.attributeNames()]
    constants = [node.t("value") for node in nodes if node.kindOf("value") == "t"]
    found = {key: value for key, value in contents_of(pm.read(path)).items() if key.startswith("CONSTANTS.")}
    assert {value[1:] for value in found.values()} <= {bits(tensor) for tensor in constants}
    assert found


def test_quantized_weights(tmp_path: Path) -> None:
    path = saved(tmp_path, "quantized")
    model = pm.read(path)
    layer = getattr(torch.jit.load(path), "0")
    weight, bias = layer._packed_params._weight_bias()
    name = "0._packed_params._packed_params"
    found = contents_of(model)
    assert found[f"{name}.0"][1:] == bits(weight)
    assert found[f"{name}.1"][1:] == bits(bias)
    assert model.metadata["values"][f"{name}.0.scale"] == weight.q_scale()
    assert model.metadata["values"][f"{name}.0.zero_point"] == weight.q_zero_point()


class Sparse(nn.Module):
    def __init__(self, layout: str) -> None:
        super().__init__()
        dense = torch.arange(12.0).reshape(3, 4) % 3
        self.register_buffer("mask", dense.to_sparse() if layout == "coo" else dense.to_sparse_csr())

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.mask.to_dense()


@pytest.mark.parametrize("layout", ["coo", "csr"])
def test_sparse_tensors(tmp_path: Path, layout: str) -> None:
    module = Sparse(layout)
    torch.jit.script(module).save(str(tmp_path / "net.pt"))
    pm.convert(tmp_path / "net.pt", tmp_path / "out.pth", weights_only=True)
    mask = torch.load(tmp_path / "out.pth", weights_only=True)["mask"]
    assert mask.layout == module.mask.layout
    assert bits(mask.to_dense()) == bits(module.mask.to_dense())


@pytest.mark.parametrize("name", MODULES)
def test_weights_move_bit_by_bit(tmp_path: Path, name: str) -> None:
    path = saved(tmp_path, name)
    right = contents_of(pm.read(path))
    for target in ("out.safetensors", "out.npz", "out.pth"):
        pm.convert(path, tmp_path / target, weights_only=True)
    assert contents_of(pm.read(tmp_path / "out.safetensors")) == right
    assert contents_of(pm.read(tmp_path / "out.pth")) == right
    assert {key: value[1:] for key, value in contents_of(pm.read(tmp_path / "out.npz")).items()} == {
        key: value[1:] for key, value in right.items()
    }
    state = torch.load(tmp_path / "out.pth", weights_only=True)
    assert {key: bits(tensor) for key, tensor in state.items()} == {
        key: value[1:] for key, value in right.items() if key in state
    }
    assert any(tensor.is_quantized for tensor in state.values()) is (name == "quantized")


def test_a_state_dict_loads_into_the_module(tmp_path: Path) -> None:
    path = saved(tmp_path, "attention")
    pm.convert(path, tmp_path / "out.pth", weights_only=True)
    module = nn.TransformerEncoderLayer(8, 2, 16).eval()
    module.load_state_dict(torch.load(tmp_path / "out.pth", weights_only=True))
    x = torch.linspace(-1, 1, 48).reshape(3, 2, 8)
    torch.testing.assert_close(module(x), torch.jit.load(path).eval()(x))


def test_every_damage_is_found(tmp_path: Path) -> None:
    folder = tmp_path / "made"
    folder.mkdir()
    path = saved(folder, "traced")
    assert_survives(lambda copy: contents_of(pm.read(copy)), path, cuts=50, flips=300, exact=True)
