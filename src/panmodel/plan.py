"""Plans of conversions: the shortest way from the dialect of a source to that of a target.

A source whose graph is in the dialect of the target passes through nothing, weights alone go straight from reader to
writer, and everything else meets in the hub. A new importer or exporter is a row of `_STEPS`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from panmodel.errors import UnsupportedError, UsageError
from panmodel.formats import registry
from panmodel.model.format import Format, Holds
from panmodel.model.model import Model

if TYPE_CHECKING:
    from panmodel.model.graph import Graph

Names = str | Sequence[str] | None


@dataclass(frozen=True, slots=True)
class Request:
    """What the user asks of a conversion's steps.

    Attributes:
        inputs: Tensors that become the inputs; None if they are to be found.
        outputs: Tensors that become the outputs, likewise.
        weights: Name of the file that the weights of PyTorch source will be in.
    """

    inputs: Sequence[str] | None = None
    outputs: Sequence[str] | None = None
    weights: str = "net.safetensors"

    @property
    def cuts(self) -> bool:
        """Whether the graph is to be cut."""
        return self.inputs is not None or self.outputs is not None


@dataclass(frozen=True, slots=True)
class Step:
    """One way from a dialect to another.

    Attributes:
        source: The dialect that it takes.
        target: The dialect that it gives.
        title: What a receipt calls it.
        run: Takes the model and gives the next.
        only_cuts: Whether it has nothing to do where the user cuts nothing.
    """

    source: str
    target: str
    title: str
    run: Callable[[Model, Request], Model]
    only_cuts: bool = False


@dataclass(frozen=True, slots=True)
class Plan:
    """The steps of a conversion.

    Attributes:
        steps: What is done, in order.
        request: What the user asks of them.
        keeps_graph: Whether the graph comes along.
    """

    steps: tuple[Step, ...] = ()
    request: Request = field(default_factory=Request)
    keeps_graph: bool = True

    def run(self, model: Model) -> Model:
        """The model as the target takes it; the given one stays as it is."""
        result = replace(model, notices=list(model.notices))
        if not self.keeps_graph:
            result.program = None
        for step in self.steps:
            result = step.run(result, self.request)
        return result


def plan(model: Model, record: Format, request: Request, *, weights_only: bool = False) -> Plan:
    """The shortest way from a model to a format.

    Args:
        model: The source.
        record: Format of the target.
        request: What the user asks.
        weights_only: Move the tensors as they are, without any graph.

    Raises:
        UnsupportedError: There is no way.
        UsageError: Names to cut at, and no graph; or the names of no outputs at all.
    """
    if request.outputs is not None and not request.outputs:
        raise UsageError("no output is named", hint="leave out --outputs, and they are found")
    if model.dialect is None or record.target_dialect is None or weights_only:
        if request.cuts:
            raise UsageError("inputs and outputs say where to cut a graph, and no graph is converted here")
        if record.keeps & Holds.GRAPH:
            raise _graph_missing(model, record)
        return Plan(keeps_graph=False)
    steps = _way(model.dialect, record.target_dialect)
    if steps is None:
        message = f"there is no way from {model.format} to {record.name} yet"
        hint = "`panmodel formats` lists what can be read and written"
        raise UnsupportedError(message, where=model.source, hint=hint)
    return Plan(tuple(step for step in steps if request.cuts or not step.only_cuts), request)


def _graph_missing(model: Model, record: Format) -> UnsupportedError:
    able = [other for other in registry().values() if other.write and other.any_weights]
    endings = sorted(other.extensions[0] for other in able if not other.keeps & Holds.GRAPH)
    hint = f"weights alone can become {', '.join(endings[:-1])} or {endings[-1]}"
    if model.dialect is None:
        message = f"holds weights without a graph, {record.name} needs one"
    else:
        message = f"is to be moved without its graph, {record.name} needs one"
        hint = f"leave out --weights-only, or {hint}"
    return UnsupportedError(message, where=model.source, hint=hint)


def _way(source: str, target: str) -> tuple[Step, ...] | None:
    """Breadth first through the dialects; a step within one dialect stands only where nothing else is to be done."""
    if source == target:
        return tuple(step for step in _STEPS if step.source == step.target == source)
    ways: list[tuple[Step, ...]] = [()]
    for way in ways:
        at = way[-1].target if way else source
        if at == target:
            return way
        ways.extend((*way, step) for step in _STEPS if step.source == at != step.target and len(way) < len(_STEPS))
    return None


# Steps; what they need is imported when they run


def _import_tensorflow(model: Model, request: Request) -> Model:
    from panmodel import passes
    from panmodel.importers.tensorflow.driver import import_graph

    imported = import_graph(model, request.inputs, request.outputs)
    return replace(imported, program=passes.optimize(_graph(imported)))


def _freeze_tensorflow(model: Model, request: Request) -> Model:
    from panmodel.model.tensorflow.freeze import freeze
    from panmodel.model.tensorflow.graph import TensorFlowGraph

    assert isinstance(model.program, TensorFlowGraph)
    return replace(model, program=freeze(model.program, outputs=request.outputs, inputs=request.inputs))


def _cut_onnx(model: Model, request: Request) -> Model:
    from panmodel.passes.cut import cut

    return replace(model, program=cut(_graph(model), request.inputs, request.outputs, model.source))


def _export_torch(model: Model, request: Request) -> Model:
    from panmodel import passes
    from panmodel.exporters.torch import export
    from panmodel.model.torch.source import TorchSource
    from panmodel.passes.layout import permutes

    if model.format == "onnx":
        model = _cut_onnx(model, request) if request.cuts else model
        model = replace(model, program=passes.optimize(_graph(model)))
    exported = export(model, weights=request.weights)
    assert isinstance(exported.program, TorchSource)
    names = {**exported.program.names, "permutes": permutes(_graph(model))}
    return replace(exported, program=replace(exported.program, names=names))


def _graph(model: Model) -> Graph:
    from panmodel.model.graph import Graph

    assert isinstance(model.program, Graph)
    return model.program


_STEPS = (
    Step("tensorflow", "tensorflow", "freeze", _freeze_tensorflow),
    Step("tensorflow", "onnx", "import TensorFlow", _import_tensorflow),
    Step("onnx", "onnx", "cut", _cut_onnx, only_cuts=True),
    Step("onnx", "torch", "export PyTorch", _export_torch),
)
