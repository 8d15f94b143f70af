"""Resizing images, and moving pixels between space and channels.

Source: tensorflow/core/ops/image_ops.cc, tensorflow/core/util/image_resizer_state.h;
https://onnx.ai/onnx/operators/onnx__Resize.html
"""

from __future__ import annotations

from typing import Any

from panmodel.dtypes import FLOAT32
from panmodel.errors import CorruptError, UnsupportedError
from panmodel.importers.tensorflow import operands
from panmodel.importers.tensorflow.registry import Operation, importer_op
from panmodel.importers.tensorflow.spatial import Layout, layout, ranked
from panmodel.model.builder import Builder
from panmodel.model.graph import Value

_IMAGES = Layout(4, channels_last=True)


@importer_op("ResizeBilinear")
def resize_bilinear(node: Operation, build: Builder) -> Value:
    """Between the four nearest pixels; the result is float32 whatever the images are."""
    return _resize(node, build, build.cast(ranked(node, 0, 4), FLOAT32), mode="linear")


@importer_op("ResizeNearestNeighbor")
def resize_nearest_neighbor(node: Operation, build: Builder) -> Value:
    """The nearest pixel; without a rule for centres, the one at or before the place."""
    is_centred = node.attr("align_corners", False) or node.attr("half_pixel_centers", False)
    nearest = "round_prefer_ceil" if is_centred else "floor"
    return _resize(node, build, ranked(node, 0, 4), mode="nearest", nearest_mode=nearest)


def _resize(node: Operation, build: Builder, x: Value, **mode: Any) -> Value:
    """Resize the images to the size in the second operand, two integers."""
    if node.attr("align_corners", False):
        place = "align_corners"
    else:
        place = "half_pixel" if node.attr("half_pixel_centers", False) else "asymmetric"
    x, size = _IMAGES.enter(build, x), operands.int64(build, ranked(node, 1, 1))
    kept = build.slice(build.shape(x), [0], [2], [0])
    sizes, scales = build.concat([kept, size], 0), _scales(x, size)
    if sizes.is_constant or scales is None:
        y = build.op("Resize", x, None, None, sizes, coordinate_transformation_mode=place, **mode)
    else:
        factors = build.constant(scales, FLOAT32)
        y = build.op("Resize", x, None, factors, coordinate_transformation_mode=place, **mode)
    return _IMAGES.leave(build, y)


def _scales(x: Value, size: Value) -> list[float] | None:
    """Whole factors for each axis, if the new sizes are such multiples of the old ones."""
    targets = operands.sizes(size)
    if targets is None or x.shape is None or len(targets) != 2:
        return None
    factors = []
    for old, new in zip(x.shape[2:], targets, strict=True):
        factor = new // old if old != 0 else 0
        if not isinstance(factor, int) or factor < 1 or factor * old != new:
            return None
        factors.append(float(factor))
    return [1.0, 1.0, *factors]


@importer_op("DepthToSpace", "SpaceToDepth")
def depth_and_space(node: Operation, build: Builder) -> Value:
    """Channels become blocks of pixels, or blocks of pixels channels; ONNX numbers them alike (mode DCR)."""
    form, block = layout(node), node.attr("block_size")
    if form.rank != 4:
        raise UnsupportedError(f"data format {node.text('data_format')!r}")
    if not isinstance(block, int) or block < 1:
        raise CorruptError(f"block_size is {block!r}, expected a positive integer", where=node.name)
    x = form.enter(build, ranked(node, 0, 4))
    mode = {"mode": "DCR"} if node.op == "DepthToSpace" else {}
    return form.leave(build, build.op(node.op, x, blocksize=block, **mode))
