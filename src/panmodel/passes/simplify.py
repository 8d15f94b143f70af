"""Nodes that change nothing, or that do in two steps what one can."""

from __future__ import annotations

from panmodel.dtypes import BY_ONNX, DType
from panmodel.model.graph import Graph, Node, Value
from panmodel.model.symbolic import Dim, Shape, Size
from panmodel.passes.frames import moves_data
from panmodel.passes.rewrite import Operands, Rewriter, constant, producer, rewrite


def run(graph: Graph) -> Graph:
    """The graph without such nodes."""
    return rewrite(
        graph,
        {
            "Cast": [double_cast],
            "Reshape": [double_reshape],
            "Squeeze": [double_reshape],
            "Unsqueeze": [double_reshape],
            "Flatten": [double_reshape],
            "Transpose": [reshaping_transpose],
            "Pad": [nothing_padded],
            "Slice": [whole_slice],
            "Tile": [single_tile],
            "Expand": [same_expand],
            "Dropout": [inactive_dropout],
        },
    )


def double_cast(node: Node, inputs: Operands, at: Rewriter) -> Value | None:
    """A cast to a wider type and then another."""
    inner = producer(inputs[0], "Cast")
    source = inner.inputs[0] if inner is not None else None
    target = BY_ONNX.get(node.attr("to"))
    if source is None or source.dtype is None or inner is None or target is None or inner.output.dtype is None:
        return None
    return at.build.cast(source, target) if _holds_all(inner.output.dtype, source.dtype) else None


def _holds_all(wide: DType, narrow: DType) -> bool:
    """Whether each value of a type is one of another."""
    if narrow.kind == "b":
        return wide.kind in "iuf"
    if wide.kind == narrow.kind and wide.kind in "iuf":
        # of two floats the one with more bits may have less range, below these
        return wide.bits >= narrow.bits and (wide.kind != "f" or wide.bits >= 32)
    return wide.kind == "i" and narrow.kind == "u" and wide.bits > narrow.bits


def double_reshape(node: Node, inputs: Operands, at: Rewriter) -> Value | None:
    """Reshapes after each other, of which only the last counts."""
    inner = producer(inputs[0], "Reshape", "Squeeze", "Unsqueeze", "Flatten")
    source = inner.inputs[0] if inner is not None else None
    if source is None or source.is_constant or not _is_expressible(source.shape, node.output.shape):
        return None
    assert node.output.shape is not None
    return at.build.reshape(source, node.output.shape)


def reshaping_transpose(node: Node, inputs: Operands, at: Rewriter) -> Value | None:
    """A transpose that moves only axes of size 1."""
    x, perm = inputs[0], node.attr("perm")
    if x is None or x.shape is None or x.is_constant or perm is None or moves_data(x, perm):
        return None
    shape = tuple(x.shape[axis] for axis in perm)
    return at.build.reshape(x, shape) if _is_expressible(x.shape, shape) else None


def _is_expressible(before: Shape, after: Shape) -> bool:
    """Whether one constant can say a reshape: of the sizes that are not kept, at most one is symbolic."""
    if after is None or 0 in after or 0 in (before or ()):
        return False
    before = before or ()
    moved: list[Size] = [
        size
        for axis, size in enumerate(after)
        if isinstance(size, Dim) and not (axis < len(before) and before[axis] == size)
    ]
    return len(moved) <= 1


def nothing_padded(node: Node, inputs: Operands, at: Rewriter) -> Value | None:
    """Padding by nothing."""
    given = node.attr("pads")
    amounts = constant(inputs[1]) if len(inputs) > 1 else None
    is_empty = not any(given) if given is not None else amounts is not None and not amounts.any()
    return inputs[0] if is_empty else None


def whole_slice(node: Node, inputs: Operands, at: Rewriter) -> Value | None:
    """A slice that takes everything."""
    x = inputs[0]
    steps = node.operand(4)
    forward = steps is None or ((numbers := constant(steps)) is not None and (numbers == 1).all())
    if x is None or x.shape is None or not forward or x.shape != node.output.shape:
        return None
    return x


def single_tile(_: Node, inputs: Operands, at: Rewriter) -> Value | None:
    """Tiling once."""
    repeats = constant(inputs[1]) if len(inputs) == 2 else None
    return inputs[0] if repeats is not None and (repeats == 1).all() else None


def same_expand(node: Node, inputs: Operands, at: Rewriter) -> Value | None:
    """Expanding to the shape that it has."""
    x = inputs[0]
    is_same = x is not None and x.shape is not None and x.shape == node.output.shape
    return x if is_same else None


def inactive_dropout(node: Node, inputs: Operands, at: Rewriter) -> Value | None:
    """Dropout outside of training."""
    training = constant(node.operand(2)) if node.operand(2) is not None else None
    if len(node.outputs) > 1 or (node.operand(2) is not None and (training is None or training.any())):
        return None
    return inputs[0]
