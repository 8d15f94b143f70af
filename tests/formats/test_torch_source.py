from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from tests.damage import assert_survives, contents_of

from panmodel.errors import CorruptError, MissingFileError, OutputExistsError, UnsupportedError
from panmodel.formats import torch_pickle, torch_source
from panmodel.io.sink import Sink
from panmodel.io.source import Location
from panmodel.model.model import Model
from panmodel.model.tensor import ArrayTensor
from panmodel.model.torch.source import TorchSource, check_names

SOURCE = "# Written by panmodel 0.1.0\nfrom torch import nn\n\n\nclass Net(nn.Module):\n    pass  # é\n"


def program() -> TorchSource:
    state = {"fc.weight": ArrayTensor(np.arange(6, dtype=np.float32).reshape(2, 3)), "fc.bias": ArrayTensor(np.ones(2))}
    return TorchSource(
        SOURCE, "Net", state, {"parameters": {"fc.weight": {"variable": "fc/kernel", "permute": [1, 0]}}}
    )


def written(folder: Path) -> Path:
    with torch_source.FORMAT.sink(folder / "net.py") as sink:
        torch_source.write(Model("test", program()), sink)
    return folder / "net.py"


def test_source_weights_and_names_lie_side_by_side(tmp_path: Path) -> None:
    path = written(tmp_path)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["net.names.json", "net.py", "net.safetensors"]
    assert path.read_text("utf-8") == SOURCE
    assert json.loads((tmp_path / "net.names.json").read_text())["class"] == "Net"


def test_no_file_of_the_three_is_replaced_unasked(tmp_path: Path) -> None:
    for name in ("net.py", "net.safetensors", "net.names.json"):
        (tmp_path / name).write_text("mine")
        with pytest.raises(OutputExistsError, match=name):
            torch_source.FORMAT.sink(tmp_path / "net.py").require_free()
        (tmp_path / name).unlink()


def test_they_are_read_back_and_nothing_is_executed(tmp_path: Path) -> None:
    path = written(tmp_path)
    path.write_text(SOURCE + "raise SystemExit\n", "utf-8")
    assert torch_source.sniff(Location(path))
    model = torch_source.read(Location(path))
    assert isinstance(model.program, TorchSource)
    assert model.dialect == "torch"
    assert model.program.class_name == "Net"
    assert model.program.names["parameters"] == program().names["parameters"]
    np.testing.assert_array_equal(model.tensors["fc.weight"].numpy(), program().state["fc.weight"].numpy())


def test_without_a_stated_class_the_last_one_is_the_model(tmp_path: Path) -> None:
    path = written(tmp_path)
    (tmp_path / "net.names.json").write_text("{}")
    assert torch_source.read(Location(path)).program.class_name == "Net"  # type: ignore[union-attr]
    path.write_text("# Written by panmodel\n")
    with pytest.raises(CorruptError, match="no class"):
        torch_source.read(Location(path))


def test_what_is_missing_or_broken_is_named(tmp_path: Path) -> None:
    path = written(tmp_path)
    (tmp_path / "net.names.json").write_text("[" * 100_000)
    with pytest.raises(CorruptError, match="is not JSON"):
        torch_source.read(Location(path))
    (tmp_path / "net.names.json").write_text("{}")
    (tmp_path / "net.safetensors").unlink()
    with pytest.raises(MissingFileError, match=r"net\.safetensors"):
        torch_source.read(Location(path))
    path.write_bytes(b"# Written by panmodel\n\xff")
    with pytest.raises(CorruptError, match="UTF-8"):
        torch_source.read(Location(path))


def test_other_python_is_not_taken_for_it(tmp_path: Path) -> None:
    path = tmp_path / "net.py"
    for text in ("import torch\n", "x = '# Written by panmodel'\n", "\n" * 300 + "# Written by panmodel\n"):
        path.write_text(text)
        assert not torch_source.sniff(Location(path))


def test_weights_alone_cannot_become_source(tmp_path: Path) -> None:
    with pytest.raises(UnsupportedError, match="only a model with a graph"), Sink(tmp_path / "net.py") as sink:
        torch_source.write(Model("test"), sink)


def test_a_state_dict_of_source_has_the_source_beside_it(tmp_path: Path) -> None:
    with Sink(tmp_path / "net.pt") as sink:
        torch_pickle.write(Model("test", program(), tensors={"fc/kernel": ArrayTensor(np.zeros(1))}), sink)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["net.names.json", "net.pt", "net.py"]
    assert list(torch_pickle.read(Location(tmp_path / "net.pt")).tensors) == ["fc.weight", "fc.bias"]


def test_damage_ends_in_own_errors(tmp_path: Path) -> None:
    path = written(tmp_path)
    assert_survives(lambda copy: contents_of(torch_source.read(Location(copy))), path)
    assert_survives(
        lambda copy: contents_of(torch_source.read(Location(copy.with_name("net.py")))),
        path.with_name("net.names.json"),
        flips=300,
    )


@pytest.mark.parametrize(
    ("entry", "content"),
    [
        ("inputs", 3),
        ("inputs", [3]),
        ("inputs", [{"tensor": 3}]),
        ("outputs", [{"tensor": "y", "dtype": 3}]),
        ("outputs", [{"tensor": "y", "shape": [None]}]),
        ("values", {"conv1": "y"}),
        ("permutes", "none"),
    ],
)
def test_names_that_panmodel_would_not_write(entry, content):
    with pytest.raises(CorruptError, match=entry):
        check_names({"class": "Net", entry: content}, "net.names.json")
    with pytest.raises(CorruptError, match="object"):
        check_names([], "net.names.json")
