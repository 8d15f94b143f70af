"""Pooling, and normalization over neighbouring channels.

Source: tensorflow/core/ops/nn_ops.cc; https://onnx.ai/onnx/operators/onnx__MaxPool.html, onnx__AveragePool.html
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from panmodel.dtypes import FLOAT64, INT8, UINT8
from panmodel.errors import CorruptError, UnsupportedError
from panmodel.importers.tensorflow.registry import Operation, importer_op
from panmodel.importers.tensorflow.spatial import layout, pad_same, padding, per_spatial_axis, ranked
from panmodel.model.builder import Builder
from panmodel.model.graph import Value

_POOLS = {"MaxPool": "MaxPool", "AvgPool": "AveragePool"}


@importer_op("MaxPool", "AvgPool")
def pool(node: Operation, build: Builder) -> Value:
    """The greatest or the mean element under a window; what is padded does not count."""
    form = layout(node)
    window, strides = per_spatial_axis(node, "ksize", form), per_spatial_axis(node, "strides", form)
    x = form.enter(build, ranked(node, 0, form.rank))
    pads = padding(node, form, x, window, strides)
    dtype = x.dtype
    if dtype is not None and dtype.is_integer and dtype not in (INT8, UINT8):
        if dtype.bits > 32:
            raise UnsupportedError(f"{node.op} of {dtype}, which ONNX has not")
        x = build.cast(x, FLOAT64)  # holds each of these integers exactly
    moved = tuple(strides) if any(stride != 1 for stride in strides) else None
    geometry: dict[str, Any] = {"kernel_shape": window, "strides": moved}
    if "auto_pad" in pads and any(extent < step for extent, step in zip(window, strides, strict=True)):
        y = _pool_with_gaps(node, build, x, window, strides, geometry)
    else:
        y = build.op(_POOLS[node.op], x, **geometry, **pads)
    return form.leave(build, y if dtype is None else build.cast(y, dtype))


def _pool_with_gaps(
    node: Operation,
    build: Builder,
    x: Value,
    window: Sequence[int],
    strides: Sequence[int],
    geometry: Mapping[str, Any],
) -> Value:
    """Pooling whose windows leave gaps, for which runtimes compute a negative padding where the size decides."""
    if node.op == "MaxPool":
        lowest = build.constant(-math.inf, x.dtype)
        return build.op("MaxPool", pad_same(build, x, window, strides, lowest), **geometry)
    zero = build.op("Mul", x, build.constant(0, x.dtype))
    ones = pad_same(build, build.op("Add", zero, build.constant(1, x.dtype)), window, strides)
    mean = build.op("AveragePool", pad_same(build, x, window, strides), **geometry)
    return build.op("Div", mean, build.op("AveragePool", ones, **geometry))


@importer_op("LRN")
def local_response_normalization(node: Operation, build: Builder) -> Value:
    """Divide by (bias + alpha · Σ x² over the channels within a radius) ^ beta; ONNX divides alpha by their number."""
    radius = node.attr("depth_radius", 5)
    if not isinstance(radius, int) or radius < 0:
        raise CorruptError(f"depth_radius is {radius!r}, expected an integer of at least 0", where=node.name)
    size = 2 * radius + 1
    y = build.op(
        "LRN",
        build.channels_first(ranked(node, 0, 4), 4),
        size=size,
        alpha=float(node.attr("alpha", 1.0)) * size,
        beta=float(node.attr("beta", 0.5)),
        bias=float(node.attr("bias", 1.0)),
    )
    return build.channels_last(y, 4)
