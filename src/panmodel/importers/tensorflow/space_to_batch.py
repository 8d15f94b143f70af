"""Blocks of pixels moved into the batch and back.

Source: tensorflow/core/ops/array_ops.cc (SpaceToBatchND, BatchToSpaceND)
"""

from __future__ import annotations

from panmodel.dtypes import INT64
from panmodel.errors import CorruptError, UnsupportedError
from panmodel.importers.tensorflow.dilation import blocks_first, dilated_convolution
from panmodel.importers.tensorflow.kernels import converted, kernel_type
from panmodel.importers.tensorflow.operands import int64, needs_rank, sizes
from panmodel.importers.tensorflow.registry import Operation, importer_op
from panmodel.importers.tensorflow.spatial import ranked
from panmodel.model.builder import Builder
from panmodel.model.graph import Value


@importer_op("SpaceToBatchND")
def space_to_batch(node: Operation, build: Builder) -> Value:
    """Pad, cut the axes after the batch into blocks, and put the places within a block before the batch."""
    rank, count = _ranks(node)
    block, paddings = int64(build, ranked(node, 1, 1)), int64(build, ranked(node, 2, 2))
    x = _padded(build, node.x, paddings, count)
    shape = build.shape(x)
    spatial = build.op("Div", _part(build, shape, 1, 1 + count), block)
    batch, rest = _part(build, shape, 0, 1), _part(build, shape, 1 + count, rank)
    x = build.reshape(x, build.concat([batch, _interleaved(build, spatial, block, count), rest], 0))
    x = build.transpose(x, blocks_first(rank, count))
    blocks = build.op("Mul", batch, build.op("ReduceProd", block, build.constant([0], INT64), keepdims=1))
    return build.reshape(x, build.concat([blocks, spatial, rest], 0))


@importer_op("BatchToSpaceND")
def batch_to_space(node: Operation, build: Builder) -> Value:
    """The opposite: places within a block come back from the batch, and the borders are cropped."""
    rank, count = _ranks(node)
    block, crops = int64(build, ranked(node, 1, 1)), int64(build, ranked(node, 2, 2))
    known_block, known_crops = sizes(block), sizes(crops)
    if known_block is not None and known_crops is not None:
        dilated = dilated_convolution(node, build, known_block, known_crops)
        if dilated is not None:
            return dilated
    shape = build.shape(node.x)
    batch, rest = _part(build, shape, 0, 1), _part(build, shape, 1 + count, rank)
    spatial = _part(build, shape, 1, 1 + count)
    blocks = build.op("ReduceProd", block, build.constant([0], INT64), keepdims=1)
    batch = build.op("Div", batch, blocks)
    x = build.reshape(node.x, build.concat([block, batch, spatial, rest], 0))
    places = blocks_first(rank, count)
    x = build.transpose(x, [places.index(axis) for axis in range(len(places))])
    whole = build.op("Mul", spatial, block)
    x = build.reshape(x, build.concat([batch, whole, rest], 0))
    return _cropped(build, x, whole, crops, count)


def _ranks(node: Operation) -> tuple[int, int]:
    """How many axes the tensor has, and how many of them are cut into blocks."""
    rank, block = needs_rank(node, node.x), ranked(node, 1, 1)
    count = block.shape[0] if block.shape is not None else None
    if not isinstance(count, int):
        raise UnsupportedError("the number of blocked axes is not known")
    if not 0 < count < rank:
        raise CorruptError(f"{node.op} of {count} axes of a tensor with {rank}", where=node.name)
    return rank, count


def _part(build: Builder, vector: Value, start: int, end: int) -> Value:
    return build.slice(vector, [start], [end], [0])


def _interleaved(build: Builder, left: Value, right: Value, count: int) -> Value:
    """Two vectors as one, their elements in turn."""
    pairs = build.concat([build.unsqueeze(left, [1]), build.unsqueeze(right, [1])], 1)
    return build.reshape(pairs, [2 * count])


def _columns(build: Builder, pairs: Value) -> tuple[Value, Value]:
    """The two columns of a matrix, each as a vector."""
    first, second = (build.squeeze(build.slice(pairs, [i], [i + 1], [1]), [1]) for i in range(2))
    return first, second


def _padded(build: Builder, x: Value, paddings: Value, count: int) -> Value:
    if not any(sizes(paddings) or [1]):
        return x
    before, after = _columns(build, paddings)
    rank = x.rank or 0
    none, rest = build.constant([0], INT64), build.constant([0] * (rank - 1 - count), INT64)
    pads = build.concat([none, before, rest, none, after, rest], 0)
    dtype = kernel_type("Pad", x.dtype)
    return converted(build, build.op("Pad", converted(build, x, dtype), pads), x.dtype)


def _cropped(build: Builder, x: Value, whole: Value, crops: Value, count: int) -> Value:
    known = sizes(crops)
    if known is not None and not any(known):
        return x
    start, end = _columns(build, crops)
    axes = build.constant(list(range(1, 1 + count)), INT64)
    return build.op("Slice", x, start, build.op("Sub", whole, end), axes)
