"""Parts of tensors: Slice, and StridedSlice with all that Python's indexing can say."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from panmodel.dtypes import INT64
from panmodel.errors import CorruptError, UnsupportedError
from panmodel.importers.tensorflow.operands import int64, sizes
from panmodel.importers.tensorflow.registry import Operation, importer_op
from panmodel.model.builder import Builder
from panmodel.model.graph import Value
from panmodel.model.symbolic import Size

#: Bounds that no tensor reaches: to the last element, and to the first one when going backwards.
_TO_LAST, _TO_FIRST = (1 << 63) - 1, -(1 << 63) + 1

_MASKS = ("begin", "end", "ellipsis", "new_axis", "shrink_axis")


@importer_op("Slice")
def slice_(node: Operation, build: Builder) -> Value:
    """From `begin`, `size` elements along each axis; -1 means all that are left."""
    x, begin, size = node.x, node.input(1), node.input(2)
    begins, lengths = sizes(begin), sizes(size)
    if begins is not None and lengths is not None:
        bounds = _slice_bounds(x, begins, lengths)
        if bounds is not None:
            axes, starts, ends = bounds
            return build.slice(x, starts, ends, axes) if axes else x
    starts_, lengths_ = int64(build, begin), int64(build, size)
    rest = build.op("Equal", lengths_, build.constant([-1]))
    ends_ = build.op("Where", rest, build.constant([_TO_LAST]), build.op("Add", starts_, lengths_))
    return build.op("Slice", x, starts_, ends_)


def _slice_bounds(x: Value, begins: list[Size], lengths: list[Size]) -> tuple[list[int], list[int], list[int]] | None:
    """Axes, starts and ends as numbers, whole axes left out; None if a number is not known."""
    axes, starts, ends = [], [], []
    for axis, (start, length) in enumerate(zip(begins, lengths, strict=False)):
        whole = x.shape is not None and axis < len(x.shape) and length == x.shape[axis]
        if start == 0 and (length == -1 or whole):
            continue
        if not isinstance(start, int) or not isinstance(length, int):
            return None
        axes.append(axis)
        starts.append(start)
        ends.append(_TO_LAST if length == -1 else start + length)
    return axes, starts, ends


@dataclass(frozen=True, slots=True)
class _Range:
    """Part of one axis.

    Attributes:
        axis: From the front, or negative from the back, where an ellipsis hides how many axes there are.
        entry: Its place in the vectors of bounds.
        from_edge: The begin is left out. Likewise `to_edge` for the end.
    """

    axis: int
    entry: int
    from_edge: bool = False
    to_edge: bool = False


@dataclass(slots=True)
class _Index:
    """What a StridedSlice says of each axis: x[1:, None, ..., 0] has a range, a new axis and a shrunk one."""

    ranges: list[_Range] = field(default_factory=list)
    shrunk: list[_Range] = field(default_factory=list)
    new: list[int] = field(default_factory=list)


def _index(node: Operation, count: int) -> _Index:
    """Reads the masks; of one entry an ellipsis goes before a new axis, and that before shrinking, as in TensorFlow."""
    masks = {name: node.attr(f"{name}_mask", 0) for name in _MASKS}

    def has(name: str, entry: int) -> bool:
        return bool(masks[name] >> entry & 1)

    ellipsis = next((entry for entry in range(count) if has("ellipsis", entry)), count)
    if any(has("ellipsis", entry) for entry in range(ellipsis + 1, count)):
        raise CorruptError("more than one ellipsis in a StridedSlice", where=node.name)
    found = _Index()
    for entries, step in ((range(ellipsis), 1), (range(count - 1, ellipsis, -1), -1)):
        axis, place = (0, 0) if step > 0 else (-1, -1)  # in the operand and in the result
        for entry in entries:
            if has("new_axis", entry):
                found.new.append(place)
            else:
                kind = found.shrunk if has("shrink_axis", entry) else found.ranges
                kind.append(_Range(axis, entry, has("begin", entry), has("end", entry)))
                axis += step
            place += 0 if not has("new_axis", entry) and has("shrink_axis", entry) else step
    return found


@importer_op("StridedSlice")
def strided_slice(node: Operation, build: Builder) -> Value:
    """Python's indexing with ranges, strides, ellipsis, new axes and single indices."""
    x, vectors = node.x, node.inputs[1:4]
    count = next((v.shape[0] for v in vectors if v.shape and isinstance(v.shape[0], int)), None)
    if count is None and not any(node.attr(f"{name}_mask", 0) for name in _MASKS):
        starts, ends, steps = (int64(build, vector) for vector in vectors)
        return build.op("Slice", x, starts, ends, None, steps)
    if count is None or len(vectors) != 3:
        raise UnsupportedError("StridedSlice with an unknown number of bounds", where=node.name)
    index = _index(node, count)
    consumed = len(index.ranges) + len(index.shrunk)
    if x.rank is not None and consumed > x.rank:
        raise CorruptError(f"StridedSlice of {consumed} axes of a tensor that has {x.rank}", where=node.name)
    begin, end, stride = (_Bounds(vector) for vector in vectors)
    singles = [begin.number(part.entry) for part in index.shrunk]
    together = len(singles) > 1 and None not in singles  # one Slice and one Squeeze serve them all
    x = _sliced(build, x, index, (begin, end, stride), [n for n in singles if n is not None] if together else [])
    if together:
        x = build.squeeze(x, _counted(x, [part.axis for part in index.shrunk]))
    else:
        x = _picked(build, x, index.shrunk, begin)
    return build.unsqueeze(x, index.new) if index.new else x


