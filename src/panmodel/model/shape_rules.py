"""Shapes that operators give, by rules that keep sizes symbolic through arithmetic.

Each rule takes the node and a source of fresh symbols, and gives the shape of the node's output; None if it cannot
tell, where `inference` asks the operator's schema.

Source: https://onnx.ai/onnx/operators/
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from panmodel.errors import CorruptError
from panmodel.model.symbolic import Dim, Shape, Size, product

if TYPE_CHECKING:
    from panmodel.model.graph import Node, Value

Fresh = Callable[[], Dim]


def broadcast(shapes: list[Shape], fresh: Fresh) -> Shape:
    """The shape that operands of these shapes broadcast to.

    Raises:
        CorruptError: They do not fit together.
    """
    known = [shape for shape in shapes if shape is not None]
    if len(known) < len(shapes):
        return None
    rank = max(map(len, known), default=0)
    result: list[Size] = []
    for axis in range(-rank, 0):
        sizes = {shape[axis] for shape in known if -axis <= len(shape)} - {1}
        numbers = [size for size in sizes if isinstance(size, int)]
        if len(numbers) > 1:
            raise CorruptError(f"shapes {[list(shape) for shape in known]} do not broadcast together")
        # a known size other than 1 decides; symbols that differ may each be 1
        result.append(numbers[0] if numbers else sizes.pop() if len(sizes) == 1 else fresh() if sizes else 1)
    return tuple(result)


def _reshape(node: Node, fresh: Fresh) -> Shape:
    x, target = node.inputs[0], node.inputs[1]
    sizes = _sizes(target)
    if x is None or sizes is None:
        return _fresh_sizes(_length(target), fresh)
    shape: list[Size] = []
    for axis, size in enumerate(sizes):
        if size != 0 or node.attr("allowzero"):
            shape.append(size)
        elif x.shape is None or axis >= len(x.shape):
            return None
        else:
            shape.append(x.shape[axis])
    if -1 in shape:
        if x.shape is None:
            return None
        rest = product(tuple(size for size in shape if size != -1))
        shape[shape.index(-1)] = product(x.shape) // rest if rest != 0 else 0
    return tuple(shape)


def _fresh_sizes(count: int | None, fresh: Fresh) -> Shape:
    """That many sizes of which nothing is known."""
    return None if count is None else tuple(fresh() for _ in range(count))


def _length(vector: Value | None) -> int | None:
    """How many elements a vector has."""
    length = vector.shape[0] if vector is not None and vector.shape else None
    return length if isinstance(length, int) else None


def _sizes(value: Value | None) -> Shape:
    """Sizes that a vector holds."""
    if value is None or value.content is None:
        return None
    return tuple(size if isinstance(size, Dim) else int(size) for size in value.content.flat)


def _expand(node: Node, fresh: Fresh) -> Shape:
    x, target = node.inputs[0], _sizes(node.inputs[1])
    if target is None and x is not None and x.rank is not None:
        length = _length(node.inputs[1])
        return None if length is None else _fresh_sizes(max(length, x.rank), fresh)
    return None if x is None or target is None else broadcast([x.shape, target], fresh)


def _tile(node: Node, fresh: Fresh) -> Shape:
    x, repeats = node.inputs[0], _sizes(node.inputs[1])
    if x is None or x.shape is None:
        return _fresh_sizes(_length(node.inputs[1]), fresh)
    if repeats is None:
        return _fresh_sizes(x.rank, fresh)
    return tuple(size * count for size, count in zip(x.shape, repeats, strict=True))


def _pad(node: Node, fresh: Fresh) -> Shape:
    x, pads = node.inputs[0], _sizes(node.operand(1))
    if x is None or x.shape is None or node.operand(3) is not None:
        return None
    if pads is None:
        return _fresh_sizes(x.rank, fresh)
    rank = len(x.shape)
    return tuple(size + pads[axis] + pads[axis + rank] for axis, size in enumerate(x.shape))


def _concat(node: Node, _: Fresh) -> Shape:
    shapes = [value.shape for value in node.inputs if value is not None]
    if any(shape is None for shape in shapes):
        return None
    known = [shape for shape in shapes if shape is not None]
    axis = node.attributes["axis"] % len(known[0]) if known[0] else 0
    if len({len(shape) for shape in known}) > 1 or not known[0]:
        return None
    total: Size = 0
    for shape in known:
        total = total + shape[axis]
    # of sizes that must be equal a number says most
    merged = [next((s[i] for s in known if isinstance(s[i], int)), known[0][i]) for i in range(len(known[0]))]
    return tuple(total if i == axis else size for i, size in enumerate(merged))


def _slice(node: Node, fresh: Fresh) -> Shape:
    x, vectors = node.inputs[0], [node.operand(index) for index in range(1, 5)]
    if x is None or x.shape is None:
        return None
    count = next((length for vector in vectors if (length := _length(vector)) is not None), None)
    axes = tuple(range(count or 0)) if vectors[2] is None else _sizes(vectors[2])
    if count is None or axes is None or not all(isinstance(axis, int) for axis in axes):
        return _fresh_sizes(x.rank, fresh)
    starts, ends, steps = (_sizes(vectors[index]) or (None,) * count for index in (0, 1, 3))
    shape = list(x.shape)
    for start, end, axis, step in zip(starts, ends, axes, steps if vectors[3] else (1,) * count, strict=True):
        assert isinstance(axis, int)
        size = None
        if start is not None and end is not None and step is not None:
            size = _slice_size(shape[axis], start, end, step)
        shape[axis] = fresh() if size is None else size
    return tuple(shape)


def slice_range(start: int, end: int, step: int, size: int) -> range:
    """Which elements a Slice takes of an axis; bounds are clamped as ONNX has it, which is not as Python does."""
    first, last = (0, size) if step > 0 else (-1, size - 1)
    start, end = (bound + size if bound < 0 else bound for bound in (start, end))
    return range(min(max(start, 0), last), min(max(end, first), last), step)


def _slice_size(size: Size, start: Size, end: Size, step: Size) -> Size | None:
    if isinstance(size, int) and isinstance(start, int) and isinstance(end, int) and isinstance(step, int):
        return len(slice_range(start, end, step, size)) if step else None
    if step != 1:
        return None
    if isinstance(start, int) and start < 0:
        start = size + start
    if isinstance(end, int):
        end = size if end >= 1 << 30 else size + end if end < 0 else end
    if start == 0 and (end == size or (isinstance(end, Dim) and isinstance(size, Dim))):
        return end
    if end == size and isinstance(size, Dim) and isinstance(start, int):
        return size - start
    difference = end - start
    # a symbolic size may be smaller than the bounds say; only distances from its own end are certain
    if end == size or not isinstance(size, Dim) or not _counts_from_end(end, size):
        return None
    return max(difference, 0) if isinstance(difference, int) else difference


def _counts_from_end(end: Size, size: Size) -> bool:
    return isinstance(end - size, int)


def _unsqueeze(node: Node, fresh: Fresh) -> Shape:
    x, axes = node.inputs[0], _sizes(node.inputs[1])
    if x is None or x.shape is None:
        return None
    if axes is None:
        length = _length(node.inputs[1])
        return None if length is None else _fresh_sizes(len(x.shape) + length, fresh)
    shape = list(x.shape)
    for axis in sorted(axis % (len(shape) + len(axes)) for axis in axes if isinstance(axis, int)):
        shape.insert(axis, 1)
    return tuple(shape)


def _squeeze(node: Node, fresh: Fresh) -> Shape:
    x, axes = node.inputs[0], node.operand(1)
    if x is None or x.shape is None:
        return None
    if axes is None:  # which axes go hangs on the sizes
        known = all(isinstance(size, int) for size in x.shape)
        return tuple(size for size in x.shape if size != 1) if known else None
    return _without(x.shape, axes, fresh)


def _without(shape: tuple[Size, ...], axes: Value, fresh: Fresh) -> Shape:
    """A shape without some of its axes."""
    rank, numbers = len(shape), _sizes(axes)
    if numbers is None:
        length = _length(axes)
        return None if length is None else _fresh_sizes(rank - length, fresh)
    gone = {axis % rank for axis in numbers if isinstance(axis, int)}
    return tuple(size for axis, size in enumerate(shape) if axis not in gone)


def _reduce(node: Node, fresh: Fresh) -> Shape:
    x, axes = node.inputs[0], node.operand(1)
    if x is None or x.shape is None:
        return None
    numbers, keep = _sizes(axes), node.attr("keepdims", 1)
    if axes is None or numbers == () or (numbers is None and _length(axes) == 0):
        if node.attr("noop_with_empty_axes"):
            return x.shape
        return (1,) * len(x.shape) if keep else ()
    if not keep:
        return _without(x.shape, axes, fresh)
    if numbers is None:
        return _fresh_sizes(x.rank, fresh)
    gone = {axis % len(x.shape) for axis in numbers if isinstance(axis, int)}
    return tuple(1 if axis in gone else size for axis, size in enumerate(x.shape))


def split(node: Node, outputs: int, fresh: Fresh) -> list[Shape] | None:
    """The shapes of the pieces that Split makes."""
    x, vector = node.inputs[0], node.operand(1)
    if x is None or x.shape is None:
        return None
    axis, lengths = node.attr("axis", 0) % len(x.shape), _sizes(vector)
    if vector is None:
        whole = x.shape[axis]
        each = -(-whole // outputs) if isinstance(whole, int) else whole // outputs
        lengths = (each,) * (outputs - 1) + (whole - each * (outputs - 1),)
    elif lengths is None:
        lengths = tuple(fresh() for _ in range(outputs))
    return [(*x.shape[:axis], length, *x.shape[axis + 1 :]) for length in lengths]


def _spatial(node: Node, _: Fresh) -> Shape:
    """Conv, MaxPool and AveragePool: channels first, sizes by kernel, stride, dilation and padding."""
    x, w = node.inputs[0], node.operand(1)
    if x is None or x.shape is None or len(node.outputs) > 1:
        return None
    kernel = node.attr("kernel_shape") or (w.shape[2:] if w is not None and w.shape is not None else None)
    if kernel is None or node.attr("ceil_mode"):
        return None
    count = len(kernel)
    strides = node.attr("strides") or (1,) * count
    dilations = node.attr("dilations") or (1,) * count
    pads = node.attr("pads") or (0,) * (2 * count)
    auto = node.attr("auto_pad", "NOTSET")
    spatial: list[Size] = []
    for axis in range(count):
        size, extent = x.shape[2 + axis], dilations[axis] * (kernel[axis] - 1) + 1
        if auto.startswith("SAME"):
            spatial.append((size + (strides[axis] - 1)) // strides[axis])
        else:
            padded = size + (pads[axis] + pads[axis + count] if auto == "NOTSET" else 0)
            spatial.append((padded - extent) // strides[axis] + 1)
    channels = w.shape[0] if node.op == "Conv" and w is not None and w.shape is not None else x.shape[1]
    return (x.shape[0], channels, *spatial)


def _conv_transpose(node: Node, _: Fresh) -> Shape:
    x, w = node.inputs[0], node.operand(1)
    if x is None or x.shape is None or w is None or w.shape is None:
        return None
    if node.attr("auto_pad", "NOTSET") != "NOTSET" or node.attr("output_shape"):
        return None
    kernel, count = w.shape[2:], len(w.shape) - 2
    strides = node.attr("strides") or (1,) * count
    dilations = node.attr("dilations") or (1,) * count
    pads = node.attr("pads") or (0,) * (2 * count)
    more = node.attr("output_padding") or (0,) * count
    spatial = tuple(
        (x.shape[2 + axis] - 1) * strides[axis]
        + (kernel[axis] - 1) * dilations[axis]
        + (1 + more[axis] - pads[axis] - pads[axis + count])
        for axis in range(count)
    )
    return (x.shape[0], w.shape[1] * node.attr("group", 1), *spatial)


def _depth_to_space(node: Node, _: Fresh) -> Shape:
    x, block = node.inputs[0], node.attr("blocksize", 1)
    if x is None or x.shape is None or len(x.shape) != 4 or block < 1:
        return None
    batch, channels, height, width = x.shape
    return batch, channels // (block * block), height * block, width * block


def _space_to_depth(node: Node, _: Fresh) -> Shape:
    x, block = node.inputs[0], node.attr("blocksize", 1)
    if x is None or x.shape is None or len(x.shape) != 4 or block < 1:
        return None
    batch, channels, height, width = x.shape
    return batch, channels * (block * block), height // block, width // block


def _resize(node: Node, _: Fresh) -> Shape:
    sizes = _sizes(node.operand(3))
    if sizes is not None and not node.attr("axes"):
        return sizes
    x, scales = node.inputs[0], node.operand(2)
    if x is None or x.shape is None or scales is None or scales.content is None or not scales.content.size:
        return None
    factors = [float(factor) for factor in scales.content.flat]
    if node.attr("axes") or not all(factor.is_integer() for factor in factors):
        return None
    return tuple(size * int(factor) for size, factor in zip(x.shape, factors, strict=True))


def _elementwise(node: Node, fresh: Fresh) -> Shape:
    return broadcast([value.shape if value is not None else None for value in node.inputs], fresh)


#: Operator → the shape of its only output, which has the type of its first operand; None where a rule cannot tell.
RULES: dict[str, Callable[[Node, Fresh], Shape]] = {
    "Reshape": _reshape,
    "Expand": _expand,
    "Tile": _tile,
    "Pad": _pad,
    "Concat": _concat,
    "Slice": _slice,
    "Conv": _spatial,
    "AveragePool": _spatial,
    "MaxPool": _spatial,
    "ConvTranspose": _conv_transpose,
    "DepthToSpace": _depth_to_space,
    "SpaceToDepth": _space_to_depth,
    "Resize": _resize,
    "Unsqueeze": _unsqueeze,
    "Squeeze": _squeeze,
    **dict.fromkeys(("ReduceSum", "ReduceMean", "ReduceMax", "ReduceMin", "ReduceProd"), _reduce),
    **dict.fromkeys(("Add", "Sub", "Mul", "Div", "Max", "Min"), _elementwise),
}
