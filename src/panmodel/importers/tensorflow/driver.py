"""Turns a whole TensorFlow graph into the hub: names, walk, errors. What operators mean is in the other modules."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

from panmodel.errors import (
    CorruptError,
    UnknownNameError,
    UnsupportedError,
    UnsupportedOperator,
    UnsupportedOperatorsError,
    UsageError,
)
from panmodel.importers.tensorflow.boundary import feed, tensor_names
from panmodel.importers.tensorflow.dropout import without_dropout
from panmodel.importers.tensorflow.registry import Operation, handlers
from panmodel.model.builder import Builder
from panmodel.model.graph import Value
from panmodel.model.model import Model
from panmodel.model.notice import Assumed
from panmodel.model.tensorflow.graph import FunctionCall, TensorFlowGraph, TensorFlowNode, split_name
from panmodel.model.tensorflow.signature import default_signature
from panmodel.model.tensorflow.variables import Variables

#: What a handler raises on attributes and operands that no TensorFlow would have written.
_MALFORMED = (TypeError, ValueError, LookupError, AttributeError, ArithmeticError, AssertionError)


def import_graph(model: Model, inputs: Sequence[str] | None = None, outputs: Sequence[str] | None = None) -> Model:
    """Convert a TensorFlow graph to the hub.

    Args:
        model: A model whose program is a TensorFlowGraph.
        inputs: Tensors that are fed ("x" or "x:0"), in the order of the result's inputs; the graph is cut there. Left
            out: those of its default signature, or the placeholders that the outputs need.
        outputs: Tensors that are computed, likewise; they may be inputs or constants.

    Returns:
        The model with the converted graph as its program and what was assumed in its notices.

    Raises:
        UsageError: The model has no TensorFlow graph, or an input is named twice.
        UnknownNameError: An input or output is not there.
        UnsupportedOperatorsError: Nodes cannot be converted: all of them, in one list.
        CorruptError: The graph contradicts itself; the message names the node.
    """
    graph = model.program
    if not isinstance(graph, TensorFlowGraph):
        raise UsageError("the model has no TensorFlow graph", where=model.source)
    were_named = inputs is not None
    if outputs is None:
        fed, computed = default_signature(graph)
        inputs = fed if inputs is None else inputs
        outputs = computed
    given = tensor_names(graph, inputs or (), "input")
    wanted = tensor_names(graph, outputs, "output")
    if len(set(given)) < len(given):
        raise UsageError("an input is named twice", where=graph.where)
    build = Builder()
    conversion = _Conversion(without_dropout(graph), build)
    conversion.run(given, wanted)
    more = tuple(value.name for value in build.inputs[len(given) :])
    assumed = [Assumed("inputs that were not named, and that the outputs need", more)] if more and were_named else []
    for name in wanted:
        build.output(_free_name(name, build), conversion.value_of(name))
    program = build.graph()
    if not were_named:  # what only dropout took, say
        uses = program.uses()
        program.inputs = [value for value in program.inputs if value in uses]
    return replace(model, program=program, notices=[*model.notices, *assumed])


def _free_name(name: str, build: Builder) -> str:
    """The name of an output; a tensor that is asked for twice has a second one."""
    free, count = name, 0
    while free in build.outputs:
        count += 1
        free = f"{name}_{count}"
    return free


@dataclass
class _Conversion:
    """The nodes of one graph on their way into the hub.

    Attributes:
        graph: The source.
        build: Where they go.
        values: Tensor name → its value.
        unsupported: Nodes that cannot be converted.
        failed: Names of these, and of the nodes that depend on them.
        unknown: Why the first variable that the checkpoint does not have is missing.
    """

    graph: TensorFlowGraph
    build: Builder
    values: dict[str, Value] = field(default_factory=dict)
    unsupported: list[UnsupportedOperator] = field(default_factory=list)
    failed: set[str] = field(default_factory=set)
    unknown: UnknownNameError | None = None

    @cached_property
    def variables(self) -> Variables | None:
        """The variables of the graph; None if it comes without a checkpoint."""
        return Variables(self.graph) if self.graph.variables else None

    def run(self, inputs: Sequence[str], outputs: Sequence[str]) -> None:
        """Convert what the outputs need, down to the inputs."""
        for name in inputs:
            self.values[name] = feed(self.graph, self.build, name)
        for node in self.graph.ordered(outputs, inputs):
            self._convert(node)
        if self.unsupported:
            raise UnsupportedOperatorsError(self.unsupported, where=self.graph.where)
        if self.unknown is not None:
            raise self.unknown

    def value_of(self, output: str) -> Value:
        """The value of an output that the user asked for."""
        if output not in self.values:
            ports = [name for name in self.values if split_name(name)[0] == split_name(output)[0]]
            raise UnknownNameError("output", output, ports, where=self.graph.where)
        return self.values[output]

    def _convert(self, node: TensorFlowNode) -> None:
        handler = handlers().get(node.op)
        if handler is None:
            self.unsupported.append(self._without_handler(node))
        if handler is None or any(self._has_failed(name) for name in node.inputs):
            self.failed.add(node.name)
            return
        operands = [self._operand(node, name) for name in node.inputs]
        operation = Operation(node, operands, self.graph, self.variables)
        before = len(self.build.nodes)
        try:
            with self.build.at(node.name):
                results = handler(operation, self.build)
        except UnsupportedError as error:
            self.unsupported.append(UnsupportedOperator(node.op, node.name, error.message))
            self.failed.add(node.name)
            return
        except UnknownNameError as error:  # said only of a graph that could be converted otherwise
            self.unknown = self.unknown or error
            self.failed.add(node.name)
            return
        except CorruptError as error:
            raise CorruptError(error.message, where=self._where(node), hint=error.hint) from error
        except _MALFORMED as error:
            found = f"{type(error).__name__}: {error}"
            raise CorruptError(f"malformed {node.op} ({found})", where=self._where(node)) from error
        self._keep(node, [results] if isinstance(results, Value) else results, before)

    def _without_handler(self, node: TensorFlowNode) -> UnsupportedOperator:
        called = {value.name for value in node.attributes.values() if isinstance(value, FunctionCall)}
        called |= {node.op} & self.graph.functions.keys()
        if not called:
            return UnsupportedOperator(node.op, node.name)
        return UnsupportedOperator(node.op, node.name, f"functions are not converted yet: {', '.join(sorted(called))}")

    def _keep(self, node: TensorFlowNode, results: Sequence[Value], before: int) -> None:
        """Note the results of a node, and name those that it computed itself."""
        made = {value for new in self.build.nodes[before:] for value in new.outputs}
        for port, value in enumerate(results):
            name = f"{node.name}:{port}"
            self.values.setdefault(name, value)  # a port that is fed stays so
            if value in made:
                self.build.rename(value, name)

    def _has_failed(self, tensor: str) -> bool:
        return tensor not in self.values and split_name(tensor)[0] in self.failed

    def _operand(self, node: TensorFlowNode, name: str) -> Value:
        if name not in self.values:
            raise CorruptError(f"it takes {name!r}, which nothing gives", where=self._where(node))
        return self.values[name]

    def _where(self, node: TensorFlowNode) -> str:
        return f"{self.graph.where}: node {node.name!r}" if self.graph.where else f"node {node.name!r}"
