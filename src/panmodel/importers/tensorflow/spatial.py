"""What TensorFlow's operators on images share: data formats, attributes with one number per axis, padding.

TensorFlow puts channels last unless told otherwise, ONNX always first. An operator is converted between two transposes;
those that meet each other cancel, and the layout pass removes the rest.

Source: tensorflow/core/framework/common_shape_fns.cc (GetWindowedOutputSizeVerbose),
tensorflow/core/util/tensor_format.h
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from panmodel.dtypes import INT64
from panmodel.errors import CorruptError, UnsupportedError
from panmodel.importers.tensorflow.registry import Operation
from panmodel.model.builder import Builder
from panmodel.model.graph import Value
from panmodel.model.symbolic import Dim, Size

#: Data format → rank, and whether the channels are the last axis.
_FORMATS = {"NHWC": (4, True), "NCHW": (4, False), "NDHWC": (5, True), "NCDHW": (5, False)}


@dataclass(frozen=True, slots=True)
class Layout:
    """Where the channels of an operator's tensors are.

    Attributes:
        rank: Axes of a tensor.
        channels_last: Whether the channels are the last of them rather than the second.
    """

    rank: int
    channels_last: bool

    @property
    def spatial_axes(self) -> range:
        """The axes that are neither batch nor channels."""
        return range(1, self.rank - 1) if self.channels_last else range(2, self.rank)

    @property
    def channels_axis(self) -> int:
        """The axis of the channels."""
        return self.rank - 1 if self.channels_last else 1

    def enter(self, build: Builder, x: Value) -> Value:
        """The tensor with the channels first."""
        return build.channels_first(x, self.rank) if self.channels_last else x

    def leave(self, build: Builder, x: Value) -> Value:
        """A tensor with the channels first, back in this layout."""
        return build.channels_last(x, self.rank) if self.channels_last else x


def layout(node: Operation) -> Layout:
    """The layout that the node's `data_format` says; channels last if it says nothing.

    Raises:
        UnsupportedError: Another one (vectors of channels).
        CorruptError: The operand has another rank.
    """
    data_format = node.text("data_format", "NHWC")
    if data_format not in _FORMATS:
        raise UnsupportedError(f"data format {data_format!r}")
    rank, channels_last = _FORMATS[data_format]
    return Layout(rank, channels_last)


def ranked(node: Operation, index: int, rank: int) -> Value:
    """An operand that must have so many axes.

    Raises:
        CorruptError: It is known to have another rank.
    """
    value = node.input(index)
    if value.rank not in (None, rank):
        raise CorruptError(f"operand {index} of {node.op} has {value.rank} axes, expected {rank}", where=node.name)
    return value


def per_spatial_axis(node: Operation, name: str, layout: Layout) -> tuple[int, ...]:
    """An attribute with a positive number per axis (strides, dilations, window sizes): those of the spatial axes.

    Returns:
        The numbers; 1 for each axis where the attribute is absent or empty.

    Raises:
        UnsupportedError: The number of the batch or of the channels is not 1.
        CorruptError: They are not one positive integer per axis.
    """
    numbers = node.attr(name) or [1] * layout.rank
    if not _are_integers(numbers, layout.rank) or min(numbers) < 1:
        raise CorruptError(f"{name} is {numbers!r}, expected {layout.rank} positive integers", where=node.name)
    if any(numbers[axis] != 1 for axis in (0, layout.channels_axis)):
        raise UnsupportedError(f"{name} {list(numbers)} reach over the batch or the channels")
    return tuple(numbers[axis] for axis in layout.spatial_axes)


def _are_integers(numbers: Any, count: int) -> bool:
    return isinstance(numbers, list) and len(numbers) == count and all(type(number) is int for number in numbers)


def spatial_sizes(x: Value, count: int) -> tuple[Size | None, ...]:
    """The spatial sizes of a tensor with its channels first; None for each if not even its rank is known."""
    return (None,) * count if x.shape is None else x.shape[2 : 2 + count]


def same_padding(size: Size | None, extent: int, stride: int) -> tuple[int, int] | None:
    """What SAME pads before and after one axis.

    Args:
        size: Size of the axis; None if unknown.
        extent: How far the window reaches, gaps of its dilation included.
        stride: Step of the window.

    Returns:
        The two numbers; None where they depend on a size that only the run will tell.
    """
    if stride == 1 or extent == 1:
        total = extent - 1
    elif isinstance(size, int):
        total = max(-(-size // stride) * stride - stride + extent - size, 0)
    elif isinstance(size, Dim) and size % stride == 0:
        total = max(extent - stride, 0)
    else:
        return None
    return total // 2, total - total // 2


def padding(
    node: Operation, layout: Layout, x: Value, extents: Sequence[int | None], strides: Sequence[int]
) -> Mapping[str, Any]:
    """The attributes with which ONNX pads as the node says: `pads`, or `auto_pad` where the size decides.

    Args:
        node: The node, with its `padding` and `explicit_paddings`.
        layout: Its layout.
        x: The operand, channels first.
        extents: How far the window reaches on each spatial axis; None if unknown.
        strides: Its steps.

    Raises:
        CorruptError: An unknown kind of padding.
    """
    kind = node.text("padding")
    if kind == "VALID":
        return {}
    if kind == "EXPLICIT":
        return _pads([_explicit(node, axis) for axis in layout.spatial_axes])
    if kind != "SAME":
        raise CorruptError(f"padding is {kind!r}, expected VALID, SAME or EXPLICIT", where=node.name)
    sizes = spatial_sizes(x, len(strides))
    pairs = [
        None if extent is None else same_padding(size, extent, stride)
        for size, extent, stride in zip(sizes, extents, strides, strict=True)
    ]
    known = [pair for pair in pairs if pair is not None]
    return _pads(known) if len(known) == len(pairs) else {"auto_pad": "SAME_UPPER"}


def _explicit(node: Operation, axis: int) -> tuple[int, int]:
    numbers = node.attr("explicit_paddings")
    if not isinstance(numbers, list) or len(numbers) < 2 * axis + 2 or min(numbers) < 0:
        raise CorruptError(f"explicit_paddings is {numbers!r}, expected two numbers per axis", where=node.name)
    return numbers[2 * axis], numbers[2 * axis + 1]


def _pads(pairs: Sequence[tuple[int, int]]) -> Mapping[str, Any]:
    pads = (*(before for before, _ in pairs), *(after for _, after in pairs))
    return {"pads": pads} if any(pads) else {}


def pad_same(
    build: Builder, x: Value, extents: Sequence[int], strides: Sequence[int], fill: Value | None = None
) -> Value:
    """Pad as SAME does, by numbers computed from the sizes when the model runs.

    Args:
        build: The graph.
        x: A tensor with its channels first.
        extents: How far the window reaches on each spatial axis.
        strides: Its steps.
        fill: What to pad with; zero if left out.
    """
    count = len(strides)
    steps = build.constant(list(strides), INT64)
    sizes = build.slice(build.shape(x), [2], [2 + count], [0])
    # the last window starts at the last multiple of the stride that lies within
    short = build.op("Mod", build.op("Neg", sizes), steps)
    reach = build.constant([extent - stride for extent, stride in zip(extents, strides, strict=True)], INT64)
    total = build.op("Max", build.op("Add", short, reach), build.constant([0] * count, INT64))
    before = build.op("Div", total, build.constant([2] * count, INT64))
    none = build.constant([0, 0], INT64)
    return build.op("Pad", x, build.concat([none, before, none, build.op("Sub", total, before)], 0), fill)
