"""TensorFlow's protocol buffer messages: graphs, tensors, functions, meta graphs, SavedModels.

Only what is needed of them; other fields are skipped when read. The parts that no conversion looks at (the list of
operator definitions, the object graph) stay blobs, which are passed on as they are.

Source: tensorflow/core/framework/{graph,node_def,attr_value,tensor,tensor_shape,function,op_def,versions}.proto,
tensorflow/core/framework/variable.proto and tensorflow/core/protobuf/{meta_graph,saver,saved_model}.proto
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from panmodel.dtypes import BY_TENSORFLOW
from panmodel.io.source import Extent
from panmodel.wire.protobuf import Message, Numbers, Payload, mapping, repeated, single

_TYPE_NAMES = {
    "float32": "FLOAT",
    "float64": "DOUBLE",
    "float16": "HALF",
    "float8_e8m0fnu": "FLOAT8_E8M0FNU",
}

#: An element type that refers to a variable has this much more than the type itself.
REF = 100

#: Names of DataType's values, for the text form.
DATA_TYPE = {"DT_INVALID": 0} | {
    f"DT_{_TYPE_NAMES.get(dtype.name, dtype.name.upper())}{suffix}": number + offset
    for number, dtype in BY_TENSORFLOW.items()
    for suffix, offset in (("", 0), ("_REF", REF))
}
SYNCHRONIZATION = {
    f"VARIABLE_SYNCHRONIZATION_{name}": i for i, name in enumerate(("AUTO", "NONE", "ON_WRITE", "ON_READ"))
}
AGGREGATION = {
    f"VARIABLE_AGGREGATION_{name}": i for i, name in enumerate(("NONE", "SUM", "MEAN", "ONLY_FIRST_REPLICA"))
}
CHECKPOINT_FORMAT = {"LEGACY": 0, "V1": 1, "V2": 2}


class Dim(Message):
    """One dimension; size -1 is unknown."""

    size: int = single(1, "int64")
    name: str = single(2, "string")


class TensorShapeProto(Message):
    """A shape, each dimension and the rank known or not."""

    dim: Sequence[Dim] = repeated(2, lambda: Dim)
    unknown_rank: bool = single(3, "bool")


class ResourceHandleProto(Message):
    """A handle of a variable or table."""

    device: str = single(1, "string")
    container: str = single(2, "string")
    name: str = single(3, "string")
    hash_code: int = single(4, "uint64")
    maybe_type_name: str = single(5, "string")


class VariantTensorDataProto(Message):
    """A value of a type that only TensorFlow's own code knows (a TensorList)."""

    type_name: str = single(1, "string")
    metadata: bytes = single(2, "bytes")
    tensors: Sequence[TensorProto] = repeated(3, lambda: TensorProto)


class TensorProto(Message):
    """A tensor: raw bytes in `tensor_content`, or elements in the list of their type, whose last one is repeated."""

    dtype: int = single(1, "enum", enum=DATA_TYPE)
    tensor_shape: TensorShapeProto | None = single(2, lambda: TensorShapeProto)
    version_number: int = single(3, "int32")
    tensor_content: Payload | Extent | None = single(4, "blob")
    float_val: Numbers | Sequence[float] = repeated(5, "float", numbers=True)
    double_val: Numbers | Sequence[float] = repeated(6, "double", numbers=True)
    int_val: Numbers | Sequence[int] = repeated(7, "int32", numbers=True)
    string_val: Sequence[bytes] = repeated(8, "bytes")
    scomplex_val: Numbers | Sequence[float] = repeated(9, "float", numbers=True)
    int64_val: Numbers | Sequence[int] = repeated(10, "int64", numbers=True)
    bool_val: Numbers | Sequence[bool] = repeated(11, "bool", numbers=True)
    dcomplex_val: Numbers | Sequence[float] = repeated(12, "double", numbers=True)
    half_val: Numbers | Sequence[int] = repeated(13, "int32", numbers=True)
    resource_handle_val: Sequence[ResourceHandleProto] = repeated(14, lambda: ResourceHandleProto)
    variant_val: Sequence[VariantTensorDataProto] = repeated(15, lambda: VariantTensorDataProto)
    uint32_val: Numbers | Sequence[int] = repeated(16, "uint32", numbers=True)
    uint64_val: Numbers | Sequence[int] = repeated(17, "uint64", numbers=True)
    float8_val: bytes = single(18, "bytes")


class NameAttrList(Message):
    """A function by its name, with attributes."""

    name: str = single(1, "string")
    attr: Mapping[str, AttrValue] = mapping(2, lambda: AttrValue)


