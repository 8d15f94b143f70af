"""The part of a graph between some values and others."""

from __future__ import annotations

from collections.abc import Sequence

from panmodel.errors import UnknownNameError, UsageError
from panmodel.model.builder import Builder
from panmodel.model.graph import Graph, Node, Value
from panmodel.passes.rewrite import rewrite


def cut(graph: Graph, inputs: Sequence[str] | None, outputs: Sequence[str] | None, where: str = "") -> Graph:
    """The graph that computes some of its values from others.

    Args:
        graph: The whole graph.
        inputs: Names of the values that become the inputs, in this order; the graph's own if left out.
        outputs: Names of the values that become the outputs; the graph's own if left out.
        where: The file, for messages.

    Raises:
        UnknownNameError: There is no such value; the nearest are suggested.
        UsageError: The outputs need an input of the graph that is not among the inputs.
    """
    named = {value.name: value for value in graph.inputs}
    named |= {value.name: value for node in graph.nodes for value in node.outputs}
    starts = [_find("input", name, named, where) for name in inputs] if inputs is not None else list(graph.inputs)
    known = named | dict(graph.outputs)
    ends = {name: _find("output", name, known, where) for name in outputs} if outputs is not None else graph.outputs
    build = Builder(opset=graph.opset, name=graph.name, opsets=graph.opsets)
    build.remarks = graph.remarks
    mapped: dict[Value, Value] = {value: build.input(value.name, value.dtype, value.shape) for value in starts}
    for value, new in mapped.items():
        new.remarks = value.remarks
    for node in graph.nodes:
        if not all(value in mapped for value in node.outputs):
            _copy(node, build, mapped)
    for name, value in ends.items():
        build.output(name, mapped.get(value, value))
    result = build.graph()
    _require_inputs(graph, result, starts, where)
    return result


def _copy(node: Node, build: Builder, mapped: dict[Value, Value]) -> None:
    operands = [None if value is None else mapped.get(value, value) for value in node.inputs]
    attributes = {
        name: rewrite(value, {}, mapped) if isinstance(value, Graph) else value
        for name, value in node.attributes.items()
    }
    for old, new in zip(node.outputs, build.add(node, operands, attributes), strict=True):
        mapped.setdefault(old, new)


def _find(kind: str, name: str, known: dict[str, Value], where: str) -> Value:
    for spelling in (name, name.removesuffix(":0"), f"{name}:0"):
        if spelling in known:
            return known[spelling]
    raise UnknownNameError(kind, name, known, where=where)


def _require_inputs(graph: Graph, result: Graph, starts: Sequence[Value], where: str) -> None:
    read = {value for node in result.nodes for value in node.inputs if value is not None} | set(result.outputs.values())
    missing = [value.name for value in graph.inputs if value in read and value not in starts]
    if missing:
        raise UsageError(f"the outputs need input {missing[0]!r} too", where=where, hint="add it to the inputs")
