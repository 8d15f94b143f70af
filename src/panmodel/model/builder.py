"""Builds hub graphs: one call per operator, with types, shapes and known contents at hand at once.

What is known is folded on the way: integers made of constants and sizes (shape arithmetic) never become nodes where
they are numbers, and keep their symbolic content where they are not. Reshapes and transposes of weights become lazy
views, so that every weight can be traced back to its variable. Arithmetic on weights is left alone here (`passes.fold`
does it last), since what it means (a batch norm, say) shows only in the nodes.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from panmodel.dtypes import INT64, DType
from panmodel.errors import CorruptError, UnsupportedError
from panmodel.model import folding, inference
from panmodel.model.content_rules import LIMIT
from panmodel.model.graph import OPSET, Attribute, Graph, Node, Remarks, Value
from panmodel.model.symbolic import Dim, Shape, Size
from panmodel.model.tensor import ArrayTensor, Tensor

if TYPE_CHECKING:
    import numpy as np

#: Results of one node: far more than any model has, and few enough to be made when a file asks for any number.
MOST_OUTPUTS = 1 << 16

#: Numbers in the names of sizes that `Builder.fresh` made up.
_FRESH = re.compile(r"\bd(\d+)\b")


class Builder:
    """Collects the nodes of one graph.

    Args:
        opset: Version of ONNX's operators.
        name: Name of the graph.
        opsets: Versions of other operator sets that nodes will use, by domain.
    """

    def __init__(
        self,
        *,
        opset: int = OPSET,
        name: str = "graph",
        opsets: Mapping[str, int] | None = None,
    ) -> None:
        self.opset, self.name, self.opsets = opset, name, dict(opsets or {})
        self.inputs: list[Value] = []
        self.outputs: dict[str, Value] = {}
        self.nodes: list[Node] = []
        self.remarks: Remarks | None = None
        self._names: set[str] = set()
        self._repeats: dict[str, int] = {}
        self._literals: dict[tuple[Any, ...], Value] = {}
        self._at = ""
        self._symbols = 0

    # Leaves

    def input(self, name: str, dtype: DType | None, shape: Shape) -> Value:
        """Declare an input of the graph."""
        value = Value(self._unique(name), dtype, shape)
        self.inputs.append(value)
        return value

    def weight(self, tensor: Tensor, name: str = "") -> Value:
        """Use a stored tensor; it is not read. The name is the variable's."""
        return Value(self._unique(name or tensor.name or "weight"), tensor.dtype, tensor.shape, tensor=tensor)

    def constant(self, elements: Any, dtype: DType | None = None) -> Value:
        """A literal constant; equal ones are one value.

        Args:
            elements: An array, a number or nested lists.
            dtype: Element type; int64 for Python integers, float32 for Python floats, if left out.
        """
        import numpy as np

        array = np.asarray(elements)
        if dtype is not None:
            array = array.astype(dtype.numpy)
        elif not isinstance(elements, (np.ndarray, np.generic)) and array.dtype == np.float64:
            array = array.astype(np.float32)
        key = _literal_key(array)
        if key not in self._literals:
            tensor = ArrayTensor(array, dtype=dtype)
            name = self._unique("const")
            content = array if array.size <= LIMIT and not array.dtype.hasobject else None
            self._literals[key] = Value(name, tensor.dtype, array.shape, tensor, content, literal=True)
        return self._literals[key]

    def sizes(self, sizes: Sequence[Size]) -> Value | None:
        """Sizes as an int64 vector, None if one of them is symbolic."""
        return self.constant(list(sizes), INT64) if all(isinstance(size, int) for size in sizes) else None

    # Nodes

    def op(self, op: str, *inputs: Value | None, domain: str = "", **attributes: Attribute) -> Value:
        """Apply an operator with one output (see `ops`)."""
        return self.ops(op, *inputs, outputs=1, domain=domain, **attributes)[0]

    def ops(
        self, op: str, *inputs: Value | None, outputs: int = 1, domain: str = "", **attributes: Attribute
    ) -> tuple[Value, ...]:
        """Apply an operator.

        Args:
            op: An operator of ONNX at the builder's opset, or of another `domain`.
            inputs: Its operands, None for optional ones that are left out.
            outputs: How many results it has here.
            domain: Operator set.
            attributes: Its attributes; one that is None is left out.

        Returns:
            The results: new values, or known ones where nothing needs to be computed.

        Raises:
            UnsupportedError: There are none, or more than `MOST_OUTPUTS`.
        """
        if not 0 < outputs <= MOST_OUTPUTS:
            raise UnsupportedError(f"{op} with {outputs} results, between 1 and {MOST_OUTPUTS} are converted")
        while inputs and inputs[-1] is None:
            inputs = inputs[:-1]
        given = {name: value for name, value in attributes.items() if value is not None}
        if not domain and outputs == 1 and (known := self._known(op, inputs, given)) is not None:
            return (known,)
        node = Node(op, inputs, (), given, self._at, domain)
        return self._append(node, inference.infer(node, outputs, self.opset, self.fresh))

    def add(self, node: Node, inputs: Sequence[Value | None], attributes: Mapping[str, Attribute]) -> tuple[Value, ...]:
        """Copy a node of another graph onto new operands, with its names.

        Types are inferred again only where those of the operands are not what they were; bodies keep theirs.
        """
        same = attributes == node.attributes and all(map(_is_alike, inputs, node.inputs))
        typed = same and all(value.dtype is not None and value.shape is not None for value in node.outputs)
        with self.at(node.name):
            if typed or any(isinstance(value, Graph) for value in attributes.values()):
                known = self._known(node.op, inputs, attributes) if not node.domain and len(node.outputs) == 1 else None
                copy = Node(node.op, tuple(inputs), (), dict(attributes), node.name, node.domain)
                types = [(value.dtype, value.shape) for value in node.outputs]
                results = self._append(copy, types) if known is None else (known,)
            else:
                results = self.ops(node.op, *inputs, outputs=len(node.outputs), domain=node.domain, **attributes)
        for old, new in zip(node.outputs, results, strict=True):
            if old.name:
                self.rename(new, old.name)
            if new.node is not None and new.remarks is None:
                new.remarks = old.remarks
                new.node.remarks = new.node.remarks or node.remarks
        return results

    def _append(self, node: Node, types: Iterable[tuple[DType | None, Shape]]) -> tuple[Value, ...]:
        """Take a node in whose outputs have these types."""
        node.outputs = tuple(Value(self._unique(f"{self._at}/{node.op}"), *kind, node=node) for kind in types)
        if not node.domain and len(node.outputs) == 1:
            node.output.content = folding.content(node.op, node.inputs, node.attributes)
        self.nodes.append(node)
        return node.outputs

    def output(self, name: str, value: Value) -> None:
        """Declare an output of the graph."""
        self.outputs[name] = value

    def graph(self) -> Graph:
        """The graph that was built, without the nodes that no output needs."""
        alive: set[Value] = set(self.outputs.values())
        kept = []
        for node in reversed(self.nodes):
            if any(value in alive for value in node.outputs):
                kept.append(node)
                alive.update(value for value in node.inputs if value is not None)
                alive.update(value for body in node.subgraphs() for value in body.captures())
        graph = Graph(self.inputs, self.outputs, kept[::-1], self.opset, self.name, self.opsets, self.remarks)
        _name_weights(graph)
        return graph

    # Names

    @contextmanager
    def at(self, name: str) -> Iterator[None]:
        """Nodes built inside come from the source's node of that name."""
        before, self._at = self._at, name
        try:
            yield
        finally:
            self._at = before

    def rename(self, value: Value, name: str) -> None:
        """Give a computed value a name, if that name is free; inputs and initializers keep theirs."""
        if value.node is not None and name not in self._names:
            self._names.discard(value.name)
            value.name = name
            self._names.add(name)

    def fresh(self, hint: str = "d") -> Dim:
        """A size of which nothing is known."""
        self._symbols += 1
        return Dim.symbol(f"{hint}{self._symbols}")

    def reserve(self, graph: Graph) -> None:
        """Leave the names of a graph's initializers and of its sizes to it; its literals are shared with new ones."""
        for value in graph.initializers():
            self._names.add(value.name)
            if value.literal and value.content is not None:
                self._literals.setdefault(_literal_key(value.content), value)
        sizes = {size for node in graph.nodes for value in node.outputs for size in value.shape or ()}
        sizes.update(size for value in graph.inputs for size in value.shape or ())
        names = {name for size in sizes if isinstance(size, Dim) for name in size.symbols}
        numbers = [int(number) for name in names for number in _FRESH.findall(name)]
        self._symbols = max([self._symbols, *numbers])

    def _unique(self, name: str) -> str:
        candidate, number = name or "value", self._repeats.get(name, 0)
        while candidate in self._names:
            number += 1
            candidate = f"{name}_{number}"
        self._repeats[name] = number  # so that the next of the same name need not try them all
        self._names.add(candidate)
        return candidate

    # Operators with a static form, which handlers need all the time

    def reshape(self, x: Value, shape: Sequence[Size] | Value) -> Value:
        """Reshape, to sizes or to a computed shape; sizes known or kept are put down as constants.

        Raises:
            CorruptError: Sizes are given of which two are symbolic and not those of `x` at the same place.
        """
        known = shape.content.flat if isinstance(shape, Value) and shape.content is not None else shape
        if isinstance(known, Value):
            return self.op("Reshape", x, known, allowzero=1)  # a 0 that turns up means 0
        sizes = tuple(size if isinstance(size, Dim) else int(size) for size in known)
        if x.shape == tuple(sizes):
            return x
        if all(isinstance(size, int) for size in sizes) and 0 in sizes:
            return self.op("Reshape", x, self.constant(list(sizes), INT64), allowzero=1 if -1 not in sizes else None)
        target = [0 if _is_kept(x, axis, size) else size for axis, size in enumerate(sizes)]
        symbolic = [axis for axis, size in enumerate(target) if isinstance(size, Dim)]
        if len(symbolic) == 1 and -1 not in target:
            target[symbolic.pop()] = -1
        if not symbolic and 0 not in sizes:
            result = self.op("Reshape", x, self.constant(target, INT64))
            if result.node is not None and -1 not in sizes:
                result.shape = tuple(sizes)  # those asked for say more than what -1 leaves to find
            return result
        if isinstance(shape, Value):
            return self.op("Reshape", x, shape, allowzero=1)
        raise CorruptError(f"{x.name}: cannot reshape to {list(sizes)}, in which {len(symbolic)} sizes are unknown")

    def transpose(self, x: Value, perm: Sequence[int]) -> Value:
        """Transpose; nothing if nothing moves, one if one follows another, a lazy view of a weight."""
        return self.op("Transpose", x, perm=tuple(perm))

    def channels_first(self, x: Value, rank: int | None = None) -> Value:
        """N…C → NC… (the layout of ONNX's spatial operators)."""
        rank = rank or x.rank or 4
        return self.transpose(x, (0, rank - 1, *range(1, rank - 1)))

    def channels_last(self, x: Value, rank: int | None = None) -> Value:
        """NC… → N…C."""
        rank = rank or x.rank or 4
        return self.transpose(x, (0, *range(2, rank), 1))

    def cast(self, x: Value, dtype: DType) -> Value:
        """Cast; nothing if it is of that type."""
        return x if x.dtype is dtype else self.op("Cast", x, to=dtype.onnx)

    def unsqueeze(self, x: Value, axes: Iterable[int]) -> Value:
        """Insert axes of size 1."""
        return self.op("Unsqueeze", x, self.constant(list(axes), INT64))

    def squeeze(self, x: Value, axes: Iterable[int]) -> Value:
        """Remove axes of size 1."""
        return self.op("Squeeze", x, self.constant(list(axes), INT64))

    def concat(self, values: Sequence[Value], axis: int) -> Value:
        """Concatenate; nothing if it is one."""
        return values[0] if len(values) == 1 else self.op("Concat", *values, axis=axis)

    def slice(
        self, x: Value, starts: Sequence[int], ends: Sequence[int], axes: Sequence[int], steps: Sequence[int] = ()
    ) -> Value:
        """Slice with known bounds."""
        bounds = [self.constant(list(numbers), INT64) for numbers in (starts, ends, axes)]
        return self.op("Slice", x, *bounds, self.constant(list(steps), INT64) if steps else None)

    def shape(self, x: Value) -> Value:
        """The sizes of a value as an int64 vector."""
        return self.op("Shape", x)

    def size(self, x: Value, axis: int) -> Value:
        """One size of a value as an int64 vector of one element."""
        return self.slice(self.shape(x), [axis], [axis + 1], [0])

    # Folding

    def _known(self, op: str, inputs: Sequence[Value | None], attributes: Mapping[str, Attribute]) -> Value | None:
        """The result if it needs no node: an operand itself, a view of a weight, or a literal."""
        first = inputs[0] if inputs else None
        if first is None:
            return None
        if folding.is_identity(op, inputs, attributes):
            return first
        if op == "Transpose" and first.node is not None and first.node.op == "Transpose" and "perm" in attributes:
            inner, source = first.node.attr("perm"), first.node.inputs[0]
            if inner is not None and source is not None:
                return self.op("Transpose", source, perm=tuple(inner[axis] for axis in attributes["perm"]))
        if (
            first.tensor is not None
            and not first.literal
            and (view := folding.view(op, inputs, attributes)) is not None
        ):
            return Value(self._unique(first.name), first.dtype, view.shape, tensor=view)
        content = folding.content(op, inputs, attributes)
        if content is None or content.dtype == object or not folding.is_literal(op, inputs):
            return None
        return self.constant(content)


