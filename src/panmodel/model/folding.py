"""What can be known of a result while converting: contents of small integers and sizes, views of weights, identities.

The rules by which contents follow from those of operands are in `content_rules`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from panmodel import dtypes
from panmodel.dtypes import DType
from panmodel.model.content_rules import LIMIT, RULES, SYMBOLS, Attributes, integers
from panmodel.model.symbolic import Dim, product
from panmodel.model.tensor import Tensor

if TYPE_CHECKING:
    import numpy as np

    from panmodel.model.graph import Value

#: What operators take as attributes in older opsets, in the order in which it became operands.
_FORMER = {
    "Squeeze": ("axes",),
    "Unsqueeze": ("axes",),
    "Split": ("split",),
    "Slice": ("starts", "ends", "axes"),
    "Pad": ("pads",),
}


def former_operands(op: str, attributes: Attributes) -> list[tuple[int, ...]]:
    """Numbers that a node of an older opset has as attributes, and that are operands now."""
    names = _FORMER.get(op, ("axes",) if op.startswith("Reduce") else ())
    return [tuple(attributes[name]) for name in names if name in attributes]


def content(op: str, inputs: Sequence[Value | None], attributes: Attributes) -> np.ndarray | None:
    """The elements that an operator gives, if they follow from what is known of its operands.

    Returns:
        An array of numbers, or of objects (`int` and `Dim`) where sizes are symbolic; None if unknown.
    """
    if op in ("Shape", "Size"):
        return _shape(op, inputs[0], attributes)
    rule = RULES.get(op)
    if rule is None:
        return None
    known = [None if value is None else value.content for value in inputs]
    if any(value is not None and array is None for value, array in zip(inputs, known, strict=True)):
        return None
    known.extend(map(_int64, former_operands(op, attributes)))
    try:
        result = rule(known, attributes)
    except (ArithmeticError, LookupError, TypeError, ValueError):  # operands that do not fit the operator tell nothing
        return None
    if result is None or result.size > (LIMIT if result.dtype != object else SYMBOLS) or not _fits_int64(result):
        return None
    dtype = dtypes.BY_ONNX.get(attributes["to"]) if op == "Cast" else inputs[0].dtype if inputs[0] is not None else None
    return _narrow(result, dtype)


def _fits_int64(array: np.ndarray) -> bool:
    """Whether the numbers among sizes are such as a size can be."""
    return array.dtype != object or all(
        -(1 << 63) <= element < 1 << 63 for element in array.flat if not isinstance(element, Dim)
    )


def is_literal(op: str, inputs: Sequence[Value | None]) -> bool:
    """Whether a known content may become a constant of its own: it is made of literals and sizes, not of weights."""
    import numpy as np

    return op in ("Shape", "Size") or all(
        value is None
        or value.literal
        or (value.content is not None and value.tensor is None)
        or (value.content is not None and not np.issubdtype(value.content.dtype, np.floating))
        for value in inputs
    )


def is_identity(op: str, inputs: Sequence[Value | None], attributes: Attributes) -> bool:
    """Whether an operator gives its first operand back unchanged."""
    first = inputs[0]
    assert first is not None
    if op == "Identity":
        return True
    if op == "Transpose":
        perm = attributes.get("perm")
        return perm is not None and tuple(perm) == tuple(range(len(perm)))
    if op == "Cast":
        return first.dtype is not None and first.dtype.onnx == attributes["to"]
    if op in ("Squeeze", "Unsqueeze") and len(inputs) > 1 and inputs[1] is not None:
        return inputs[1].content is not None and inputs[1].content.size == 0
    return False


def view(op: str, inputs: Sequence[Value | None], attributes: Attributes) -> Tensor | None:
    """A weight transposed or reshaped without reading it; None if the operator does something else."""
    first = inputs[0]
    assert first is not None
    assert first.tensor is not None
    tensor = first.tensor
    if op == "Transpose":
        return tensor.transposed(attributes.get("perm") or tuple(reversed(range(len(tensor.shape)))))
    numbers = integers(inputs[1].content) if len(inputs) > 1 and inputs[1] is not None else None
    if op in ("Squeeze", "Unsqueeze") and (former := former_operands(op, attributes)):
        numbers = list(former[0])
    elif op == "Squeeze" and len(inputs) == 1:
        numbers = [axis for axis, size in enumerate(tensor.shape) if size == 1]
    if numbers is None:
        return None
    if op == "Reshape" and not attributes.get("allowzero"):
        return _reshaped(tensor, numbers)
    if op == "Squeeze":
        axes = {axis % len(tensor.shape) for axis in numbers}
        return tensor.reshaped([size for axis, size in enumerate(tensor.shape) if axis not in axes])
    if op == "Unsqueeze":
        shape = list(tensor.shape)
        for axis in sorted(axis % (len(shape) + len(numbers)) for axis in numbers):
            shape.insert(axis, 1)
        return tensor.reshaped(shape)
    return None


def _int64(numbers: Sequence[int]) -> np.ndarray:
    import numpy as np

    return np.array(numbers, np.int64)


def _reshaped(tensor: Tensor, numbers: Sequence[int]) -> Tensor | None:
    shape = [
        tensor.shape[axis] if size == 0 and axis < len(tensor.shape) else size for axis, size in enumerate(numbers)
    ]
    rest = 1
    for size in shape:
        rest *= size if size != -1 else 1
    if -1 in shape:
        if rest == 0 or tensor.size % rest:
            return None
        shape[shape.index(-1)] = tensor.size // rest
    elif rest != tensor.size:
        return None
    return tensor.reshaped(shape)


def _narrow(array: np.ndarray, dtype: DType | None = dtypes.INT64) -> np.ndarray:
    """An array of objects that are all numbers becomes one of their type."""
    import numpy as np

    if array.dtype == object and all(isinstance(element, (int, np.integer)) for element in array.flat):
        return array.astype((dtype or dtypes.INT64).numpy)
    return array


def _shape(op: str, x: Value | None, attributes: Attributes) -> np.ndarray | None:
    import numpy as np

    if x is None or x.shape is None:
        return None
    if op == "Size":
        return _narrow(np.array(product(x.shape), object))
    sizes = x.shape[attributes.get("start", 0) : attributes.get("end")]
    array = np.empty(len(sizes), object)
    array[:] = sizes
    return _narrow(array)
