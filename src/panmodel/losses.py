"""What a conversion does not carry, told before anything is written: the graph, training state, strings, ties."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from panmodel.formats import registry
from panmodel.model.format import Format, Holds
from panmodel.model.model import Model
from panmodel.model.notice import (
    GraphLost,
    MetadataLost,
    Notice,
    StructureLost,
    TensorsUnused,
    TiesLost,
    TrainingStateLost,
)
from panmodel.model.structure import training_told
from panmodel.model.tensor import Tensor
from panmodel.model.training import TrainingState

#: What the string "format" of safetensors says to loaders: for which of them the file is, and nothing of the model.
_LOADERS = frozenset({"pt", "tf", "np", "numpy", "flax", "jax", "mlx", "paddle"})


def losses(
    source: Model,
    result: Model,
    record: Format,
    *,
    keeps_graph: bool,
    weights_only: bool,
    sharded: bool = False,
    name: str = "",
) -> list[Notice]:
    """What the target has no place for.

    Args:
        source: The model that is converted, after what the user left out.
        result: The model that is written.
        record: Format of the target.
        keeps_graph: The graph comes along, and with it the weights that it uses; else the tensors move as they are.
        weights_only: The user asked for the tensors alone.
        sharded: The target is split into files of a certain size.
        name: The name of the target.
    """
    lost = _strings(source, record)
    if keeps_graph:
        return [*_training_of_graph(source, record), *_unused(source, result), *lost, *_remarks(source, record)]
    graph = [] if weights_only else _graph(source, record)
    own = record.loses(result, sharded) if record.loses is not None else []
    own += record.remarks(result, name) if record.remarks is not None else []
    training = _training(source, training_kept(result, record), record)
    return [*graph, *_structure(source, record), *training, *_ties(result, record), *own, *lost]


def _graph(model: Model, record: Format) -> list[Notice]:
    """A graph that is there, or one that its format has and that is not read."""
    if model.program is not None:
        return [GraphLost(f"the graph is not kept: {record.name} is written with weights alone")]
    read_as = registry().get(model.format)
    if read_as is not None and read_as.unread:
        return [GraphLost(f"{read_as.unread} is not kept: of {read_as.name} the weights are read")]
    return []


def _strings(model: Model, record: Format) -> list[Notice]:
    """What was written into the file beside the tensors."""
    lost = tuple(key for key, value in model.strings.items() if key != "format" or value not in _LOADERS)
    if record.keeps_strings or not lost:
        return []
    return [MetadataLost(f"metadata of the file is not kept in {record.name}", lost)]


def _remarks(model: Model, record: Format) -> list[Notice]:
    """What the author of a graph says of its parts, which only its own dialect keeps."""
    from panmodel.model.graph import Graph

    graph = model.program
    if not isinstance(graph, Graph) or graph.dialect == record.target_dialect:
        return []
    said = [node.name or node.op for node in graph.nodes if node.remarks or any(v.remarks for v in node.outputs)]
    said += [value.name for value in (*graph.inputs, *graph.initializers()) if value.remarks]
    detail = f"what the author says of parts of the graph is not kept in {record.name}"
    return [MetadataLost(detail, tuple(said))] if said or graph.remarks else []


def _ties(model: Model, record: Format) -> list[Notice]:
    """Tensors of several names, where the target stores one for each name."""
    if record.keeps_ties:
        return []
    together: dict[int, tuple[Tensor, list[str]]] = {}
    for name, tensor in model.tensors.items():
        together.setdefault(id(tensor), (tensor, []))[1].append(name)
    tied = [(tensor, names) for tensor, names in together.values() if len(names) > 1]
    if not tied:
        return []
    more = sum(tensor.nbytes * (len(names) - 1) for tensor, names in tied)
    detail = f"tensors of several names are written once for each name in {record.name} ({more:,} bytes more)"
    return [TiesLost(detail, tuple(" = ".join(names) for _, names in tied))]


def _structure(model: Model, record: Format) -> list[Notice]:
    """What is lost where all tensors move under their names, and only what is beside them may not."""
    if model.structure is None or model.structure.family in record.structures:
        return []
    return [
        StructureLost(f"how the file arranges its tensors, and the values beside them, is not kept in {record.name}")
    ]


def training_kept(result: Model, record: Format) -> TrainingState | None:
    """The training state that the target's own reader will tell, by the structure that the target keeps and by names.

    Args:
        result: The model that is written; scalars among its tensors are read.
        record: Format of the target.
    """
    if result.training is None or not record.keeps & Holds.TRAINING:
        return None
    structure = result.structure
    is_kept = structure is not None and structure.family in record.structures
    kept = training_told(result.tensors, structure if is_kept else None)
    is_empty = kept is not None and _told(kept) == _told(TrainingState())  # containers that have lost their tensors
    return None if is_empty else kept


def training_fate(opened: Model, model: Model, result: Model, record: Format) -> str:
    """What a receipt says of a training state, empty if there was none.

    Args:
        opened: The model as it was read.
        model: The same after what the user left out.
        result: What is written.
        record: Format of the target.
    """
    state = opened.training
    if state is None:
        return ""
    left = model.training or state
    stays = model.training is not None and result.program is None
    kept = training_kept(result, record) if stays else None
    said = [f"{what} {value}" for what, value in (("step", left.step), ("epoch", left.epoch)) if value is not None]
    said += [state.optimizer] if state.optimizer else []
    if slots := len(_slots(state)):
        there = _slots(kept or left)
        numbered = f" ({len(there - _slots(left))} under numbers)" if there - _slots(left) else ""
        said.append(f"{slots} slots{numbered}" if len(there) == slots else f"{len(there)} of {slots} slots{numbered}")
    what = ", ".join(said)
    if model.training is None:
        return f"left out as asked: {what}"
    if not stays:
        return f"not kept with the graph: {what}"
    if kept is not None:
        return f"{'kept' if _told(kept) == _told(left) else 'not all kept'}: {what}"
    plain = len(left.names & result.tensors.keys())
    return f"not kept: {what}" + (f"; {plain} tensors of it are plain ones now" if plain else "")


def _told(state: TrainingState) -> dict[str, Any]:
    """Everything that a state says, for comparison; the tensors themselves by their names."""
    said = {part.name: getattr(state, part.name) for part in fields(state) if part.name != "counters"}
    return {**said, "slots": _slots(state)}


def _slots(state: TrainingState) -> set[tuple[str, str]]:
    return {(variable, slot) for variable, kinds in state.slots.items() for slot in kinds}


def _training(model: Model, kept: TrainingState | None, record: Format) -> list[Notice]:
    """What is left of the training state, as the user wanted, and the target does not tell."""
    state = model.training
    if state is None:
        return []
    kept = kept or TrainingState()
    lost: list[Notice] = []
    if plain := tuple(name for name in model.tensors if name in state.names - kept.names):
        detail = f"tensors of the training state are plain ones in {record.name}, which tells them from no weights"
        lost.append(TrainingStateLost(detail, plain))
    elif unknown := sorted(_slots(state) - _slots(kept)):
        detail = f"which slots are of which weights is not kept in {record.name}"
        lost.append(TrainingStateLost(detail, tuple(f"{variable} ({slot})" for variable, slot in unknown)))
    if state.names and state.optimizer != kept.optimizer:
        lost.append(TrainingStateLost(f"the kind of the optimizer ({state.optimizer}) is not kept in {record.name}"))
    has_numbers = model.structure is not None and model.structure.family not in record.structures  # else they stay
    return lost + (_numbers(model, kept, record) if has_numbers else [])


def _numbers(model: Model, kept: TrainingState, record: Format) -> list[Notice]:
    """The numbers of a training state that are no tensors. Of those that are tensors, `_training` says it."""
    training = model.training
    assert training is not None
    lost: list[Notice] = []
    for what in ("step", "epoch", "loss"):
        number = getattr(training, what)
        if number not in (None, getattr(kept, what)) and what not in training.counters:
            lost.append(TrainingStateLost(f"the {what} ({number}) is not kept in {record.name}"))
    held = _named_numbers(model, training) | kept.hyperparameters.keys()
    scalars = tuple(name for name in training.hyperparameters if name not in held)
    if scalars:
        lost.append(TrainingStateLost(f"hyper-parameters are not kept in {record.name}", scalars))
    return lost


def _named_numbers(model: Model, training: TrainingState) -> set[str]:
    """The names of tensors, and what the variables of an optimizer are called in it: "beta_1" of "Adam/beta_1"."""
    slots = {id(tensor) for kinds in training.slots.values() for tensor in kinds.values()}
    own = (name for name in training.names if name in model.tensors and id(model.tensors[name]) not in slots)
    return {*model.tensors, *(name.rpartition("/")[2] for name in own if model.tensors[name].size == 1)}


def _training_of_graph(model: Model, record: Format) -> list[Notice]:
    """A graph takes its weights along and nothing of the training state."""
    training = model.training
    if training is None:
        return []
    lost: list[Notice] = []
    slots = tuple(f"{variable} ({slot})" for variable, kinds in training.slots.items() for slot in kinds)
    if slots:
        lost.append(TrainingStateLost(f"optimizer slots are not kept in {record.name}", slots))
    for what, number in (("step", training.step), ("epoch", training.epoch)):
        if number is not None:
            lost.append(TrainingStateLost(f"the {what} ({number}) is not kept in {record.name}"))
    return lost


def _unused(source: Model, result: Model) -> list[Notice]:
    """Tensors that the converted graph does not read; what is training state is said elsewhere."""
    from panmodel.model.graph import Graph
    from panmodel.model.tensorflow.graph import TensorFlowGraph
    from panmodel.model.torch.source import TorchSource

    if isinstance(source.program, Graph):
        graph = result.program if isinstance(result.program, Graph) else source.program
        used = {id(value.tensor) for value in graph.initializers()}
        weights = source.weights.items()
        return _said_unused(tuple(name for name, tensor in weights if id(tensor) not in used))
    if not isinstance(source.program, TensorFlowGraph):
        return []
    if isinstance(result.program, Graph):
        kept = [value.tensor for value in result.program.initializers() if value.tensor is not None]
    elif isinstance(result.program, TorchSource):
        kept = list(result.program.state.values())
    else:
        return []
    said = {name for tensor in kept for name in tensor.origins}
    if source.training is not None:
        said |= source.training.names
    variables = source.program.variables
    return _said_unused(tuple(name for name in variables if name in source.tensors and name not in said))


def _said_unused(names: tuple[str, ...]) -> list[Notice]:
    return [TensorsUnused("the converted graph does not use", names)] if names else []
