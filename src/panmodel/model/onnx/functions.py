"""Model-local functions of an ONNX file, inlined: calls become the nodes of the function's body.

Source: https://onnx.ai/onnx/repo-docs/IR.html#functions
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from panmodel.errors import CorruptError, LimitError
from panmodel.limits import DEFAULT
from panmodel.wire.onnx_messages import (
    AttributeProto,
    FunctionProto,
    GraphProto,
    NodeProto,
    SparseTensorProto,
    ValueInfoProto,
)

#: Calls, and characters of the names that they make: calls within each other may double at every level.
_MOST_CALLS, _MOST_CHARACTERS = 100_000, 64 << 20


class Functions:
    """The functions of one model.

    Args:
        functions: Their messages.
        where: The file, for messages.
    """

    def __init__(self, functions: Sequence[FunctionProto], where: str) -> None:
        self._functions = {(item.domain, item.name, item.overload): item for item in functions}
        self._where = where
        self._calls = self._characters = 0

    def inlined(self, nodes: Sequence[NodeProto], depth: int = 0) -> Iterator[NodeProto]:
        """The nodes, with each call replaced by the function's own nodes.

        Raises:
            CorruptError: A function calls itself, or is called with more operands than it has.
            LimitError: Calls lie too deep within each other.
        """
        if depth > DEFAULT.nesting:
            message = f"functions call each other more than {DEFAULT.nesting} deep, or in a circle"
            raise LimitError(message, where=self._where)
        for node in nodes:
            function = self._functions.get((node.domain, node.op_type, node.overload))
            if function is None:
                yield node
            else:
                yield from self.inlined(self._call(node, function), depth + 1)

    def _call(self, node: NodeProto, function: FunctionProto) -> list[NodeProto]:
        self._calls += 1
        if self._calls > _MOST_CALLS:
            raise LimitError(f"more than {_MOST_CALLS} calls of functions", where=self._where)
        if len(node.input) > len(function.input) or len(node.output) > len(function.output):
            message = f"node {node.name!r} calls {function.name!r} with more values than the function has"
            raise CorruptError(message, where=self._where)
        title = node.name or next((name for name in node.output if name), function.name)
        prefix = f"{title}/{function.name}_{self._calls}/"
        self._characters += len(prefix) * (1 + len(function.node))
        if self._characters > _MOST_CHARACTERS:
            raise LimitError("calls of functions within each other make names without end", where=self._where)
        names = dict.fromkeys(function.input, "") | dict(zip(function.input, node.input, strict=False))
        made = {name: given for name, given in zip(function.output, node.output, strict=False) if given}
        # an operand that is handed on as a result needs a node of its own
        passed = [name for name in made if name in names]
        body = _Body(prefix, names | {key: value for key, value in made.items() if key not in names}, node, function)
        found = [body.node(inner) for inner in function.node]
        return found + [NodeProto(op_type="Identity", input=[names[key]], output=[made[key]]) for key in passed]


class _Body:
    """One call of a function: its names made unique, its attributes filled in."""

    def __init__(self, prefix: str, names: Mapping[str, str], call: NodeProto, function: FunctionProto) -> None:
        self._prefix, self._names = prefix, dict(names)
        self._attributes = {item.name: item for item in (*function.attribute_proto, *call.attribute)}

    def node(self, node: NodeProto) -> NodeProto:
        """A node of the body."""
        attributes = [item for inner in node.attribute if (item := self._attribute(inner)) is not None]
        return node.replaced(
            input=[self._name(name) for name in node.input],
            output=[self._name(name) for name in node.output],
            name=f"{self._prefix}{node.name or node.op_type}",
            attribute=attributes,
        )

    def _name(self, name: str) -> str:
        return self._names.setdefault(name, self._prefix + name) if name else ""

    def _attribute(self, item: AttributeProto) -> AttributeProto | None:
        if item.ref_attr_name:
            given = self._attributes.get(item.ref_attr_name)
            return None if given is None else given.replaced(name=item.name)
        return item.replaced(g=self._graph(item.g)) if item.g is not None else item

    def _graph(self, graph: GraphProto) -> GraphProto:
        return graph.replaced(
            node=[self.node(node) for node in graph.node],
            initializer=[tensor.replaced(name=self._name(tensor.name)) for tensor in graph.initializer],
            sparse_initializer=[self._sparse(tensor) for tensor in graph.sparse_initializer],
            input=self._infos(graph.input),
            output=self._infos(graph.output),
            value_info=self._infos(graph.value_info),
        )

    def _sparse(self, tensor: SparseTensorProto) -> SparseTensorProto:
        values = tensor.values
        return tensor if values is None else tensor.replaced(values=values.replaced(name=self._name(values.name)))

    def _infos(self, infos: Sequence[ValueInfoProto]) -> list[ValueInfoProto]:
        return [info.replaced(name=self._name(info.name)) for info in infos]
