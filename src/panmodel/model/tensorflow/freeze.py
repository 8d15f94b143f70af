"""Freezing a TensorFlow graph: its variables become constants, and what its outputs do not need goes.

Names stay as they are, so that tensors are still found under them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from panmodel.dtypes import BOOL, FLOAT32, INT32, RESOURCE, UINT8, DType
from panmodel.errors import UnknownNameError, UnsupportedOperator, UnsupportedOperatorsError, UsageError
from panmodel.model.tensor import ArrayTensor, Tensor
from panmodel.model.tensorflow.graph import (
    FunctionCall,
    Signature,
    TensorFlowGraph,
    TensorFlowNode,
    proto_from_shape,
    proto_from_tensor,
    split_name,
    with_port,
)
from panmodel.model.tensorflow.signature import default_signature
from panmodel.model.tensorflow.variables import VARIABLE_OPS, Variables
from panmodel.wire.tensorflow_messages import AttrValue, FunctionDef, ListValue, NodeDef

#: What an operator on a variable's memory becomes on its value.
_BY_VALUE = {f"Ref{op}": op for op in ("Enter", "Exit", "Identity", "Merge", "NextIteration", "Select", "Switch")}

#: Operators that hand a resource on as it is; their `T` is what they hand on.
_HAND_ON = frozenset(["Identity", "Enter", "Exit", "Switch", "Merge", "NextIteration", "StopGradient"])

#: Operators that begin a branch or a loop; what is held there by a control input needs it.
_CONTROL_FLOW = frozenset(["Switch", "Merge", "Enter", "Exit", "LoopCond", "NextIteration"])

_CHANGES = ("Assign", "Scatter", "Apply", "SparseApply", "Resource", "CountUpTo", "DestroyTemporaryVariable")

_TRUTH_OPS = frozenset(
    ["Equal", "NotEqual", "Less", "LessEqual", "Greater", "GreaterEqual", "LogicalAnd", "LogicalOr", "LogicalNot",
     "All", "Any", "IsNan", "IsInf", "IsFinite"]
)  # fmt: skip
#: Output types that no attribute tells, of operators where a graph is often cut: what decodes files.
_DECODED = {"Mfcc": FLOAT32, "AudioSpectrogram": FLOAT32, "DecodeWav": FLOAT32, "DecodeGif": UINT8, "DecodeBmp": UINT8}


def freeze(
    graph: TensorFlowGraph, outputs: Sequence[str] | None = None, inputs: Sequence[str] | None = None
) -> TensorFlowGraph:
    """The graph that computes some outputs, with its variables as constants.

    Args:
        graph: The graph, with the tensors of its checkpoint; a graph without variables is only cut and pruned.
        outputs: Tensor or node names; found by themselves if left out.
        inputs: Tensors that shall be fed: the graph is cut there, and a placeholder takes their name (that of their
            node with the port, if the node is still needed for another output).

    Raises:
        UnknownNameError: An output, an input, or a variable in the checkpoint is not there.
        UnsupportedOperatorsError: Nodes that the outputs need change variables, or use them as no constant can be.
        UsageError: The type of an input that is cut out of the graph cannot be told, or there is no checkpoint.
    """
    if outputs is None:
        found, outputs = default_signature(graph)
        inputs = found if inputs is None else inputs
    outputs = [with_port(name) for name in outputs]
    cut = [with_port(name) for name in inputs or ()]
    needed = _needed(graph, outputs, cut)
    placed = _Placeholders(graph, cut, needed)
    freezer = _Freezer(graph, needed)
    made: list[NodeDef] = []
    for name, node in graph.nodes.items():
        made += placed.nodes.get(name, ())
        made += freezer.frozen(node) if name in needed else ()
    if freezer.refused:
        raise UnsupportedOperatorsError(freezer.refused, where=graph.where)
    if freezer.unknown is not None:
        raise freezer.unknown
    kept = {message.name for message in made}
    nodes = {message.name: TensorFlowNode(_rewired(message, placed.renamed, kept)) for message in made}
    fed = cut or [f"{node.name}:0" for node in nodes.values() if node.op == "Placeholder"]
    signature = Signature(
        {name.removesuffix(":0"): placed.renamed.get(name, name) for name in fed},
        {name.removesuffix(":0"): placed.renamed.get(name, name) for name in outputs},
    )
    functions = _used_functions(graph.functions, nodes.values())
    signatures = {"serving_default": signature}
    return TensorFlowGraph(nodes, functions, signatures=signatures, versions=graph.versions, where=graph.where)


def _needed(graph: TensorFlowGraph, outputs: list[str], cut: list[str]) -> set[str]:
    """Names of the nodes that the outputs need: for their values, and to be in the right branch or loop."""
    needed = graph.ancestors(outputs, cut)
    while True:
        holders = {holder for name in needed for holder in graph.nodes[name].controls if _holds(graph, holder)} - needed
        if not holders:
            return needed
        needed |= graph.ancestors(holders, cut)


def _holds(graph: TensorFlowGraph, name: str) -> bool:
    """Whether a control input from this node puts others into a branch or loop."""
    node = graph.node(name)
    while node.op == "Identity" and node.inputs:
        node = graph.node(node.inputs[0])
    return node.op in _CONTROL_FLOW


class _Placeholders:
    """The placeholders where a graph is cut.

    Attributes:
        nodes: Name of the node that made the tensor → the placeholders that stand for its outputs.
        renamed: Tensors that could not keep their name, and their new one.
    """

    def __init__(self, graph: TensorFlowGraph, cut: list[str], needed: set[str]) -> None:
        self.nodes: dict[str, list[NodeDef]] = {}
        self.renamed: dict[str, str] = {}
        for tensor in dict.fromkeys(cut):
            node, port = graph.node(tensor), split_name(tensor)[1]
            if node.op == "Placeholder":
                self.nodes[node.name] = [node.message]
                continue
            name = node.name
            if port or name in needed:
                name = f"{node.name}_{port}"
                while name in graph.nodes:
                    name += "_"
                self.renamed[tensor] = f"{name}:0"
            self.nodes.setdefault(node.name, []).append(_placeholder(name, node, port))


def _placeholder(name: str, node: TensorFlowNode, port: int) -> NodeDef:
    shapes = node.attributes.get("output_shapes") or node.attributes.get("_output_shapes") or []
    shape = shapes[port] if port < len(shapes) else None
    attributes = {
        "dtype": AttrValue(type=output_type(node, port).tensorflow),
        "shape": AttrValue(shape=proto_from_shape(shape)),
    }
    return NodeDef(name=name, op="Placeholder", attr=attributes)


def output_type(node: TensorFlowNode, port: int = 0) -> DType:
    """The element type of a node's output, as its attributes tell it.

    Args:
        node: The node.
        port: Which output.

    Raises:
        UsageError: They do not tell it.
    """
    attributes = node.attributes
    for key in ("output_types", "component_types", "Tout", "out_types"):
        types = attributes.get(key)
        listed = types[port] if isinstance(types, list) and port < len(types) else None
        if isinstance(listed, DType):
            return listed
    if node.op in _TRUTH_OPS:
        return BOOL
    if port and node.op in ("TopKV2", "TopK", "DecodeWav"):
        return INT32
    for key in ("dtype", "DstT", "out_type", "output_type", "T", "Tparams"):
        dtype = attributes.get(key)
        if isinstance(dtype, DType):
            return dtype
    if node.op in _DECODED:
        return _DECODED[node.op]
    message = f"the element type of {node.name}:{port} ({node.op}) cannot be told, so that no input can take its place"
    raise UsageError(message, hint="cut the graph one node later or earlier")


class _Freezer:
    """Turns the nodes of a graph into those of the frozen one."""

    def __init__(self, graph: TensorFlowGraph, needed: set[str]) -> None:
        self.graph = graph
        self.variables = Variables(graph)
        self.refused: list[UnsupportedOperator] = []
        self.unknown: UnknownNameError | None = None  # said only of a graph that could be frozen otherwise

    def frozen(self, node: TensorFlowNode) -> list[NodeDef]:
        """What a node becomes: one node of its name, and those that this one needs besides."""
        if node.op in VARIABLE_OPS:
            return self._value(node)
        if node.op in _BY_VALUE:
            return [node.message.replaced(op=_BY_VALUE[node.op])]
        if node.op in ("IsVariableInitialized", "VarIsInitializedOp"):
            return [_constant(node.name, _scalar(True))]
        resource = self._resource(node.inputs[0]) if node.inputs else None
        if resource is not None:
            return self._of_resource(node, resource)
        if node.op.startswith(_CHANGES):
            self.refused.append(UnsupportedOperator(node.op, node.name, "changes a variable, which a constant cannot"))
        elif any(self._resource(name) is not None for name in node.inputs):
            reason = "takes a variable itself rather than its value"
            self.refused.append(UnsupportedOperator(node.op, node.name, reason))
        return [node.message]

    def _value(self, node: TensorFlowNode) -> list[NodeDef]:
        try:
            return [_constant(node.name, self.variables.tensor(node))]
        except UnknownNameError as error:
            self.unknown = self.unknown or error
            return []

    def _resource(self, tensor: str) -> DType | None:
        """The element type of the variable that a tensor is the handle of; None for any other tensor."""
        seen: set[str] = set()
        while (name := split_name(tensor)[0]) not in seen:
            seen.add(name)
            node = self.graph.nodes.get(name)
            if node is None:  # cut off
                return None
            if node.op == "VarHandleOp":
                return node.required("dtype", DType)
            if node.op not in _HAND_ON or node.attributes.get("T") is not RESOURCE or not node.inputs:
                return None
            tensor = node.inputs[0]
        return None

    def _of_resource(self, node: TensorFlowNode, dtype: DType) -> list[NodeDef]:
        """A node that takes a handle of a variable, as one that takes its value."""
        message, attributes = node.message, node.message.attr
        kind = AttrValue(type=dtype.tensorflow)
        if node.op == "ReadVariableOp":
            return [message.replaced(op="Identity", attr={"T": kind})]
        if node.op in _HAND_ON:
            return [message.replaced(attr={**attributes, "T": kind})]
        if node.op == "VariableShape":
            return [message.replaced(op="Shape", attr={**_some(attributes, "out_type"), "T": kind})]
        if node.op == "ResourceGatherNd":
            return [message.replaced(op="GatherNd", attr={**_some(attributes, "Tindices"), "Tparams": kind})]
        if node.op == "ResourceGather":
            axis = _constant(f"{node.name}/axis", _scalar(0))
            types = {"Tparams": kind, "Taxis": AttrValue(type=INT32.tensorflow)}
            gather = message.replaced(
                op="GatherV2",
                input=[*node.inputs, axis.name, *(f"^{name}" for name in node.controls)],
                attr={**_some(attributes, "Tindices", "batch_dims"), **types},
            )
            return [axis, gather]
        self.refused.append(UnsupportedOperator(node.op, node.name, "uses a variable as no constant can be used"))
        return [message]


def _some(attributes: Mapping[str, AttrValue], *names: str) -> dict[str, AttrValue]:
    return {name: attributes[name] for name in names if name in attributes}


def _scalar(value: bool | int) -> Tensor:
    import numpy as np

    return ArrayTensor(np.array(value, np.bool_ if isinstance(value, bool) else np.int32))


def _constant(name: str, tensor: Tensor) -> NodeDef:
    proto = proto_from_tensor(tensor)
    return NodeDef(name=name, op="Const", attr={"dtype": AttrValue(type=proto.dtype), "value": AttrValue(tensor=proto)})


def _rewired(message: NodeDef, renamed: Mapping[str, str], kept: set[str]) -> NodeDef:
    """A node without what it no longer can refer to: control inputs and neighbours that went, and the device."""
    inputs = [
        name if name.startswith("^") else renamed.get(with_port(name), name)
        for name in message.input
        if not name.startswith("^") or name[1:] in kept
    ]
    if message.op == "Placeholder":
        inputs = []
    attributes = dict(message.attr)
    together = attributes.get("_class")
    if together is not None and together.list is not None:
        places = [place for place in together.list.s if place.removeprefix(b"loc:@").decode("utf-8", "replace") in kept]
        attributes["_class"] = AttrValue(list=ListValue(s=places))
        if not places:
            del attributes["_class"]
    return message.replaced(input=inputs or None, device=None, attr=attributes or None)


def _used_functions(functions: Mapping[str, FunctionDef], nodes: Iterable[TensorFlowNode]) -> dict[str, FunctionDef]:
    """The functions that nodes call, and those that these call."""
    if not functions:
        return {}
    used: set[str] = set()
    pending = [name for node in nodes for name in _called(node)]
    while pending:
        name = pending.pop()
        if name in functions and name not in used:
            used.add(name)
            pending += [called for message in functions[name].node_def for called in _called(TensorFlowNode(message))]
    return {name: function for name, function in functions.items() if name in used}


def _called(node: TensorFlowNode) -> Iterator[str]:
    yield node.op
    for value in node.attributes.values():
        for item in value if isinstance(value, list) else [value]:
            yield from _names(item)


def _names(value: Any) -> Iterator[str]:
    if isinstance(value, FunctionCall):
        yield value.name
        for inner in value.attributes.values():
            yield from _names(inner)
