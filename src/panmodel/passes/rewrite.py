"""The machinery of passes that replace small patterns: walk a graph in order, and build its successor.

A rule is anchored at the last node of its pattern and looks up at the producers, which are rewritten already. It
answers with the value (or values) to use instead, or None to leave the node as it is.

    def relu6(node: Node, inputs: Operands, at: Rewriter) -> Value | None: ...

    def run(graph: Graph) -> Graph:
        return rewrite(graph, {"Min": [relu6]})
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from panmodel.model.builder import Builder, rebuild
from panmodel.model.graph import Graph, Node, Value

if TYPE_CHECKING:
    import numpy as np

Operands = Sequence[Value | None]
Rule = Callable[[Node, Operands, "Rewriter"], "Value | Sequence[Value] | None"]


#: The operator of rules that look at every node.
ANY = "*"


class Rewriter:
    """Builds the successor of one graph.

    Args:
        graph: The graph.
        rules: Operator → rules, tried in order.
        outer: For a body: what became of the values around it.

    Attributes:
        build: The builder of the new graph.
        graph: The graph that is replaced.
    """

    def __init__(
        self, graph: Graph, rules: Mapping[str, Sequence[Rule]], outer: Mapping[Value, Value] | None = None
    ) -> None:
        self.graph = graph
        self.build: Builder = rebuild(graph)
        self._rules = rules
        self._map: dict[Value, Value] = dict(outer or {})
        self._map.update(zip(graph.inputs, self.build.inputs, strict=True))
        self._old_uses = graph.uses()
        self._uses: dict[Value, int] = {}

    def run(self) -> Graph:
        """The new graph."""
        for value in self.graph.inputs:
            self._count(value, self._map[value])
        for node in self.graph.nodes:
            inputs = [None if value is None else self.value(value) for value in node.inputs]
            results = self._rewritten(node, inputs)
            for old, new in zip(node.outputs, results, strict=True):
                self._map[old] = new
                self._count(old, new)
        for name, value in self.graph.outputs.items():
            self.build.output(name, self.value(value))
        return self.build.graph()

    def value(self, old: Value) -> Value:
        """What became of a value; initializers are shared."""
        return self._map.get(old, old)

    def is_only_use(self, new: Value) -> bool:
        """Whether a value of the new graph has one reader, so that its producer may be absorbed by that."""
        return self._uses.get(new, 1) == 1

    def _count(self, old: Value, new: Value) -> None:
        self._uses[new] = self._uses.get(new, 0) + len(self._old_uses.get(old, ()))

    def _rewritten(self, node: Node, inputs: Operands) -> Sequence[Value]:
        if not node.domain:
            for rule in (*self._rules.get(node.op, ()), *self._rules.get(ANY, ())):
                with self.build.at(node.name):
                    found = rule(node, inputs, self)
                if found is None:
                    continue
                results = [found] if isinstance(found, Value) else list(found)
                for old, new in zip(node.outputs, results, strict=True):
                    if old.name and new not in self._uses:  # not one that was there before
                        self.build.rename(new, old.name)
                return results
        return self.build.add(node, inputs, self._attributes(node))

    def _attributes(self, node: Node) -> Mapping[str, Any]:
        if not any(True for _ in node.subgraphs()):
            return node.attributes
        return {
            name: rewrite(value, self._rules, self._map) if isinstance(value, Graph) else value
            for name, value in node.attributes.items()
        }


def rewrite(graph: Graph, rules: Mapping[str, Sequence[Rule]], outer: Mapping[Value, Value] | None = None) -> Graph:
    """The graph after the rules were applied in one walk, bodies of nodes included."""
    if outer is None and rules and ANY not in rules and not rules.keys() & graph.operators().keys():
        return graph
    return Rewriter(graph, rules, outer).run()


def producer(value: Value | None, *ops: str) -> Node | None:
    """The node that computes a value, if it is one of these operators of ONNX itself."""
    node = value.node if value is not None else None
    return node if node is not None and node.op in ops and not node.domain else None


def constant(value: Value | None, limit: int = 1 << 16) -> np.ndarray | None:
    """The elements of an initializer that is no larger than `limit` elements, else None."""
    if value is None or value.tensor is None or value.tensor.size > limit or not value.tensor.dtype.bits:
        return None
    return value.content if value.content is not None else value.tensor.numpy()


def scalar(value: Value | None) -> float | None:
    """The number that an initializer of one element holds, else None."""
    array = constant(value, 1)
    return None if array is None or array.size != 1 or array.dtype.kind not in "fiu" else float(array.reshape(())[()])


def split_constant(inputs: Operands) -> tuple[Value, Value] | None:
    """Of the two operands of a commutative operator, the computed one and the initializer; None if it is not so."""
    left, right = inputs if len(inputs) == 2 else (None, None)
    if left is None or right is None or left.is_constant == right.is_constant:
        return None
    return (right, left) if left.is_constant else (left, right)