class ListValue(Message):
    """A list of attribute values of one kind."""

    s: Sequence[bytes] = repeated(2, "bytes")
    i: Sequence[int] = repeated(3, "int64")
    f: Sequence[float] = repeated(4, "float")
    b: Sequence[bool] = repeated(5, "bool")
    type: Sequence[int] = repeated(6, "enum", enum=DATA_TYPE)
    shape: Sequence[TensorShapeProto] = repeated(7, lambda: TensorShapeProto)
    tensor: Sequence[TensorProto] = repeated(8, lambda: TensorProto)
    func: Sequence[NameAttrList] = repeated(9, lambda: NameAttrList)


class AttrValue(Message):
    """The value of an attribute: exactly one of these fields is present."""

    list: ListValue | None = single(1, lambda: ListValue)
    s: bytes = single(2, "bytes")
    i: int = single(3, "int64")
    f: float = single(4, "float")
    b: bool = single(5, "bool")
    type: int = single(6, "enum", enum=DATA_TYPE)
    shape: TensorShapeProto | None = single(7, lambda: TensorShapeProto)
    tensor: TensorProto | None = single(8, lambda: TensorProto)
    placeholder: str = single(9, "string")
    func: NameAttrList | None = single(10, lambda: NameAttrList)


class NodeDef(Message):
    """A node: an operator, where its inputs come from, its attributes."""

    name: str = single(1, "string")
    op: str = single(2, "string")
    input: Sequence[str] = repeated(3, "string")
    device: str = single(4, "string")
    attr: Mapping[str, AttrValue] = mapping(5, lambda: AttrValue)


class VersionDef(Message):
    """Which TensorFlow graph version wrote this, and which can read it."""

    producer: int = single(1, "int32")
    min_consumer: int = single(2, "int32")
    bad_consumers: Sequence[int] = repeated(3, "int32")


class ArgDef(Message):
    """An argument or result of an operator or function."""

    name: str = single(1, "string")
    description: str = single(2, "string")
    type: int = single(3, "enum", enum=DATA_TYPE)
    type_attr: str = single(4, "string")
    number_attr: str = single(5, "string")
    type_list_attr: str = single(6, "string")
    is_ref: bool = single(16, "bool")


class AttrDef(Message):
    """An attribute that an operator or function takes."""

    name: str = single(1, "string")
    type: str = single(2, "string")
    default_value: AttrValue | None = single(3, lambda: AttrValue)
    description: str = single(4, "string")
    has_minimum: bool = single(5, "bool")
    minimum: int = single(6, "int64")
    allowed_values: AttrValue | None = single(7, lambda: AttrValue)


class OpDef(Message):
    """The signature of an operator or function."""

    name: str = single(1, "string")
    input_arg: Sequence[ArgDef] = repeated(2, lambda: ArgDef)
    output_arg: Sequence[ArgDef] = repeated(3, lambda: ArgDef)
    attr: Sequence[AttrDef] = repeated(4, lambda: AttrDef)
    summary: str = single(5, "string")
    description: str = single(6, "string")
    is_aggregate: bool = single(16, "bool")
    is_stateful: bool = single(17, "bool")
    is_commutative: bool = single(18, "bool")
    allows_uninitialized_input: bool = single(19, "bool")
    control_output: Sequence[str] = repeated(20, "string")


class ArgAttrs(Message):
    """Attributes of one argument of a function."""

    attr: Mapping[str, AttrValue] = mapping(1, lambda: AttrValue)


class FunctionDef(Message):
    """A function: its signature, its nodes, and which tensors are its results."""

    signature: OpDef | None = single(1, lambda: OpDef)
    node_def: Sequence[NodeDef] = repeated(3, lambda: NodeDef)
    ret: Mapping[str, str] = mapping(4, "string")
    attr: Mapping[str, AttrValue] = mapping(5, lambda: AttrValue)
    control_ret: Mapping[str, str] = mapping(6, "string")
    arg_attr: Mapping[int, ArgAttrs] = mapping(7, lambda: ArgAttrs, key="uint32")


class GradientDef(Message):
    """Which function is the gradient of which."""

    function_name: str = single(1, "string")
    gradient_func: str = single(2, "string")


class FunctionDefLibrary(Message):
    """The functions of a graph."""

    function: Sequence[FunctionDef] = repeated(1, lambda: FunctionDef)
    gradient: Sequence[GradientDef] = repeated(2, lambda: GradientDef)


class GraphDef(Message):
    """A graph: nodes and functions."""

    node: Sequence[NodeDef] = repeated(1, lambda: NodeDef)
    library: FunctionDefLibrary | None = single(2, lambda: FunctionDefLibrary)
    version: int = single(3, "int32")
    versions: VersionDef | None = single(4, lambda: VersionDef)


class SaveSliceInfoDef(Message):
    """Which part of a partitioned variable this is."""

    full_name: str = single(1, "string")
    full_shape: Sequence[int] = repeated(2, "int64")
    var_offset: Sequence[int] = repeated(3, "int64")
    var_shape: Sequence[int] = repeated(4, "int64")


