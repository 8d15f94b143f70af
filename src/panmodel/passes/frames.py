"""Operators that may compute on permuted operands: what they do to axes, and how they are written for other ones.

Each has two functions. `members` says which operands and results lie in the operator's frame, the axes of its full
rank, and which axes of that each of them lacks (a reduction without keepdims drops some). `remap` gives operands and
attributes for a frame whose axis i is the old axis perm[i].
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from panmodel.dtypes import INT64
from panmodel.model.builder import Builder
from panmodel.model.graph import Node, Value

Perm = tuple[int, ...]
Operands = Sequence[Value | None]
#: Values in the frame of a node, each with the axes of the full frame that it lacks.
Members = list[tuple[Value, tuple[int, ...]]]
Remapped = tuple[Operands, Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class Agnostic:
    """An operator that computes in any frame.

    Attributes:
        members: Values in its frame; None if this node cannot be moved.
        remap: Operands and attributes in the new frame, given operands of which the members have moved already.
        since: The opset from which on this holds.
    """

    members: Callable[[Node], Members | None]
    remap: Callable[[Node, Operands, Perm, Builder], Remapped]
    since: int = 1


def inverse(perm: Perm) -> Perm:
    """The permutation that undoes one."""
    return tuple(perm.index(axis) for axis in range(len(perm)))


def dropped(perm: Perm, axes: Sequence[int]) -> Perm:
    """What is left of a permutation when some of the old axes are gone."""
    kept = [axis for axis in range(len(perm)) if axis not in axes]
    return tuple(kept.index(axis) for axis in perm if axis not in axes)


def moves_data(value: Value, perm: Perm) -> bool:
    """Whether permuting a value changes the order of its elements, as far as its sizes tell."""
    sizes = dict(enumerate(value.shape or ()))
    order = [axis for axis in perm if sizes.get(axis) != 1]
    return order != sorted(order)


# Operands


def _numbers(value: Value | None) -> list[int] | None:
    """The whole numbers of a constant."""
    if value is None or not value.is_constant or value.content is None or value.content.dtype == object:
        return None
    return [int(number) for number in value.content.flat]


def _attribute_or_operand(node: Node, name: str, index: int) -> list[int] | None:
    """Numbers that older operators take as an attribute, and newer ones as an operand; None if absent or computed."""
    given = node.attr(name)
    return list(given) if given is not None else _numbers(node.operand(index))


def _rewritten(node: Node, inputs: Operands, name: str, index: int, numbers: list[int], build: Builder) -> Remapped:
    """A node with other numbers in the place that the old ones had."""
    if node.attr(name) is not None:
        return inputs, {**node.attributes, name: tuple(numbers)}
    changed = [*inputs, *([None] * (index + 1 - len(inputs)))]
    old = node.operand(index)
    changed[index] = build.constant(numbers, old.dtype if old is not None else INT64)
    return changed, node.attributes


def _permuted(vector: Value, order: Sequence[int], build: Builder) -> Value:
    """A vector of one number per axis, in another order."""
    numbers = _numbers(vector)
    if numbers is not None:
        return build.constant([numbers[place] for place in order], vector.dtype)
    return build.op("Gather", vector, build.constant(list(order), INT64), axis=0)


def _axes(numbers: Sequence[int], rank: int) -> list[int]:
    return [axis % rank for axis in numbers]


def _rank(node: Node) -> int | None:
    first = node.inputs[0] if node.inputs else None
    return first.rank if first is not None else None


def _is_computed(value: Value | None) -> bool:
    return value is not None and not value.is_constant


def _same(node: Node, count: int = 1) -> Members | None:
    """The first operands and all results."""
    values = [value for value in (*node.inputs[:count], *node.outputs) if value is not None and not value.is_constant]
    return [(value, ()) for value in values] if _is_computed(node.inputs[0]) else None


# Elementwise, with broadcasting


def _elementwise_members(node: Node) -> Members | None:
    rank = node.output.rank
    if rank is None or any(value.rank != rank for value in node.outputs):
        return None
    found: Members = [(value, ()) for value in node.outputs]
    for value in node.inputs:
        if value is None or value.is_constant:
            continue
        if value.shape is None:
            return None
        if len(value.shape) == rank:
            found.append((value, ()))
        elif sum(size != 1 for size in value.shape) > 1:
            return None
    return found


def _elementwise_remap(node: Node, inputs: Operands, perm: Perm, build: Builder) -> Remapped:
    moved = [
        _broadcast(new, perm, build) if new is not None and old is not None and _stays(old, perm) else new
        for old, new in zip(node.inputs, inputs, strict=True)
    ]
    return moved, node.attributes


def _stays(value: Value, perm: Perm) -> bool:
    return value.is_constant or value.rank != len(perm)


def _broadcast(value: Value, perm: Perm, build: Builder) -> Value:
    """An operand that broadcasts to the old frame, made to broadcast to the new one."""
    shape = value.shape
    if shape is None or all(size == 1 for size in shape):
        return value
    full = (1,) * (len(perm) - len(shape)) + shape
    target = [full[axis] for axis in perm]
    while len(target) > 1 and target[0] == 1:
        target.pop(0)
    order = [axis for axis in perm if full[axis] != 1]
    if order != sorted(order):
        value = build.transpose(build.reshape(value, full), perm)
    return build.reshape(value, target)


# Operators with an axis


def _axis_members(default: int | None = None) -> Callable[[Node], Members | None]:
    def members(node: Node) -> Members | None:
        return None if node.attr("axis", default) is None else _same(node)

    return members


def _axis_remap(default: int) -> Callable[[Node, Operands, Perm, Builder], Remapped]:
    def remap(node: Node, inputs: Operands, perm: Perm, _: Builder) -> Remapped:
        axis = perm.index(node.attr("axis", default) % len(perm))
        return inputs, {**node.attributes, "axis": axis}

    return remap


def _concat_members(node: Node) -> Members | None:
    computed = [value for value in node.inputs if value is not None and not value.is_constant]
    return [(value, ()) for value in (*computed, *node.outputs)] if computed else None


def _concat_remap(node: Node, inputs: Operands, perm: Perm, build: Builder) -> Remapped:
    moved = [build.transpose(value, perm) if value is not None and value.is_constant else value for value in inputs]
    return moved, {**node.attributes, "axis": perm.index(node.attr("axis") % len(perm))}


def _gather_members(node: Node) -> Members | None:
    rank, indices = _rank(node), node.inputs[1]
    if rank is None or indices is None or indices.rank is None or indices.rank > 1:
        return None
    gone = (node.attr("axis", 0) % rank,) if indices.rank == 0 else ()
    first = node.inputs[0]
    return [(first, ()), (node.output, gone)] if first is not None and not first.is_constant else None


# Operators with several axes


def _reduced_axes(node: Node) -> list[int] | None:
    rank, operand = _rank(node), node.operand(1)
    numbers = _attribute_or_operand(node, "axes", 1)
    if rank is None or (numbers is None and operand is not None):
        return None
    if numbers is None or (not numbers and not node.attr("noop_with_empty_axes")):
        return [] if node.attr("noop_with_empty_axes") else list(range(rank))
    return _axes(numbers, rank)


def _reduce_members(node: Node) -> Members | None:
    axes = _reduced_axes(node)
    if axes is None or not _is_computed(node.inputs[0]):
        return None
    assert node.inputs[0] is not None
    return [(node.inputs[0], ()), (node.output, () if node.attr("keepdims", 1) else tuple(axes))]


def _reduce_remap(node: Node, inputs: Operands, perm: Perm, build: Builder) -> Remapped:
    numbers = _attribute_or_operand(node, "axes", 1)
    if not numbers:
        return inputs, node.attributes
    axes = sorted(perm.index(axis) for axis in _axes(numbers, len(perm)))
    return _rewritten(node, inputs, "axes", 1, axes, build)


def _arg_members(node: Node) -> Members | None:
    rank, first = _rank(node), node.inputs[0]
    if rank is None or first is None or first.is_constant:
        return None
    return [(first, ()), (node.output, () if node.attr("keepdims", 1) else (node.attr("axis", 0) % rank,))]


def _squeeze_members(node: Node) -> Members | None:
    rank, first = _rank(node), node.inputs[0]
    axes = _attribute_or_operand(node, "axes", 1)
    if rank is None or first is None or first.is_constant or axes is None:
        return None
    return [(first, ()), (node.output, tuple(_axes(axes, rank)))]


def _unsqueeze_members(node: Node) -> Members | None:
    rank, first = node.output.rank, node.inputs[0]
    axes = _attribute_or_operand(node, "axes", 1)
    if rank is None or first is None or first.is_constant or axes is None:
        return None
    return [(node.output, ()), (first, tuple(_axes(axes, rank)))]


def _pad_members(node: Node) -> Members | None:
    if node.operand(3) is not None and _numbers(node.operand(3)) is None:
        return None
    return _same(node)


def _pad_remap(node: Node, inputs: Operands, perm: Perm, build: Builder) -> Remapped:
    axes = _numbers(node.operand(3))
    if axes is not None:
        return _rewritten(node, inputs, "axes", 3, [perm.index(axis) for axis in _axes(axes, len(perm))], build)
    order = [*perm, *(axis + len(perm) for axis in perm)]
    given = node.attr("pads")
    if given is not None:
        return inputs, {**node.attributes, "pads": tuple(given[place] for place in order)}
    assert inputs[1] is not None
    return [inputs[0], _permuted(inputs[1], order, build), *inputs[2:]], node.attributes


def _slice_members(node: Node) -> Members | None:
    if node.operand(3) is not None and _numbers(node.operand(3)) is None:
        return None
    if _slice_axes(node) is None:
        return None
    return _same(node)


def _slice_axes(node: Node) -> list[int] | None:
    axes = _attribute_or_operand(node, "axes", 3)
    if axes is not None:
        return axes
    starts = node.attr("starts")
    count = len(starts) if starts is not None else None
    if count is None and (bounds := node.operand(1)) is not None and bounds.shape is not None:
        count = bounds.shape[0] if isinstance(bounds.shape[0], int) else None
    return None if count is None else list(range(count))


def _slice_remap(node: Node, inputs: Operands, perm: Perm, build: Builder) -> Remapped:
    axes = [perm.index(axis) for axis in _axes(_slice_axes(node) or [], len(perm))]
    if node.attr("starts") is not None:  # where the axes must rise
        rows = sorted(zip(axes, node.attr("starts"), node.attr("ends"), strict=True))
        names = ("axes", "starts", "ends")
        return inputs, {**node.attributes, **dict(zip(names, zip(*rows, strict=True), strict=True))}
    return _rewritten(node, inputs, "axes", 3, axes, build)


def _vector_members(node: Node) -> Members | None:
    vector, rank = node.operand(1), _rank(node)
    if vector is None or rank is None or vector.shape != (rank,):
        return None
    return _same(node)


def _vector_remap(node: Node, inputs: Operands, perm: Perm, build: Builder) -> Remapped:
    assert inputs[1] is not None
    return [inputs[0], _permuted(inputs[1], perm, build), *inputs[2:]], node.attributes


def _cumsum_members(node: Node) -> Members | None:
    return _same(node) if _numbers(node.operand(1)) is not None else None


def _cumsum_remap(node: Node, inputs: Operands, perm: Perm, build: Builder) -> Remapped:
    axis = (_numbers(node.operand(1)) or [0])[0] % len(perm)
    assert node.inputs[1] is not None
    return [inputs[0], build.constant(perm.index(axis), node.inputs[1].dtype)], node.attributes


_UNARY = """Abs Acos Acosh Asin Asinh Atan Atanh BitwiseNot Cast Ceil Celu Clip Cos Cosh Dropout Elu Erf Exp Floor Gelu
    HardSigmoid HardSwish Identity IsInf IsNaN LeakyRelu Log Mish Neg Not Reciprocal Relu Round Selu Shrink Sigmoid Sign
    Sin Sinh Softplus Softsign Sqrt Swish Tan Tanh ThresholdedRelu"""
_BROADCAST = """Add And BitShift BitwiseAnd BitwiseOr BitwiseXor Div Equal Greater GreaterOrEqual Less LessOrEqual Max
    Mean Min Mod Mul Or PRelu Pow Sub Sum Where Xor"""
_REDUCE = "L1 L2 LogSum LogSumExp Max Mean Min Prod Sum SumSquare"

_ELEMENTWISE = Agnostic(_elementwise_members, _elementwise_remap)

#: The operators that may compute in any frame. Broadcasting follows numpy's rules since opset 7.
AGNOSTIC: Mapping[str, Agnostic] = {
    **dict.fromkeys(_UNARY.split(), _ELEMENTWISE),
    **dict.fromkeys(_BROADCAST.split(), Agnostic(_elementwise_members, _elementwise_remap, 7)),
    **{f"Reduce{name}": Agnostic(_reduce_members, _reduce_remap) for name in _REDUCE.split()},
    # before opset 13 these flatten all axes from the given one on
    **dict.fromkeys(("Softmax", "LogSoftmax", "Hardmax"), Agnostic(_axis_members(-1), _axis_remap(-1), 13)),
    **dict.fromkeys(("ArgMax", "ArgMin"), Agnostic(_arg_members, _axis_remap(0))),
    "Split": Agnostic(_axis_members(0), _axis_remap(0)),
    "Concat": Agnostic(_concat_members, _concat_remap, 4),
    "Gather": Agnostic(_gather_members, _axis_remap(0)),
    "Squeeze": Agnostic(_squeeze_members, _reduce_remap),
    "Unsqueeze": Agnostic(_unsqueeze_members, _reduce_remap),
    "Pad": Agnostic(_pad_members, _pad_remap, 2),
    "Slice": Agnostic(_slice_members, _slice_remap),
    "Tile": Agnostic(_vector_members, _vector_remap, 6),
    "Expand": Agnostic(_vector_members, _vector_remap),
    "CumSum": Agnostic(_cumsum_members, _cumsum_remap),
}
