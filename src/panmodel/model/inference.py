"""Types and shapes of what an operator gives.

Rules of our own come first, where sizes must stay symbolic through arithmetic (a strided convolution of `H` rows has
`(H + 1)//2`); everything else is inferred by the onnx package from the operator's schema.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from panmodel import dtypes
from panmodel.dtypes import DType
from panmodel.errors import CorruptError, UnsupportedError
from panmodel.model.folding import former_operands
from panmodel.model.shape_rules import RULES, Fresh, split
from panmodel.model.symbolic import Dim, Shape, Size

if TYPE_CHECKING:
    from panmodel.model.graph import Node, Value

Type = tuple[DType | None, Shape]

#: Element types that many operators lack.
_RARE = {dtype for dtype in dtypes.ALL.values() if dtype.kind in "cso" or dtype.onnx is None}


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
    _check_types(node, opset)
    if former_operands(node.op, node.attributes):  # the rules below know the operators as they are since opset 13
        return _from_schema(node, outputs, opset, fresh)
    if node.op == "Split" and (shapes := split(node, outputs, fresh)) is not None:
        assert node.inputs[0] is not None
        return [(node.inputs[0].dtype, piece) for piece in shapes]
    rule = RULES.get(node.op) if outputs == 1 else None
    try:
        shape = rule(node, fresh) if rule is not None else None
    except (TypeError, ValueError, LookupError, ArithmeticError) as error:
        where = f"node {node.name}" if node.name else ""
        raise CorruptError(f"{node.op} does not fit its operands: {error}", where=where) from error
    if shape is not None:
        first = node.inputs[0]
        return [(first.dtype if first is not None else None, shape)]
    return _from_schema(node, outputs, opset, fresh)


def _check_types(node: Node, opset: int) -> None:
    """Refuse elements that ONNX does not compute with; a rule of our own would let them pass."""
    rare = {index: value.dtype for index, value in enumerate(node.inputs) if value is not None and value.dtype in _RARE}
    if not rare:
        return
    import onnx

    if not onnx.defs.has(node.op, opset, ""):
        return
    formal = onnx.defs.get_schema(node.op, opset, "").inputs
    for index, dtype in rare.items():
        assert dtype is not None
        if index < len(formal) and f"tensor({dtype.name})" not in formal[index].types:
            raise UnsupportedError(f"ONNX has no {node.op} of {dtype} elements (opset {opset})", where=node.name)


def _from_schema(node: Node, outputs: int, opset: int, fresh: Fresh) -> list[Type]:
    import onnx
    from onnx import shape_inference

    if not onnx.defs.has(node.op, opset, node.domain):
        return [(None, None)] * outputs
    schema = onnx.defs.get_schema(node.op, opset, node.domain)
    names = [f"i{index}" if value is not None else "" for index, value in enumerate(node.inputs)]
    proto = onnx.NodeProto(op_type=node.op, input=names, output=[f"o{index}" for index in range(outputs)])
    proto.attribute.extend(_attribute(name, value, schema) for name, value in node.attributes.items())
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
    except (shape_inference.InferenceError, onnx.checker.ValidationError, RuntimeError) as error:
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


def _attribute(name: str, value: Any, schema: Any) -> Any:
    import onnx

    from panmodel.model.graph import Graph
    from panmodel.model.tensor import Tensor

    if isinstance(value, Tensor):
        return onnx.helper.make_attribute(name, onnx.numpy_helper.from_array(value.numpy()))
    if isinstance(value, Graph):
        return onnx.helper.make_attribute(name, onnx.GraphProto(name="body"))
    if isinstance(value, tuple) and not value:
        kind = int(schema.attributes[name].type.value) if name in schema.attributes else onnx.AttributeProto.INTS
        return onnx.AttributeProto(name=name, type=kind)
    return onnx.helper.make_attribute(name, list(value) if isinstance(value, tuple) else value)
