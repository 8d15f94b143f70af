"""Whole modules, pickled by torch: read without their classes, as what `state_dict()` gives."""

from __future__ import annotations

import argparse
import enum
import functools
import inspect
import pickle
import typing
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.interop.torch_values import net, same, saved

import panmodel as pm
from panmodel.errors import UnsafeError
from panmodel.model.finding import Verdict

torch = pytest.importorskip("torch")
nn = torch.nn


class Colour(enum.Enum):
    RED = "red"


class Namespace(argparse.Namespace):
    """Settings of a class of somebody's own."""


def shout(text: str) -> str:
    return text.upper()


class Block(nn.Module):
    """A module of a user, with attributes of many kinds."""

    def __init__(self) -> None:
        super().__init__()
        self.width, self.sizes, self.name, self.activation = 4, (3, 3), "block", nn.functional.relu
        self.scale = nn.Parameter(torch.tensor([0.5]))
        self.register_buffer("offset", torch.ones(2))
        self.register_buffer("passing", torch.zeros(1), persistent=False)
        self.register_parameter("absent", None)
        self.conv = nn.Conv2d(3, 4, 3, stride=2, padding=1, groups=1)
        self.layers = nn.ModuleList([nn.Linear(4, 4), nn.BatchNorm1d(4)])
        self.missing: Any = None
        self.anchors = torch.arange(3.0)


class Statistics:
    """An object that is no module, as is saved beside one."""

    def __init__(self) -> None:
        self.mean, self.count = torch.ones(3), 7

    def twice(self) -> int:
        return 2 * self.count


def tied() -> Any:
    model = nn.Module()
    model.first = model.second = nn.Linear(2, 2)
    return model


