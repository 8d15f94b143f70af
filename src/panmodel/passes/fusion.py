"""Biases and paddings that became nodes of their own go back into the convolution or matrix product they belong to."""

from __future__ import annotations

from typing import Any

from panmodel.model.graph import Graph, Node, Value
from panmodel.passes.rewrite import Operands, Rewriter, constant, producer, rewrite, scalar, split_constant

#: Pad takes its amounts as operands, and Gemm may do without a bias, since this opset.
_SINCE = 11


def run(graph: Graph) -> Graph:
    """The graph with biases and paddings where they belong."""
    if graph.opset < _SINCE:
        return graph
    return rewrite(graph, {"Conv": [padded], "Add": [convolution_bias, moved_bias, product_bias]})


def convolution_bias(_: Node, inputs: Operands, at: Rewriter) -> Value | None:
    """Conv or ConvTranspose, then a constant for each channel."""
    split = split_constant(inputs)
    conv = producer(split[0], "Conv", "ConvTranspose") if split is not None else None
    if split is None or conv is None or conv.operand(2) is not None or not at.is_only_use(split[0]):
        return None
    result, bias = split
    if result.shape is None or bias.shape is None or len(bias.shape) > len(result.shape):
        return None
    rank, channels = len(result.shape), result.shape[1]
    full = (1,) * (rank - len(bias.shape)) + bias.shape
    if not isinstance(channels, int) or full != (1, channels, *(1,) * (rank - 2)):
        return None
    with at.build.at(conv.name):
        return at.build.op(conv.op, *conv.inputs[:2], at.build.reshape(bias, [channels]), **conv.attributes)


def moved_bias(_: Node, inputs: Operands, at: Rewriter) -> Value | None:
    """Conv to a single point, channels moved to the last axis (there a reshape), then a constant for each channel."""
    split = split_constant(inputs)
    move = producer(split[0], "Reshape") if split is not None else None
    conv = producer(move.inputs[0], "Conv", "ConvTranspose") if move is not None else None
    if split is None or move is None or conv is None or conv.operand(2) is not None:
        return None
    point, moved, bias = conv.output, split[0], split[1]
    if point.shape is None or not at.is_only_use(moved) or not at.is_only_use(point):
        return None
    batch, channels, *extents = point.shape
    if moved.shape != (batch, *extents, channels) or set(extents) != {1} or bias.shape != (channels,):
        return None
    with at.build.at(conv.name):
        result = at.build.op(conv.op, *conv.inputs[:2], bias, **conv.attributes)
    return at.build.op("Reshape", result, *move.inputs[1:], **move.attributes)


def product_bias(_: Node, inputs: Operands, at: Rewriter) -> Value | None:
    """A matrix times a constant matrix, then a constant row."""
    split = split_constant(inputs)
    product = producer(split[0], "MatMul") if split is not None else None
    if split is None or product is None or not at.is_only_use(split[0]):
        return None
    (x, weight), bias = product.inputs, split[1]
    if x is None or weight is None or not weight.is_constant or x.rank != 2 or weight.rank != 2:
        return None
    assert weight.shape is not None
    columns = weight.shape[1]
    if bias.shape not in ((columns,), (1, columns)) or x.dtype is None or not x.dtype.is_float:
        return None
    with at.build.at(product.name):
        return at.build.op("Gemm", x, weight, at.build.reshape(bias, [columns]))


def padded(node: Node, inputs: Operands, at: Rewriter) -> Value | None:
    """Zeros around the spatial axes, then Conv."""
    pad = producer(inputs[0], "Pad")
    if pad is None or pad.inputs[0] is None or node.attr("auto_pad", "NOTSET") not in ("NOTSET", "VALID"):
        return None
    amounts = constant(pad.operand(1))
    if pad.attr("mode", "constant") != "constant" or pad.operand(3) is not None or amounts is None:
        return None
    fill = pad.operand(2)
    if fill is not None and scalar(fill) != 0:
        return None
    before, after = (list(map(int, half)) for half in (amounts[: len(amounts) // 2], amounts[len(amounts) // 2 :]))
    if any(before[:2]) or any(after[:2]) or min(before + after) < 0:
        return None
    own = node.attr("pads") or (0,) * (2 * (len(before) - 2))
    total = tuple(given + more for given, more in zip(own, before[2:] + after[2:], strict=True))
    attributes: dict[str, Any] = {**node.attributes, "pads": total}
    attributes.pop("auto_pad", None)
    return at.build.op("Conv", pad.inputs[0], *inputs[1:], **attributes)
