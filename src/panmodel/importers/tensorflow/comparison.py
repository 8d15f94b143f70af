"""Comparisons, and selection by their results."""

from __future__ import annotations

from panmodel.dtypes import BOOL, STRING
from panmodel.errors import CorruptError, UnsupportedError
from panmodel.importers.tensorflow.kernels import converted, widened
from panmodel.importers.tensorflow.operands import rank_of, with_trailing_axes
from panmodel.importers.tensorflow.registry import Operation, importer_op
from panmodel.model.builder import Builder
from panmodel.model.graph import Value
from panmodel.model.shape_rules import broadcast

_ORDERS = {"Less": "Less", "LessEqual": "LessOrEqual", "Greater": "Greater", "GreaterEqual": "GreaterOrEqual"}


@importer_op(*_ORDERS)
def order(node: Operation, build: Builder) -> Value:
    """Which is less."""
    op = _ORDERS[node.op]
    return build.op(op, *widened(build, op, (node.x, node.input(1))))


@importer_op("Equal", "NotEqual")
def equal(node: Operation, build: Builder) -> Value:
    """Whether elements are the same; shapes that do not fit are not the same, if the node says so."""
    x, y = node.x, node.input(1)
    if STRING in (x.dtype, y.dtype):
        raise UnsupportedError("comparison of strings, which ONNX has from opset 19 on", where=node.name)
    if not node.attr("incompatible_shape_error", True) and not _fit(x, y, build):
        return build.constant(node.op == "NotEqual", BOOL)
    same = build.op("Equal", *widened(build, "Equal", (x, y)))
    return build.op("Not", same) if node.op == "NotEqual" else same


def _fit(x: Value, y: Value, build: Builder) -> bool:
    try:
        broadcast([x.shape, y.shape], build.fresh)
    except CorruptError:
        return False
    return True


@importer_op("SelectV2")
def select(node: Operation, build: Builder) -> Value:
    """Elements of one where the condition holds, else of the other; all three broadcast."""
    return _where(build, node.x, node.input(1), node.input(2))


@importer_op("Select")
def select_rows(node: Operation, build: Builder) -> Value:
    """Like `select`, where a condition that is a vector chooses whole rows."""
    condition, x, y = node.x, node.input(1), node.input(2)
    if condition.rank is None or x.rank is None:
        missing = build.op("Sub", rank_of(build, x), rank_of(build, condition))
        condition = with_trailing_axes(build, condition, missing)
    elif condition.rank == 1:
        condition = build.unsqueeze(condition, range(1, x.rank))
    return _where(build, condition, x, y)


def _where(build: Builder, condition: Value, x: Value, y: Value) -> Value:
    return converted(build, build.op("Where", condition, *widened(build, "Where", (x, y))), x.dtype)


@importer_op("Where")
def where(node: Operation, build: Builder) -> Value:
    """Indices of the elements that are not 0, one row each."""
    found = build.transpose(build.op("NonZero", build.cast(node.x, BOOL)), (1, 0))
    # a scalar has no axes to give indices of, where ONNX takes it for a vector of one element
    return build.slice(found, [0], [0], [1]) if node.x.rank == 0 else found
