"""The hub graph → ONNX's ModelProto, in which the weights are still lazy tensors.

Source: https://onnx.ai/onnx/repo-docs/IR.html and https://onnx.ai/onnx/repo-docs/Versioning.html
"""

from __future__ import annotations

import bisect
import math
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from panmodel.errors import UnsupportedError, UsageError
from panmodel.model.graph import Graph, Node, Remarks, Value
from panmodel.model.onnx.tensor import proto_from_tensor
from panmodel.model.tensor import Tensor
from panmodel.wire import onnx_messages as wire
from panmodel.wire.onnx_messages import (
    AttributeProto,
    Dimension,
    GraphProto,
    ModelProto,
    NodeProto,
    OperatorSetIdProto,
    TensorProto,
    TensorShapeProto,
    TensorTypeProto,
    TypeProto,
    ValueInfoProto,
)

#: The first opset of each version of the file format; before 4 every initializer had to be an input too.
_IR_VERSIONS = ((1, 4), (10, 5), (11, 6), (12, 7), (15, 8), (19, 9), (21, 10), (23, 11), (24, 12), (25, 13), (28, 14))

NEWEST_IR_VERSION = _IR_VERSIONS[-1][1]


def ir_version(opset: int) -> int:
    """The version of the file format that goes with a version of the operators."""
    return _IR_VERSIONS[bisect.bisect_right(_IR_VERSIONS, (opset, 99)) - 1][1]


def encode_graph(graph: Graph) -> tuple[ModelProto, list[tuple[TensorProto, Tensor]]]:
    """The message of a graph.

    Returns:
        The model, without producer, and each of its initializers with the tensor that its bytes come from.

    Raises:
        UsageError: Two inputs, or an input and an output of different content, have one name.
        UnsupportedError: An input of unknown type, or elements of a type that ONNX does not have.
    """
    encoder = _Encoder(graph)
    proto = encoder.main()
    domains = {"": graph.opset} | dict.fromkeys(sorted(encoder.domains), 1) | dict(graph.opsets)
    model = ModelProto(
        ir_version=ir_version(graph.opset),
        graph=proto,
        opset_import=[OperatorSetIdProto(domain=domain, version=version) for domain, version in domains.items()],
    )
    return model, encoder.weights


M = TypeVar("M", GraphProto, NodeProto, TensorProto, ValueInfoProto)


