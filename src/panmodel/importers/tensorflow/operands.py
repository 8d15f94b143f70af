"""Reads operands that say how to compute (axes, sizes, bounds): numbers where they are known, else int64 vectors."""

from __future__ import annotations

from panmodel.dtypes import INT64
from panmodel.errors import CorruptError, UnsupportedError
from panmodel.importers.tensorflow.registry import Operation
from panmodel.model.builder import Builder
from panmodel.model.graph import Value
from panmodel.model.symbolic import Dim, Size


def sizes(value: Value) -> list[Size] | None:
    """The elements of a vector or scalar of integers, each a number or a symbolic size; None if unknown."""
    content = value.content if value.content is not None else value.array()
    if content is None:
        return None
    return [element if isinstance(element, Dim) else int(element) for element in content.flat]


def integers(value: Value) -> list[int] | None:
    """The elements of a vector or scalar of integers if all are known numbers."""
    known = sizes(value)
    if known is None:
        return None
    numbers = [size for size in known if isinstance(size, int)]
    return numbers if len(numbers) == len(known) else None


def known_axis(node: Operation, index: int) -> int:
    """An operand that is one axis.

    Raises:
        UnsupportedError: It is computed, and ONNX has it as an attribute.
        CorruptError: It is not one number.
    """
    axis = integers(node.input(index))
    if axis is None:
        raise UnsupportedError(f"{node.op} along an axis that the graph computes", where=node.name)
    if len(axis) != 1:
        raise CorruptError(f"{node.op} along {len(axis)} axes, expected 1", where=node.name)
    return axis[0]


def positive_axis(node: Operation, axis: int, rank: int) -> int:
    """The axis counted from the front.

    Raises:
        CorruptError: There is no such axis.
    """
    if not -rank <= axis < rank:
        raise CorruptError(f"{node.op} along axis {axis} of a tensor with {rank} axes", where=node.name)
    return axis % rank if rank else 0


def int64(build: Builder, value: Value) -> Value:
    """Integers as ONNX wants its sizes and axes."""
    return build.cast(value, INT64)


def int64_vector(build: Builder, value: Value) -> Value:
    """A scalar or vector as an int64 vector."""
    value = int64(build, value)
    if value.rank == 1:
        return value
    return build.unsqueeze(value, [0]) if value.rank == 0 else build.reshape(value, [-1])


def int64_scalar(build: Builder, value: Value) -> Value:
    """A scalar, or a vector of one element, as an int64 scalar."""
    value = int64(build, value)
    return value if value.rank == 0 else build.reshape(value, [])


def rank_of(build: Builder, value: Value) -> Value:
    """The number of axes as an int64 scalar, known or computed."""
    if value.rank is not None:
        return build.constant(value.rank, INT64)
    return build.op("Size", build.shape(value))


def vector_length(node: Operation, vector: Value) -> int:
    """How many elements a vector has, or rows a matrix.

    Raises:
        UnsupportedError: It is unknown, and the operator cannot be converted without it.
    """
    length = vector.shape[0] if vector.shape else None
    if not isinstance(length, int):
        raise UnsupportedError(
            f"{node.op} with an unknown number of {vector.name}", where=node.name, hint="Give the inputs' shapes."
        )
    return length


def with_trailing_axes(build: Builder, value: Value, count: Value) -> Value:
    """With that many axes of size 1 more behind the others; the count is a computed scalar."""
    ones = build.op("Expand", build.constant([1]), build.unsqueeze(count, [0]))
    return build.reshape(value, build.concat([build.shape(value), ones], 0))


def needs_rank(node: Operation, value: Value) -> int:
    """The number of axes, where the operator cannot be converted without it.

    Raises:
        UnsupportedError: It is unknown.
    """
    if value.rank is None:
        raise UnsupportedError(
            f"{node.op} of a tensor whose rank is unknown", where=node.name, hint="Give the input's shape."
        )
    return value.rank
