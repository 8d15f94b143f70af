"""Minimum cut of a small network, by augmenting along shortest paths.

Source: E. A. Dinic, Algorithm for solution of a problem of maximum flow in networks with power estimation (1970).
"""

from __future__ import annotations

from collections import deque

#: Capacity of an edge that is never cut.
UNCUT = 1 << 60


class Network:
    """A directed network of vertices 0, 1, …, between which edges have capacities."""

    def __init__(self) -> None:
        self._heads: list[int] = []
        self._capacities: list[int] = []
        self._edges: list[list[int]] = []

    def vertex(self) -> int:
        """Add a vertex."""
        self._edges.append([])
        return len(self._edges) - 1

    def edge(self, tail: int, head: int, capacity: int, back: int = 0) -> None:
        """Add an edge, with the capacity of the way back."""
        for start, end, room in ((tail, head, capacity), (head, tail, back)):
            self._edges[start].append(len(self._heads))
            self._heads.append(end)
            self._capacities.append(room)

    def net(self, members: list[int], weight: int) -> None:
        """Let it cost `weight`, once, if not all members are on one side of the cut."""
        if len(members) == 2:
            self.edge(members[0], members[1], weight, weight)
        elif len(members) > 2:
            entry, leave = self.vertex(), self.vertex()
            self.edge(entry, leave, weight)
            for member in members:
                self.edge(member, entry, UNCUT)
                self.edge(leave, member, UNCUT)

    def sink_side(self, source: int, sink: int) -> set[int]:
        """The vertices on the sink's side of a minimum cut; of several such cuts, the one with the fewest of them."""
        while (levels := self._levels(source, sink))[sink] >= 0:
            places = [0] * len(self._edges)
            while self._augment(source, sink, levels, places):
                pass
        return self._reaching(sink)

    def _levels(self, source: int, sink: int) -> list[int]:
        """Distances from the source over edges with room left; -1 for what is out of reach."""
        levels = [-1] * len(self._edges)
        levels[source] = 0
        queue = deque([source])
        while queue and levels[sink] < 0:
            tail = queue.popleft()
            for edge in self._edges[tail]:
                head = self._heads[edge]
                if self._capacities[edge] and levels[head] < 0:
                    levels[head] = levels[tail] + 1
                    queue.append(head)
        return levels

    def _augment(self, source: int, sink: int, levels: list[int], places: list[int]) -> bool:
        """Send flow along one path of rising levels; False if there is none left."""
        path: list[int] = []
        at = source
        while at != sink:
            edges = self._edges[at]
            while places[at] < len(edges):
                edge = edges[places[at]]
                if self._capacities[edge] and levels[self._heads[edge]] == levels[at] + 1:
                    break
                places[at] += 1
            if places[at] < len(edges):
                path.append(edges[places[at]])
                at = self._heads[path[-1]]
            elif path:  # a dead end: step back, and do not come here again
                at = self._heads[path.pop() ^ 1]
                places[at] += 1
            else:
                return False
        flow = min(self._capacities[edge] for edge in path)
        for edge in path:
            self._capacities[edge] -= flow
            self._capacities[edge ^ 1] += flow
        return True

    def _reaching(self, sink: int) -> set[int]:
        found, stack = {sink}, [sink]
        while stack:
            for edge in self._edges[stack.pop()]:
                if self._capacities[edge ^ 1] and self._heads[edge] not in found:
                    found.add(self._heads[edge])
                    stack.append(self._heads[edge])
        return found