MODULES: dict[str, Callable[[], Any]] = {
    "linear": lambda: nn.Linear(2, 3),
    "net": net,
    "user": Block,
    "lstm": lambda: nn.LSTM(3, 4, 2),
    "gru": lambda: nn.GRU(3, 4, bidirectional=True),
    "attention": lambda: nn.MultiheadAttention(8, 2),
    "encoder": lambda: nn.TransformerEncoder(nn.TransformerEncoderLayer(8, 2, 16), 2),
    "gelu": lambda: nn.TransformerEncoderLayer(8, 2, 16, activation=nn.functional.gelu),
    "embedding": lambda: nn.Embedding(5, 3, padding_idx=0),
    "normalisations": lambda: nn.Sequential(nn.LayerNorm(4), nn.GroupNorm(2, 4), nn.InstanceNorm2d(4, affine=True)),
    "parallel": lambda: nn.DataParallel(net()),
    "tied": tied,
    "weight norm": lambda: torch.nn.utils.weight_norm(nn.Linear(3, 3)),
    "spectral norm": lambda: torch.nn.utils.spectral_norm(nn.Linear(3, 3)),
    "half": lambda: net().half(),
    "empty": nn.Identity,
    "parameters": lambda: nn.ParameterList([torch.ones(1), torch.zeros(2)]),
    "dictionary": lambda: nn.ParameterDict({"a": torch.ones(1)}),
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.parametrize("make", [pytest.param(make, id=name) for name, make in MODULES.items()])
def test_a_module_is_its_state_dict(tmp_path: Path, make: Callable[[], Any], legacy: bool) -> None:
    module = make()
    path = saved(tmp_path / "a.pt", module, legacy=legacy)
    model = pm.read(path)
    same(model.tensors, module.state_dict())
    tree = model.metadata["module_tree"]
    classes = {name: f"{type(part).__module__}.{type(part).__name__}" for name, part in module.named_modules()}
    assert {name: tree[name]["class"] for name in classes} == classes
    pm.convert(path, tmp_path / "b.pt")
    make().load_state_dict(torch.load(tmp_path / "b.pt", weights_only=True, mmap=True))


def test_the_settings_of_modules_are_told(tmp_path: Path) -> None:
    model = pm.read(saved(tmp_path / "a.pt", Block().eval()))
    tree = model.metadata["module_tree"]
    assert tree[""]["training"] is False
    assert (tree[""]["width"], tree[""]["sizes"], tree[""]["name"]) == (4, [3, 3], "block")
    assert tree[""]["non_persistent_buffers"] == ["passing"]
    assert (tree["conv"]["stride"], tree["conv"]["padding"], tree["conv"]["groups"]) == ([2, 2], [1, 1], 1)
    assert (tree["layers.1"]["eps"], tree["layers.1"]["momentum"]) == (1e-5, 0.1)
    assert ("anchors",) in [notice.names for notice in model.notices]


@pytest.mark.filterwarnings("ignore")
def test_the_source_is_told_where_the_file_has_it(tmp_path: Path) -> None:
    sources = pm.read(saved(tmp_path / "a.pt", Block(), legacy=True)).metadata["sources"]
    assert "self.width, self.sizes" in sources[f"{__name__}.Block"]
    hooked = torch.nn.utils.spectral_norm(nn.Linear(3, 3))
    assert "_forward_pre_hooks" in pm.read(saved(tmp_path / "b.pt", hooked)).metadata["module_tree"][""]["hooks"]


@pytest.mark.parametrize("legacy", [False, True])
def test_modules_within_containers(tmp_path: Path, legacy: bool) -> None:
    model = net()
    read = pm.read(saved(tmp_path / "a.pth", {"epoch": 5, "model": model}, legacy=legacy))
    same(read.weights, model.state_dict())
    assert read.training is not None
    assert read.training.epoch == 5
    pm.convert(tmp_path / "a.pth", tmp_path / "b.pth")
    loaded = torch.load(tmp_path / "b.pth", weights_only=True)
    assert loaded["epoch"] == 5
    net().load_state_dict(loaded["model"])
    both = pm.read(saved(tmp_path / "c.pt", [model, Statistics()], legacy=legacy))
    assert list(both.tensors) == [*(f"0.{name}" for name in model.state_dict()), "1.mean"]
    assert both.metadata["values"] == {"1.count": 7}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.parametrize(
    "value", [open, torch.load, torch.from_file, functools.partial(exec), functools.partial(torch.load, "x")]
)
def test_a_module_with_functions_of_others_is_refused(tmp_path: Path, value: Any, legacy: bool) -> None:
    module = nn.Linear(2, 2)
    module.extra = value
    with pytest.raises(UnsafeError):
        pm.read(saved(tmp_path / "a.pt", module, legacy=legacy))
    assert pm.scan(tmp_path / "a.pt").verdict is Verdict.DANGEROUS


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.parametrize(
    "value",
    [
        shout,
        functools.partial(shout, "x"),
        functools.partial(nn.LayerNorm, eps=1e-6),
        torch.relu,
        Statistics().twice,
        Colour.RED,
        {Colour.RED: 1},
        typing.Union[int, str, None],  # noqa: UP007 - the other form is a type of Python's own
        inspect.Parameter.empty,
        print,
    ],
)
def test_modules_keep_functions_settings_and_hints(tmp_path: Path, value: Any, legacy: bool) -> None:
    module = nn.Linear(2, 2)
    module.extra = value
    same(pm.read(saved(tmp_path / "a.pt", module, legacy=legacy)).tensors, module.state_dict())
    assert pm.scan(tmp_path / "a.pt").verdict is Verdict.UNDECIDED or value in (inspect.Parameter.empty, print)


def test_settings_are_what_they_hold(tmp_path: Path) -> None:
    layer = functools.partial(nn.LayerNorm, 3, eps=1e-6)
    settings = {"colour": Colour.RED, "of": {Colour.RED: 1}, "layer": layer, "f": shout, "g": torch.relu}
    model = pm.read(saved(tmp_path / "a.pt", {"w": torch.ones(2), "settings": settings}))
    layer_norm = "torch.nn.modules.normalization.LayerNorm"
    assert model.metadata["values"] == {
        "settings.colour": "red",
        "settings.of.red": 1,
        "settings.layer.func": layer_norm,
        "settings.layer.args.0": 3,
        "settings.layer.keywords.eps": 1e-6,
        "settings.f": f"{__name__}.shout",
        "settings.g": "torch._C._VariableFunctionsClass.relu",
    }
    assert any("members of enumerations" in str(notice) for notice in model.notices)
    pm.convert(tmp_path / "a.pt", tmp_path / "b.pt")
    loaded = torch.load(tmp_path / "b.pt", weights_only=True)
    assert loaded["settings"]["colour"] == "red"
    assert loaded["settings"]["layer"]["keywords"] == {"eps": 1e-6}


@pytest.mark.parametrize("legacy", [False, True])
def test_settings_without_tensors_are_read(tmp_path: Path, legacy: bool) -> None:
    settings = Namespace(colour=Colour.RED, rate=0.5)
    model = pm.read(saved(tmp_path / "training_args.bin", settings, legacy=legacy))
    assert model.metadata["values"] == {"colour": "red", "rate": 0.5}
    assert not model.tensors


def test_an_object_is_read_beside_tensors_alone(tmp_path: Path) -> None:
    model = pm.read(saved(tmp_path / "a.pt", {"w": torch.ones(1), "s": Statistics(), "c": Statistics}))
    assert list(model.tensors) == ["w", "s.mean"]
    assert model.metadata["values"] == {"s.count": 7, "c": f"{__name__}.Statistics"}
    assert [notice.names for notice in model.notices] == [("s",), ("c",)]
    (tmp_path / "b.pkl").write_bytes(pickle.dumps({"c": Statistics}))
    with pytest.raises(UnsafeError, match=r"Statistics"):
        pm.read(tmp_path / "b.pkl")


@pytest.mark.filterwarnings("ignore")
def test_whole_optimizers_are_their_state_dicts(tmp_path: Path) -> None:
    module = nn.Linear(2, 3)
    optimizer = torch.optim.RMSprop(module.parameters(), lr=0.5)
    module(torch.ones(2)).sum().backward()
    optimizer.step()
    model = pm.read(saved(tmp_path / "a.pt", {"model": module, "optimizer": optimizer}))
    assert model.training is not None
    assert (model.training.optimizer, model.training.hyperparameters["lr"], model.training.step) == ("rmsprop", 0.5, 1)
    pm.convert(tmp_path / "a.pt", tmp_path / "b.pt")
    optimizer.load_state_dict(torch.load(tmp_path / "b.pt", weights_only=True)["optimizer"])
    for name, parameter in module.named_parameters():
        slots = {slot: tensor.numpy() for slot, tensor in model.training.slots[name].items()}
        assert slots.keys() == optimizer.state[parameter].keys()
        assert (slots["square_avg"] == optimizer.state[parameter]["square_avg"].numpy()).all()
