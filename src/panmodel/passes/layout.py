"""Choose channels first or last for every operator at once, so that as little as possible is transposed.

Importers write a spatial operator of a channels-last graph as Transpose → operator → Transpose. Most other operators
compute in either layout. Each value that such transposes reach gets two forms, channels first and channels last, and
each operator between them one of two frames; an operator that cannot choose is tied to the form that it has. The choice
with the least to transpose is a minimum cut: one side computes channels first, the other channels last.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from panmodel.model.builder import Builder, rebuild
from panmodel.model.graph import Graph, Node, Value
from panmodel.passes.flatten import absorbs_order
from panmodel.passes.frames import AGNOSTIC, Perm, dropped, inverse, moves_data
from panmodel.passes.minimum_cut import UNCUT, Network
from panmodel.passes.rewrite import rewrite

FIRST, LAST = 0, 1

#: Operators that want the channels first; they tell the side of (0, 2, 1), which is its own inverse.
_SPATIAL = frozenset(
    ("Conv", "ConvTranspose", "MaxPool", "AveragePool", "GlobalAveragePool", "GlobalMaxPool", "LpPool")
)
#: Elements that take as long to transpose as one more operator takes to start.
_OVERHEAD = 1000
#: What a size that is not known is taken for.
_TYPICAL_SIZE = 64


@dataclass(frozen=True, slots=True)
class Frame:
    """How a value lies in the old graph: on which side, and the permutation that leads to the other side."""

    side: int
    perm: Perm

    @property
    def other(self) -> Frame:
        """The frame after the permutation."""
        return Frame(1 - self.side, inverse(self.perm))


@dataclass(eq=False, slots=True)
class Forms:
    """A value that transposes of the old graph show in two layouts, and its forms in the new graph."""

    perms: dict[int, Perm]
    weight: int
    vertices: list[int] = field(default_factory=list)
    values: dict[int, Value] = field(default_factory=dict)

    def on(self, side: int, build: Builder) -> Value:
        """The value on one side, transposed if it is on the other so far."""
        if side not in self.values:
            self.values[side] = build.transpose(self.values[1 - side], self.perms[1 - side])
        return self.values[side]


def run(graph: Graph) -> Graph:
    """The graph with the least to transpose; bodies of nodes stay as they are."""
    frames = _Frames(graph)
    if not frames.of:
        return graph
    return _Layout(graph, frames).run()


def permutes(graph: Graph) -> int:
    """How many nodes move data from one layout to another (transposes that move only axes of size 1 do not)."""
    count = 0
    for node in graph.nodes:
        count += sum(permutes(body) for body in node.subgraphs())
        first = node.inputs[0] if node.inputs else None
        if node.op == "Transpose" and not node.domain and first is not None:
            perm = node.attr("perm") or tuple(reversed(range(first.rank or 0)))
            count += not perm or moves_data(first, perm)
    return count


class _Frames:
    """The frames of all values that layout transposes reach through operators that may compute in either."""

    def __init__(self, graph: Graph) -> None:
        self.of: dict[Value, Frame] = {}
        self._opset = graph.opset
        self._uses = graph.uses()
        for node in graph.nodes:
            if node.op == "Transpose" and not node.domain and (frame := self._seed(node)) is not None:
                assert node.inputs[0] is not None
                if node.inputs[0] not in self.of and node.output not in self.of:
                    self._spread(node.inputs[0], frame)

    def perm(self, node: Node) -> Perm | None:
        """The permutation of the node's operands to the other side if it may compute there, else None."""
        members = self._members(node)
        full = self._full(members)
        if members is None or full is None:
            return None
        for value, gone in members:
            if self.of.get(value) != _reduced(full, gone):
                return None
        return full.perm

    def side(self, node: Node) -> int:
        """The side on which a node that may move computes in the old graph."""
        full = self._full(self._members(node))
        assert full is not None
        return full.side

    def is_bridge(self, node: Node) -> bool:
        """Whether a node is a transpose between the two sides."""
        first = node.inputs[0] if node.inputs else None
        frame = self.of.get(first) if first is not None else None
        if node.op != "Transpose" or node.domain or frame is None:
            return False
        return node.attr("perm") == frame.perm and self.of.get(node.output) == frame.other

    def _seed(self, node: Node) -> Frame | None:
        source, perm = node.inputs[0], node.attr("perm")
        if source is None or source.is_constant or perm is None or len(perm) not in (3, 4, 5):
            return None
        rank = len(perm)
        first = (0, rank - 1, *range(1, rank - 1))
        if rank == 3 and perm == first:
            is_first = any(reader is not None and reader.op in _SPATIAL for reader, _ in self._uses.get(source, ()))
            is_first = is_first or (source.node is not None and source.node.op in _SPATIAL)
            return Frame(FIRST if is_first else LAST, perm)
        if perm == first:
            return Frame(LAST, perm)
        return Frame(FIRST, perm) if perm == inverse(first) else None

    def _spread(self, start: Value, frame: Frame) -> None:
        self.of[start] = frame
        queue = deque([start])
        while queue:
            value = queue.popleft()
            nodes = [reader for reader, _ in self._uses.get(value, ()) if reader is not None]
            if value.node is not None:
                nodes.append(value.node)
            for node in nodes:
                for other, known in self._related(node):
                    if other not in self.of and not other.is_constant and other.rank == len(known.perm):
                        self.of[other] = known
                        queue.append(other)

    def _related(self, node: Node) -> list[tuple[Value, Frame]]:
        """Frames of a node's values that follow from those known."""
        if node.op == "Transpose" and not node.domain:
            source, result, perm = node.inputs[0], node.output, node.attr("perm")
            if source is None or perm is None:
                return []
            if (frame := self.of.get(source)) is not None:
                return [(result, frame.other)] if perm == frame.perm else []
            frame = self.of.get(result)
            return [(source, frame.other)] if frame is not None and perm == inverse(frame.perm) else []
        members = self._members(node)
        full = self._full(members)
        if members is None or full is None:
            return []
        found = [(value, _reduced(full, gone)) for value, gone in members]
        return [(value, frame) for value, frame in found if frame is not None]

    def _members(self, node: Node) -> list[tuple[Value, tuple[int, ...]]] | None:
        kind = AGNOSTIC.get(node.op)
        if kind is None or node.domain or self._opset < kind.since or not node.inputs:
            return None
        return kind.members(node)

    def _full(self, members: list[tuple[Value, tuple[int, ...]]] | None) -> Frame | None:
        for value, gone in members or ():
            if not gone and value in self.of:
                return self.of[value]
        return None


