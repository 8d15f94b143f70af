"""Passes over the hub: each reads a graph and builds the next, with `run(graph) -> graph`."""

from __future__ import annotations

from panmodel.model.graph import Graph
from panmodel.passes import activation, batch_norm, duplicates, flatten, fold, fusion, layout, shapes, simplify

#: What is written out must be recognised before weights are folded, and in the source's layout before that changes;
#: biases and paddings join convolutions when no transpose stands between them.
ORDER = (shapes, simplify, duplicates, activation, batch_norm, layout, flatten, fusion, fold, simplify, duplicates)


def optimize(graph: Graph) -> Graph:
    """The graph in the form that a person would have written, computing the same."""
    for step in ORDER:
        graph = step.run(graph)
    return graph
