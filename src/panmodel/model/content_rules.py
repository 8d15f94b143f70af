"""What operators give for operands that are known: one rule each, for numbers and symbols alike.

Contents with symbolic sizes are arrays of objects (`int` and `Dim`), on which numpy's own functions do the same
arithmetic. A rule gives None where it cannot tell.

Source: https://onnx.ai/onnx/operators/
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from panmodel import dtypes
from panmodel.model.shape_rules import slice_range
from panmodel.model.symbolic import Dim

if TYPE_CHECKING:
    import numpy as np

    from panmodel.model.graph import Attribute

#: Elements of the largest content that is followed through the graph.
LIMIT = 4096
#: Likewise where it holds symbols: far more sizes than a shape has.
SYMBOLS = 256

Attributes = Mapping[str, "Attribute"]
Known = list[Any]
Rule = Callable[[Known, Attributes], "np.ndarray | None"]


def integers(array: np.ndarray | None) -> list[int] | None:
    """The elements, if all are numbers."""
    if array is None or any(isinstance(element, Dim) for element in array.flat):
        return None
    return [int(element) for element in array.flat]


def _elementwise(function: str) -> Rule:
    def rule(known: Known, _: Attributes) -> np.ndarray | None:
        import numpy as np

        if not _is_followed(*known):
            return None
        with np.errstate(all="ignore"):
            # numpy keeps the type of its operands, as ONNX does, except that it may leave the array for a scalar
            return np.asarray(getattr(np, function)(*known))

    return rule


def _is_followed(*arrays: np.ndarray) -> bool:
    """Whether what these give when they are broadcast is small enough to be followed."""
    import numpy as np

    limit = SYMBOLS if any(array.dtype == object for array in arrays) else LIMIT
    if math.prod(array.size for array in arrays) <= limit:
        return True
    return math.prod(np.broadcast_shapes(*(array.shape for array in arrays))) <= limit


def _symbolic_safe(rule: Rule) -> Rule:
    """The rule only for numbers: it compares or rounds, which symbols cannot."""

    def numeric(known: Known, attributes: Attributes) -> np.ndarray | None:
        if any(array is not None and array.dtype == object for array in known):
            return None
        return rule(known, attributes)

    return numeric


def _divide(known: Known, _: Attributes) -> np.ndarray | None:
    import numpy as np

    left, right = known
    if not _is_followed(left, right):
        return None
    if left.dtype.kind == "f":
        with np.errstate(all="ignore"):
            return np.asarray(left / right)
    if any(not isinstance(element, Dim) and int(element) == 0 for element in right.flat):
        return None
    numeric = left.dtype != object and right.dtype != object
    if numeric and ((left < 0).any() or (right < 0).any()):  # ONNX rounds towards zero, numpy down
        with np.errstate(all="ignore"):
            quotient = left // right
            return np.asarray(quotient + ((quotient < 0) & (quotient * right != left)).astype(left.dtype))
    return np.asarray(left // right)


def _modulo(known: Known, attributes: Attributes) -> np.ndarray | None:
    import numpy as np

    left, right = known
    if not _is_followed(left, right):
        return None
    if left.dtype.kind != "f" and (right == 0).any():
        return None
    if left.dtype == object or right.dtype == object:
        return None if attributes.get("fmod") else np.asarray(left % right)
    with np.errstate(all="ignore"):
        return np.asarray(np.fmod(left, right) if attributes.get("fmod") else np.mod(left, right))


def _cast(known: Known, attributes: Attributes) -> np.ndarray | None:
    dtype = dtypes.BY_ONNX.get(attributes["to"])
    if dtype is None or dtype is dtypes.STRING or (known[0].dtype == object and not dtype.is_integer):
        return None
    array: np.ndarray = known[0]
    return array if array.dtype == object else array.astype(dtype.numpy)


def _gather(known: Known, attributes: Attributes) -> np.ndarray | None:
    import numpy as np

    indices = known[1]
    axis = attributes.get("axis", 0)
    if indices.dtype == object or not known[0].ndim:
        return None
    size = known[0].shape[axis]
    if indices.size * known[0].size > LIMIT * max(size, 1):
        return None
    if indices.size and not ((indices >= -size) & (indices < size)).all():
        return None
    return np.asarray(np.take(known[0], indices.astype(np.int64), axis=axis))


def _slice(known: Known, _: Attributes) -> np.ndarray | None:
    import numpy as np

    bounds = [integers(array) for array in known[1:]]
    if any(numbers is None for numbers in bounds):
        return None
    if any(array is not None and 0 in array.flat for array in known[4:5]):
        return None
    starts, ends = bounds[0] or [], bounds[1] or []
    axes = bounds[2] if len(bounds) > 2 else list(range(len(starts)))
    steps = bounds[3] if len(bounds) > 3 else [1] * len(starts)
    index: list[Any] = [slice(None)] * known[0].ndim
    for start, end, axis, step in zip(starts, ends, axes or [], steps or [], strict=False):
        taken = slice_range(start, end, step, known[0].shape[axis])
        index[axis] = slice(taken.start, taken.stop if taken.stop >= 0 else None, step) if taken else slice(0, 0)
    return np.asarray(known[0][tuple(index)])


def _reshape(known: Known, attributes: Attributes) -> np.ndarray | None:
    import numpy as np

    shape = integers(known[1])
    if shape is None or attributes.get("allowzero"):
        return None
    shape = [known[0].shape[axis] if size == 0 and axis < known[0].ndim else size for axis, size in enumerate(shape)]
    try:
        return np.asarray(known[0].reshape(shape))
    except ValueError:
        return None


def _squeeze(known: Known, _: Attributes) -> np.ndarray | None:
    import numpy as np

    axes = tuple(integers(known[1]) or ()) if len(known) > 1 and known[1] is not None else None
    try:
        return np.asarray(np.squeeze(known[0], axes))
    except ValueError:
        return None


def _unsqueeze(known: Known, _: Attributes) -> np.ndarray | None:
    import numpy as np

    axes = integers(known[1])
    return None if axes is None else np.asarray(np.expand_dims(known[0], tuple(axes)))


def _concat(known: Known, attributes: Attributes) -> np.ndarray | None:
    import numpy as np

    return np.asarray(np.concatenate(known, attributes["axis"])) if all(array.ndim for array in known) else None


def _transpose(known: Known, attributes: Attributes) -> np.ndarray | None:
    import numpy as np

    return np.asarray(np.transpose(known[0], attributes.get("perm")))


def _reduce(function: str) -> Rule:
    def rule(known: Known, attributes: Attributes) -> np.ndarray | None:
        import numpy as np

        axes = tuple(integers(known[1]) or ()) if len(known) > 1 and known[1] is not None else ()
        if not axes and attributes.get("noop_with_empty_axes"):
            return np.asarray(known[0])
        keep = bool(attributes.get("keepdims", 1))
        result = getattr(np, function)(known[0], axis=axes or None, keepdims=keep)
        # an object array gives its bare element, whose type numpy must not guess
        kind = known[0].dtype
        return np.array(result, object) if kind.hasobject else np.asarray(result).astype(kind)

    return rule


def _range(known: Known, _: Attributes) -> np.ndarray | None:
    import numpy as np

    start, limit, step = (array.item() for array in known)
    if step == 0 or (limit - start) / step > LIMIT:
        return None
    return np.arange(start, limit, step, dtype=known[0].dtype)


def _expand(known: Known, _: Attributes) -> np.ndarray | None:
    import numpy as np

    shape = integers(known[1])
    if shape is None or np.prod(np.broadcast_shapes(tuple(shape), known[0].shape), dtype=float) > LIMIT:
        return None
    try:
        return np.asarray(known[0] * np.ones(shape, known[0].dtype if known[0].dtype != object else np.int64))
    except (TypeError, ValueError):
        return None


def _tile(known: Known, _: Attributes) -> np.ndarray | None:
    import numpy as np

    repeats = integers(known[1])
    if repeats is None or known[0].size * np.prod(repeats, dtype=float) > LIMIT:
        return None
    return np.asarray(np.tile(known[0], repeats))


def _constant_of_shape(known: Known, attributes: Attributes) -> np.ndarray | None:
    import numpy as np

    shape = integers(known[0])
    if shape is None or np.prod(shape, dtype=float) > LIMIT or min(shape, default=0) < 0:
        return None
    value = attributes.get("value")
    return np.zeros(shape, np.float32) if value is None else np.broadcast_to(value.numpy().reshape(()), shape).copy()


#: Operator → its rule.
RULES: dict[str, Rule] = {
    **{op: _elementwise(name) for op, name in (("Add", "add"), ("Sub", "subtract"), ("Mul", "multiply"))},
    **{op: _elementwise(name) for op, name in (("Neg", "negative"), ("Identity", "asarray"))},
    **{
        op: _symbolic_safe(_elementwise(name))
        for op, name in (
            ("Equal", "equal"),
            ("Less", "less"),
            ("Greater", "greater"),
            ("LessOrEqual", "less_equal"),
            ("GreaterOrEqual", "greater_equal"),
            ("And", "logical_and"),
            ("Or", "logical_or"),
            ("Not", "logical_not"),
            ("Where", "where"),
            ("Abs", "abs"),
            ("Sign", "sign"),
            ("Floor", "floor"),
            ("Ceil", "ceil"),
            ("Xor", "logical_xor"),
        )
    },
    "Max": _symbolic_safe(lambda known, _: _fold_pairs("maximum", known)),
    "Min": _symbolic_safe(lambda known, _: _fold_pairs("minimum", known)),
    "Div": _divide,
    "Mod": _modulo,
    "Cast": _cast,
    "Gather": _gather,
    "Slice": _slice,
    "Reshape": _reshape,
    "Squeeze": _squeeze,
    "Unsqueeze": _unsqueeze,
    "Concat": _concat,
    "Transpose": _transpose,
    "ReduceProd": _reduce("prod"),
    "ReduceSum": _reduce("sum"),
    "ReduceMax": _symbolic_safe(_reduce("max")),
    "ReduceMin": _symbolic_safe(_reduce("min")),
    "Range": _symbolic_safe(_range),
    "Expand": _expand,
    "Tile": _tile,
    "ConstantOfShape": _constant_of_shape,
}


def _fold_pairs(function: str, known: Known) -> np.ndarray | None:
    import numpy as np

    if not _is_followed(*known):
        return None
    result = known[0]
    for array in known[1:]:
        result = getattr(np, function)(result, array)
    return np.asarray(result)