class _Encoder:
    """Names the values of one model and puts its graphs down.

    A name is used once in the whole file, subgraphs included, since these see the names around them.
    """

    def __init__(self, graph: Graph) -> None:
        self.domains: set[str] = set()
        self.weights: list[tuple[TensorProto, Tensor]] = []
        self._graph = graph
        self._names: dict[Value, str] = {}
        self._taken: dict[str, int] = dict.fromkeys(graph.outputs, 0)
        self._node_names: dict[str, int] = {}

    def main(self) -> GraphProto:
        """The outermost graph, which has the initializers of all."""
        graph = self._graph
        names = [value.name for value in graph.inputs]
        if len(set(names)) < len(names):
            raise UsageError(f"two inputs have the same name, of {names}")
        for value in graph.inputs:
            self._names[value] = value.name
            self._taken.setdefault(value.name, 0)
        copies = self._claim_outputs(graph)
        for value in graph.initializers():
            self._name(value)
        proto = self._nodes(graph, copies)
        for value in graph.initializers():
            assert value.tensor is not None
            message = _remarked(proto_from_tensor(value.tensor, self._names[value]), value.remarks)
            self.weights.append((message, value.tensor))
        proto.initializer = [message for message, _ in self.weights]
        proto.input = [self._info(value, self._names[value]) for value in graph.inputs]
        for value in graph.inputs:
            if value.dtype is None:
                raise UnsupportedError(f"input {value.name!r} has no known element type")
        proto.output = [self._info(value, name) for name, value in graph.outputs.items()]
        return proto

    def _claim_outputs(self, graph: Graph) -> list[tuple[str, Value]]:
        """Give the graph's outputs their exact names; what has another name already is copied."""
        own = {value for node in graph.nodes for value in node.outputs}
        copies = []
        for name, value in graph.outputs.items():
            if value in own and value not in self._names:
                self._names[value] = name
            elif self._names.get(value) != name:
                copies.append((name, value))
        inputs = {self._names[value]: value for value in graph.inputs}
        for name, value in graph.outputs.items():
            if name in inputs and inputs[name] is not value:
                raise UsageError(f"an output cannot be named {name!r} as an input is", hint="name another output")
        return copies

    def _body(self, graph: Graph) -> GraphProto:
        """A subgraph; its outputs count by their places, so that they may be renamed."""
        for value in graph.inputs:
            self._name(value)
        own = {value for node in graph.nodes for value in node.outputs}
        outputs: list[tuple[str, Value]] = []
        copies: list[tuple[str, Value]] = []
        for value in graph.outputs.values():
            if value in own and not any(value is other for _, other in outputs):
                outputs.append((self._name(value), value))
            else:
                outputs.append((self._unique(f"{value.name}_out"), value))
                copies.append(outputs[-1])
        proto = self._nodes(graph, copies)
        proto.input = [self._info(value, self._names[value]) for value in graph.inputs]
        proto.output = [self._info(value, name) for name, value in outputs]
        return proto

    def _nodes(self, graph: Graph, copies: Sequence[tuple[str, Value]]) -> GraphProto:
        uses = graph.uses()
        nodes = [self._node(node, uses) for node in graph.nodes]
        nodes += [
            NodeProto(op_type="Identity", name=self._node_name(name), input=[self._names[value]], output=[name])
            for name, value in copies
        ]
        outputs = set(graph.outputs.values())
        infos = [
            self._info(value, self._names[value])
            for node in graph.nodes
            for value in node.outputs
            if value.dtype is not None and value.dtype.onnx and value.shape is not None and value in self._names
            if value not in outputs
        ]
        proto = _remarked(GraphProto(node=nodes, name=graph.name or "graph"), graph.remarks)
        if infos:
            proto.value_info = infos
        return proto

    def _node(self, node: Node, uses: Mapping[Value, Any]) -> NodeProto:
        proto = NodeProto(
            input=["" if value is None else self._names[value] for value in node.inputs],
            output=["" if not value.name and value not in uses else self._name(value) for value in node.outputs],
            name=self._node_name(node.name or node.op),
            op_type=node.op,
        )
        if node.domain:
            proto.domain = node.domain
            self.domains.add(node.domain)
        attributes = [self._attribute(name, value, node) for name, value in node.attributes.items()]
        if attributes:
            proto.attribute = attributes
        return _remarked(proto, node.remarks)

    def _attribute(self, name: str, value: Any, node: Node) -> AttributeProto:
        if isinstance(value, Graph):
            return AttributeProto(name=name, g=self._body(value), type=wire.GRAPH)
        if isinstance(value, Tensor):
            return AttributeProto(name=name, t=proto_from_tensor(value), type=wire.TENSOR)
        if not isinstance(value, (tuple, list)):
            kind, field, plain = _scalar(value, name, node)
            return AttributeProto(**{"name": name, field: plain, "type": kind})
        if not value:
            return AttributeProto(name=name, type=_empty_kind(node, name, self._graph.opset))
        if isinstance(value[0], Tensor):
            return AttributeProto(name=name, tensors=[proto_from_tensor(item) for item in value], type=wire.TENSORS)
        found = [_scalar(item, name, node) for item in value]
        kind = wire.FLOAT if wire.FLOAT in {kind for kind, _, _ in found} else found[0][0]
        field = {wire.FLOAT: "floats", wire.INT: "ints", wire.STRING: "strings"}[kind]
        plain = [float(item) if kind == wire.FLOAT else item for _, _, item in found]
        return AttributeProto(**{"name": name, field: plain, "type": kind + wire.FLOATS - wire.FLOAT})

    def _info(self, value: Value, name: str) -> ValueInfoProto:
        proto = _remarked(ValueInfoProto(name=name), value.remarks)
        if value.dtype is None or value.dtype.onnx is None:
            return proto
        tensor = TensorTypeProto(elem_type=value.dtype.onnx)
        if value.shape is not None:
            sizes = [
                Dimension(dim_value=size) if isinstance(size, int) else Dimension(dim_param=str(size))
                for size in value.shape
            ]
            tensor.shape = TensorShapeProto(dim=sizes)
        proto.type = TypeProto(tensor_type=tensor)
        return proto

    # Names

    def _name(self, value: Value) -> str:
        if value not in self._names:
            self._names[value] = self._unique(value.name or "value")
        return self._names[value]

    def _unique(self, name: str) -> str:
        return _free(name, self._taken)

    def _node_name(self, name: str) -> str:
        return _free(name, self._node_names)


def _remarked(message: M, remarks: Remarks | None) -> M:
    if remarks is not None and remarks.text:
        message.doc_string = remarks.text
    if remarks is not None and remarks.properties:
        message.metadata_props = remarks.properties
    return message


def _free(name: str, taken: dict[str, int]) -> str:
    """The name, or the name and a number, that is not taken; it is from now on."""
    candidate, number = name, taken.get(name, 0)
    while candidate in taken:
        number += 1
        candidate = f"{name}_{number}"
    taken[name] = number  # so that the next of the same name need not try them all
    taken.setdefault(candidate, 0)
    return candidate


def _scalar(value: Any, name: str, node: Node) -> tuple[int, str, Any]:
    """Kind, field and plain value of one attribute value."""
    if hasattr(value, "item"):
        value = value.item()
    if isinstance(value, int):  # bool too
        return wire.INT, "i", int(value)
    if isinstance(value, float):
        # what exceeds float32 is infinite there
        return wire.FLOAT, "f", value if abs(value) <= _LARGEST or math.isnan(value) else math.copysign(math.inf, value)
    if isinstance(value, (str, bytes)):
        return wire.STRING, "s", value.encode() if isinstance(value, str) else value
    kind = type(value).__name__
    raise UnsupportedError(f"attribute {name!r} of node {node.name!r} ({node.op}): ONNX has none of type {kind}")


_LARGEST = (2 - 2**-23) * 2.0**127


def _empty_kind(node: Node, name: str, opset: int) -> int:
    """The kind of an empty list, which only the operator's schema tells."""
    import onnx

    if node.domain or not onnx.defs.has(node.op, opset):
        return wire.INTS
    declared = onnx.defs.get_schema(node.op, opset).attributes.get(name)
    return int(declared.type.value) if declared is not None else wire.INTS
