"""Flattening channels last into a matrix product: permute the rows of the weight rather than the data.

Transpose → Reshape to [N, features] → MatMul or Gemm becomes Reshape → MatMul or Gemm, whose weight is a lazy view with
its rows in the other order.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from panmodel.model.builder import Builder
from panmodel.model.graph import Graph, Node, Value
from panmodel.passes.rewrite import Operands, Rewriter, producer, rewrite

Uses = Mapping[Value, Sequence[tuple[Node | None, int]]]


def run(graph: Graph) -> Graph:
    """The graph without transposes before flattened matrix products."""
    return rewrite(graph, {"MatMul": [_product], "Gemm": [_product]})


def absorbs_order(node: Node, value: Value, uses: Uses) -> bool:
    """Whether a node flattens a value for matrix products alone, whose weights can take its features in any order."""
    if node.domain or node.op not in ("Reshape", "Flatten") or not node.inputs or node.inputs[0] is not value:
        return False
    readers = uses.get(node.output, ())
    return (
        _is_flattening(value, node)
        and bool(readers)
        and all(reader is not None and _takes_weight(reader, node.output) for reader, _ in readers)
    )


def _is_flattening(value: Value, node: Node) -> bool:
    """Whether a node keeps the first axis and makes one of all others, whose sizes are known."""
    sizes = value.shape[1:] if value.shape is not None and len(value.shape) > 2 else ()
    features = [size for size in sizes if isinstance(size, int)]
    if not features or len(features) < len(sizes) or 0 in features:
        return False
    if node.op == "Flatten":
        return bool(node.attr("axis", 1) == 1)
    result = node.output.shape
    return result is not None and len(result) == 2 and result[1] == math.prod(features)


def _takes_weight(node: Node, value: Value) -> bool:
    """Whether a node multiplies a value with a constant matrix."""
    if node.domain or node.op not in ("MatMul", "Gemm") or node.inputs[0] is not value or node.attr("transA"):
        return False
    weight = node.inputs[1]
    return weight is not None and weight.is_constant and weight.rank == 2 and node.operand(2) is not value


def _product(node: Node, inputs: Operands, at: Rewriter) -> Value | None:
    flat, weight = inputs[0], inputs[1]
    reshape = producer(flat, "Reshape", "Flatten")
    if flat is None or weight is None or reshape is None or node.attr("transA"):
        return None
    move = producer(reshape.inputs[0], "Transpose")
    if move is None or not weight.is_constant or weight.rank != 2 or move.inputs[0] is None:
        return None
    perm, source, moved = move.attr("perm"), move.inputs[0], move.output
    if perm is None or perm[0] != 0 or not _is_flattening(moved, reshape):
        return None
    assert moved.shape is not None
    sizes = [size for size in moved.shape[1:] if isinstance(size, int)]
    by_columns = bool(node.attr("transB"))
    rows = _reordered(at.build, weight, sizes, perm, by_columns=by_columns)
    data = at.build.add(reshape, [source, *reshape.inputs[1:]], reshape.attributes)[0]
    return at.build.op(node.op, data, rows, *inputs[2:], **node.attributes)


def _reordered(build: Builder, weight: Value, sizes: Sequence[int], perm: Sequence[int], *, by_columns: bool) -> Value:
    """A weight whose features come in the order that they have before the transpose."""
    assert weight.shape is not None
    # axis perm[i] of the data before is axis i after; the weight goes the way back
    back = [perm.index(axis) - 1 for axis in range(1, len(perm))]
    if by_columns:
        apart = build.reshape(weight, [weight.shape[0], *sizes])
        moved = build.transpose(apart, [0, *(axis + 1 for axis in back)])
    else:
        apart = build.reshape(weight, [*sizes, weight.shape[1]])
        moved = build.transpose(apart, [*back, len(sizes)])
    return build.reshape(moved, weight.shape)
