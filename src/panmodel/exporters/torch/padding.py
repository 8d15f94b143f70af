"""Padding."""

from __future__ import annotations

from panmodel.errors import UnsupportedError
from panmodel.exporters.torch.emitter import Emitter
from panmodel.exporters.torch.literals import float32
from panmodel.exporters.torch.registry import Expr, exporter_op
from panmodel.model.graph import Node, Value


@exporter_op("Pad", since=2)
def pad_attributes(node: Node, emit: Emitter) -> Expr:
    """Pads and value as attributes."""
    pads = [str(number) for number in node.attr("pads")]
    axes = range(len(pads) // 2)
    return _padded(node, emit, pads, list(axes), float32(node.attr("value", 0.0)))


@exporter_op("Pad", since=11)
def pad(node: Node, emit: Emitter) -> Expr:
    """Pads and value as operands."""
    pads = emit.elements(node.inputs[1])
    if pads is None:
        raise UnsupportedError("the number of axes to pad is not known")
    axes = list(range(len(pads) // 2))
    if node.operand(3) is not None:
        axes = [axis % emit.rank(node.inputs[0]) for axis in emit.static(node.operand(3), "the axes of Pad")]
    return _padded(node, emit, pads, axes, _value(node.operand(2), emit))


def _value(value: Value | None, emit: Emitter) -> str:
    if value is None:
        return "0"
    numbers = emit.floats(value) if emit.number(value) is None else None
    return emit.number(value) or (float32(numbers[0]) if numbers else f"{emit(value)}.item()")


def _padded(node: Node, emit: Emitter, pads: list[str], axes: list[int], value: str) -> str:
    x, count = node.inputs[0], len(axes)
    mode = node.attr("mode", "constant")
    mode = mode.decode() if isinstance(mode, bytes) else mode
    per_axis = {axis: (pads[index], pads[index + count]) for index, axis in enumerate(axes)}
    per_axis = {axis: both for axis, both in per_axis.items() if both != ("0", "0")}
    if not per_axis:
        return emit(x)
    if mode == "constant":
        return _constant(x, emit, per_axis, value)
    if mode in ("reflect", "edge") and _is_spatial(x, per_axis, mode):
        assert x is not None
        assert x.rank is not None
        order = _innermost_first(per_axis, 2, x.rank)  # it takes all spatial axes or none
        return f'F.pad({emit(x)}, ({", ".join(order)}), mode="{"reflect" if mode == "reflect" else "replicate"}")'
    text = emit(x)
    for axis, (before, after) in per_axis.items():
        text = f'{emit.function("pad_by_index")}({text}, {axis}, {before}, {after}, "{mode}")'
    return text


def _constant(x: Value | None, emit: Emitter, per_axis: dict[int, tuple[str, str]], value: str) -> str:
    order = _innermost_first(per_axis, min(per_axis), emit.rank(x))
    fill = "" if value in ("0", "0.0", "-0.0", "False") else f", value={value}"
    if x is not None and x.dtype is not None and x.dtype.kind == "b":
        fill = ", value=True" if value == "True" else ""
    return f"F.pad({emit(x)}, ({', '.join(order)}){fill})"


def _innermost_first(per_axis: dict[int, tuple[str, str]], outermost: int, rank: int) -> list[str]:
    """F.pad counts from the last axis."""
    return [size for axis in range(rank - 1, outermost - 1, -1) for size in per_axis.get(axis, ("0", "0"))]


def _is_spatial(x: Value | None, per_axis: dict[int, tuple[str, str]], mode: str) -> bool:
    """Whether F.pad takes it: only axes after the channels, no more than the axis has, floating point."""
    if x is None or x.rank not in (3, 4, 5) or x.dtype is None or not x.dtype.is_float or min(per_axis) < 2:
        return False
    assert x.shape is not None
    for axis, both in per_axis.items():
        size = x.shape[axis]
        if any(not pad.isdigit() for pad in both):
            return False
        if mode == "reflect" and isinstance(size, int) and any(int(pad) >= size for pad in both):
            return False
    return True
