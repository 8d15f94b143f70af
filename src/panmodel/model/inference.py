"""Types and shapes of what an operator gives.

Rules of our own come first, where sizes must stay symbolic through arithmetic (a strided convolution of `H` rows has
`(H + 1)//2`); everything else is inferred by the onnx package from the operator's schema.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from panmodel import dtypes
from panmodel.dtypes import DType
from panmodel.errors import CorruptError
from panmodel.model.symbolic import Dim, Shape, Size, product

if TYPE_CHECKING:
    from panmodel.model.graph import Node, Value

Type = tuple[DType | None, Shape]
Fresh = Callable[[], Dim]


def infer(node: Node, outputs: int, opset: int, fresh: Fresh) -> list[Type]:
    """Types of a node's outputs.

    Args:
        node: The node, without outputs yet.
        outputs: How many it has.
        opset: Version of ONNX's operators.
        fresh: Gives a size of which nothing is known.

    Raises:
        CorruptError: The operands do not fit the operator; the message names the node.
    """
    if node.domain:
        return [(None, None)] * outputs
    rule = _RULES.get(node.op)
    if rule is not None and (shape := rule(node, fresh)) is not None:
        first = node.inputs[0]
        return [(first.dtype if first is not None else None, shape)]
    return _from_schema(node, outputs, opset, fresh)


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


def _reshape(node: Node, _: Fresh) -> Shape:
    x, target = node.inputs[0], node.inputs[1]
    if x is None or target is None or target.content is None or node.attr("allowzero"):
        return None
    shape: list[Size] = []
    for axis, size in enumerate(target.content.flat):
        if isinstance(size, Dim):
            shape.append(size)
        elif int(size) == 0:
            if x.shape is None or axis >= len(x.shape):
                return None
            shape.append(x.shape[axis])
        else:
            shape.append(int(size))
    if -1 in shape:
        if x.shape is None:
            return None
        rest = product(tuple(size for size in shape if size != -1))
        shape[shape.index(-1)] = product(x.shape) // rest if rest != 0 else 0
    return tuple(shape)


def _sizes(value: Value | None) -> Shape:
    """Sizes that a vector holds."""
    if value is None or value.content is None:
        return None
    return tuple(size if isinstance(size, Dim) else int(size) for size in value.content.flat)


def _expand(node: Node, fresh: Fresh) -> Shape:
    x, target = node.inputs[0], _sizes(node.inputs[1])
    return None if x is None or target is None else broadcast([x.shape, target], fresh)


def _tile(node: Node, _: Fresh) -> Shape:
    x, repeats = node.inputs[0], _sizes(node.inputs[1])
    if x is None or x.shape is None or repeats is None:
        return None
    return tuple(size * count for size, count in zip(x.shape, repeats, strict=True))


def _pad(node: Node, _: Fresh) -> Shape:
    x, pads = node.inputs[0], _sizes(node.operand(1))
    if x is None or x.shape is None or pads is None or node.operand(3) is not None:
        return None
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


def _slice(node: Node, _: Fresh) -> Shape:
    x = node.inputs[0]
    bounds = [_sizes(value) for value in node.inputs[1:] if value is not None]
    if x is None or x.shape is None or any(numbers is None for numbers in bounds):
        return None
    starts, ends = bounds[0] or (), bounds[1] or ()
    axes = bounds[2] if len(bounds) > 2 else tuple(range(len(starts)))
    steps = bounds[3] if len(bounds) > 3 else (1,) * len(starts)
    shape = list(x.shape)
    for start, end, axis, step in zip(starts, ends, axes or (), steps or (), strict=True):
        if not isinstance(axis, int):
            return None
        size = _slice_size(shape[axis], start, end, step)
        if size is None:
            return None
        shape[axis] = size
    return tuple(shape)


def _slice_size(size: Size, start: Size, end: Size, step: Size) -> Size | None:
    if all(isinstance(number, int) for number in (size, start, end, step)):
        return len(range(size)[slice(start, _end(end, size, step), step)])  # type: ignore[arg-type, misc]
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
    return difference if end != size and isinstance(size, Dim) and _counts_from_end(end, size) else None


def _counts_from_end(end: Size, size: Size) -> bool:
    return isinstance(end - size, int)


def _end(end: Size, size: Size, step: Size) -> Size | None:
    assert isinstance(end, int) and isinstance(size, int) and isinstance(step, int)
    return None if step < 0 and end < -size else end


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


_RULES: dict[str, Callable[[Node, Fresh], Shape]] = {
    "Reshape": _reshape,
    "Expand": _expand,
    "Tile": _tile,
    "Pad": _pad,
    "Concat": _concat,
    "Slice": _slice,
    "Conv": _spatial,
    "AveragePool": _spatial,
    "Resize": _resize,
    **dict.fromkeys(("Add", "Sub", "Mul", "Div", "Max", "Min"), _elementwise),
}


def _from_schema(node: Node, outputs: int, opset: int, fresh: Fresh) -> list[Type]:
    import onnx
    from onnx import shape_inference

    if not onnx.defs.has(node.op, opset, node.domain):
        return [(None, None)] * outputs
    schema = onnx.defs.get_schema(node.op, opset, node.domain)
    names = [f"i{index}" if value is not None else "" for index, value in enumerate(node.inputs)]
    proto = onnx.NodeProto(op_type=node.op, input=names, output=[f"o{index}" for index in range(outputs)])
    proto.attribute.extend(_attribute(name, value) for name, value in node.attributes.items())
    symbols: dict[str, Dim] = {}
    types, data = {}, {}
    for name, value in zip(names, node.inputs, strict=True):
        if value is not None:
            types[name] = _type_proto(value, symbols)
            if (array := _small_array(value)) is not None:
                data[name] = onnx.numpy_helper.from_array(array, name)
    operators = [onnx.helper.make_opsetid("", opset)]
    try:
        found = shape_inference.infer_node_outputs(schema, proto, types, data, opset_imports=operators)
    except (onnx.shape_inference.InferenceError, RuntimeError) as error:
        where = f"node {node.name}" if node.name else ""
        raise CorruptError(f"{node.op} does not fit its operands: {_first_line(error)}", where=where) from None
    return [_type(found.get(f"o{index}"), symbols, fresh) for index in range(outputs)]


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[-1]


def _small_array(value: Value) -> Any:
    import numpy as np

    array = value.content
    return None if array is None or array.dtype == object else np.asarray(array)


def _type_proto(value: Value, symbols: dict[str, Dim]) -> Any:
    import onnx

    code = value.dtype.onnx if value.dtype is not None and value.dtype.onnx else 0
    if value.shape is None:
        return onnx.helper.make_tensor_type_proto(code, None)
    sizes: list[int | str] = []
    for size in value.shape:
        if isinstance(size, Dim):
            symbols[str(size)] = size
        sizes.append(size if isinstance(size, int) else str(size))
    return onnx.helper.make_tensor_type_proto(code, sizes)


def _type(proto: Any, symbols: dict[str, Dim], fresh: Fresh) -> Type:
    if proto is None or not proto.HasField("tensor_type"):
        return None, None
    tensor = proto.tensor_type
    dtype = dtypes.BY_ONNX.get(tensor.elem_type)
    if not tensor.HasField("shape"):
        return dtype, None
    shape: list[Size] = []
    for dim in tensor.shape.dim:
        if dim.HasField("dim_value"):
            shape.append(dim.dim_value)
        else:
            name = dim.dim_param
            shape.append(symbols.get(name) or (Dim.symbol(name) if name else fresh()))
    return dtype, tuple(shape)


def _attribute(name: str, value: Any) -> Any:
    import onnx

    from panmodel.model.graph import Graph
    from panmodel.model.tensor import Tensor

    if isinstance(value, Tensor):
        return onnx.helper.make_attribute(name, onnx.numpy_helper.from_array(value.numpy()))
    if isinstance(value, Graph):
        return onnx.helper.make_attribute(name, onnx.GraphProto(name="body"))
    if isinstance(value, tuple) and not value:
        return onnx.helper.make_attribute(name, [], attr_type=onnx.AttributeProto.INTS)
    return onnx.helper.make_attribute(name, list(value) if isinstance(value, tuple) else value)