class VariableDef(Message):
    """A variable as Python code knew it; lies in the collections of a meta graph."""

    variable_name: str = single(1, "string")
    initializer_name: str = single(2, "string")
    snapshot_name: str = single(3, "string")
    save_slice_info_def: SaveSliceInfoDef | None = single(4, lambda: SaveSliceInfoDef)
    is_resource: bool = single(5, "bool")
    initial_value_name: str = single(6, "string")
    trainable: bool = single(7, "bool")
    synchronization: int = single(8, "enum", enum=SYNCHRONIZATION)
    aggregation: int = single(9, "enum", enum=AGGREGATION)


class SaverDef(Message):
    """Which nodes save and restore the variables."""

    filename_tensor_name: str = single(1, "string")
    save_tensor_name: str = single(2, "string")
    restore_op_name: str = single(3, "string")
    max_to_keep: int = single(4, "int32")
    sharded: bool = single(5, "bool")
    keep_checkpoint_every_n_hours: float = single(6, "float")
    version: int = single(7, "enum", enum=CHECKPOINT_FORMAT)


class AnyProto(Message):
    """A message of a type that it names itself."""

    type_url: str = single(1, "string")
    value: bytes = single(2, "bytes")


class NodeList(Message):
    """Names of nodes or tensors."""

    value: Sequence[str] = repeated(1, "string")


class BytesList(Message):
    """Messages such as VariableDef, encoded."""

    value: Sequence[bytes] = repeated(1, "bytes")


class Int64List(Message):
    """Integers."""

    value: Sequence[int] = repeated(1, "int64")


class FloatList(Message):
    """Floats."""

    value: Sequence[float] = repeated(1, "float")


class AnyList(Message):
    """Messages that name their types."""

    value: Sequence[AnyProto] = repeated(1, lambda: AnyProto)


class CollectionDef(Message):
    """One collection of a meta graph: exactly one of these fields is present."""

    node_list: NodeList | None = single(1, lambda: NodeList)
    bytes_list: BytesList | None = single(2, lambda: BytesList)
    int64_list: Int64List | None = single(3, lambda: Int64List)
    float_list: FloatList | None = single(4, lambda: FloatList)
    any_list: AnyList | None = single(5, lambda: AnyList)


class CooSparse(Message):
    """The three tensors of a sparse one."""

    values_tensor_name: str = single(1, "string")
    indices_tensor_name: str = single(2, "string")
    dense_shape_tensor_name: str = single(3, "string")


class TensorInfo(Message):
    """A tensor of a signature."""

    name: str = single(1, "string")
    dtype: int = single(2, "enum", enum=DATA_TYPE)
    tensor_shape: TensorShapeProto | None = single(3, lambda: TensorShapeProto)
    coo_sparse: CooSparse | None = single(4, lambda: CooSparse)
    composite_tensor: Extent | None = single(5, "blob")


class SignatureDef(Message):
    """One way to call a graph."""

    inputs: Mapping[str, TensorInfo] = mapping(1, lambda: TensorInfo)
    outputs: Mapping[str, TensorInfo] = mapping(2, lambda: TensorInfo)
    method_name: str = single(3, "string")


class AssetFileDef(Message):
    """A file that a SavedModel carries, and the tensor that holds its name."""

    tensor_info: TensorInfo | None = single(1, lambda: TensorInfo)
    filename: str = single(2, "string")


class MetaInfoDef(Message):
    """What wrote a meta graph."""

    meta_graph_version: str = single(1, "string")
    stripped_op_list: Extent | None = single(2, "blob")
    any_info: AnyProto | None = single(3, lambda: AnyProto)
    tags: Sequence[str] = repeated(4, "string")
    tensorflow_version: str = single(5, "string")
    tensorflow_git_version: str = single(6, "string")
    stripped_default_attrs: bool = single(7, "bool")


class MetaGraphDef(Message):
    """A graph with what is needed to train it further or to serve it."""

    meta_info_def: MetaInfoDef | None = single(1, lambda: MetaInfoDef)
    graph_def: GraphDef | None = single(2, lambda: GraphDef)
    saver_def: SaverDef | None = single(3, lambda: SaverDef)
    collection_def: Mapping[str, CollectionDef] = mapping(4, lambda: CollectionDef)
    signature_def: Mapping[str, SignatureDef] = mapping(5, lambda: SignatureDef)
    asset_file_def: Sequence[AssetFileDef] = repeated(6, lambda: AssetFileDef)
    object_graph_def: Extent | None = single(7, "blob")


class SavedModel(Message):
    """The meta graphs of a SavedModel folder."""

    saved_model_schema_version: int = single(1, "int64")
    meta_graphs: Sequence[MetaGraphDef] = repeated(2, lambda: MetaGraphDef)
