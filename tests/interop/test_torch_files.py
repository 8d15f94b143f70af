"""PyTorch itself, both ways: what it saves is read, and what is written it loads."""

from __future__ import annotations

import pickle
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest

import panmodel as pm
from panmodel import dtypes
from panmodel.errors import CorruptError
from panmodel.formats import torch_pickle
from panmodel.io.sink import Sink
from panmodel.io.source import Location
from panmodel.model.finding import Verdict
from panmodel.model.model import Model
from panmodel.model.tensor import ArrayTensor, Tensor

torch = pytest.importorskip("torch")

TYPES = [name for name in sorted(dtypes.BY_TORCH) if not name.startswith("q")]


def bits(tensor: object) -> bytes:
    flat = tensor.detach().contiguous().reshape(-1)  # type: ignore[attr-defined]
    return flat.view(torch.uint8).numpy().tobytes() if flat.numel() else b""


def saved(path: Path, value: object, **options: object) -> Model:
    torch.save(value, path, **options)
    assert torch_pickle.sniff(Location(path))
    return torch_pickle.read(Location(path))


@pytest.mark.parametrize("name", TYPES)
def test_every_type_is_read_and_written(tmp_path: Path, name: str) -> None:
    kind, noise = getattr(torch, name), np.random.default_rng(0)
    width = torch.empty(0, dtype=kind).element_size()
    shapes = {"matrix": (3, 5), "vector": (7,), "scalar": (), "empty": (0, 4)}
    state = {}
    for key, shape in shapes.items():
        raw = noise.integers(0, 2 if name == "bool" else 256, (int(np.prod(shape)) * width,), np.uint8)
        state[key] = torch.tensor(raw.tolist(), dtype=torch.uint8).view(kind).reshape(shape)
    model = saved(tmp_path / "a.pt", state)
    for key, tensor in state.items():
        found = model.tensors[key]
        assert (found.dtype.torch, found.shape) == (name, tuple(tensor.shape))
        assert found.numpy().tobytes() == bits(tensor)
    with Sink(tmp_path / "b.pt") as sink:
        torch_pickle.write(model, sink)
    for mmap in (False, True):
        back = torch.load(tmp_path / "b.pt", weights_only=True, mmap=mmap)
        assert type(back) is OrderedDict
        assert list(back) == list(state)
        assert all(back[key].dtype == kind and back[key].shape == tensor.shape for key, tensor in state.items())
        assert all(bits(back[key]) == bits(tensor) for key, tensor in state.items())


def test_views_and_ties_are_read(tmp_path: Path) -> None:
    base = torch.arange(24, dtype=torch.float32).reshape(4, 6)
    spectrum = torch.view_as_complex(torch.arange(8, dtype=torch.float32).reshape(4, 2))
    state = {
        "transposed": base.t(),
        "slice": base[1:3, 2:5],
        "row": base[2],
        "every_other": base[:, ::2],
        "expanded": base[:, :1].expand(4, 3),
        "conjugated": spectrum.conj(),
        "imaginary": spectrum.clone().conj().imag,
        "channels_last": torch.randn(2, 3, 4, 5).to(memory_format=torch.channels_last),
    }
    model = saved(tmp_path / "a.pt", state)
    for name, tensor in state.items():
        np.testing.assert_array_equal(model.tensors[name].numpy(), tensor.resolve_conj().resolve_neg().numpy())
    linear = torch.nn.Linear(3, 3)
    tied = torch.nn.ModuleDict({"a": linear, "b": linear})
    tensors = saved(tmp_path / "b.pt", tied.state_dict()).tensors
    assert tensors["a.weight"] is tensors["b.weight"]
    with Sink(tmp_path / "c.pt") as sink:
        torch_pickle.write(Model("test", tensors=tensors), sink)
    back = torch.load(tmp_path / "c.pt", weights_only=True)
    assert back["a.weight"].data_ptr() == back["b.weight"].data_ptr() != back["a.bias"].data_ptr()


def test_a_state_dict_goes_through_and_into_its_module(tmp_path: Path) -> None:
    def net() -> object:
        return torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4), torch.nn.LSTM(4, 5))

    first, second = net(), net()
    model = saved(tmp_path / "a.pth", first.state_dict())  # type: ignore[attr-defined]
    assert model.metadata["modules"]["1"] == {"version": 2}
    with Sink(tmp_path / "b.pth") as sink:
        torch_pickle.write(model, sink)
    back = torch.load(tmp_path / "b.pth", weights_only=True)
    assert back._metadata["1"] == {"version": 2}
    second.load_state_dict(back)  # type: ignore[attr-defined]
    for one, other in zip(first.parameters(), second.parameters(), strict=True):  # type: ignore[attr-defined]
        assert torch.equal(one, other)


