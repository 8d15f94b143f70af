"""ONNX's ModelProto → the hub graph, with model-local functions inlined and subgraphs reading the values around them.

Source: https://onnx.ai/onnx/repo-docs/IR.html
"""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Mapping, Sequence
from typing import Any

from panmodel.dtypes import BY_ONNX, DType
from panmodel.errors import CorruptError, LimitError, UnsupportedError
from panmodel.io.source import Location
from panmodel.limits import DEFAULT
from panmodel.model.graph import Graph, Node, Remarks, Value
from panmodel.model.onnx.functions import Functions
from panmodel.model.onnx.sparse import dense
from panmodel.model.onnx.tensor import TensorReader
from panmodel.model.symbolic import Dim, Shape, Size
from panmodel.model.tensor import ArrayTensor, Tensor
from panmodel.wire import onnx_messages as wire
from panmodel.wire.onnx_messages import AttributeProto, GraphProto, ModelProto, NodeProto, TensorProto, ValueInfoProto

#: Domains that mean ONNX's own operators.
_OWN = ("", "ai.onnx")

Scope = ChainMap[str, Value]


class Decoder:
    """Turns the graph of one model file into the hub's.

    Args:
        model: The message.
        location: The file, for messages and external data.

    Attributes:
        tensors: The initializers by name, those of subgraphs too; where several have a name, the later ones have that
            of their graph before it. Values of Constant nodes belong to the graph, and are not here.
        defaults: Inputs of the graph that an initializer gives a value; they are read as constants.
    """

    def __init__(self, model: ModelProto, location: Location) -> None:
        self.where = str(location)
        self.tensors: dict[str, Tensor] = {}
        self.defaults: list[str] = []
        self._model = model
        self._reader = TensorReader(location)
        self._versions = {opset.domain: opset.version for opset in model.opset_import}
        self._functions = Functions(model.functions, self.where)
        self._unknown = 0
        self._nodes = 0

    def graph(self) -> Graph:
        """The hub graph.

        Raises:
            CorruptError: A node reads what is not there, or before it is computed; names that come twice.
            UnsupportedError: Sparse tensors of strings, or inputs that are no tensors.
        """
        if self._model.graph is None:
            raise CorruptError("a model without a graph", where=self.where)
        for info in (*self._model.graph.input, *self._model.graph.output):
            if info.type is not None and info.type.tensor_type is None and info.type.__dict__:
                raise UnsupportedError(f"{info.name!r} is no tensor", where=self.where)
        graph = self._graph(self._model.graph, ChainMap())
        graph.opsets = {domain: version for domain, version in self._versions.items() if domain not in _OWN}
        return graph

    @property
    def opset(self) -> int:
        """Version of ONNX's own operators; 1 where the model imports none of them."""
        return max((version for domain, version in self._versions.items() if domain in _OWN), default=1)

    def _graph(self, proto: GraphProto, outer: Scope) -> Graph:
        scope = outer.new_child()
        types = {info.name: self._type(info) for info in (*proto.value_info, *proto.output)}
        stored = [self._reader.read(tensor) for tensor in proto.initializer]
        stored += [dense(tensor, self._reader, self.where) for tensor in proto.sparse_initializer]
        for tensor in stored:
            self._define(scope, self._initializer(tensor.name, tensor))
            self.tensors[self._key(tensor.name, proto.name)] = tensor
        inputs = []
        for info in proto.input:
            if info.name in scope.maps[0] and scope[info.name].is_constant:
                self.defaults.append(info.name)
                continue
            inputs.append(Value(info.name, *self._type(info)))
            self._define(scope, inputs[-1])
        nodes: list[Node] = []
        for node in self._functions.inlined(proto.node):
            self._count()
            if (decoded := self._node(node, scope, types)) is not None:
                nodes.append(decoded)
        named: list[TensorProto | ValueInfoProto] = [*proto.initializer, *proto.input, *proto.value_info, *proto.output]
        for message in named:
            if (remarks := _remarks(message)) is not None and message.name in scope.maps[0]:
                scope[message.name].remarks = remarks
        outputs = {info.name: self._read(scope, info.name, "the graph's outputs") for info in proto.output}
        return Graph(inputs, outputs, nodes, self.opset, proto.name or "graph", remarks=_remarks(proto))

    def _node(self, proto: NodeProto, scope: Scope, types: Mapping[str, Any]) -> Node | None:
        title = f"{proto.op_type} node {proto.name or next(iter(proto.output), '')!r}"
        if proto.op_type == "Constant" and proto.domain in _OWN and len(proto.output) == 1:
            self._define(scope, constant := self._constant(proto, title))
            constant.remarks = _remarks(proto)
            return None
        inputs = [self._read(scope, name, title) if name else None for name in _trimmed(proto.input)]
        names = _trimmed(proto.output)
        outputs = tuple(Value(name, *types.get(name, (None, None))) for name in names)
        attributes = {item.name: self._attribute(item, scope, title) for item in proto.attribute}
        domain = "" if proto.domain in _OWN else proto.domain
        node = Node(proto.op_type, tuple(inputs), outputs, attributes, proto.name, domain, _remarks(proto))
        for value in outputs:
            value.node = node
            if value.name:
                self._define(scope, value)
        return node

    def _read(self, scope: Scope, name: str, reader: str) -> Value:
        try:
            return scope[name]
        except KeyError:
            message = f"{reader} reads {name!r}, which nothing before it computes"
            hint = "the nodes are not in the order of computation, or depend on each other in a circle"
            raise CorruptError(message, where=self.where, hint=hint) from None

    def _define(self, scope: Scope, value: Value) -> None:
        if value.name in scope.maps[0]:
            raise CorruptError(f"two values of the graph are named {value.name!r}", where=self.where)
        scope[value.name] = value

    def _key(self, name: str, graph: str) -> str:
        """A name for an initializer that no other has: bodies of nodes may use one name each for their own."""
        key, number = name, 1
        while key in self.tensors:
            key, number = f"{graph}/{name}" if number == 1 else f"{graph}_{number}/{name}", number + 1
        return key

    def _count(self) -> None:
        self._nodes += 1
        if self._nodes > DEFAULT.nodes:
            raise LimitError(f"more than {DEFAULT.nodes} nodes", where=self.where)

    # Leaves

    def _initializer(self, name: str, tensor: Tensor, *, literal: bool = False) -> Value:
        # shapes, axes and paddings are read now: everything downstream depends on them
        small = not tensor.dtype.is_float and tensor.dtype.kind in "iub" and len(tensor.shape) < 2
        content = tensor.numpy() if (small or literal) and tensor.dtype.bits and tensor.size <= _CONTENT else None
        is_literal = literal or (content is not None) or (not tensor.shape)
        return Value(name, tensor.dtype, tensor.shape, tensor, content, literal=is_literal)

    def _constant(self, proto: NodeProto, title: str) -> Value:
        if len(proto.attribute) != 1:
            raise CorruptError(f"{title} has {len(proto.attribute)} attributes, expected one", where=self.where)
        item, name = proto.attribute[0], proto.output[0]
        value = self._attribute(item, ChainMap(), title)
        if not isinstance(value, Tensor):
            try:
                value = ArrayTensor(_array(item.name, value, title))
            except (TypeError, ValueError, OverflowError) as error:
                raise CorruptError(f"{title}: {item.name!r} is no constant of its kind", where=self.where) from error
        return self._initializer(name, value, literal=True)

    def _attribute(self, item: AttributeProto, scope: Scope, title: str) -> Any:
        kind = item.type or _guess(item)
        if kind == wire.TENSOR and item.t is not None:
            return self._reader.read(item.t, item.t.name or f"{title}, {item.name}")
        if kind == wire.GRAPH and item.g is not None:
            return self._graph(item.g, scope)
        if kind == wire.TENSORS:
            return tuple(self._reader.read(tensor, tensor.name) for tensor in item.tensors)
        scalars = {wire.FLOAT: "f", wire.INT: "i", wire.STRING: "s"}
        lists = {wire.FLOATS: "floats", wire.INTS: "ints", wire.STRINGS: "strings"}
        if kind in scalars:
            return _text(getattr(item, scalars[kind]))
        if kind in lists:
            return tuple(_text(element) for element in getattr(item, lists[kind]))
        raise UnsupportedError(f"{title}: attribute {item.name!r} of kind {kind}", where=self.where)

    # Types

    def _type(self, info: ValueInfoProto) -> tuple[DType | None, Shape]:
        tensor = info.type.tensor_type if info.type is not None else None
        if tensor is None:
            return None, None
        dtype = BY_ONNX.get(tensor.elem_type)
        if tensor.shape is None:
            return dtype, None
        dims = tensor.shape.dim
        if len(dims) > DEFAULT.rank:
            raise LimitError(f"value {info.name!r}: rank {len(dims)} exceeds {DEFAULT.rank}", where=self.where)
        return dtype, tuple(self._size(dim, info.name) for dim in dims)

    def _size(self, dim: wire.Dimension, name: str) -> Size:
        if dim.has("dim_value") and dim.dim_value >= 0:
            return dim.dim_value
        if dim.dim_param:
            return Dim.symbol(dim.dim_param)
        self._unknown += 1
        return Dim.symbol(f"{name}_{self._unknown}")