class _Bounds:
    """A vector of begins, ends or strides of which some elements may be known."""

    def __init__(self, vector: Value) -> None:
        self.vector = vector
        self.known = sizes(vector)

    def size(self, entry: int) -> Size | None:
        return None if self.known is None or entry >= len(self.known) else self.known[entry]

    def number(self, entry: int) -> int | None:
        size = self.size(entry)
        return size if isinstance(size, int) else None


def _counted(x: Value, axes: Sequence[int]) -> list[int]:
    """Axes from the front where the rank is known."""
    return [axis if x.rank is None else axis % x.rank for axis in axes]


def _sliced(
    build: Builder, x: Value, index: _Index, bounds: tuple[_Bounds, _Bounds, _Bounds], singles: Sequence[int]
) -> Value:
    begin, end, stride = bounds
    ranges = [part for part in index.ranges if not _is_whole(x, part, begin, end, stride)]
    if not ranges and not singles:
        return x
    starts = [_bound(build, part, begin, stride, part.from_edge, (0, _TO_LAST)) for part in ranges]
    ends = [_bound(build, part, end, stride, part.to_edge, (_TO_LAST, _TO_FIRST)) for part in ranges]
    steps = [stride.number(part.entry) or _element(build, stride, part.entry) for part in ranges]
    axes = _counted(x, [part.axis for part in [*ranges, *(index.shrunk if singles else ())]])
    for place, part in enumerate(ranges):
        if _is_before_first(x, part, starts[place], steps[place]):
            starts[place] = ends[place] = 0
    starts += singles
    ends += [_TO_LAST if single == -1 else single + 1 for single in singles]
    steps += [1] * len(singles)
    order = sorted(range(len(axes)), key=lambda place: axes[place])
    starts, ends, steps = ([numbers[place] for place in order] for numbers in (starts, ends, steps))
    given = None if all(isinstance(step, int) and step == 1 for step in steps) else _vector(build, steps)
    axes_ = build.constant([axes[place] for place in order], INT64)
    return build.op("Slice", x, _vector(build, starts), _vector(build, ends), axes_, given)


def _is_before_first(x: Value, part: _Range, start: int | Value, step: int | Value) -> bool:
    """Whether a range that goes backwards begins before the first element: it is empty, where ONNX takes the first."""
    if not isinstance(start, int) or not isinstance(step, int) or step > 0 or x.shape is None:
        return False
    length = x.shape[part.axis]
    return isinstance(length, int) and start < -length


def _is_whole(x: Value, part: _Range, begin: _Bounds, end: _Bounds, stride: _Bounds) -> bool:
    if stride.number(part.entry) != 1 or not (part.from_edge or begin.number(part.entry) == 0):
        return False
    last = end.size(part.entry)
    inside = x.shape is not None and -len(x.shape) <= part.axis < len(x.shape)
    length = x.shape[part.axis] if x.shape is not None and inside else None
    reaches = isinstance(last, int) and isinstance(length, int) and last >= length
    return part.to_edge or reaches or (last is not None and last == length)


def _bound(
    build: Builder, part: _Range, bounds: _Bounds, stride: _Bounds, edge: bool, edges: tuple[int, int]
) -> int | Value:
    """One bound: the edge that the direction leads from or to, a number, or an element of the vector."""
    if not edge:
        number = bounds.number(part.entry)
        return number if number is not None else _element(build, bounds, part.entry)
    step = stride.number(part.entry)
    if step is not None:
        return edges[0] if step > 0 else edges[1]
    forward = build.op("Greater", _element(build, stride, part.entry), build.constant([0]))
    return build.op("Where", forward, build.constant([edges[0]]), build.constant([edges[1]]))


def _element(build: Builder, bounds: _Bounds, entry: int) -> Value:
    """One element of a vector, as a vector."""
    return build.slice(int64(build, bounds.vector), [entry], [entry + 1], [0])


def _vector(build: Builder, elements: Sequence[int | Value]) -> Value:
    numbers = [element for element in elements if isinstance(element, int)]
    if len(numbers) == len(elements):
        return build.constant(numbers, INT64)
    return build.concat(
        [build.constant([element], INT64) if isinstance(element, int) else element for element in elements], 0
    )


def _picked(build: Builder, x: Value, parts: Sequence[_Range], begin: _Bounds) -> Value:
    """Single indices, from the inside out, so that those still to come keep their axes."""
    for part in sorted(parts, key=lambda part: (part.axis >= 0, abs(part.axis)), reverse=True):
        number = begin.number(part.entry)
        at = build.constant(number) if number is not None else _scalar(build, begin, part.entry)
        x = build.op("Gather", x, at, axis=_counted(x, [part.axis])[0])
    return x


def _scalar(build: Builder, bounds: _Bounds, entry: int) -> Value:
    return build.op("Gather", int64(build, bounds.vector), build.constant(entry), axis=0)
