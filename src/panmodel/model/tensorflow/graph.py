"""TensorFlow's own graph dialect: nodes, functions, variables, signatures, as a GraphDef or MetaGraphDef has them.

Nothing is converted here: a node keeps its message, and its attributes are decoded when asked for.

Source: tensorflow/core/framework/{graph,node_def,attr_value,function}.proto, tensorflow/core/protobuf/meta_graph.proto
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from panmodel.errors import CorruptError, LimitError, UnknownNameError
from panmodel.io.source import Location, Source
from panmodel.limits import DEFAULT
from panmodel.model.tensor import Tensor
from panmodel.model.tensorflow.node import AttributeReference, FunctionCall, TensorFlowNode, split_name, with_port
from panmodel.model.tensorflow.tensor import (
    dtype_from_proto,
    proto_from_shape,
    proto_from_tensor,
    shape_from_proto,
    tensor_from_proto,
)
from panmodel.wire.protobuf import decode_bytes
from panmodel.wire.prototext import decode_either
from panmodel.wire.tensorflow_messages import (
    CollectionDef,
    FunctionDef,
    FunctionDefLibrary,
    GraphDef,
    MetaGraphDef,
    SaveSliceInfoDef,
    SignatureDef,
    TensorInfo,
    VariableDef,
    VersionDef,
)

__all__ = [
    "AttributeReference",
    "FunctionCall",
    "Signature",
    "TensorFlowGraph",
    "TensorFlowNode",
    "Versions",
    "dtype_from_proto",
    "graph_from_proto",
    "meta_graph",
    "meta_graph_from_proto",
    "proto_from_graph",
    "proto_from_shape",
    "proto_from_tensor",
    "shape_from_proto",
    "split_name",
    "tensor_from_proto",
    "with_port",
]

#: Collections that hold variables, as VariableDef messages.
_VARIABLE_COLLECTIONS = ("variables", "trainable_variables", "model_variables", "moving_average_variables",
                         "local_variables", "global_step")  # fmt: skip


@dataclass(frozen=True)
class Signature:
    """One way to call a graph.

    Attributes:
        inputs: Name of an argument → name of its tensor, "node:port".
        outputs: Name of a result → name of its tensor.
        method: What it does, in TensorFlow's words ("tensorflow/serving/predict").
    """

    inputs: Mapping[str, str]
    outputs: Mapping[str, str]
    method: str = ""


@dataclass(frozen=True)
class Versions:
    """Which graph version wrote a graph, and the oldest that can read it."""

    producer: int = 0
    min_consumer: int = 0


@dataclass
class TensorFlowGraph:
    """A TensorFlow graph.

    Attributes:
        nodes: Node name → node, in the order of the file.
        functions: Function name → its FunctionDef message.
        variables: Name in the checkpoint → tensor; empty for a frozen graph.
        signatures: Signature name → signature.
        collections: Collection name → names of variables ("variables", "trainable_variables") or of tensors and nodes.
        slices: Name of a part of a partitioned variable → which part of what it is, as the collections say.
        versions: Which TensorFlow graph version wrote it.
        where: The file, for messages.
    """

    dialect: ClassVar[str] = "tensorflow"

    nodes: dict[str, TensorFlowNode] = field(default_factory=dict)
    functions: Mapping[str, FunctionDef] = field(default_factory=dict)
    variables: Mapping[str, Tensor] = field(default_factory=dict)
    signatures: Mapping[str, Signature] = field(default_factory=dict)
    collections: Mapping[str, list[str]] = field(default_factory=dict)
    slices: Mapping[str, SaveSliceInfoDef] = field(default_factory=dict)
    versions: Versions = field(default_factory=Versions)
    where: str = ""

    def node(self, name: str) -> TensorFlowNode:
        """The node of that name, or the one that makes the tensor of that name ("node:port").

        Raises:
            UnknownNameError: There is none.
        """
        found = self.nodes.get(name) or self.nodes.get(split_name(name)[0])
        if found is None:
            raise UnknownNameError("node", split_name(name)[0], self.nodes, where=self.where)
        return found

    def consumers(self) -> dict[str, list[TensorFlowNode]]:
        """Tensor name → the nodes that take it, in the order of the file."""
        found: dict[str, list[TensorFlowNode]] = {}
        for node in self.nodes.values():
            for name in dict.fromkeys(node.inputs):
                found.setdefault(name, []).append(node)
        return found

    def ancestors(self, outputs: Iterable[str], stops: Iterable[str] = (), *, controls: bool = False) -> set[str]:
        """Names of the nodes that must run for these tensors or nodes, they themselves included.

        Args:
            outputs: Tensor or node names.
            stops: Tensors that are given from outside: what makes them is not needed for their sake.
            controls: Follow control inputs too.

        Raises:
            UnknownNameError: An output is not there.
            CorruptError: A node takes the output of one that is not there.
        """
        cut = {with_port(name) for name in stops}
        start = [with_port(name) for name in outputs]
        found = {self.node(name).name for name in start if name not in cut}
        pending = list(found)
        while pending:
            node = self.nodes[pending.pop()]
            needed = [split_name(name)[0] for name in node.inputs if name not in cut]
            needed += node.controls if controls else ()
            for name in needed:
                if name in found:
                    continue
                if name not in self.nodes:
                    raise CorruptError(f"node {node.name!r} takes {name!r}, which is not there", where=self.where)
                found.add(name)
                pending.append(name)
        return found

    def ordered(self, outputs: Iterable[str], stops: Iterable[str] = ()) -> list[TensorFlowNode]:
        """The nodes of `ancestors`, each after those that it takes its inputs from.

        The back edge of a `while` loop, which leads out of a NextIteration node, does not count.

        Raises:
            UnknownNameError: An output is not there.
            CorruptError: The graph has another cycle, or a node takes the output of one that is not there.
        """
        outputs, cut = list(outputs), {with_port(name) for name in stops}
        needed = self.ancestors(outputs, cut)
        done: dict[str, bool] = {}  # False while its inputs are being placed
        order: list[TensorFlowNode] = []
        for start in (name for name in self.nodes if name in needed):
            pending = [start]
            while pending:
                name = pending[-1]
                if name not in done:
                    done[name] = False
                    pending += self._waiting(name, cut, done)
                else:
                    pending.pop()
                    if not done[name]:
                        done[name] = True
                        order.append(self.nodes[name])
        return order

    def _waiting(self, name: str, cut: set[str], done: Mapping[str, bool]) -> list[str]:
        """The nodes that must be placed before this one and are not yet."""
        waiting = []
        for source in (split_name(tensor)[0] for tensor in self.nodes[name].inputs if tensor not in cut):
            if self.nodes[source].op in ("NextIteration", "RefNextIteration") or done.get(source):
                continue
            if source in done:
                raise CorruptError(f"nodes {name!r} and {source!r} need each other", where=self.where)
            waiting.append(source)
        return waiting


def graph_from_proto(proto: GraphDef, where: str = "") -> TensorFlowGraph:
    """The graph of a GraphDef.

    Args:
        proto: The message.
        where: The file that it comes from.

    Raises:
        CorruptError: A node or function without a name, or two of the same name.
        LimitError: More nodes than the limit.
    """
    if len(proto.node) > DEFAULT.nodes:
        raise LimitError(f"{len(proto.node)} nodes exceed {DEFAULT.nodes}", where=where)
    nodes: dict[str, TensorFlowNode] = {}
    for message in proto.node:
        node = TensorFlowNode(message)
        if not node.name or not node.op or node.name in nodes:
            fault = "is there twice" if node.name in nodes else "has no name or no operator"
            raise CorruptError(f"node {node.name!r} ({node.op}) {fault}", where=where)
        nodes[node.name] = node
    functions: dict[str, FunctionDef] = {}
    for function in proto.library.function if proto.library else ():
        name = function.signature.name if function.signature else ""
        if not name or name in functions:
            raise CorruptError(f"function {name!r} {'is there twice' if name else 'has no name'}", where=where)
        functions[name] = function
    given = proto.versions or VersionDef(producer=proto.version)
    versions = Versions(given.producer, given.min_consumer)
    return TensorFlowGraph(nodes, functions, versions=versions, where=where)


def proto_from_graph(graph: TensorFlowGraph) -> GraphDef:
    """The GraphDef of a graph, without its variables, signatures and collections, which a GraphDef has no place for."""
    proto = GraphDef(node=[node.message for node in graph.nodes.values()])
    known = {name: number for name, number in vars(graph.versions).items() if number}
    if known:
        proto.versions = VersionDef(**known)
    if graph.functions:
        proto.library = FunctionDefLibrary(function=list(graph.functions.values()))
    return proto


def meta_graph(source: Source | Location) -> tuple[TensorFlowGraph, dict[str, Any]]:
    """Read a MetaGraphDef (`.meta`), binary or text.

    Args:
        source: The file.

    Returns:
        The graph without variables, and what the file says about itself: `tensorflow_version`, `tags`, `signatures`.

    Raises:
        CorruptError: It is no MetaGraphDef.
    """
    opened = source.open() if isinstance(source, Location) else source
    return meta_graph_from_proto(decode_either(MetaGraphDef, opened), opened.name)


def meta_graph_from_proto(proto: MetaGraphDef, where: str = "") -> tuple[TensorFlowGraph, dict[str, Any]]:
    """The graph of a MetaGraphDef message; see `meta_graph`."""
    if proto.graph_def is None:
        raise CorruptError("a meta graph without a graph", where=where)
    graph = graph_from_proto(proto.graph_def, where)
    graph.signatures = {name: _signature(signature) for name, signature in proto.signature_def.items()}
    collections: dict[str, list[str]] = {}
    slices: dict[str, SaveSliceInfoDef] = {}
    for name, collection in proto.collection_def.items():
        if name in _VARIABLE_COLLECTIONS and collection.bytes_list is not None:
            variables = [decode_bytes(VariableDef, data, where) for data in collection.bytes_list.value]
            collections[name] = [_without_port(variable.variable_name) for variable in variables]
            slices |= {
                _without_port(variable.variable_name): variable.save_slice_info_def
                for variable in variables
                if variable.save_slice_info_def is not None
            }
        elif (names := _node_list(collection)) is not None:
            collections[name] = names
    graph.collections, graph.slices = collections, slices
    info = proto.meta_info_def
    metadata: dict[str, Any] = {"framework": "tensorflow"}
    if info is not None:
        metadata |= {"tensorflow_version": info.tensorflow_version, "tags": list(info.tags)}
    if graph.signatures:
        metadata["signatures"] = {
            name: {"inputs": dict(sig.inputs), "outputs": dict(sig.outputs), "method": sig.method}
            for name, sig in graph.signatures.items()
        }
    metadata["producer"] = graph.versions.producer
    return graph, metadata


def _signature(proto: SignatureDef) -> Signature:
    return Signature(_tensor_names(proto.inputs), _tensor_names(proto.outputs), proto.method_name)


def _tensor_names(infos: Mapping[str, TensorInfo]) -> dict[str, str]:
    names = {key: info.name for key, info in infos.items()}
    return {key: with_port(name) for key, name in names.items() if name}  # sparse tensors have no single name


def _node_list(collection: CollectionDef) -> list[str] | None:
    return list(collection.node_list.value) if collection.node_list is not None else None


def _without_port(name: str) -> str:
    return name.removesuffix(":0")
