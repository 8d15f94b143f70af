"""Comparisons, logic and choices."""

from __future__ import annotations

from panmodel.exporters.torch.emitter import Emitter
from panmodel.exporters.torch.registry import Expr, exporter_op
from panmodel.model.graph import Node

_COMPARISONS = {"Equal": "==", "Less": "<", "LessOrEqual": "<=", "Greater": ">", "GreaterOrEqual": ">="}
_LOGIC = {"And": "&", "Or": "|", "Xor": "^"}


@exporter_op(*_COMPARISONS)
def compare(node: Node, emit: Emitter) -> Expr:
    """X < y and the like."""
    x, y = node.inputs[0], node.inputs[1]
    if emit.number(x) is not None and emit.number(y) is None:
        mirrored = {"<": ">", "<=": ">=", ">": "<", ">=": "<="}
        operator = _COMPARISONS[node.op]
        return f"{emit(y)} {mirrored.get(operator, operator)} {emit.scalar(x, y)}"
    return f"{emit(x)} {_COMPARISONS[node.op]} {emit.scalar(y, x)}"


@exporter_op(*_LOGIC)
def logic(node: Node, emit: Emitter) -> Expr:
    """Operators of booleans."""
    return f"{emit(node.inputs[0])} {_LOGIC[node.op]} {emit(node.inputs[1])}"


@exporter_op("Not")
def negation(node: Node, emit: Emitter) -> Expr:
    """`x != y` where it negates an equality."""
    x = node.inputs[0]
    if x is not None and x.node is not None and x.node.op == "Equal" and len(emit.uses.get(x, ())) == 1:
        left, right = x.node.inputs[0], x.node.inputs[1]
        if not any(
            value is not None and value.dtype is not None and value.dtype.name in ("uint16", "uint32", "uint64")
            for value in (left, right)
        ):
            return f"{emit(left)} != {emit.scalar(right, left)}"
    return f"~{emit(x)}"


@exporter_op("Where")
def where(node: Node, emit: Emitter) -> Expr:
    """One of the two may be a number."""
    condition, x, y = node.inputs[0], node.inputs[1], node.inputs[2]
    if emit.number(x) is not None and emit.number(y) is None:
        return f"torch.where({emit(condition)}, {emit.scalar(x, y)}, {emit(y)})"
    return f"torch.where({emit(condition)}, {emit(x)}, {emit.scalar(y, x)})"
