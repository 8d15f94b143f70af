"""ONNX's protocol buffer messages.

Only what is needed of them; device configurations and what is said of attributes are skipped when read. Large payloads
stay in the file: `raw_data` as an extent, lists of numbers packed. So do the properties of parts of a graph, which are
several for every node and are not decoded.

Source: https://github.com/onnx/onnx/blob/main/onnx/onnx.proto
"""

from __future__ import annotations

from collections.abc import Sequence

from panmodel.io.source import Extent
from panmodel.wire.protobuf import Message, Numbers, Payload, repeated, single

#: Kinds of an attribute (AttributeProto.AttributeType).
FLOAT, INT, STRING, TENSOR, GRAPH, FLOATS, INTS, STRINGS, TENSORS, GRAPHS, SPARSE_TENSOR = range(1, 12)
SPARSE_TENSORS, TYPE_PROTO, TYPE_PROTOS = range(12, 15)

#: Where the elements of a tensor are (TensorProto.DataLocation).
EXTERNAL = 1


class StringStringEntryProto(Message):
    """A key and its value."""

    key: str = single(1, "string")
    value: str = single(2, "string")


class OperatorSetIdProto(Message):
    """A version of a set of operators; domain "" is ONNX's own."""

    domain: str = single(1, "string")
    version: int = single(2, "int64")


class Dimension(Message):
    """One dimension: a number, a name, or neither."""

    dim_value: int = single(1, "int64")
    dim_param: str = single(2, "string")


class TensorShapeProto(Message):
    """Dimensions."""

    dim: Sequence[Dimension] = repeated(1, lambda: Dimension)


class TensorTypeProto(Message):
    """Element type and shape of a tensor; a shape that is absent is not known at all."""

    elem_type: int = single(1, "int32")
    shape: TensorShapeProto | None = single(2, lambda: TensorShapeProto)


class TypeProto(Message):
    """The type of a value: a tensor, or something around tensors that is passed on as it is."""

    tensor_type: TensorTypeProto | None = single(1, lambda: TensorTypeProto)
    sequence_type: bytes = single(4, "bytes")
    map_type: bytes = single(5, "bytes")
    sparse_tensor_type: bytes = single(8, "bytes")
    optional_type: bytes = single(9, "bytes")


class ValueInfoProto(Message):
    """The name and type of a value."""

    name: str = single(1, "string")
    type: TypeProto | None = single(2, lambda: TypeProto)
    doc_string: str = single(3, "string")
    metadata_props: Sequence[bytes] = repeated(4, "bytes")


class TensorProto(Message):
    """A tensor: raw bytes, a list of numbers, strings, or a place in another file."""

    dims: Sequence[int] = repeated(1, "int64")
    data_type: int = single(2, "int32")
    segment: bytes = single(3, "bytes")
    float_data: Numbers | None = repeated(4, "float", numbers=True)
    int32_data: Numbers | None = repeated(5, "int32", numbers=True)
    string_data: Sequence[bytes] = repeated(6, "bytes")
    int64_data: Numbers | None = repeated(7, "int64", numbers=True)
    name: str = single(8, "string")
    raw_data: Extent | Payload | None = single(9, "blob")
    double_data: Numbers | None = repeated(10, "double", numbers=True)
    uint64_data: Numbers | None = repeated(11, "uint64", numbers=True)
    doc_string: str = single(12, "string")
    external_data: Sequence[StringStringEntryProto] = repeated(13, lambda: StringStringEntryProto)
    data_location: int = single(14, "enum")
    metadata_props: Sequence[bytes] = repeated(16, "bytes")


class SparseTensorProto(Message):
    """A tensor of zeros but for some values, which its name is that of; indices are linear, or one for each axis."""

    values: TensorProto | None = single(1, lambda: TensorProto)
    indices: TensorProto | None = single(2, lambda: TensorProto)
    dims: Sequence[int] = repeated(3, "int64")


class AttributeProto(Message):
    """An attribute of a node; inside a function `ref_attr_name` stands for an attribute of the call."""

    name: str = single(1, "string")
    f: float = single(2, "float")
    i: int = single(3, "int64")
    s: bytes = single(4, "bytes")
    t: TensorProto | None = single(5, lambda: TensorProto)
    g: GraphProto | None = single(6, lambda: GraphProto)
    floats: Sequence[float] = repeated(7, "float")
    ints: Sequence[int] = repeated(8, "int64")
    strings: Sequence[bytes] = repeated(9, "bytes")
    tensors: Sequence[TensorProto] = repeated(10, lambda: TensorProto)
    graphs: Sequence[GraphProto] = repeated(11, lambda: GraphProto)
    type: int = single(20, "enum")
    ref_attr_name: str = single(21, "string")
    sparse_tensor: SparseTensorProto | None = single(22, lambda: SparseTensorProto)
    sparse_tensors: Sequence[SparseTensorProto] = repeated(23, lambda: SparseTensorProto)


class NodeProto(Message):
    """An operator applied to named values; "" is an operand or result that is left out."""

    input: Sequence[str] = repeated(1, "string")
    output: Sequence[str] = repeated(2, "string")
    name: str = single(3, "string")
    op_type: str = single(4, "string")
    attribute: Sequence[AttributeProto] = repeated(5, lambda: AttributeProto)
    doc_string: str = single(6, "string")
    domain: str = single(7, "string")
    overload: str = single(8, "string")
    metadata_props: Sequence[bytes] = repeated(9, "bytes")


class GraphProto(Message):
    """Nodes in an order in which every value comes before its uses."""

    node: Sequence[NodeProto] = repeated(1, lambda: NodeProto)
    name: str = single(2, "string")
    initializer: Sequence[TensorProto] = repeated(5, lambda: TensorProto)
    doc_string: str = single(10, "string")
    input: Sequence[ValueInfoProto] = repeated(11, lambda: ValueInfoProto)
    output: Sequence[ValueInfoProto] = repeated(12, lambda: ValueInfoProto)
    value_info: Sequence[ValueInfoProto] = repeated(13, lambda: ValueInfoProto)
    quantization_annotation: Sequence[bytes] = repeated(14, "bytes")
    sparse_initializer: Sequence[SparseTensorProto] = repeated(15, lambda: SparseTensorProto)
    metadata_props: Sequence[bytes] = repeated(16, "bytes")


class FunctionProto(Message):
    """An operator that the model defines by a graph of others."""

    name: str = single(1, "string")
    input: Sequence[str] = repeated(4, "string")
    output: Sequence[str] = repeated(5, "string")
    attribute: Sequence[str] = repeated(6, "string")
    node: Sequence[NodeProto] = repeated(7, lambda: NodeProto)
    opset_import: Sequence[OperatorSetIdProto] = repeated(9, lambda: OperatorSetIdProto)
    domain: str = single(10, "string")
    attribute_proto: Sequence[AttributeProto] = repeated(11, lambda: AttributeProto)
    overload: str = single(13, "string")


class ModelProto(Message):
    """A model file."""

    ir_version: int = single(1, "int64")
    producer_name: str = single(2, "string")
    producer_version: str = single(3, "string")
    domain: str = single(4, "string")
    model_version: int = single(5, "int64")
    doc_string: str = single(6, "string")
    graph: GraphProto | None = single(7, lambda: GraphProto)
    opset_import: Sequence[OperatorSetIdProto] = repeated(8, lambda: OperatorSetIdProto)
    metadata_props: Sequence[StringStringEntryProto] = repeated(14, lambda: StringStringEntryProto)
    training_info: Sequence[bytes] = repeated(20, "bytes")
    functions: Sequence[FunctionProto] = repeated(25, lambda: FunctionProto)
