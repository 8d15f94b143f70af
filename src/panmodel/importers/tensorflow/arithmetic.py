"""Arithmetic of two or more tensors that broadcast."""

from __future__ import annotations

from panmodel.importers.tensorflow.kernels import apply, converted
from panmodel.importers.tensorflow.registry import Operation, importer_op, renamed
from panmodel.model.builder import Builder
from panmodel.model.graph import Value

renamed(
    {
        "Add": "Add",
        "AddV2": "Add",
        "Div": "Div",
        "LogicalAnd": "And",
        "LogicalOr": "Or",
        "Mul": "Mul",
        "RealDiv": "Div",
        "Sub": "Sub",
        "TruncateDiv": "Div",
    }
)

_WIDENED = {"Maximum": "Max", "Minimum": "Min", "Pow": "Pow"}


@importer_op(*_WIDENED)
def widened_pair(node: Operation, build: Builder) -> Value:
    """An operator that ONNX has under another name, but not for all types."""
    return apply(build, _WIDENED[node.op], node.x, node.input(1))


@importer_op("SquaredDifference")
def squared_difference(node: Operation, build: Builder) -> Value:
    """(x - y)²."""
    difference = build.op("Sub", node.x, node.input(1))
    return build.op("Mul", difference, difference)


@importer_op("AddN")
def add_n(node: Operation, build: Builder) -> Value:
    """The sum of tensors of one shape."""
    total, *others = node.inputs
    if len(others) > 1 and node.dtype().is_float:
        return build.op("Sum", *node.inputs)
    for other in others:
        total = build.op("Add", total, other)
    return total


@importer_op("FloorDiv")
def floor_div(node: Operation, build: Builder) -> Value:
    """The quotient rounded down; ONNX's own rounds integers towards zero."""
    x, y = node.x, node.input(1)
    quotient = build.op("Div", x, y)
    dtype = node.dtype()
    if dtype.is_float:
        return build.op("Floor", quotient)
    if dtype.kind == "u" or _is_size(x) or _is_size(y):
        return quotient
    # the two remainders differ exactly where rounding down and towards zero do; no step can overflow
    exact = build.op("Equal", build.op("Mod", x, y), build.op("Mod", x, y, fmod=1))
    return build.op("Sub", quotient, converted(build, build.op("Not", exact), dtype))


@importer_op("FloorMod")
def floor_mod(node: Operation, build: Builder) -> Value:
    """The remainder with the sign of the divisor."""
    x, y = node.x, node.input(1)
    if node.dtype().is_integer:
        return build.op("Mod", x, y)
    remainder, zero = build.op("Mod", x, y, fmod=1), build.constant(0.0, node.dtype())
    known = y.array()
    if known is not None and (known > 0).all():
        return build.op("Where", build.op("Less", remainder, zero), build.op("Add", remainder, y), remainder)
    opposed = build.op("Xor", build.op("Less", x, zero), build.op("Less", y, zero))
    return build.op("Where", opposed, build.op("Mod", build.op("Add", remainder, y), y, fmod=1), remainder)


@importer_op("Mod", "TruncateMod")
def truncate_mod(node: Operation, build: Builder) -> Value:
    """The remainder with the sign of the dividend."""
    return build.op("Mod", node.x, node.input(1), fmod=1)


def _is_size(value: Value) -> bool:
    """Whether it holds symbolic sizes, which are never negative."""
    return value.content is not None and value.content.dtype == object
