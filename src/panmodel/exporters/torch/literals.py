"""Numbers as Python source that evaluates to exactly them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from panmodel.errors import UnsupportedError
from panmodel.model.tensor import Tensor

if TYPE_CHECKING:
    import numpy as np


def number(scalar: Any) -> str:
    """A number of a tensor as a Python literal; a float as short as its own type allows."""
    import numpy as np

    kind = scalar.dtype.kind
    if kind == "b":
        return str(bool(scalar))
    if kind in "iu":
        return str(int(scalar))
    if kind == "c":
        raise UnsupportedError("complex constants are not written")
    value = float(scalar)
    if value != value:
        return "torch.nan"
    if value in (float("inf"), float("-inf")):
        return "torch.inf" if value > 0 else "-torch.inf"
    if isinstance(scalar, np.float32):
        return float32(value)
    return repr(value)


def float32(value: float) -> str:
    """The shortest literal that is this number when rounded to float32: 0.1 and not 0.10000000149011612."""
    import numpy as np

    short = repr(float(str(np.float32(value))))
    return short if np.float32(float(short)) == np.float32(value) else repr(value)


def tensor(source: Tensor, dtype: str) -> str:
    """A small tensor as an expression that creates it."""
    array = source.numpy()
    if not array.size:
        sizes = ", ".join(map(str, array.shape))
        return f"torch.zeros({sizes}, dtype={dtype})"
    text = _nested(array)
    plain = {"torch.float32": "f", "torch.int64": "i", "torch.bool": "b"}.get(dtype)
    infinite = plain == "f" and "torch." in text
    return f"torch.tensor({text})" if plain and not infinite else f"torch.tensor({text}, dtype={dtype})"


def _nested(array: np.ndarray) -> str:
    if not array.ndim:
        return number(array[()])
    return "[" + ", ".join(_nested(part) if part.ndim else number(part[()]) for part in map(_array, array)) + "]"


def _array(part: object) -> np.ndarray:
    import numpy as np

    return np.asarray(part)