def _reduced(frame: Frame, gone: tuple[int, ...]) -> Frame | None:
    """The frame of a value that lacks some axes; None if it is the same on both sides."""
    perm = dropped(frame.perm, gone)
    return None if perm == tuple(range(len(perm))) else Frame(frame.side, perm)


class _Layout:
    """Chooses the sides and builds the new graph."""

    def __init__(self, graph: Graph, frames: _Frames) -> None:
        self._graph, self._frames = graph, frames
        self._build = rebuild(graph)
        self._uses = graph.uses()
        self._plain: dict[Value, Value] = dict(zip(graph.inputs, self._build.inputs, strict=True))
        self._forms: dict[Value, Forms] = {}
        self._perms = {node: perm for node in graph.nodes if (perm := frames.perm(node)) is not None}
        self._sides: dict[Node, int] = {}

    def run(self) -> Graph:
        self._share_forms()
        self._choose()
        for value in self._graph.inputs:
            if value in self._forms:
                self._forms[value].values[self._frames.of[value].side] = self._plain[value]
        for node in self._graph.nodes:
            self._place(node)
        for name, value in self._graph.outputs.items():
            self._build.output(name, self._as_before(value))
        return self._build.graph()

    # Choice

    def _share_forms(self) -> None:
        """One set of forms for each value and its transposes."""
        for value in (*self._graph.inputs, *(value for node in self._graph.nodes for value in node.outputs)):
            frame = self._frames.of.get(value)
            if frame is None:
                continue
            if value.node is not None and self._frames.is_bridge(value.node):
                assert value.node.inputs[0] is not None
                self._forms[value] = self._forms[value.node.inputs[0]]
            else:
                perms = {frame.side: frame.perm, frame.other.side: frame.other.perm}
                self._forms[value] = Forms(perms, _weight(value, frame.perm))

    def _choose(self) -> None:
        network = Network()
        ends = (network.vertex(), network.vertex())
        vertices = {node: network.vertex() for node in self._perms}
        for value, forms in self._forms.items():
            if value.node is None or not self._frames.is_bridge(value.node):
                forms.vertices.append(self._vertex(value.node, value, vertices, ends))
            for reader, _ in self._uses.get(value, ()):
                if reader is None or not self._is_free(reader, value):
                    forms.vertices.append(self._vertex(reader, value, vertices, ends))
        for forms in dict.fromkeys(self._forms.values()):
            members = list(dict.fromkeys(forms.vertices))
            if set(ends) <= set(members):  # to be transposed once whatever is chosen: every other reader may follow
                continue
            network.net(members, forms.weight)
        last = network.sink_side(*ends)
        self._sides = {node: LAST if vertex in last else FIRST for node, vertex in vertices.items()}

    def _vertex(self, node: Node | None, value: Value, vertices: Mapping[Node, int], ends: tuple[int, int]) -> int:
        """Where a node stands in the network: at an end if it takes or gives the value only as it is."""
        if node is not None and node in vertices:
            return vertices[node]
        return ends[self._frames.of[value].side]

    def _is_free(self, reader: Node, value: Value) -> bool:
        """Whether a reader takes a value in either form at no cost."""
        if self._frames.is_bridge(reader) or reader.domain:
            return not reader.domain
        if reader.op in ("Shape", "Size"):
            return True
        return reader.op == "Transpose" or absorbs_order(reader, value, self._uses)

    # Building

    def _place(self, node: Node) -> None:
        if self._frames.is_bridge(node):
            self._keep_name(node)
            return
        if node in self._perms:
            results = self._moved(node)
        elif node.op == "Shape" and not node.domain and node.inputs[0] in self._forms:
            results = [self._shape(node)]
        else:
            inputs = [None if value is None else self._as_before(value) for value in node.inputs]
            results = list(self._build.add(node, inputs, self._attributes(node)))
        side = self._sides.get(node)
        for old, new in zip(node.outputs, results, strict=True):
            if old in self._forms:
                own = self._frames.of[old].side
                self._forms[old].values[own if side is None else side] = new
            else:
                self._plain[old] = new

    def _moved(self, node: Node) -> list[Value]:
        side = self._sides[node]
        inputs = [None if value is None else self._on(value, side) for value in node.inputs]
        attributes = node.attributes
        if side != self._frames.side(node):
            with self._build.at(node.name):
                remap = AGNOSTIC[node.op].remap
                moved, attributes = remap(node, inputs, self._perms[node], self._build)
                inputs = list(moved)
        return list(self._build.add(node, inputs, attributes))

    def _shape(self, node: Node) -> Value:
        """The sizes of a value in the old order, read from whichever form there is."""
        assert node.inputs[0] is not None
        forms, side = self._forms[node.inputs[0]], self._frames.of[node.inputs[0]].side
        if side in forms.values:
            return self._build.add(node, [forms.values[side]], node.attributes)[0]
        perm = forms.perms[1 - side]  # from the form that there is to the one that is asked for
        with self._build.at(node.name):
            sizes = self._build.shape(forms.values[1 - side])
            wanted = list(perm)[node.attr("start", 0) : node.attr("end")]
            return self._build.op("Gather", sizes, self._build.constant(wanted), axis=0)

    def _keep_name(self, node: Node) -> None:
        """A transpose that goes leaves its name to the operator that it was written for."""
        source = self._forms[node.output].values.get(self._frames.of[node.output].other.side)
        if source is not None and source.node is not None and source.node.name == node.name:
            self._build.rename(source, node.output.name)

    def _attributes(self, node: Node) -> Mapping[str, Any]:
        found = dict(node.attributes)
        for name, value in node.attributes.items():
            if isinstance(value, Graph):
                found[name] = rewrite(value, {}, {read: self._as_before(read) for read in value.captures()})
        return found

    def _on(self, value: Value, side: int) -> Value:
        return self._forms[value].on(side, self._build) if value in self._forms else self._plain.get(value, value)

    def _as_before(self, value: Value) -> Value:
        return self._on(value, self._frames.of[value].side) if value in self._forms else self._plain.get(value, value)


def _weight(value: Value, perm: Perm) -> int:
    """What it costs to transpose a value."""
    if not moves_data(value, perm):
        return 1
    elements = _OVERHEAD
    count = 1
    for size in value.shape or ():
        count *= size if isinstance(size, int) else _TYPICAL_SIZE
    return min(elements + count, UNCUT >> 20)
