"""Runs two models on the same inputs and compares what comes out, down to the first layer that differs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

    from panmodel.formats import PathLike
    from panmodel.model.model import Model
    from panmodel.model.report import Verification

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

    An output that only one of them has is a difference. It is none, but told (`only_first`, `only_second`), where the
    outputs are not what the file says that they are: a TensorFlow graph is cut where the other model begins and ends,
    and a recording may be of some outputs, or hold more than these.

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
        UsageError: The inputs do not fit, or a tolerance is negative or no number.
    """
    from panmodel.verify import comparing  # with what runs models, which nothing else needs

    return comparing.files(first, second, inputs, seed=seed, rtol=rtol, atol=atol, layers=layers)


def compare(
    model: Model,
    result: Model,
    *,
    inputs: Mapping[str, np.ndarray] | None = None,
    seed: int = 0,
    rtol: float = RTOL,
    atol: float = ATOL,
    layers: bool = False,
) -> Verification:
    """Compare a model with what it was converted to, in memory: from where the result begins to where it ends.

    See `verify`; what the model gives besides is no difference.
    """
    from panmodel.verify import comparing

    model = comparing.as_far_as(model, result)
    return comparing.models(model, result, inputs, seed=seed, rtol=rtol, atol=atol, layers=layers)
