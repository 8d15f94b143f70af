"""TensorFlow graph: a GraphDef on its own, binary or text, usually frozen.

Source: https://github.com/tensorflow/tensorflow/blob/master/tensorflow/core/framework/graph.proto
"""

from __future__ import annotations

import re
from itertools import islice
from typing import TYPE_CHECKING, Any

from panmodel.dtypes import INT32, INT64
from panmodel.errors import CorruptError, PanmodelError, UnsupportedError, UsageError
from panmodel.io.sink import Sink
from panmodel.io.source import Location, Source
from panmodel.model.format import Format, Holds
from panmodel.model.model import Model
from panmodel.model.tensor import Tensor
from panmodel.wire.protobuf import BYTES, VARINT, decode, encode, encoded_size, walk

if TYPE_CHECKING:
    from panmodel.model.tensorflow.graph import TensorFlowGraph


_MOST_BYTES = (1 << 31) - 1  # no protobuf implementation reads a longer message

_TOP_LEVEL = {1: BYTES, 2: BYTES, 3: VARINT, 4: BYTES}
_NODE_FIELDS = range(1, 9)
_NODE_NAME = re.compile(r"[A-Za-z0-9._][A-Za-z0-9_.\\/>-]*")
_OPERATOR = re.compile(r"[A-Za-z_][A-Za-z0-9_>.]*")
_TEXT = re.compile(rb"(\s|#[^\n]*+)*+(node|library|versions)\s*:?\s*[{<].*?\bop\s*:\s*[\"']", re.DOTALL)


def sniff(location: Location) -> bool:
    """Whether the file begins with a few nodes that have a name and an operator, in either form."""
    head = location.head(4096)
    if not head:
        return False
    if _TEXT.match(head):
        return True
    try:
        return _begins_with_nodes(location.open())
    except PanmodelError:
        return False


def _begins_with_nodes(source: Source) -> bool:
    nodes = 0
    for tag, _, offset, size, _ in islice(walk(source, (0, source.size, None)), 3):
        if _TOP_LEVEL.get(tag >> 3) != tag & 7:
            return False
        if tag >> 3 == 1:
            if not _is_node(source, offset, size):
                return False
            nodes += 1
    return nodes > 0


def _is_node(source: Source, offset: int, size: int) -> bool:
    from panmodel.wire.tensorflow_messages import NodeDef

    if any(tag >> 3 not in _NODE_FIELDS for tag, *_ in islice(walk(source, (offset, size, None)), 100)):
        return False
    node = decode(NodeDef, source, offset, size)
    return _NODE_NAME.fullmatch(node.name) is not None and _OPERATOR.fullmatch(node.op) is not None


def read(location: Location) -> Model:
    """Open a graph: costs its structure; the values of constants stay in the file.

    Args:
        location: The file, binary or text.

    Raises:
        CorruptError: It is no GraphDef, or one that contradicts itself.
        LimitError: Text of more than the limit.
    """
    from panmodel.model.tensorflow.graph import graph_from_proto
    from panmodel.wire.prototext import decode_either
    from panmodel.wire.tensorflow_messages import GraphDef

    source = location.open()
    graph = graph_from_proto(decode_either(GraphDef, source), source.name)
    if not graph.nodes:
        raise CorruptError("a graph without nodes", where=source.name)
    metadata: dict[str, Any] = {"framework": "tensorflow"}
    if graph.versions.producer:
        metadata["producer"] = graph.versions.producer
    return Model(FORMAT.name, program=graph, tensors=_constants(graph), metadata=metadata, source=str(location))


def _constants(graph: TensorFlowGraph) -> dict[str, Tensor]:
    """The constants that are weights: numbers, and more than one, that no operator takes as its setting.

    Settings (shapes, axes, permutations) are 32- or 64-bit integers and never an operator's first input.
    """
    first = {node.inputs[0] for node in graph.nodes.values() if node.inputs}
    taken = {name for node in graph.nodes.values() for name in node.inputs}
    found = {}
    for node in graph.nodes.values():
        if node.op != "Const":
            continue
        value, tensor = node.required("value", Tensor), f"{node.name}:0"
        is_setting = value.dtype in (INT32, INT64) and tensor in taken and tensor not in first
        if value.dtype.bits and value.size > 1 and not is_setting:
            found[node.name] = value
    return found


def write(model: Model, sink: Sink) -> None:
    """Write the model's graph, with its variables as constants.

    Raises:
        UsageError: The model has no TensorFlow graph.
        UnsupportedError: It is larger than a protocol buffer can be.
    """
    from panmodel.model.tensorflow.graph import TensorFlowGraph, proto_from_graph

    graph = model.program
    if not isinstance(graph, TensorFlowGraph):
        raise UsageError("only a model with a TensorFlow graph can be written as one", where=model.source)
    if sink.target.suffix.lower() == ".pbtxt":
        raise UnsupportedError("the text form is read, not written", where=str(sink.target), hint="name it .pb")
    proto = proto_from_graph(_frozen(graph))
    size = encoded_size(proto)
    if size > _MOST_BYTES:
        hint = "write a format that keeps weights beside the graph, such as ONNX"
        raise UnsupportedError(f"a graph of {size} bytes is longer than a protocol buffer can be", hint=hint)
    sink.open().write_all(encode(proto))


def _frozen(graph: TensorFlowGraph) -> TensorFlowGraph:
    from panmodel.model.tensorflow.freeze import freeze
    from panmodel.model.tensorflow.variables import VARIABLE_OPS

    return freeze(graph) if any(node.op in VARIABLE_OPS for node in graph.nodes.values()) else graph


FORMAT = Format(
    name="tensorflow_graph",
    summary="TensorFlow graph (GraphDef), frozen: .pb, or its text form",
    extensions=(".pb", ".pbtxt"),
    spec="https://github.com/tensorflow/tensorflow/blob/master/tensorflow/core/framework/graph.proto",
    holds=Holds.WEIGHTS | Holds.GRAPH,
    sniff=sniff,
    read=read,
    write=write,
    dialect="tensorflow",
)
