"""Whether the nodes of a graph are what ONNX's own declarations of operators say: operands, results, attributes.

A graph that comes from a file may give an attribute any type, and what comes after (passes, exporters that write an
attribute into source) relies on the declared one.

Source: https://onnx.ai/onnx/operators/
"""

from __future__ import annotations

from typing import Any

from panmodel.errors import CorruptError, UnsupportedOperator, UnsupportedOperatorsError
from panmodel.model.graph import Graph, Node
from panmodel.model.tensor import Tensor

#: Versions of ONNX's operators that can be asked for at all; files of newer ones are held against the newest known.
_VERSIONS = range(1, 1 << 16)


def check_operators(graph: Graph) -> None:
    """Hold every node of ONNX's own operators against its declaration, those of bodies too.

    Args:
        graph: The graph.

    Raises:
        CorruptError: A node has too many or too few operands or results, or an attribute that the operator does not
            have, or of another type; the message names the node.
        UnsupportedOperatorsError: Operators that ONNX does not have, all of them.
    """
    import onnx

    if graph.opset not in _VERSIONS:
        raise CorruptError(f"there is no version {graph.opset} of ONNX's operators")
    unknown: list[UnsupportedOperator] = []
    pending = [graph]
    while pending:
        for node in pending.pop().nodes:
            pending.extend(node.subgraphs())
            if node.domain:
                continue
            if onnx.defs.has(node.op, graph.opset, ""):
                _check(node, onnx.defs.get_schema(node.op, graph.opset, ""))
            else:
                reason = f"ONNX has no such operator at opset {graph.opset}"
                unknown.append(UnsupportedOperator(node.op, node.name, reason))
    if unknown:
        raise UnsupportedOperatorsError(unknown)


def _check(node: Node, schema: Any) -> None:
    counts = (
        ("operands", len(node.inputs), schema.min_input, schema.max_input),
        ("results", len(node.outputs), schema.min_output, schema.max_output),
    )
    for what, count, least, most in counts:
        if not least <= count <= most:
            raise CorruptError(
                f"{node.op} with {count} {what}, expected {least} to {most}", where=f"node {node.name!r}"
            )
    declared = schema.attributes
    missing = [name for name, attribute in declared.items() if attribute.required and name not in node.attributes]
    if missing:
        raise CorruptError(f"{node.op} without its attribute {missing[0]!r}", where=f"node {node.name!r}")
    for name, value in node.attributes.items():
        if name not in declared:
            raise CorruptError(f"{node.op} has no attribute {name[:200]!r}", where=f"node {node.name!r}")
        kind = declared[name].type.name
        if not _is_of(value, kind):
            found = f"{type(value).__name__}, expected {kind.lower()}"
            raise CorruptError(f"the attribute {name!r} of {node.op} is {found}", where=f"node {node.name!r}")


def _is_of(value: object, kind: str) -> bool:
    """Whether an attribute's value is of a declared type (the name of an AttributeProto.AttributeType)."""
    if isinstance(value, tuple):
        return kind.endswith("S") and all(_is_of(element, kind.removesuffix("S")) for element in value)
    import numpy as np

    types: dict[str, tuple[type, ...]] = {
        "FLOAT": (int, float, np.integer, np.floating),
        "INT": (int, np.integer),
        "STRING": (str, bytes),
        "TENSOR": (Tensor,),
        "GRAPH": (Graph,),
    }
    return isinstance(value, types.get(kind, ()))
