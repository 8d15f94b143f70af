"""A node of a TensorFlow graph, with its attributes as Python values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeVar

from panmodel.errors import CorruptError
from panmodel.model.tensorflow.tensor import dtype_from_proto, shape_from_proto, tensor_from_proto
from panmodel.wire.tensorflow_messages import AttrValue, ListValue, NodeDef

T = TypeVar("T")


@dataclass(frozen=True)
class FunctionCall:
    """The value of a function attribute: the function's name, and attributes for it."""

    name: str
    attributes: Mapping[str, Any]


@dataclass(frozen=True)
class AttributeReference:
    """An attribute inside a function that takes its value from the caller: the name of the caller's attribute."""

    name: str


class TensorFlowNode:
    """A node of a TensorFlow graph.

    Attributes:
        message: The NodeDef itself, for writing.
        name: Its name, unique in the graph.
        op: Its operator, or the name of the function that it calls.
        inputs: The tensors that it takes, "node:port", always with the port.
        controls: Names of the nodes that must run before it.
        device: Where it was to run; empty for anywhere.
    """

    def __init__(self, message: NodeDef) -> None:
        self.message = message
        self.name = message.name
        self.op = message.op
        self.device = message.device
        self.inputs = tuple(with_port(name) for name in message.input if not name.startswith("^"))
        self.controls = tuple(name[1:] for name in message.input if name.startswith("^"))

    @cached_property
    def attributes(self) -> Mapping[str, Any]:
        """The attributes as Python values.

        bytes, int, float and bool are themselves; a type is a DType (None for DT_INVALID), a shape a tuple with None
        for an unknown dimension or None for an unknown rank, a tensor a lazy Tensor, a function a FunctionCall, a list
        a list of those; an attribute that a function takes from its caller is an AttributeReference.
        """
        where = f"node {self.name!r}"
        return {
            key: _python_value(value, self.name, f"{where}, attribute {key!r}")
            for key, value in self.message.attr.items()
        }

    def attr(self, name: str, default: T) -> T:
        """An attribute, or the default where the node has none.

        Args:
            name: The attribute.
            default: Its value where it is not there, and what type it must have where it is (None: any).

        Raises:
            CorruptError: It has another type than the default.
        """
        value: Any = self.attributes.get(name, default)
        if default is not None and type(value) is not type(default):
            expected = type(default).__name__
            raise CorruptError(f"attribute {name!r} is {value!r}, expected {expected}", where=f"node {self.name!r}")
        return value  # type: ignore[no-any-return]

    def required(self, name: str, kind: type[T]) -> T:
        """An attribute that the node must have, of that type.

        Raises:
            CorruptError: It is missing or of another type.
        """
        value = self.attributes.get(name)
        if not isinstance(value, kind):
            found = f"is {value!r}" if name in self.attributes else "is missing"
            raise CorruptError(f"attribute {name!r} {found}, expected {kind.__name__}", where=f"node {self.name!r}")
        return value

    def text(self, name: str, default: str = "") -> str:
        """A string attribute as text."""
        return self.attr(name, default.encode()).decode("utf-8", "replace")

    def __repr__(self) -> str:
        return f"<{self.op} {self.name}({', '.join(self.inputs)})>"


def split_name(tensor: str) -> tuple[str, int]:
    """Node and port of a tensor name, "node:port"; the port is 0 where it is left out.

    Raises:
        CorruptError: The port is no number.
    """
    name, colon, port = tensor.rpartition(":")
    if not colon:
        return tensor, 0
    if not port.isascii() or not port.isdigit() or len(port) > 9:
        raise CorruptError(f"{tensor!r} is no tensor name, which is the name of a node, a colon and a number")
    return name, int(port)


def with_port(name: str) -> str:
    """A tensor's name with its port, which is 0 where it is left out."""
    return name if ":" in name else f"{name}:0"


def _python_value(value: AttrValue, node: str, where: str) -> Any:
    """An attribute's value as `TensorFlowNode.attributes` gives it."""
    for kind in ("s", "i", "f", "b"):
        if value.has(kind):
            return getattr(value, kind)
    if value.has("type"):
        return dtype_from_proto(value.type, where)
    if value.shape is not None:
        return shape_from_proto(value.shape, where)
    if value.tensor is not None:
        return tensor_from_proto(node, value.tensor)
    if value.list is not None:
        return _python_list(value.list, node, where)
    if value.func is not None:
        inner = {key: _python_value(item, node, where) for key, item in value.func.attr.items()}
        return FunctionCall(value.func.name, inner)
    return AttributeReference(value.placeholder) if value.has("placeholder") else None


def _python_list(value: ListValue, node: str, where: str) -> list[Any]:
    for kind in ("s", "i", "f", "b"):
        if value.has(kind):
            return list(getattr(value, kind))
    if value.type:
        return [dtype_from_proto(number, where) for number in value.type]
    if value.shape:
        return [shape_from_proto(shape, where) for shape in value.shape]
    if value.tensor:
        return [tensor_from_proto(node, tensor) for tensor in value.tensor]
    return [_python_value(AttrValue(func=func), node, where) for func in value.func]
