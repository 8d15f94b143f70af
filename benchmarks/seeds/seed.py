"""What the makers of seeds share: the folder of one, small tensors, and the writers of this project."""

from __future__ import annotations

import importlib.util
import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from panmodel import dtypes
from panmodel.formats import registry
from panmodel.model.model import Model
from panmodel.model.tensor import ArrayTensor

ROOT = Path(__file__).resolve().parents[2]
KERAS = ROOT / "tests" / "fixtures" / "keras"
MATRIX = np.arange(12, dtype=np.float32).reshape(3, 4)
ALL = "*"


class Seed:
    """A folder for the files of one seed; `done` says what is to be known of them."""

    def __init__(self, place: Path) -> None:
        self.place = place
        place.mkdir(parents=True)

    def __truediv__(self, name: str) -> Path:
        return self.place / name

    def done(
        self,
        target: str,
        checked: Sequence[str] = (),
        payload: dict[str, tuple[str, int, int]] | None = None,
    ) -> None:
        names = [str(path.relative_to(self.place)) for path in sorted(self.place.rglob("*")) if path.is_file()]
        what = {"target": target, "checked": names if ALL in checked else list(checked), "payload": payload or {}}
        self.place.with_name(f"{self.place.name}.json").write_text(json.dumps(what))


#: Makes the folder of a seed by its name.
New = Callable[[str], Seed]


def copied(seed: Seed, folder: Path, pattern: str) -> None:
    for path in folder.glob(pattern):
        if path.suffix not in (".npz", ".meta"):
            shutil.copy(path, seed.place)


def tensors(*names: str) -> dict[str, Any]:
    """A tensor of each type, filled with noise."""
    chance, made = np.random.default_rng(0), {}
    for name in names:
        dtype = dtypes.ALL[name]
        noise = chance.integers(0, 2 if dtype.kind == "b" else 256, 6 * dtype.itemsize, np.uint8)
        made[f"layer/{name}"] = ArrayTensor(noise.view(dtype.numpy).reshape(2, 3))
    return made


PLAIN = ("float32", "float16", "float64", "int8", "int64", "bool", "uint8")


def write(format_name: str, path: Path, model: Model, **options: Any) -> None:
    record = registry()[format_name]
    assert record.write is not None
    with record.sink(path, **options) as sink:
        record.write(model, sink)


def has(*modules: str) -> bool:
    return all(importlib.util.find_spec(module) for module in modules)
