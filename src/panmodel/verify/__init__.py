"""Runs two models on the same inputs and compares what comes out, down to the first layer that differs."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from panmodel.formats import PathLike, read
from panmodel.model.model import Model
from panmodel.model.report import Verification
from panmodel.verify.difference import difference, first_difference
from panmodel.verify.inputs import describe, load, random_inputs
from panmodel.verify.subjects import Recorded, Subject, subject

if TYPE_CHECKING:
    import numpy as np

#: Tolerances that a conversion in float32 keeps, with room for another order of summation.
RTOL, ATOL = 1e-3, 1e-4


def verify(
    first: PathLike,
    second: PathLike,
    *,
    inputs: Mapping[str, np.ndarray] | PathLike | None = None,
    seed: int = 0,
    rtol: float = RTOL,
    atol: float = ATOL,
    layers: bool = False,
) -> Verification:
    """Run two model files on the same inputs and compare their outputs.

    Args:
        first: A model, or an .npz file with recorded answers (its inputs may lie in the same file).
        second: Likewise.
        inputs: Input name → array, or an .npz file; seeded random numbers if left out.
        seed: Seed of these.
        rtol: Relative tolerance.
        atol: Absolute tolerance.
        layers: Compare the intermediate tensors that both models have, too.

    Raises:
        UnsupportedError: A model cannot be run here.
        UsageError: The inputs do not fit.
    """
    given = inputs if inputs is None or isinstance(inputs, Mapping) else load(inputs)
    models = [_open(first), _open(second)]
    for model in models:
        if isinstance(model, Recorded) and given is None:
            given = model.arrays
    return _compare(models[0], models[1], given, seed=seed, rtol=rtol, atol=atol, layers=layers)


def compare(
    first: Model,
    second: Model,
    *,
    inputs: Mapping[str, np.ndarray] | None = None,
    seed: int = 0,
    rtol: float = RTOL,
    atol: float = ATOL,
    layers: bool = False,
) -> Verification:
    """Compare two models in memory; see `verify`."""
    return _compare(first, second, inputs, seed=seed, rtol=rtol, atol=atol, layers=layers)


def _open(path: PathLike) -> Model | Recorded:
    return Recorded(Path(path), load(path)) if Path(path).suffix == ".npz" else read(path)


def _compare(
    first: Model | Recorded,
    second: Model | Recorded,
    given: Mapping[str, np.ndarray] | None,
    *,
    seed: int,
    rtol: float,
    atol: float,
    layers: bool,
) -> Verification:
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
