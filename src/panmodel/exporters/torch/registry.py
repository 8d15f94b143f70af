"""How operators of ONNX find their handlers: every module of this folder registers its own.

    @exporter_op("Softmax", since=13)
    def softmax(node: Node, emit: Emitter) -> Expr: ...

    renamed({"Relu": "F.relu", "Exp": "torch.exp"})          # one row for an operator that only has another name

A handler returns Python: the text of one expression, in which operands stand as the placeholders of `emit(value)`.
Of several handlers of one operator the newest serves whose `since` is not above the graph's opset. What a handler
cannot write it refuses with `UnsupportedError("reason")`: all refusals of a graph are reported together.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

from panmodel.errors import UnsupportedError
from panmodel.model.graph import Node

if TYPE_CHECKING:
    from panmodel.exporters.torch.emitter import Emitter

#: An expression that gives the output (a tuple of all outputs where there are several), or one expression per output.
Expr = str | tuple[str, ...]
Handler = Callable[[Node, "Emitter"], Expr]

_HANDLERS: dict[str, dict[int, Handler]] = {}


def exporter_op(*names: str, since: int = 1) -> Callable[[Handler], Handler]:
    """Register the handler of these operators.

    Args:
        names: Operators of ONNX.
        since: First opset whose definition of them it implements.
    """

    def register(handler: Handler) -> Handler:
        for name in names:
            versions = _HANDLERS.setdefault(name, {})
            if since in versions:
                raise ValueError(f"{name} has two handlers since opset {since}")
            versions[since] = handler
        return handler

    return register


def renamed(rows: Mapping[str, str]) -> None:
    """Register operators that are one function of PyTorch on the same operands, without attributes."""
    for name, function in rows.items():
        exporter_op(name)(_Renamed(function))


@dataclass(frozen=True, slots=True)
class _Renamed:
    function: str

    def __call__(self, node: Node, emit: Emitter) -> Expr:
        return f"{self.function}({', '.join(emit(value) for value in node.inputs if value is not None)})"


@cache
def handlers() -> Mapping[str, Mapping[int, Handler]]:
    """Every handler by the name of its operator and its opset; loads the modules of this folder."""
    package = __name__.rpartition(".")[0]
    folder = importlib.import_module(package).__path__
    for module in sorted(info.name for info in pkgutil.iter_modules(folder)):
        importlib.import_module(f"{package}.{module}")
    return dict(sorted(_HANDLERS.items()))


def handler_of(node: Node, opset: int) -> Handler:
    """The newest handler of a node's operator that the opset knows.

    Raises:
        UnsupportedError: There is none.
    """
    versions = handlers().get(node.op, {}) if not node.domain else {}
    known = [since for since in versions if since <= opset]
    if not known:
        raise UnsupportedError("no converter for this operator" + (f" at opset {opset}" if versions else ""))
    return versions[max(known)]
