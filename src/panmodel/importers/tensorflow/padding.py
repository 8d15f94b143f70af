"""Tensors with a margin of constants or of their own mirror image."""

from __future__ import annotations

from panmodel.dtypes import INT64
from panmodel.importers.tensorflow.kernels import converted, widened
from panmodel.importers.tensorflow.operands import int64, integers, vector_length
from panmodel.importers.tensorflow.registry import Operation, importer_op
from panmodel.model.builder import Builder
from panmodel.model.graph import Value


@importer_op("Pad", "PadV2")
def pad(node: Operation, build: Builder) -> Value:
    """A margin of zeros, or of the value given."""
    x, pads = node.x, integers(node.input(1))
    if pads is not None and not any(pads):
        return x
    fill = node.input(2) if node.op == "PadV2" else build.constant(0, node.dtype())
    wide, value = widened(build, "Pad", (x, fill))
    known = value.array()
    given = None if known is not None and not known.any() else value
    return converted(build, build.op("Pad", wide, _begins_and_ends(node, build), given), x.dtype)


def _begins_and_ends(node: Operation, build: Builder) -> Value:
    """[[begin, end], …] → [begin, …, end, …]."""
    pairs = build.transpose(int64(build, node.input(1)), (1, 0))
    return build.op("Reshape", pairs, build.constant([-1], INT64))


@importer_op("MirrorPad")
def mirror_pad(node: Operation, build: Builder) -> Value:
    """A margin that mirrors the tensor, with (SYMMETRIC) or without (REFLECT) its outermost elements."""
    x, pads = node.x, integers(node.input(1))
    if pads is not None and not any(pads):
        return x
    if node.text("mode") == "REFLECT":
        (wide,) = widened(build, "Pad", (x,))
        return converted(build, build.op("Pad", wide, _begins_and_ends(node, build), mode="reflect"), x.dtype)
    for axis in range(vector_length(node, node.input(1)) if x.rank is None else x.rank):
        if pads is None or pads[2 * axis] or pads[2 * axis + 1]:
            x = build.op("Gather", x, _mirrored(node, build, x, axis), axis=axis)
    return x


def _mirrored(node: Operation, build: Builder, x: Value, axis: int) -> Value:
    """Which element stands at each place: 1 0 | 0 1 2 | 2 1 for a margin of two."""
    pads, zero, one = int64(build, node.input(1)), build.constant(0), build.constant(1)
    pair = build.op("Gather", pads, build.constant(axis), axis=0)
    before, after = (build.op("Gather", pair, side, axis=0) for side in (zero, one))
    length = build.op("Gather", build.shape(x), build.constant(axis), axis=0)
    places = build.op("Range", build.op("Neg", before), build.op("Add", length, after), one)
    # -1 - i in front, 2n - 1 - i behind
    front = build.op("Sub", build.constant(-1), places)
    behind = build.op("Add", front, build.op("Mul", length, build.constant(2)))
    inside = build.op("Where", build.op("Less", places, length), places, behind)
    return build.op("Where", build.op("Less", places, zero), front, inside)
