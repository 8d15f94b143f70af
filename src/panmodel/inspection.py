"""What a model file is: told from its headers, without reading weights and without any framework."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from panmodel.errors import UsageError
from panmodel.formats import PathLike, read
from panmodel.model.model import Model
from panmodel.model.report import described, described_entry
from panmodel.model.tensor import Tensor

if TYPE_CHECKING:
    from panmodel.model.tensorflow.graph import TensorFlowGraph


@dataclass(frozen=True, slots=True)
class TensorInfo:
    """One stored tensor.

    Attributes:
        name: Its name in the file.
        dtype: Element type.
        shape: Dimensions.
        nbytes: Stored bytes.
        slot: Whether it is an optimizer's slot rather than a weight.
    """

    name: str
    dtype: str
    shape: tuple[int, ...]
    nbytes: int
    slot: bool = False


@dataclass(slots=True)
class Inspection:
    """What a model file says about itself.

    Attributes:
        path: The path asked about.
        format: Its format, told by content.
        dialect: Dialect of its graph; None for weights alone.
        metadata: Framework, versions, producer: whatever the file says.
        strings: What whoever made the file wrote into it beside the tensors.
        tensors: Every stored tensor, in file order.
        parameters: Elements of all tensors, those of the training state not counted and tied ones counted once.
        nbytes: Stored bytes of all tensors, tied ones counted once.
        inputs: Graph inputs, as "name dtype[shape]".
        outputs: Graph outputs, likewise.
        operators: How often each operator occurs, most frequent first.
        signatures: Signature name → inputs and outputs.
        nodes: The graph's nodes as (operator, name, operands).
        training: Step, epoch, loss, optimizer, hyper-parameters and slots, if there are any.
        notices: What could not be read as it stands.
    """

    path: str
    format: str
    dialect: str | None
    metadata: Mapping[str, Any]
    tensors: list[TensorInfo]
    parameters: int
    nbytes: int
    strings: Mapping[str, str] = field(default_factory=dict)
    inputs: list[str] = field(default_factory=list)
    outputs: list[str] = field(default_factory=list)
    operators: Mapping[str, int] = field(default_factory=dict)
    signatures: Mapping[str, Any] = field(default_factory=dict)
    nodes: list[tuple[str, str, list[str]]] = field(default_factory=list)
    training: Mapping[str, Any] | None = None
    notices: list[str] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        """Everything as plain values."""
        plain = {name: getattr(self, name) for name in self.__dataclass_fields__}
        plain["tensors"] = [
            {"name": t.name, "dtype": t.dtype, "shape": list(t.shape), "bytes": t.nbytes, "slot": t.slot}
            for t in self.tensors
        ]
        return plain


def inspect(path: PathLike) -> Inspection:
    """Say what a model file is.

    Args:
        path: A file, a folder, or the prefix of a checkpoint; any one file of several will do.

    Raises:
        ReadError: Nothing readable is there.
    """
    model = read(path)
    slots = _slots(model)
    found = Inspection(
        path=str(Path(path)),
        format=model.format,
        dialect=model.dialect,
        metadata=dict(model.metadata),
        strings=dict(model.strings),
        tensors=[
            TensorInfo(name, str(t.dtype), t.shape, t.nbytes, id(t) in slots) for name, t in model.tensors.items()
        ],
        parameters=sum(t.size for t in _once(model.weights) if t.dtype.kind in "fc" and t.shape),
        nbytes=sum(tensor.nbytes for tensor in _once(model.tensors)),
        training=_training(model),
        notices=[str(notice) for notice in model.notices],
    )
    if model.program is not None:
        _describe_graph(model, found)
    return found


def _once(tensors: Mapping[str, Tensor]) -> Iterable[Tensor]:
    """Each tensor once, however many names it has."""
    return {id(tensor): tensor for tensor in tensors.values()}.values()


def _slots(model: Model) -> set[int]:
    """Which tensors are slots, by identity: the training state and the listing share the objects."""
    if model.training is None:
        return set()
    return {id(tensor) for kinds in model.training.slots.values() for tensor in kinds.values()}


def _training(model: Model) -> dict[str, Any] | None:
    state = model.training
    if state is None:
        return None
    kinds = sorted({slot for slots in state.slots.values() for slot in slots})
    return {
        "step": state.step,
        "epoch": state.epoch,
        "loss": state.loss,
        "optimizer": state.optimizer,
        "hyperparameters": dict(state.hyperparameters),
        "slots": {slot: sum(slot in slots for slots in state.slots.values()) for slot in kinds},
    }


def _describe_graph(model: Model, found: Inspection) -> None:
    from panmodel.model.graph import Graph
    from panmodel.model.tensorflow.graph import TensorFlowGraph
    from panmodel.model.torch.source import TorchSource

    program = model.program
    if isinstance(program, Graph):
        found.inputs = [described(value.name, value.dtype, value.shape) for value in program.inputs]
        found.outputs = [described(name, value.dtype, value.shape) for name, value in program.outputs.items()]
        found.operators = program.operators()
        found.nodes = [(n.op, n.name, [v.name for v in n.inputs if v is not None]) for n in program.nodes]
    elif isinstance(program, TensorFlowGraph):
        _describe_tensorflow(program, found)
    elif isinstance(program, TorchSource):
        found.inputs = [described_entry(entry) for entry in program.names.get("inputs", ())]
        found.outputs = [described_entry(entry) for entry in program.names.get("outputs", ())]


def _describe_tensorflow(program: TensorFlowGraph, found: Inspection) -> None:
    from panmodel.model.tensorflow.signature import default_signature

    try:
        inputs, outputs = default_signature(program)
    except UsageError as error:  # a graph that only saves and restores, say; the rest of what it is can still be told
        inputs, outputs = [], []
        found.notices.append(error.message)
    found.inputs = [_tensorflow_tensor(program, name) for name in inputs]
    found.outputs = [_tensorflow_tensor(program, name) for name in outputs]
    if absent := [name for name in (*inputs, *outputs) if _node_name(name) not in program.nodes]:
        found.notices.append(f"the signature names tensors of nodes that are not in the graph: {', '.join(absent)}")
    counts: dict[str, int] = {}
    for node in program.nodes.values():
        counts[node.op] = counts.get(node.op, 0) + 1
    found.operators = dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))
    found.nodes = [(node.op, node.name, list(node.inputs)) for node in program.nodes.values()]
    found.signatures = {
        name: {"inputs": dict(signature.inputs), "outputs": dict(signature.outputs)}
        for name, signature in program.signatures.items()
    }


def _node_name(tensor: str) -> str:
    return tensor.rpartition(":")[0]


def _tensorflow_tensor(program: TensorFlowGraph, name: str) -> str:
    node = program.nodes.get(_node_name(name))
    if node is None:
        return name
    attributes = node.attributes
    dtype = attributes.get("dtype") or attributes.get("T")
    shape = attributes.get("shape")
    return described(name, dtype, shape) if "shape" in attributes else f"{name} {dtype or ''}".strip()
