"""Where a size that is known only at run time can be read: `x.shape[0]` of some tensor that is there by then."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from panmodel.model.graph import Graph, Node, Value
from panmodel.model.symbolic import Dim, Size


class Sizes:
    """Finds expressions for the symbolic sizes of one graph.

    Args:
        graph: The graph; its nodes stand in order.
    """

    def __init__(self, graph: Graph) -> None:
        self._position = dict.fromkeys(graph.inputs, -1)
        for index, node in enumerate(graph.nodes):
            self._position.update(dict.fromkeys(node.outputs, index))
        self._places: dict[Dim, list[tuple[Value, int]]] = {}
        for value in self._position:
            for axis, size in enumerate(value.shape or ()):
                if isinstance(size, Dim):
                    self._places.setdefault(size, []).append((value, axis))

    def expression(self, size: Size, node: Node, placeholder: Callable[[Value], str]) -> str | None:
        """A size as Python.

        Args:
            size: The size.
            node: The node that needs it: its operands come first, then what was computed before it.
            placeholder: Gives the placeholder of a value.
        """
        if not isinstance(size, Dim):
            return str(int(size))
        place = self._place(size, node)
        if place is not None:
            return f"{placeholder(place[0])}.shape[{place[1]}]"
        terms = []
        for monomial, factor in size.terms.items():
            parts = [] if factor == 1 and monomial else [str(factor)]
            for name in monomial:
                place = self._place(Dim.symbol(name), node)
                if place is None:
                    return None
                parts.append(f"{placeholder(place[0])}.shape[{place[1]}]")
            terms.append(" * ".join(parts))
        # a constant comes last, and a negative factor as a subtraction
        terms.sort(key=lambda term: term.lstrip("-").isdigit())
        return " + ".join(terms).replace("+ -", "- ")

    def _place(self, size: Dim, node: Node) -> tuple[Value, int] | None:
        places = list(self._available(size, node))
        near = [place for place in places if place[0] in node.inputs]
        found = near or places
        return found[0] if found else None

    def _available(self, size: Dim, node: Node) -> Iterator[tuple[Value, int]]:
        now = self._position.get(node.output, 0) if node.outputs else 0
        return (place for place in self._places.get(size, ()) if self._position[place[0]] < now)
