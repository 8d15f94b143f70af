"""Tensors made of one number or of running numbers."""

from __future__ import annotations

from panmodel.dtypes import BOOL, INT32, INT64, STRING
from panmodel.errors import CorruptError
from panmodel.importers.tensorflow.kernels import converted, widened
from panmodel.importers.tensorflow.operands import int64_scalar, int64_vector, integers, rank_of, with_trailing_axes
from panmodel.importers.tensorflow.registry import Operation, importer_op
from panmodel.model.builder import Builder
from panmodel.model.graph import Value


@importer_op("Fill")
def fill(node: Operation, build: Builder) -> Value:
    """A value at every place of a shape."""
    return _filled(build, node.input(1), int64_vector(build, node.x))


@importer_op("ZerosLike", "OnesLike")
def filled_like(node: Operation, build: Builder) -> Value:
    """0, false and the empty string, or 1 and true, in the shape of a tensor."""
    dtype = node.dtype()
    element: object = 1 if node.op == "OnesLike" else "" if dtype is STRING else 0
    return _filled(build, build.constant(element, dtype), build.shape(node.x))


def _filled(build: Builder, value: Value, shape: Value) -> Value:
    (wide,) = widened(build, "Expand", (value,))
    return converted(build, build.op("Expand", wide, shape), value.dtype)


@importer_op("Range")
def running(node: Operation, build: Builder) -> Value:
    """Numbers from a start to before a limit."""
    bounds = widened(build, "Range", (node.x, node.input(1), node.input(2)))
    return converted(build, build.op("Range", *bounds), node.x.dtype)


@importer_op("OneHot")
def one_hot(node: Operation, build: Builder) -> Value:
    """`on` where an index is, `off` elsewhere.

    ONNX's OneHot counts negative indices from the end, where TensorFlow has `off` everywhere; so each index is compared
    with all numbers below the depth.
    """
    indices, depth, on, off = node.x, node.input(1), node.input(2), node.input(3)
    axis = node.attr("axis", -1)
    if axis < -1 or (indices.rank is not None and axis > indices.rank):
        raise CorruptError(f"OneHot along axis {axis} of indices with {indices.rank} axes", where=node.name)
    dtype = INT64 if indices.dtype is INT64 else INT32
    index, limit = build.cast(indices, dtype), build.cast(int64_scalar(build, depth), dtype)
    classes = build.op("Range", build.constant(0, dtype), limit, build.constant(1, dtype))
    if axis != -1:
        behind = build.op("Sub", rank_of(build, indices), build.constant(axis))
        trailing = integers(behind)
        if trailing is None:
            classes = with_trailing_axes(build, classes, behind)
        else:
            classes = build.unsqueeze(classes, range(1, trailing[0] + 1))
    hit = build.op("Equal", build.unsqueeze(index, [axis]), classes)
    return _chosen(build, hit, on, off)


def _chosen(build: Builder, hit: Value, on: Value, off: Value) -> Value:
    high, low = on.array(), off.array()
    if on.dtype is not None and on.dtype is not STRING and high is not None and low is not None:
        if high.item() == 1 and low.item() == 0:
            return build.cast(hit, on.dtype)
        if on.dtype is BOOL and not high.item() and low.item():
            return build.op("Not", hit)
    wide = widened(build, "Where", (on, off))
    return converted(build, build.op("Where", hit, *wide), on.dtype)
