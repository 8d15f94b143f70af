"""Elements picked by index."""

from __future__ import annotations

from panmodel.dtypes import INT32, INT64
from panmodel.importers.tensorflow.operands import int64, known_axis, needs_rank, positive_axis
from panmodel.importers.tensorflow.registry import Operation, importer_op
from panmodel.model.builder import Builder
from panmodel.model.graph import Value


@importer_op("Gather", "ResourceGather")
def gather_rows(node: Operation, build: Builder) -> Value:
    """Slices along the first axis."""
    return _gather(node, build, 0)


@importer_op("GatherV2")
def gather(node: Operation, build: Builder) -> Value:
    """Slices along an axis."""
    return _gather(node, build, known_axis(node, 2))


def _gather(node: Operation, build: Builder, axis: int) -> Value:
    x, indices, batch = node.x, node.input(1), node.attr("batch_dims", 0)
    if indices.dtype not in (INT32, INT64):
        indices = build.cast(indices, INT32)
    if batch < 0:
        batch += needs_rank(node, indices)
    if not batch:
        return build.op("Gather", x, indices, axis=axis)
    return _gather_batch(node, build, int64(build, indices), axis, batch)


def _gather_batch(node: Operation, build: Builder, indices: Value, axis: int, batch: int) -> Value:
    """Each batch has its own indices: GatherND right behind the batch axes, where the picked axis is moved."""
    rank, axis = needs_rank(node, node.x), positive_axis(node, axis, needs_rank(node, node.x))
    between = list(range(batch, axis))
    moved = build.transpose(node.x, [*range(batch), axis, *between, *range(axis + 1, rank)])
    picked = build.op("GatherND", moved, build.unsqueeze(indices, [-1]), batch_dims=batch)
    count = needs_rank(node, indices) - batch
    # batch…, indices…, between…, rest… → batch…, between…, indices…, rest…
    start = batch + count
    middle = [*range(start, start + len(between)), *range(batch, start)]
    return build.transpose(picked, [*range(batch), *middle, *range(start + len(between), rank - 1 + count)])


@importer_op("GatherNd")
def gather_nd(node: Operation, build: Builder) -> Value:
    """Slices at tuples of indices."""
    x, indices = node.x, int64(build, node.input(1))
    if indices.shape and indices.shape[-1] == 0:  # the whole tensor at each place; ONNX wants at least one index
        outer = build.slice(build.shape(indices), [0], [-1], [0])
        return build.op("Expand", x, build.concat([outer, build.shape(x)], 0))
    return build.op("GatherND", x, indices)