#: Elements of the largest vector that is taken for sizes rather than weights.
_CONTENT = 4096


def _remarks(message: GraphProto | NodeProto | TensorProto | ValueInfoProto) -> Remarks | None:
    if not message.has("doc_string") and not message.has("metadata_props"):
        return None
    return Remarks(message.doc_string, tuple(message.metadata_props))


def _trimmed(names: Sequence[str]) -> list[str]:
    """Names without the empty ones at the end, which say nothing."""
    kept = list(names)
    while kept and not kept[-1]:
        kept.pop()
    return kept


def _guess(item: AttributeProto) -> int:
    """The kind of an attribute in files of the first version, which do not say it."""
    fields = ("f", "i", "s", "t", "g", "floats", "ints", "strings", "tensors", "graphs")
    return next((kind for kind, name in enumerate(fields, 1) if item.has(name)), 0)


def _text(value: Any) -> Any:
    """Bytes as text where they are text."""
    if not isinstance(value, bytes):
        return value
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value


def _array(attribute: str, value: Any, title: str) -> Any:
    import numpy as np

    kinds = {"float": np.float32, "int": np.int64, "string": object}
    kind = kinds.get(attribute.removeprefix("value_").removesuffix("s"))
    if kind is None:
        raise UnsupportedError(f"{title}: constant given as {attribute!r}")
    return np.array(value, kind)
