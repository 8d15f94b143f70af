"""Shapes: asked for, changed, and axes in another order."""

from __future__ import annotations

from collections.abc import Sequence

from panmodel.dtypes import INT32, INT64
from panmodel.importers.tensorflow.operands import int64, int64_vector, integers, rank_of, vector_length
from panmodel.importers.tensorflow.registry import Operation, importer_op
from panmodel.model.builder import Builder
from panmodel.model.graph import Value


@importer_op("Shape")
def shape(node: Operation, build: Builder) -> Value:
    """The sizes."""
    return build.cast(build.shape(node.x), node.attr("out_type", INT32))


@importer_op("ShapeN")
def shapes(node: Operation, build: Builder) -> Sequence[Value]:
    """The sizes of several tensors."""
    return [build.cast(build.shape(value), node.attr("out_type", INT32)) for value in node.inputs]


@importer_op("Size")
def size(node: Operation, build: Builder) -> Value:
    """The number of elements."""
    return build.cast(build.op("Size", node.x), node.attr("out_type", INT32))


@importer_op("Rank")
def rank(node: Operation, build: Builder) -> Value:
    """The number of axes."""
    return build.cast(rank_of(build, node.x), INT32)


@importer_op("Reshape")
def reshape(node: Operation, build: Builder) -> Value:
    """The same elements in another shape."""
    target = node.input(1)
    known = integers(target)
    return build.reshape(node.x, known if known is not None else int64(build, target))


@importer_op("Squeeze")
def squeeze(node: Operation, build: Builder) -> Value:
    """Without the axes named, or without all whose size is 1."""
    x = node.x
    axes = node.attr("squeeze_dims") or node.attr("axis")
    if axes:
        return build.squeeze(x, axes)
    if x.shape is None or not all(isinstance(length, int) for length in x.shape):
        return build.op("Squeeze", x)  # which sizes are 1 shows only when it runs
    return build.squeeze(x, [axis for axis, length in enumerate(x.shape) if length == 1])


@importer_op("ExpandDims")
def expand_dims(node: Operation, build: Builder) -> Value:
    """With an axis of size 1 more."""
    axes = integers(node.input(1))
    if axes is not None:
        return build.unsqueeze(node.x, axes)
    return build.op("Unsqueeze", node.x, int64_vector(build, node.input(1)))


@importer_op("Transpose")
def transpose(node: Operation, build: Builder) -> Value:
    """The axes in another order."""
    perm = integers(node.input(1))
    return build.transpose(node.x, perm) if perm is not None else _computed_transpose(node, build)


def _computed_transpose(node: Operation, build: Builder) -> Value:
    """By the place of each element: ONNX has the order of axes as an attribute, here it is a result of the graph."""
    x, perm = node.x, int64(build, node.input(1))
    rank = vector_length(node, perm) if x.rank is None else x.rank
    one, zero = build.constant(1), build.constant(0)
    lengths = build.shape(x)
    # strides[i] = product of the sizes behind axis i
    strides = [build.constant([1])]
    for axis in range(rank - 1, 0, -1):
        strides.insert(0, build.op("Mul", strides[0], build.slice(lengths, [axis], [axis + 1], [0])))
    target = build.op("Gather", lengths, perm, axis=0)
    steps = build.op("Gather", build.concat(strides, 0), perm, axis=0)
    places = zero
    for axis in range(rank):
        at = build.constant(axis)
        counts = build.op("Range", zero, build.op("Gather", target, at, axis=0), one)
        column = build.unsqueeze(counts, range(1, rank - axis)) if axis < rank - 1 else counts
        places = build.op("Add", places, build.op("Mul", column, build.op("Gather", steps, at, axis=0)))
    return build.op("Gather", build.op("Reshape", x, build.constant([-1], INT64)), places, axis=0)
