"""ONNX models: where their external data lie, and operators that are more than arithmetic.

Source: https://onnx.ai/onnx/repo-docs/ExternalData.html and the security notes of the onnx package
"""

from __future__ import annotations

import os
from collections.abc import Iterator

from panmodel.io.source import MemorySource
from panmodel.model.finding import Level, Rule
from panmodel.model.scanner import Scanner, Subject, climbs_out
from panmodel.wire.onnx_messages import (
    EXTERNAL,
    AttributeProto,
    GraphProto,
    ModelProto,
    NodeProto,
    SparseTensorProto,
    TensorProto,
)
from panmodel.wire.protobuf import BYTES, decode, walk

ESCAPE = Rule(
    "PM-ONNX-EXTERNAL-ESCAPE",
    Level.DANGEROUS,
    "External data of the model lie outside of its folder: loading reads, and saving may write, a file of its choice.",
    "Do not load it.",
)
LINKED = Rule(
    "PM-ONNX-EXTERNAL-LINK",
    Level.DANGEROUS,
    "External data of the model are reached through a link, or lie in a file that has a second name elsewhere.",
    "Copy the data that are meant beside the model in place of the link.",
)
ABSENT = Rule(
    "PM-ONNX-EXTERNAL-MISSING",
    Level.UNDECIDED,
    "External data of the model are not beside it.",
    "Fetch the missing file and scan again.",
)
PYTHON = Rule(
    "PM-ONNX-PYTHON",
    Level.DANGEROUS,
    "A node calls a Python function of the process that runs the model.",
    "Do not run it outside of the training program that made it.",
)
CUSTOM = Rule(
    "PM-ONNX-CUSTOM-OP",
    Level.NOTE,
    "An operator outside of ONNX: running the model needs a native library, which is not in the file.",
    "Register only libraries that you trust.",
)
COMPILED = Rule(
    "PM-ONNX-COMPILED",
    Level.UNDECIDED,
    "A part of the model is compiled for one kind of processor, whose driver loads it; it is not looked into.",
    "It is as safe as who compiled it; ask for the model that it was compiled from.",
)
_DOMAINS = frozenset({"", "ai.onnx", "ai.onnx.ml", "ai.onnx.training", "ai.onnx.preview.training", "ai.onnx.preview"})
_DOMAINS |= {"com.microsoft", "com.microsoft.nchwc", "com.ms.internal.nhwc", "com.microsoft.experimental"}
_PYTHON = frozenset({"PythonOp", "PythonOpGrad", "PyOp", "PyCustomOp", "ATen", "ATenOp"})
#: The node of compiled parts, and its attribute that has them, or the name of the file that has them.
_COMPILED, _PLACE = "EPContext", "ep_cache_context"
_TRAINING_GRAPHS = (1, 2)
_DEPTH = 60


def recognises(subject: Subject) -> bool:
    """Whether it is a model with a graph that has nodes, inputs or weights, and says its version."""
    if not subject.source.size:
        return False
    model = decode(ModelProto, subject.source)
    if model.graph is None or not (model.ir_version or model.opset_import):
        return False
    graph = model.graph
    return bool(graph.node or graph.initializer or graph.input or graph.output)


def scan(subject: Subject) -> None:
    """Judge every node and every tensor, in subgraphs, functions and training graphs too."""
    model = decode(ModelProto, subject.source)
    assert model.graph is not None
    functions = {(function.domain, function.name) for function in model.functions}
    graphs = [model.graph, *_training_graphs(subject, model)]
    nodes: list[NodeProto] = []
    tensors: list[TensorProto] = []
    for graph in graphs:
        _collect(graph, nodes, tensors, 0)
    for function in model.functions:
        for node in function.node:
            _collect_node(node, nodes, tensors, 0)
    for node in nodes:
        _judge_node(subject, node, functions)
    _judge_external(subject, tensors)


