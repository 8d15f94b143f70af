"""Programs that torch.export.save wrote; torch.export.load is the judge of what is in them."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.damage import assert_survives, contents_of

import panmodel as pm
from panmodel.formats import detect, torch_export
from panmodel.io.source import Location

torch = pytest.importorskip("torch")
nn = torch.nn
pytestmark = pytest.mark.filterwarnings("ignore")


class Net(nn.Module):
    """Shared weights, buffers of both kinds, plain tensors and a constant of the program."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.bn = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)
        self.embedding, self.head = nn.Embedding(5, 4), nn.Linear(4, 5, bias=False)
        self.head.weight = self.embedding.weight
        self.turned = nn.Parameter(torch.randn(3, 4).t())
        self.register_buffer("narrow", torch.randn(3).half())
        self.register_buffer("brain", torch.randn(4).bfloat16())
        self.register_buffer("part", torch.arange(10)[2:5])
        self.register_buffer("passing", torch.arange(3.0), persistent=False)
        self.register_buffer("empty", torch.zeros(0, 3))
        self.register_buffer("one", torch.tensor(True))
        self.register_buffer("wave", torch.tensor([1 + 2j, -3j]))
        self.plain = torch.randn(4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.bn(self.conv(x)).mean((2, 3)) + self.plain + torch.tensor([1.0, 2.0, 3.0, 4.0])
        x = self.head(x) + self.embedding(torch.tensor([1])).sum() + self.turned.sum() + self.part.sum()
        x = x + self.narrow.float().sum() + self.brain.float().sum() + self.passing.sum() + self.empty.sum()
        return x + self.one + self.wave.real.sum()


class Small(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(3, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.fc(x).relu() * torch.tensor([1.0, 2.0])


PROGRAMS: dict[str, Callable[[], Any]] = {
    "net": lambda: torch.export.export(Net().eval(), (torch.ones(2, 3, 5, 5),)),
    "small": lambda: torch.export.export(Small(), (torch.ones(1, 3),)),
    "lstm": lambda: torch.export.export(nn.LSTM(3, 4, 2), (torch.ones(2, 1, 3),)),
}


def program(name: str) -> Any:
    torch.manual_seed(0)
    return PROGRAMS[name]()


def bits(tensor: Any) -> tuple[str, tuple[int, ...], bytes]:
    flat = tensor.detach().contiguous().reshape(-1)
    data = flat.view(torch.uint8).numpy().tobytes() if flat.numel() else b""
    return str(tensor.dtype).removeprefix("torch."), tuple(tensor.shape), data


def expected(exported: Any) -> dict[str, tuple[str, tuple[int, ...], bytes]]:
    constants = {name: value for name, value in exported.constants.items() if isinstance(value, torch.Tensor)}
    return {name: bits(tensor) for name, tensor in {**exported.state_dict, **constants}.items()}


@pytest.mark.parametrize("name", PROGRAMS)
def test_tensors_are_torch_s(tmp_path: Path, name: str) -> None:
    path = tmp_path / "net.pt2"
    torch.export.save(program(name), path)
    assert detect(Location(path)) is torch_export.FORMAT
    model = pm.read(path)
    loaded = torch.export.load(path)
    assert contents_of(model) == expected(loaded)
    assert set(model.metadata.get("constants", ())) == set(loaded.constants)
    assert model.metadata["parameters"] == sum(isinstance(item, nn.Parameter) for item in loaded.state_dict.values())


def test_tied_weights_are_one_tensor(tmp_path: Path) -> None:
    torch.export.save(program("net"), tmp_path / "net.pt2")
    tensors = pm.read(tmp_path / "net.pt2").tensors
    assert tensors["head.weight"] is tensors["embedding.weight"]


def test_several_programs_in_one_archive(tmp_path: Path) -> None:
    from torch.export.pt2_archive._package import package_pt2

    path = tmp_path / "both.pt2"
    programs = {"small": program("small"), "lstm": program("lstm")}
    package_pt2(str(path), exported_programs=programs)
    want = {f"{name}.{key}": bits_ for name, one in programs.items() for key, bits_ in expected(one).items()}
    assert contents_of(pm.read(path)) == want


@pytest.mark.parametrize("suffix", ["pt", "json"])
def test_archives_until_2_7(tmp_path: Path, suffix: str) -> None:
    """What those versions wrote, after what `torch.export.load` reads of it."""
    exported, path = program("net"), tmp_path / "old.pt2"
    with zipfile.ZipFile(path, "w") as file:
        for name, value in (("state_dict", exported.state_dict), ("constants", exported.constants)):
            buffer = io.BytesIO()
            torch.save(value, buffer)
            file.writestr(f"serialized_{name}.{suffix}", buffer.getvalue())
        file.writestr("serialized_exported_program.json", "{}")
        file.writestr("version", "8.5")
    assert contents_of(pm.read(path)) == expected(exported)


@pytest.mark.parametrize("name", PROGRAMS)
@pytest.mark.parametrize("target", ["out.safetensors", "out.pt", "out.npz"])
def test_weights_move_bit_by_bit(tmp_path: Path, name: str, target: str) -> None:
    exported = program(name)
    torch.export.save(exported, tmp_path / "net.pt2")
    pm.convert(tmp_path / "net.pt2", tmp_path / target, weights_only=True)
    assert contents_of(pm.read(tmp_path / target)) == expected(exported)
    if target == "out.pt":
        state = torch.load(tmp_path / target, weights_only=True)
        assert {key: bits(tensor) for key, tensor in state.items()} == expected(exported)


def test_every_damage_is_found(tmp_path: Path) -> None:
    path = tmp_path / "made" / "net.pt2"
    path.parent.mkdir()
    torch.export.save(program("small"), path)
    assert_survives(lambda copy: contents_of(pm.read(copy)), path, cuts=50, flips=300, exact=True)
