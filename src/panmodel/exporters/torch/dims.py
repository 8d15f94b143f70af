"""Shapes as a person reads them: (batch, 8, height, width)."""

from __future__ import annotations

import re
from collections.abc import Sequence

from panmodel.model.graph import Graph
from panmodel.model.symbolic import Dim, Shape, Size

_LONGEST = 24  # characters of one size
_TELLING = re.compile(r"(?!d\d|unk)[a-z][a-z_]{0,9}")  # a name that somebody gave


class Dims:
    """Names for the sizes of a graph that are known only at run time.

    Args:
        graph: The graph; what its inputs look like says which axis is which.
    """

    def __init__(self, graph: Graph) -> None:
        self._names: dict[str, str] = {}
        for value in graph.inputs:
            self._name(value.shape)
        for value in graph.outputs.values():
            self._name(value.shape, batch_only=True)

    def _name(self, shape: Shape, *, batch_only: bool = False) -> None:
        for size, name in zip(shape or (), _axes(shape or ()), strict=True):
            wanted = name == "batch" or (name and not batch_only)
            if not wanted or name in self._names.values() or not isinstance(size, Dim) or not size.is_symbol:
                continue
            if not _TELLING.fullmatch(str(size)):
                self._names.setdefault(str(size), name)

    def comment(self, shape: Shape) -> str:
        """A shape, empty if not even the rank is known; sizes without a presentable name are question marks."""
        if shape is None:
            return ""
        sizes = [self._shown(size) for size in shape]
        return f"({', '.join(sizes)}{',' if len(sizes) == 1 else ''})"

    def _shown(self, size: Size) -> str:
        text = str(size)
        if isinstance(size, Dim):
            # whole names only, the longest first
            for symbol in sorted(size.symbols, key=len, reverse=True):
                text = re.sub(rf"(?<!\w){re.escape(symbol)}(?!\w)", self._names.get(symbol, symbol), text)
        text = text.replace("*", " * ")
        return text if re.fullmatch(rf"[A-Za-z0-9_ +\-*/()]{{1,{_LONGEST}}}", text) else "?"


def _axes(shape: Sequence[Size]) -> tuple[str, ...]:
    """What the axes of an input are called; images have few channels, last or second."""
    rank = len(shape)
    if rank == 4:
        last = isinstance(shape[3], int) and not (isinstance(shape[1], int) and shape[1] <= 4 < shape[3])
        return ("batch", "height", "width", "") if last else ("batch", "", "height", "width")
    return ("batch", *[""] * (rank - 1)) if rank else ()
