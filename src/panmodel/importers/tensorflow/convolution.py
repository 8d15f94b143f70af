"""Convolutions.

Source: tensorflow/core/ops/nn_ops.cc; https://onnx.ai/onnx/operators/onnx__Conv.html, onnx__ConvTranspose.html
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from panmodel.dtypes import INT64
from panmodel.errors import CorruptError, UnsupportedError
from panmodel.importers.tensorflow import operands
from panmodel.importers.tensorflow.registry import Operation, importer_op
from panmodel.importers.tensorflow.spatial import (
    Layout,
    layout,
    pad_same,
    padding,
    per_spatial_axis,
    ranked,
    same_padding,
    spatial_sizes,
)
from panmodel.model.builder import Builder
from panmodel.model.graph import Value
from panmodel.model.symbolic import Size

#: [height, width, in, out] → [out, in, height, width].
_KERNEL = (3, 2, 0, 1)


@importer_op("Conv2D")
def conv2d(node: Operation, build: Builder) -> Value:
    """A convolution; in groups where the kernel takes a part of the channels."""
    form, kernel = layout(node), ranked(node, 1, 4)
    x = form.enter(build, ranked(node, 0, 4))
    group = _groups(node, x, kernel)
    y = _convolve(node, build, form, x, build.transpose(kernel, _KERNEL), group)
    return form.leave(build, y)


def _groups(node: Operation, x: Value, kernel: Value) -> int:
    channels = x.shape[1] if x.shape is not None else None
    taken = kernel.shape[2] if kernel.shape is not None else None
    if not isinstance(channels, int) or not isinstance(taken, int):
        return 1
    if taken < 1 or channels % taken:
        raise CorruptError(f"a kernel of {taken} channels on {channels} channels", where=node.name)
    return channels // taken


@importer_op("DepthwiseConv2dNative")
def depthwise_conv2d(node: Operation, build: Builder) -> Value:
    """A convolution of each channel for itself: as many groups as channels."""
    form, kernel = layout(node), ranked(node, 1, 4)
    x = form.enter(build, ranked(node, 0, 4))
    height, width, channels, multiplier = kernel.shape or (None,) * 4
    if not isinstance(channels, int) or not isinstance(multiplier, int) or height is None or width is None:
        raise UnsupportedError("the kernel's shape is not known")
    grouped = build.reshape(build.transpose(kernel, (2, 3, 0, 1)), (channels * multiplier, 1, height, width))
    return form.leave(build, _convolve(node, build, form, x, grouped, channels))


def _convolve(node: Operation, build: Builder, form: Layout, x: Value, kernel: Value, group: int) -> Value:
    """Conv of a tensor with its channels first, strided, dilated and padded as the node says."""
    strides, dilations = per_spatial_axis(node, "strides", form), per_spatial_axis(node, "dilations", form)
    extents = _extents(kernel, dilations)
    pads = padding(node, form, x, extents, strides)
    if "auto_pad" in pads and max(dilations) > 1:  # which runtimes do not combine
        known = [extent for extent in extents if extent is not None]
        if len(known) < len(extents):
            raise UnsupportedError("padding SAME and a dilation with a kernel of unknown size")
        x, pads = pad_same(build, x, known, strides), {}
    return build.op("Conv", x, kernel, group=group if group > 1 else None, **_steps(strides, dilations), **pads)


def _extents(kernel: Value, dilations: Sequence[int]) -> list[int | None]:
    """How far a kernel [out, in, height, width] reaches."""
    sizes = spatial_sizes(kernel, len(dilations))
    pairs = zip(sizes, dilations, strict=True)
    return [(size - 1) * dilation + 1 if isinstance(size, int) else None for size, dilation in pairs]


def _steps(strides: Sequence[int], dilations: Sequence[int]) -> Mapping[str, Any]:
    """The attributes that are not their defaults."""
    return {
        name: tuple(numbers)
        for name, numbers in (("strides", strides), ("dilations", dilations))
        if any(number != 1 for number in numbers)
    }


class _Window(NamedTuple):
    """How a kernel moves: its reach on each spatial axis, its steps, and the attributes that say so."""

    extents: Sequence[int]
    strides: Sequence[int]
    attributes: Mapping[str, Any]


@importer_op("Conv2DBackpropInput")
def conv2d_transpose(node: Operation, build: Builder) -> Value:
    """A transposed convolution to a size that the first operand gives: the gradient of Conv2D for its input."""
    form, kind = layout(node), node.text("padding")
    x = form.enter(build, ranked(node, 2, 4))
    kernel = build.transpose(ranked(node, 1, 4), _KERNEL)
    strides, dilations = per_spatial_axis(node, "strides", form), per_spatial_axis(node, "dilations", form)
    extents = [extent for extent in _extents(kernel, dilations) if extent is not None]
    if len(extents) < len(strides):
        raise UnsupportedError("the kernel's size is not known")
    if kind not in ("SAME", "VALID"):
        raise UnsupportedError(f"padding {kind!r} of a transposed convolution")
    window = _Window(extents, strides, _steps(strides, dilations))
    fitted = _fitted(spatial_sizes(x, len(strides)), _target_sizes(node, form), window, is_same=kind == "SAME")
    if fitted is not None:
        y = build.op("ConvTranspose", x, kernel, **window.attributes, **fitted)
    else:
        target = _target_vector(node, build, form)
        y = _cropped(build, (x, kernel), window, target, is_same=kind == "SAME")
    return form.leave(build, y)


def _target_sizes(node: Operation, form: Layout) -> Sequence[Size | None]:
    """The spatial sizes that the first operand asks for, as far as they are known; it may hold them alone."""
    count = len(form.spatial_axes)
    given = operands.sizes(node.input(0))
    if given is None:
        return (None,) * count
    if len(given) not in (count, form.rank):
        raise CorruptError(f"input_sizes has {len(given)} elements, expected {form.rank}", where=node.name)
    return given if len(given) == count else [given[axis] for axis in form.spatial_axes]


def _target_vector(node: Operation, build: Builder, form: Layout) -> Value:
    """The same as an int64 vector that the graph computes."""
    target = operands.int64(build, ranked(node, 0, 1))
    first, count = form.spatial_axes[0], len(form.spatial_axes)
    return target if target.shape == (count,) else build.slice(target, [first], [first + count], [0])


def _fitted(
    sizes: Sequence[Size | None], targets: Sequence[Size | None], window: _Window, *, is_same: bool
) -> Mapping[str, Any] | None:
    """The attributes that lead to the sizes asked for; None if what they are depends on the run."""
    before, after, more = [], [], []
    for size, target, extent, stride in zip(sizes, targets, window.extents, window.strides, strict=True):
        cut = same_padding(target, extent, stride) if is_same else (0, 0)
        if size is None or target is None or cut is None:
            return None
        missing = target - ((size - 1) * stride + extent - sum(cut))
        # a size that cannot be met is for the run to refuse
        if not isinstance(missing, int) or not 0 <= missing < max(stride, 2):
            return None
        before.append(cut[0])
        after.append(cut[1])
        more.append(missing)
    pads = (*before, *after)
    found = {"pads": pads if any(pads) else None, "output_padding": tuple(more) if any(more) else None}
    return {name: numbers for name, numbers in found.items() if numbers is not None}


def _cropped(build: Builder, tensors: tuple[Value, Value], window: _Window, target: Value, *, is_same: bool) -> Value:
    """A transposed convolution whose result is cut to a computed size."""
    count = len(window.strides)
    # the whole result, and the zeros after it that a target may reach into where windows left a remainder
    more = tuple(stride - 1 for stride in window.strides)
    y = build.op("ConvTranspose", *tensors, output_padding=more if any(more) else None, **window.attributes)
    start = build.constant([0] * count, INT64)
    if is_same:
        whole = build.op("Sub", build.slice(build.shape(y), [2], [2 + count], [0]), build.constant(list(more), INT64))
        surplus = build.op("Max", build.op("Sub", whole, target), start)
        start = build.op("Div", surplus, build.constant([2] * count, INT64))
    axes = build.constant(list(range(2, 2 + count)), INT64)
    return build.op("Slice", y, start, build.op("Add", start, target), axes)