@pytest.mark.parametrize(
    ("kind", "options", "slots"),
    [
        ("Adam", {"amsgrad": True}, {"step", "exp_avg", "exp_avg_sq", "max_exp_avg_sq"}),
        ("AdamW", {}, {"step", "exp_avg", "exp_avg_sq"}),
        ("SGD", {"momentum": 0.9}, {"momentum_buffer"}),
        ("RMSprop", {}, {"step", "square_avg"}),
        ("Adagrad", {}, {"step", "sum"}),
        ("Adadelta", {}, {"step", "square_avg", "acc_delta"}),
        ("Adamax", {}, {"step", "exp_avg", "exp_inf"}),
    ],
)
def test_a_training_checkpoint_is_read(tmp_path: Path, kind: str, options: dict[str, object], slots: set[str]) -> None:
    net = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.BatchNorm1d(4), torch.nn.Linear(4, 2))
    optimizer = getattr(torch.optim, kind)(net.parameters(), lr=0.125, **options)
    net(torch.randn(5, 3)).sum().backward()
    optimizer.step()
    value = {"epoch": 3, "state_dict": net.state_dict(), "optimizer": optimizer.state_dict(), "loss": np.float64(0.5)}
    model = saved(tmp_path / "a.pt", value)
    assert [name for name in model.tensors if not name.startswith("optimizer.")] == list(net.state_dict())
    training = model.training
    assert training is not None
    told = (training.epoch, training.loss, training.optimizer, training.hyperparameters["lr"])
    assert told == (3, 0.5, kind.lower(), 0.125)
    assert list(training.slots) == [name for name, _ in net.named_parameters()]
    assert all(set(kinds) == slots for kinds in training.slots.values())


def test_parameters_and_nested_containers_are_read(tmp_path: Path) -> None:
    value = {"ema": [torch.nn.Parameter(torch.ones(2)), {"deep": (torch.zeros(1), "text")}], "size": torch.Size([2, 3])}
    model = saved(tmp_path / "a.pt", value)
    assert list(model.tensors) == ["ema.0", "ema.1.deep.0"]
    assert model.metadata["values"] == {"ema.1.deep.1": "text", "size.0": 2, "size.1": 3}


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_every_protocol_that_torch_writes_is_read(tmp_path: Path, protocol: int) -> None:
    model = saved(tmp_path / "a.pt", OrderedDict(w=torch.ones(2, 3)), pickle_protocol=protocol)
    np.testing.assert_array_equal(model.tensors["w"].numpy(), np.ones((2, 3)))


def test_without_checksums_a_file_is_read(tmp_path: Path) -> None:
    from torch.utils.serialization import config

    with config.patch("save.compute_crc32", False):
        model = saved(tmp_path / "a.pt", {"w": torch.ones(3)})
    np.testing.assert_array_equal(model.tensors["w"].numpy(), np.ones(3))


def test_what_torch_does_not_notice_is_found(tmp_path: Path) -> None:
    path = tmp_path / "a.pt"
    torch.save({"w": torch.full((64,), 1.5)}, path)
    data = bytearray(path.read_bytes())
    data[data.index(np.full(64, 1.5, np.float32).tobytes())] ^= 1
    path.write_bytes(data)
    assert not torch.equal(torch.load(path, weights_only=True)["w"], torch.full((64,), 1.5))
    with pytest.raises(CorruptError, match="tensor 'w' does not meet its checksum"):
        torch_pickle.read(Location(path)).tensors["w"].numpy()


@pytest.mark.parametrize("protocol", range(6))
def test_pickles_dumped_one_by_one_are_a_list(tmp_path: Path, protocol: int) -> None:
    path, weights = tmp_path / "a.pkl", [np.arange(6, dtype=np.float32).reshape(2, 3), np.ones(3)]
    with open(path, "wb") as file:
        for value in (weights, torch.nn.Linear(3, 2).state_dict(), {"epoch": 4}):
            pickle.dump(value, file, protocol)
    with open(path, "rb") as file:
        parts = [pickle.load(file) for _ in range(3)]
    model = pm.read(path)
    expected = {"0.0": weights[0], "0.1": weights[1]}
    expected |= {f"1.{name}": tensor.numpy() for name, tensor in parts[1].items()}
    assert list(model.tensors) == list(expected)
    assert all((model.tensors[name].numpy() == array).all() for name, array in expected.items())
    assert model.metadata["values"] == {"2.epoch": 4}
    assert "the 3 pickles" in str(model.notices[0])
    assert pm.scan(path).verdict is Verdict.CLEAN
    pm.convert(path, tmp_path / "b.pt")
    back = torch.load(tmp_path / "b.pt", weights_only=True)
    assert (back[0][0].numpy() == weights[0]).all() and back[2] == {"epoch": 4}


def test_of_files_saved_into_one_the_first_is_read_as_torch_does(tmp_path: Path) -> None:
    path, states = tmp_path / "a.pt", [{"a": torch.ones(2)}, {"b": torch.zeros(3)}]
    torch.save(states[0], path, _use_new_zipfile_serialization=False)
    end = path.stat().st_size
    with open(path, "ab") as file:
        torch.save(states[1], file, _use_new_zipfile_serialization=False)
    model = pm.read(path)
    assert list(model.tensors) == list(torch.load(path)) == ["a"]
    assert f"from byte {end} on" in str(model.notices[0])


def test_scripts_are_told_apart(tmp_path: Path) -> None:
    torch.jit.save(torch.jit.script(torch.nn.Linear(2, 2)), tmp_path / "c.pt")
    assert not torch_pickle.sniff(Location(tmp_path / "c.pt"))


def test_unusual_names_load(tmp_path: Path) -> None:
    names = ["", "a/b:0", "日本", "with space", "\n", "x" * 5000]
    given: dict[str, Tensor] = {name: ArrayTensor(np.full(2, index)) for index, name in enumerate(names)}
    with Sink(tmp_path / "a.pt") as sink:
        torch_pickle.write(Model("test", tensors=given), sink)
    back = torch.load(tmp_path / "a.pt", weights_only=True, mmap=True)
    assert {name: int(tensor[1]) for name, tensor in back.items()} == {name: index for index, name in enumerate(names)}
