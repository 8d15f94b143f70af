"""How operators of TensorFlow find their handlers: every module of this folder registers its own.

    @importer_op("Softmax", "LogSoftmax")
    def softmax(node: Operation, build: Builder) -> Value: ...

    renamed({"Relu": "Relu", "Neg": "Neg"})          # one row for an operator that only has another name

A handler takes the node with its operands as hub values, emits ONNX through the builder, and returns the value of each
output port (one value, or a sequence). It changes nothing else. What it cannot convert it refuses with
`UnsupportedError("reason")`: all refusals of a graph are reported together.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from panmodel.dtypes import DType
from panmodel.errors import CorruptError
from panmodel.model.builder import Builder
from panmodel.model.graph import OPSET, Value
from panmodel.model.tensorflow.graph import TensorFlowGraph, TensorFlowNode
from panmodel.model.tensorflow.variables import Variables


@dataclass(frozen=True, slots=True)
class Operation:
    """A node of the source graph with its operands converted.

    Attributes:
        node: The source node.
        inputs: Its data operands as hub values.
        graph: The graph that it stands in, for functions.
        variables: Its variables with the checkpoint's tensors; None for a graph without a checkpoint.
    """

    node: TensorFlowNode
    inputs: Sequence[Value]
    graph: TensorFlowGraph
    variables: Variables | None = None

    @property
    def name(self) -> str:
        """Name of the source node."""
        return self.node.name

    @property
    def op(self) -> str:
        """Its operator."""
        return self.node.op

    @property
    def x(self) -> Value:
        """Its first operand."""
        return self.input(0)

    def input(self, index: int) -> Value:
        """An operand.

        Raises:
            CorruptError: The node has fewer.
        """
        if index >= len(self.inputs):
            raise CorruptError(
                f"{self.op} has {len(self.inputs)} operands, expected at least {index + 1}", where=self.name
            )
        return self.inputs[index]

    def attr(self, name: str, default: Any = None) -> Any:
        """An attribute as a Python value, or the default that TensorFlow gives it (pass that, graphs omit defaults)."""
        return self.node.attributes.get(name, default)

    def text(self, name: str, default: str = "") -> str:
        """An attribute that is a string."""
        value = self.attr(name, default)
        return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)

    def dtype(self, name: str = "T") -> DType:
        """An attribute that is an element type; absent, that of the first operand.

        Raises:
            CorruptError: Neither is there.
        """
        found = self.attr(name)
        if isinstance(found, DType):
            return found
        if self.inputs and self.inputs[0].dtype is not None:
            return self.inputs[0].dtype
        raise CorruptError(f"{self.op} has no type attribute {name!r}", where=self.name)


Handler = Callable[[Operation, Builder], Value | Sequence[Value]]

_HANDLERS: dict[str, Handler] = {}


def importer_op(*names: str) -> Callable[[Handler], Handler]:
    """Register the handler of these operators."""

    def register(handler: Handler) -> Handler:
        for name in names:
            if name in _HANDLERS:
                raise ValueError(f"{name} has two handlers: {_HANDLERS[name].__qualname__} and {handler.__qualname__}")
            _HANDLERS[name] = handler
        return handler

    return register


def renamed(rows: Mapping[str, str]) -> None:
    """Register operators that are one operator of ONNX on the same operands, without attributes."""
    for name, op in rows.items():
        importer_op(name)(_renaming(op))


def _renaming(op: str) -> Handler:
    def handler(operation: Operation, build: Builder) -> Value:
        import onnx

        schema, count = onnx.defs.get_schema(op, OPSET, ""), len(operation.inputs)
        if not schema.min_input <= count <= schema.max_input:
            message = f"{operation.op} has {count} operands, expected {schema.min_input}"
            raise CorruptError(message, where=operation.name)
        return build.op(op, *operation.inputs)

    handler.__qualname__ = f"renamed to {op}"
    return handler


@cache
def handlers() -> Mapping[str, Handler]:
    """Every handler by the name of its operator; loads the modules of this folder."""
    package = __name__.rpartition(".")[0]
    folder = importlib.import_module(package).__path__
    for module in sorted(info.name for info in pkgutil.iter_modules(folder)):
        importlib.import_module(f"{package}.{module}")
    return dict(sorted(_HANDLERS.items()))
