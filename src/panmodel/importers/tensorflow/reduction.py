"""Reductions along axes, arguments of extremes, running sums and the largest elements."""

from __future__ import annotations

from collections.abc import Sequence

from panmodel.dtypes import BOOL, INT32, INT64, UINT8, DType
from panmodel.importers.tensorflow.kernels import converted, kernel_type, widened
from panmodel.importers.tensorflow.operands import (
    int64_scalar,
    int64_vector,
    integers,
    known_axis,
)
from panmodel.importers.tensorflow.registry import Operation, importer_op
from panmodel.model.builder import Builder
from panmodel.model.graph import Value

_REDUCTIONS = {"Sum": "ReduceSum", "Mean": "ReduceMean", "Max": "ReduceMax", "Min": "ReduceMin", "Prod": "ReduceProd"}


@importer_op(*_REDUCTIONS)
def reduce(node: Operation, build: Builder) -> Value:
    """Along the axes of the second operand; none of them leaves the tensor as it is."""
    return _reduced(node, build, _REDUCTIONS[node.op], node.x, kernel_type(_REDUCTIONS[node.op], node.x.dtype))


@importer_op("All", "Any")
def reduce_logical(node: Operation, build: Builder) -> Value:
    """The least or greatest truth value."""
    return _reduced(node, build, "ReduceMin" if node.op == "All" else "ReduceMax", node.x, UINT8)


def _reduced(node: Operation, build: Builder, op: str, x: Value, dtype: DType | None) -> Value:
    axes, keep = node.input(1), 1 if node.attr("keep_dims", False) else 0
    known = integers(axes)
    if known == []:
        return x
    if known is not None and x.rank is not None and sorted(axis % x.rank for axis in known) == list(range(x.rank)):
        reduced = build.op(op, converted(build, x, dtype), keepdims=keep)
    else:
        wide = converted(build, x, dtype)
        computed = None if known is not None else 1
        vector = build.constant(known, INT64) if known is not None else int64_vector(build, axes)
        reduced = build.op(op, wide, vector, keepdims=keep, noop_with_empty_axes=computed)
    return converted(build, reduced, x.dtype)


@importer_op("ArgMax", "ArgMin")
def arg_extreme(node: Operation, build: Builder) -> Value:
    """Where the greatest or least element is; the first of several."""
    x = build.cast(node.x, UINT8) if node.x.dtype is BOOL else node.x
    (wide,) = widened(build, node.op, (x,))
    found = build.op(node.op, wide, axis=known_axis(node, 1), keepdims=0)
    return build.cast(found, node.attr("output_type", INT64))


@importer_op("Cumsum")
def cumsum(node: Operation, build: Builder) -> Value:
    """Running sums along an axis."""
    x, axis = node.x, int64_scalar(build, node.input(1))
    (wide,) = widened(build, "CumSum", (x,))
    exclusive, reverse = (1 if node.attr(name, False) else None for name in ("exclusive", "reverse"))
    return converted(build, build.op("CumSum", wide, axis, exclusive=exclusive, reverse=reverse), x.dtype)


@importer_op("TopK", "TopKV2")
def top_k(node: Operation, build: Builder) -> Sequence[Value]:
    """The k largest along the last axis, in falling order, and where they are."""
    x = node.x
    k = int64_vector(build, node.input(1)) if node.op == "TopKV2" else build.constant([node.attr("k", 1)], INT64)
    (wide,) = widened(build, "TopK", (x,))
    values, indices = build.ops("TopK", wide, k, outputs=2, axis=-1, largest=1, sorted=1)
    return converted(build, values, x.dtype), build.cast(indices, node.attr("index_type", INT32))
