"""Nodes that compute the same from the same are one node."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Any

from panmodel.model.graph import Graph, Node, Value
from panmodel.model.tensor import Tensor
from panmodel.passes.rewrite import ANY, Operands, Rewriter, rewrite

#: Operators that give something else each time.
_RANDOM = frozenset(
    ("RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike", "Multinomial", "Bernoulli", "Dropout")
)


def run(graph: Graph) -> Graph:
    """The graph without duplicates; bodies are left alone."""
    seen: dict[Hashable, Sequence[Value]] = {}

    def once(node: Node, inputs: Operands, at: Rewriter) -> Sequence[Value] | None:
        if at.graph is not graph or node.op in _RANDOM or any(True for _ in node.subgraphs()):
            return None
        key = (node.op, len(node.outputs), *map(id, inputs), *sorted(map(_key, node.attributes.items())))
        if key not in seen:
            seen[key] = at.build.add(node, inputs, node.attributes)
        return seen[key]

    return rewrite(graph, {ANY: [once]})


def _key(attribute: tuple[str, Any]) -> tuple[str, str]:
    name, value = attribute
    return name, f"tensor {id(value)}" if isinstance(value, Tensor) else repr(value)
