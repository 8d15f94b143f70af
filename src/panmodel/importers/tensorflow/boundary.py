"""Where a TensorFlow graph is cut: names of tensors as a user gives them, types and shapes of what is fed there."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any

from panmodel.dtypes import BOOL, DType
from panmodel.errors import CorruptError, UnknownNameError, UnsupportedError, UsageError
from panmodel.model.builder import Builder
from panmodel.model.graph import Value
from panmodel.model.symbolic import Dim, Shape
from panmodel.model.tensorflow.graph import TensorFlowGraph, TensorFlowNode, split_name

#: Attributes that hold the type of an output, in the order in which they are asked; lists have one type per output.
_TYPES = ("dtype", "DstT", "out_type", "output_type", "output_types", "component_types", "Tparams", "Tout", "T")
#: Attributes that hold the shape of an output.
_SHAPES = ("_output_shapes", "output_shapes", "shapes")
#: Operators whose `shape` is that of their output.
_SHAPED = re.compile(r"Placeholder\w*|Variable(V2)?|ImmutableConst|ParallelConcat|_Arg")
#: Operators that give truth values whatever their T is.
_BOOLEAN = re.compile(r"(Not)?Equal|(Less|Greater)(Equal)?|Logical\w+|Is(Nan|Inf|Finite)|All|Any|InTopK(V2)?")
#: The last version of graphs in which a placeholder without a shape had that of a scalar.
_SHAPELESS_PRODUCER = 21


def tensor_names(graph: TensorFlowGraph, names: Iterable[str], kind: str) -> list[str]:
    """Names of tensors as a user gives them, each with its port.

    Args:
        graph: The graph.
        names: "x" or "x:0".
        kind: What they are to be, for the message: "input", "output".

    Raises:
        UnknownNameError: The graph has no such node; the message says the nearest names.
    """
    found = []
    for name in names:
        node, port = _split(name, graph)
        if node not in graph.nodes:
            suffix = f":{port}" if ":" in name else ""
            raise UnknownNameError(kind, name, [f"{known}{suffix}" for known in graph.nodes], where=graph.where)
        found.append(f"{node}:{port}")
    return found


def _split(name: str, graph: TensorFlowGraph) -> tuple[str, int]:
    try:
        return split_name(name)
    except CorruptError as error:  # a name of the user's, not of the file's
        raise UsageError(error.message, where=graph.where) from None


def feed(graph: TensorFlowGraph, build: Builder, tensor: str) -> Value:
    """Declare a tensor of the source graph as an input, with the type and shape that the graph says it has.

    Raises:
        UnsupportedError: The graph does not say of which type it is.
    """
    name, port = split_name(tensor)
    node = graph.nodes[name]
    dtype = _dtype(node, port) or _dtype_by_use(graph, tensor)
    if dtype is None:
        raise UnsupportedError(
            f"the graph does not say of which type the tensor {tensor!r} is",
            where=graph.where,
            hint="cut at another tensor: before this node, or after the next",
        )
    return build.input(tensor, dtype, _symbolic(_shape(graph, node, port), tensor, is_first=not build.inputs))


def _dtype(node: TensorFlowNode, port: int) -> DType | None:
    if _BOOLEAN.fullmatch(node.op):
        return BOOL
    for attribute in _TYPES:
        found = _of_port(node.attributes.get(attribute), port)
        if isinstance(found, DType):
            return found
    return None


def _dtype_by_use(graph: TensorFlowGraph, tensor: str) -> DType | None:
    """The type as which another node takes the tensor, where it is that node's first operand."""
    for node in graph.nodes.values():
        if node.inputs[:1] == (tensor,) and isinstance(found := node.attributes.get("T"), DType):
            return found
    return None


def _shape(graph: TensorFlowGraph, node: TensorFlowNode, port: int) -> Sequence[int | None] | None:
    for attribute in _SHAPES:
        listed = node.attributes.get(attribute)
        found = _of_port(listed, port) if isinstance(listed, list) else None
        if isinstance(found, tuple):
            return found
    shape = node.attributes.get("shape") if _SHAPED.fullmatch(node.op) else None
    if not isinstance(shape, tuple):
        return None
    is_unknown = not shape and node.op.startswith("Placeholder") and graph.versions.producer <= _SHAPELESS_PRODUCER
    return None if is_unknown else shape


def _of_port(value: Any, port: int) -> Any:
    """An attribute, or the element for a port of one that is a list."""
    if isinstance(value, list):
        return value[port] if port < len(value) else None
    return value


def _symbolic(shape: Sequence[int | None] | None, tensor: str, *, is_first: bool) -> Shape:
    """The shape with a symbol for each unknown size: `batch` is the first input's first."""
    if shape is None:
        return None
    stem = re.sub(r"\W", "_", split_name(tensor)[0].rpartition("/")[2])
    names = ["batch" if is_first and axis == 0 else f"{stem}_{axis}" for axis in range(len(shape))]
    return tuple(Dim.symbol(name) if size is None else size for name, size in zip(names, shape, strict=True))
