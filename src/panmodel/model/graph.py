"""The hub: a small graph of standard ONNX operators, whose weights are lazy tensors.

Graphs are built by `model.builder.Builder`, which infers types and shapes as it goes, and are not changed afterwards: a
pass reads one graph and builds the next. Nodes stand in an order in which every value comes before its uses.

Source: https://onnx.ai/onnx/intro/concepts.html
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

from panmodel.dtypes import DType
from panmodel.model.symbolic import Shape
from panmodel.model.tensor import Tensor

if TYPE_CHECKING:
    import numpy as np

#: The version of ONNX's operators that importers write: old enough for every runtime in use, new enough for
#: axes as inputs (13, 18) and LayerNormalization (17).
OPSET = 18

#: int, float, str, tuples of these, a Tensor, or a Graph for a body.
Attribute = Any


@dataclass(frozen=True, slots=True)
class Remarks:
    """What the author of a model says of a part of it; it means nothing to the computation.

    Attributes:
        text: For people.
        properties: For programs: keys and values, each pair encoded as ONNX does. There are several for every node of
            some exporters, and they go along unread.
    """

    text: str = ""
    properties: tuple[bytes, ...] = ()


@dataclass(eq=False, slots=True)
class Value:
    """One edge of the graph: an input, an initializer or an output of a node.

    Attributes:
        name: Unique in the graph. Where the value is a tensor of the source model, its name there ("conv1/Relu:0").
        dtype: Element type; None if unknown.
        shape: Dimensions; None if not even their number is known.
        tensor: The elements of an initializer; None for what is computed.
        content: Elements known while converting (small constants, and integers that are made of sizes: an array of
            objects that are `int` or `Dim`); None for all others.
        node: The node that computes it; None for inputs and initializers.
        literal: Whether it is a constant of the computation (a shape, an epsilon) rather than a weight.
        remarks: What is said of it.
    """

    name: str
    dtype: DType | None
    shape: Shape
    tensor: Tensor | None = None
    content: np.ndarray | None = None
    node: Node | None = None
    literal: bool = False
    remarks: Remarks | None = None

    @property
    def rank(self) -> int | None:
        """Number of dimensions, None if unknown."""
        return None if self.shape is None else len(self.shape)

    @property
    def is_constant(self) -> bool:
        """Whether it is an initializer."""
        return self.tensor is not None

    def array(self) -> np.ndarray | None:
        """The elements if all of them are known numbers, small or large; None otherwise. Reads a weight."""
        if self.tensor is not None:
            return self.tensor.numpy()
        if self.content is not None and all(isinstance(element, int) for element in self.content.flat):
            assert self.dtype is not None
            return self.content.astype(self.dtype.numpy)
        return None

    def __repr__(self) -> str:
        shape = "?" if self.shape is None else list(self.shape)
        return f"<Value {self.name} {self.dtype}{shape}>"


@dataclass(eq=False, slots=True)
class Node:
    """One operator applied to values.

    Attributes:
        op: Operator ("Conv").
        inputs: Its operands; None for an optional one that is left out.
        outputs: What it computes.
        attributes: Name → value; absent ones have the default of the operator's schema.
        name: The node of the source model that it comes from ("conv1/Conv2D"); not unique.
        domain: Operator set; "" is ONNX's own.
        remarks: What is said of it.
    """

    op: str
    inputs: tuple[Value | None, ...]
    outputs: tuple[Value, ...]
    attributes: Mapping[str, Attribute] = field(default_factory=dict)
    name: str = ""
    domain: str = ""
    remarks: Remarks | None = None

    @property
    def output(self) -> Value:
        """Its first output."""
        return self.outputs[0]

    def attr(self, name: str, default: Any = None) -> Any:
        """An attribute, or the default where it is absent."""
        return self.attributes.get(name, default)

    def operand(self, index: int) -> Value | None:
        """An input, None if it is left out."""
        return self.inputs[index] if index < len(self.inputs) else None

    def subgraphs(self) -> Iterator[Graph]:
        """Bodies among its attributes."""
        for value in self.attributes.values():
            if isinstance(value, Graph):
                yield value

    def __repr__(self) -> str:
        return f"<Node {self.op} {self.name}>"


@dataclass(eq=False)
class Graph:
    """A computation.

    Attributes:
        inputs: In the order of the signature.
        outputs: Output name → value, in the order of the signature. A value may be an input or an initializer, and may
            stand under several names.
        nodes: In an order in which every value comes before its uses.
        opset: Version of ONNX's operators.
        name: Name of the graph.
        opsets: Versions of other operator sets in use, by domain.
        remarks: What is said of it.
    """

    dialect: ClassVar[str] = "onnx"

    inputs: Sequence[Value]
    outputs: Mapping[str, Value]
    nodes: Sequence[Node]
    opset: int = OPSET
    name: str = "graph"
    opsets: Mapping[str, int] = field(default_factory=dict)
    remarks: Remarks | None = None

    def initializers(self) -> list[Value]:
        """The initializers that are used, in the order of their first use; bodies of nodes included."""
        seen: dict[Value, None] = {}
        for node in self.nodes:
            for value in node.inputs:
                if value is not None and value.is_constant:
                    seen.setdefault(value)
            for body in node.subgraphs():
                seen.update(dict.fromkeys(body.initializers()))
        seen.update(dict.fromkeys(value for value in self.outputs.values() if value.is_constant))
        return list(seen)

    def uses(self) -> dict[Value, list[tuple[Node | None, int]]]:
        """Who reads each value: nodes with the operand's position, and None for each output of the graph."""
        found: dict[Value, list[tuple[Node | None, int]]] = {}
        for node in self.nodes:
            for index, value in enumerate(node.inputs):
                if value is not None:
                    found.setdefault(value, []).append((node, index))
            for body in node.subgraphs():
                for value in body.captures():
                    found.setdefault(value, []).append((node, -1))
        for index, value in enumerate(self.outputs.values()):
            found.setdefault(value, []).append((None, index))
        return found

    def captures(self) -> list[Value]:
        """Values of an outer graph that this body reads (initializers not counted)."""
        own = set(self.inputs) | {value for node in self.nodes for value in node.outputs}
        read = [value for node in self.nodes for value in node.inputs if value is not None]
        read += self.outputs.values()
        read += [value for node in self.nodes for body in node.subgraphs() for value in body.captures()]
        return list(dict.fromkeys(value for value in read if value not in own and not value.is_constant))

    def operators(self) -> dict[str, int]:
        """How often each operator occurs, bodies included, most frequent first."""
        counts: dict[str, int] = {}
        for node in self.nodes:
            counts[node.op] = counts.get(node.op, 0) + 1
            for body in node.subgraphs():
                for op, count in body.operators().items():
                    counts[op] = counts.get(op, 0) + count
        return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))
