"""How far two arrays are apart, and which of two models' intermediate tensors are first to be so."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import permutations
from typing import TYPE_CHECKING

from panmodel.model.report import Difference
from panmodel.model.tensor_difference import integer_gap, is_whole, widened

if TYPE_CHECKING:
    import numpy as np


def array_difference(name: str, a: np.ndarray, b: np.ndarray, rtol: float, atol: float) -> Difference:
    """Compare two arrays.

    Args:
        name: What to call them.
        a: The one.
        b: The other, which relative differences refer to.
        rtol: Relative tolerance.
        atol: Absolute tolerance.
    """
    import numpy as np

    if a.shape != b.shape:
        return Difference(name, a.shape, np.inf, np.inf, within=False, detail=f"shapes {a.shape} and {b.shape}")
    if a.dtype.kind in "OSU" or b.dtype.kind in "OSU":
        same = _texts(a) == _texts(b)
        return Difference(
            name, a.shape, 0.0 if same else np.inf, 0.0, within=same, detail="" if same else "strings differ"
        )
    if is_whole(a.dtype) and is_whole(b.dtype):
        return _measured(name, a.shape, integer_gap(a, b).astype(np.float64), np.abs(b.astype(np.float64)), rtol, atol)
    x, y = widened(a, b)
    unlike = np.isnan(x) != np.isnan(y)
    if unlike.any():
        return Difference(
            name, a.shape, np.inf, np.inf, within=False, detail=f"{int(unlike.sum())} NaNs on one side only"
        )
    finite = np.isfinite(x) & np.isfinite(y)
    if not np.array_equal(x[~finite], y[~finite], equal_nan=True):
        return Difference(name, a.shape, np.inf, np.inf, within=False, detail="infinities differ")
    return _measured(name, a.shape, np.abs(x[finite] - y[finite]), np.abs(y[finite]), rtol, atol)


def _measured(
    name: str, shape: tuple[int, ...], gap: np.ndarray, size: np.ndarray, rtol: float, atol: float
) -> Difference:
    """What is told of the gaps between elements, and the sizes of those of the second."""
    relative = gap[size > 0] / size[size > 0]
    within = bool((gap <= atol + rtol * size).all())
    return Difference(name, shape, float(gap.max(initial=0.0)), float(relative.max(initial=0.0)), within)


def missing(name: str, shape: tuple[int, ...], detail: str) -> Difference:
    """The difference of an array that only one side has."""
    return Difference(name, shape, float("inf"), float("inf"), within=False, detail=detail)


def first_difference(
    a: Mapping[str, np.ndarray], b: Mapping[str, np.ndarray], rtol: float, atol: float
) -> tuple[int, Difference | None]:
    """The first intermediate tensor that both have and that differs, in the order of the second.

    A tensor may lie in another layout in one of the models (NCHW for NHWC): the order of axes that fits best counts.

    Returns:
        How many tensors were compared, and the first beyond the tolerances.
    """
    compared = 0
    for name, array in b.items():
        if name not in a:
            continue
        compared += 1
        found = _closest(name, a[name], array, rtol, atol)
        if not found.within:
            return compared, found
    return compared, None


def _closest(name: str, a: np.ndarray, b: np.ndarray, rtol: float, atol: float) -> Difference:
    plain = array_difference(name, a, b, rtol, atol)
    if plain.within or a.ndim != b.ndim or a.ndim > 5:
        return plain
    orders = [order for order in permutations(range(b.ndim)) if tuple(b.shape[axis] for axis in order) == a.shape]
    found = [array_difference(name, a, b.transpose(order), rtol, atol) for order in orders]
    return min(found, key=lambda item: (not item.within, item.max_absolute), default=plain)


def _texts(array: np.ndarray) -> list[str]:
    return [item.decode() if isinstance(item, bytes) else str(item) for item in array.reshape(-1).tolist()]