def _literal_key(array: np.ndarray) -> tuple[Any, ...]:
    return array.dtype.name, array.shape, tuple(array.flat) if array.dtype == object else array.tobytes()


def _name_weights(graph: Graph) -> None:
    """Views of weights take the plain name of their variable where they are its only form left in the graph."""
    weights = graph.initializers()
    taken = {value.name for node in graph.nodes for value in node.outputs} | {value.name for value in graph.inputs}
    taken |= {value.name for value in weights}
    for value in weights:
        assert value.tensor is not None
        if value.tensor.name and value.tensor.name not in taken:
            taken.add(value.tensor.name)
            value.name = value.tensor.name


def _is_kept(x: Value, axis: int, size: Size) -> bool:
    """Whether a symbolic size is that of the same axis before, which a reshape copies for a 0."""
    return isinstance(size, Dim) and x.shape is not None and axis < len(x.shape) and x.shape[axis] == size


def _is_alike(new: Value | None, old: Value | None) -> bool:
    """Whether an operator infers the same from both."""
    import numpy as np

    if new is None or old is None or new is old:
        return new is old
    if new.dtype is not old.dtype or new.shape != old.shape or (new.content is None) != (old.content is None):
        return False
    return new.content is None or np.array_equal(new.content, old.content)  # type: ignore[arg-type]


def rebuild(graph: Graph) -> Builder:
    """A builder with the inputs, versions and name of a graph, to build its successor, with its initializers."""
    build = Builder(opset=graph.opset, name=graph.name, opsets=graph.opsets)
    build.reserve(graph)
    build.remarks = graph.remarks
    for value in graph.inputs:
        build.input(value.name, value.dtype, value.shape).remarks = value.remarks
    return build
