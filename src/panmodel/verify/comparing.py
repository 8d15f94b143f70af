"""Two models, run on the same inputs, and their outputs held against each other."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from panmodel.formats import PathLike, read
from panmodel.model.model import Model
from panmodel.model.report import Verification
from panmodel.model.tensor_difference import require_tolerances
from panmodel.verify.difference import difference, first_difference
from panmodel.verify.inputs import describe, load, random_inputs
from panmodel.verify.subjects import Recorded, Subject, subject

if TYPE_CHECKING:
    import numpy as np


def files(
    first: PathLike,
    second: PathLike,
    inputs: Mapping[str, np.ndarray] | PathLike | None,
    *,
    seed: int,
    rtol: float,
    atol: float,
    layers: bool,
) -> Verification:
    """See `panmodel.verify`."""
    require_tolerances(rtol, atol)
    given = inputs if inputs is None or isinstance(inputs, Mapping) else load(inputs)
    opened = [_open(first), _open(second)]
    for model in opened:
        if isinstance(model, Recorded) and given is None:
            given = model.arrays
    return models(opened[0], opened[1], given, seed=seed, rtol=rtol, atol=atol, layers=layers)


def _open(path: PathLike) -> Model | Recorded:
    return Recorded(Path(path), load(path)) if Path(path).suffix.lower() == ".npz" else read(path)


def models(
    first: Model | Recorded,
    second: Model | Recorded,
    given: Mapping[str, np.ndarray] | None,
    *,
    seed: int,
    rtol: float,
    atol: float,
    layers: bool,
) -> Verification:
    """Compare two opened models; see `panmodel.verify`."""
    require_tolerances(rtol, atol)
    a, b = _subjects(first, second)
    feeds = a.feeds(given) if given is not None else random_inputs(a.inputs or b.inputs, seed)
    said = "the inputs given" if given is not None else describe(feeds, seed)
    left, right = a.run(feeds, layers=layers), b.run(b.positioned(feeds, a), layers=layers)
    outputs = [difference(name, x, y, rtol, atol) for name, x, y in a.paired(left.outputs, b, right.outputs)]
    compared, found = first_difference(left.layers, right.layers, rtol, atol) if layers else (0, None)
    return Verification(a.label, b.label, said, outputs, rtol, atol, compared, found)


def _subjects(first: Model | Recorded, second: Model | Recorded) -> tuple[Subject, Subject]:
    """Both sides, a TensorFlow graph cut where the other side begins and ends."""
    if isinstance(first, Model) and first.dialect == "tensorflow":
        other = subject(second)
        return subject(first, other), other
    one = subject(first)
    return one, subject(second, one)