def _training_graphs(subject: Subject, model: ModelProto) -> Iterator[GraphProto]:
    for data in model.training_info:
        source = MemorySource(data, subject.source.name)
        for tag, _, offset, size, _ in walk(source, (0, source.size, None)):
            if tag & 7 == BYTES and tag >> 3 in _TRAINING_GRAPHS:
                yield decode(GraphProto, source, offset, size)


def _collect(graph: GraphProto, nodes: list[NodeProto], tensors: list[TensorProto], depth: int) -> None:
    tensors.extend(graph.initializer)
    for sparse in graph.sparse_initializer:
        tensors.extend(_parts(sparse))
    for node in graph.node:
        _collect_node(node, nodes, tensors, depth)


def _parts(sparse: SparseTensorProto | None) -> list[TensorProto]:
    """Values and indices of a sparse tensor."""
    if sparse is None:
        return []
    return [tensor for tensor in (sparse.values, sparse.indices) if tensor is not None]


def _collect_node(node: NodeProto, nodes: list[NodeProto], tensors: list[TensorProto], depth: int) -> None:
    nodes.append(node)
    for attribute in node.attribute:
        tensors.extend(attribute.tensors)
        for sparse in (attribute.sparse_tensor, *attribute.sparse_tensors):
            tensors.extend(_parts(sparse))
        if attribute.t is not None:
            tensors.append(attribute.t)
        if depth < _DEPTH:
            for graph in _graphs(attribute):
                _collect(graph, nodes, tensors, depth + 1)


def _graphs(attribute: AttributeProto) -> list[GraphProto]:
    return [*([attribute.g] if attribute.g is not None else []), *attribute.graphs]


def _judge_node(subject: Subject, node: NodeProto, functions: set[tuple[str, str]]) -> None:
    named = f"{node.domain[:100]}::{node.op_type[:100]}, node {node.name[:200]!r}"
    if node.op_type in _PYTHON:  # a function of the same name in the model hides nothing: kernels come first
        subject.report(PYTHON, named)
    elif node.op_type == _COMPILED:
        subject.report(COMPILED, named)
        _judge_compiled(subject, node)
    elif node.domain not in _DOMAINS and (node.domain, node.op_type) not in functions:
        subject.report(CUSTOM, named)


def _judge_compiled(subject: Subject, node: NodeProto) -> None:
    """Judge the file of a compiled part; embedded in the model it is if `embed_mode` says so, or says nothing."""
    attributes = {attribute.name: attribute for attribute in node.attribute}
    mode, place = attributes.get("embed_mode"), attributes.get(_PLACE)
    if mode is None or mode.i == 1 or place is None:
        return
    name = place.s.decode("utf-8", "replace")
    said = f"node {node.name[:200]!r} lies in {name[:200]!r}"
    if climbs_out(name):
        subject.report(ESCAPE, said)
    elif subject.path is not None:
        _judge_file(subject, name, said)


def _judge_external(subject: Subject, tensors: list[TensorProto]) -> None:
    """Judge each file that external data are said to lie in, once."""
    places: dict[str, str] = {}
    for tensor in tensors:
        if tensor.data_location == EXTERNAL or tensor.external_data:
            for entry in tensor.external_data:
                if entry.key == "location":
                    places.setdefault(entry.value, tensor.name)
    for place, tensor_name in places.items():
        said = f"tensor {tensor_name[:200]!r} lies in {place[:200]!r}"
        if climbs_out(place):
            subject.report(ESCAPE, said)
        elif subject.path is not None:
            _judge_file(subject, place, said)


def _judge_file(subject: Subject, place: str, said: str) -> None:
    assert subject.path is not None
    path = subject.path.parent
    for part in place.split("/"):
        path = path / part
        if os.path.islink(path):
            subject.report(LINKED, f"{said}, which passes a link")
            return
    try:
        status = os.stat(path)
    except OSError:
        subject.report(ABSENT, said)
        return
    if status.st_nlink > 1:
        subject.report(LINKED, f"{said}, which has {status.st_nlink} names")
    subject.claimed.add(path)


SCANNER = Scanner("ONNX", recognises, scan, (ESCAPE, LINKED, ABSENT, PYTHON, CUSTOM, COMPILED))
