"""Tensors joined into one and taken apart."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate

from panmodel.dtypes import INT64
from panmodel.errors import CorruptError, UnsupportedError
from panmodel.importers.tensorflow.kernels import converted, widened
from panmodel.importers.tensorflow.operands import int64_vector, integers, known_axis, positive_axis, sizes
from panmodel.importers.tensorflow.registry import Operation, importer_op
from panmodel.model.builder import MOST_OUTPUTS, Builder
from panmodel.model.graph import Value


@importer_op("Concat")
def concat_first(node: Operation, build: Builder) -> Value:
    """End to end; the axis is the first operand."""
    return _concat(build, node.inputs[1:], known_axis(node, 0))


@importer_op("ConcatV2")
def concat(node: Operation, build: Builder) -> Value:
    """End to end; the axis is the last operand."""
    return _concat(build, node.inputs[:-1], known_axis(node, len(node.inputs) - 1))


def _concat(build: Builder, values: Sequence[Value], axis: int) -> Value:
    filled = [value for value in values if not (value.shape and value.shape[axis] == 0)]
    # sizes along other axes are those of any operand
    return build.concat(filled or values[:1], axis)


@importer_op("Pack")
def pack(node: Operation, build: Builder) -> Value:
    """Stacked along a new axis."""
    axis = node.attr("axis", 0)
    return build.concat([build.unsqueeze(value, [axis]) for value in node.inputs], axis)


@importer_op("Unpack")
def unpack(node: Operation, build: Builder) -> Sequence[Value]:
    """Slices along an axis, without that axis."""
    axis, count = node.attr("axis", 0), node.attr("num", 0)
    if not 0 <= count <= MOST_OUTPUTS:
        raise UnsupportedError(f"Unpack into {count} slices, at most {MOST_OUTPUTS} are converted")
    if count == 1:
        return [build.squeeze(node.x, [axis])]
    return [build.op("Gather", node.x, build.constant(index), axis=axis) for index in range(count)]


@importer_op("Split")
def split(node: Operation, build: Builder) -> Sequence[Value]:
    """Equal pieces along an axis."""
    x, axis, count = node.input(1), known_axis(node, 0), node.attr("num_split", 1)
    if x.shape is not None:
        length = x.shape[positive_axis(node, axis, len(x.shape))]
        if isinstance(length, int):
            if not 0 < count <= MOST_OUTPUTS or length % count:
                raise CorruptError(f"Split of {length} into {count} equal pieces", where=node.name)
            return _pieces(build, x, axis, [length // count] * count)
    return [x] if count == 1 else build.ops("Split", x, outputs=count, axis=axis, num_outputs=count)


@importer_op("SplitV")
def split_sizes(node: Operation, build: Builder) -> Sequence[Value]:
    """Pieces of given sizes along an axis; one of them may be -1, the rest."""
    x, lengths, axis = node.x, node.input(1), known_axis(node, 2)
    count = node.attr("num_split", 1)
    if count == 1:
        return [x]
    known = sizes(lengths)
    total = x.shape[positive_axis(node, axis, len(x.shape))] if x.shape is not None else None
    if known is not None and total is not None:
        rest = total - sum(size for size in known if size != -1)
        known = [rest if size == -1 else size for size in known]
    if known is not None and all(isinstance(size, int) and size >= 0 for size in known):
        return _pieces(build, x, axis, [size for size in known if isinstance(size, int)])
    vector = int64_vector(build, lengths)
    numbers = integers(lengths)
    if numbers is None or -1 in numbers:
        # Gather counts a negative axis from the end
        whole = build.op("Gather", build.shape(x), build.constant([axis]), axis=0)
        # the sum counts a missing size as -1
        rest_of = build.op("Sub", build.op("Sub", whole, build.op("ReduceSum", vector)), build.constant([1]))
        vector = build.op("Where", build.op("Less", vector, build.constant([0])), rest_of, vector)
    return build.ops("Split", x, vector, outputs=count, axis=axis)


def _pieces(build: Builder, x: Value, axis: int, lengths: Sequence[int]) -> Sequence[Value]:
    if len(lengths) == 1:
        return [x]
    if x.content is None:
        return build.ops("Split", x, build.constant(list(lengths), INT64), outputs=len(lengths), axis=axis)
    ends = accumulate(lengths)  # what is known stays known in slices
    return [build.slice(x, [end - size], [end], [axis]) for end, size in zip(ends, lengths, strict=True)]


@importer_op("Tile")
def tile(node: Operation, build: Builder) -> Value:
    """Repeated along each axis."""
    multiples = integers(node.input(1))
    if multiples is not None and all(count == 1 for count in multiples):
        return node.x
    (wide,) = widened(build, "Tile", (node.x,))
    return converted(build, build.op("Tile", wide, int64_vector(build, node.input(1))), node.x.dtype)
