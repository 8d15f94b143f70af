from __future__ import annotations

from pathlib import Path

import numpy as np
from tests.damage import assert_survives, contents_of

from panmodel.formats import safetensors
from panmodel.io.sink import Sink
from panmodel.io.source import Location
from panmodel.model.model import Model
from panmodel.model.tensor import ArrayTensor


def written(path: Path, **metadata: object) -> Path:
    tensors = {"w": ArrayTensor(np.array([[1.5, -0.0], [np.nan, np.inf]], np.float32)), "n": ArrayTensor(np.array(7))}
    with Sink(path) as sink:
        safetensors.write(Model("test", tensors=tensors, metadata=metadata), sink)
    return path


def test_tensors_and_strings_come_back(tmp_path: Path) -> None:
    path = written(tmp_path / "a.safetensors", producer="somebody", tags=["serve"], step=3)
    model = safetensors.read(Location(path))
    assert model.format == "safetensors"
    assert model.metadata == {"producer": "somebody", "format": "pt"}
    assert {name: (t.name, t.shape) for name, t in model.tensors.items()} == {"n": ("n", ()), "w": ("w", (2, 2))}
    np.testing.assert_array_equal(model.tensors["w"].numpy(), [[1.5, -0.0], [np.nan, np.inf]])
    assert model.tensors["w"].extent is not None


def test_loaders_find_what_framework_the_tensors_are_for(tmp_path: Path) -> None:
    assert safetensors.read(Location(written(tmp_path / "a", framework="tensorflow"))).metadata["format"] == "tf"
    assert safetensors.read(Location(written(tmp_path / "b", format="mlx"))).metadata["format"] == "mlx"


def test_it_is_told_by_its_content(tmp_path: Path) -> None:
    assert safetensors.sniff(Location(written(tmp_path / "a.bin")))
    (tmp_path / "other").write_bytes(b"{}" * 50)
    (tmp_path / "empty").touch()
    for name in ("other", "empty", "absent", "."):
        assert not safetensors.sniff(Location(tmp_path / name))


def test_damage_ends_in_own_errors(tmp_path: Path) -> None:
    path = written(tmp_path / "a.safetensors")
    assert_survives(lambda copy: contents_of(safetensors.read(Location(copy))), path)
