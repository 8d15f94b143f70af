"""What the use of an input says about its shape, where the source leaves it open.

A transpose fixes the rank of what it reads, a convolution the number of channels.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from panmodel.model.graph import Graph, Node, Value
from panmodel.model.symbolic import Dim, Shape
from panmodel.passes.rewrite import Rewriter

Uses = Mapping[Value, Sequence[tuple[Node | None, int]]]


def run(graph: Graph) -> Graph:
    """The graph with the shapes of its inputs as far as they follow from their use."""
    uses = graph.uses()
    found = {value.name: known for value in graph.inputs if (known := _known_axes(value, uses))}
    if not found:
        return graph
    rewriter = Rewriter(graph, {})
    for value in rewriter.build.inputs:
        if value.name in found:
            rank, axes = found[value.name]
            before = value.shape or tuple(rewriter.build.fresh() for _ in range(rank))
            value.shape = tuple(axes.get(axis, size) for axis, size in enumerate(before))
    return rewriter.run()


def _known_axes(value: Value, uses: Uses) -> tuple[int, dict[int, int]] | None:
    """Rank and sizes that are news; None if there are none."""
    for reader, index in uses.get(value, ()):
        if reader is None or reader.domain or index != 0:
            continue
        perm = reader.attr("perm") if reader.op == "Transpose" else None
        if perm is not None:
            after = [(node, place) for node, place in uses.get(reader.output, ()) if node is not None and place == 0]
            sizes = [size for node, _ in after for size in _channels(node)]
            return _news(value.shape, len(perm), {perm[1]: sizes[0]} if sizes else {})
        for size in _channels(reader):
            return _news(value.shape, len(_shape_of(reader.inputs[1])), {1: size})
    return None


def _channels(node: Node) -> list[int]:
    """The number of channels that a convolution reads, if its weight is known."""
    weight = node.operand(1)
    if node.op != "Conv" or node.domain or weight is None or weight.tensor is None:
        return []
    return [weight.tensor.shape[1] * node.attr("group", 1)]


def _shape_of(weight: Value | None) -> tuple[int, ...]:
    return weight.tensor.shape if weight is not None and weight.tensor is not None else ()


def _news(shape: Shape, rank: int, axes: dict[int, int]) -> tuple[int, dict[int, int]] | None:
    if shape is None:
        return rank, axes
    open_axes = {axis: size for axis, size in axes.items() if len(shape) == rank and isinstance(shape[axis], Dim)}
    return (rank, open_axes) if open_axes else None
