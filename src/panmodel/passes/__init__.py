"""Passes over the hub: each reads a graph and builds the next, with `run(graph) -> graph`."""

from __future__ import annotations

from panmodel.errors import CorruptError
from panmodel.model.graph import Graph
from panmodel.model.onnx.schema import check_operators
from panmodel.passes import activation, batch_norm, duplicates, flatten, fold, fusion, layout, shapes, simplify

#: What is written out must be recognised before weights are folded, and in the source's layout before that changes;
#: biases and paddings join convolutions when no transpose stands between them.
ORDER = (shapes, simplify, duplicates, activation, batch_norm, layout, flatten, fusion, fold, simplify, duplicates)


#: What a pass raises on operands and attributes that no operator has.
_MALFORMED = (TypeError, ValueError, LookupError, AttributeError, ArithmeticError, AssertionError)


def optimize(graph: Graph) -> Graph:
    """The graph in the form that a person would have written, computing the same.

    Raises:
        CorruptError: Nodes contradict the operators that they name.
        UnsupportedOperatorsError: Operators that ONNX does not have.
    """
    check_operators(graph)
    for step in ORDER:
        try:
            graph = step.run(graph)
        except _MALFORMED as error:
            name = step.__name__.rpartition(".")[2]
            raise CorruptError(f"malformed graph ({name}: {type(error).__name__}: {error})") from error
    return graph
