"""The model that the tensors of a checkpoint make, with what lies beside them: meta graph and state file."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from panmodel.errors import PanmodelError
from panmodel.io.source import Location
from panmodel.model.model import Model
from panmodel.model.structure import training_told
from panmodel.model.tensor import Tensor
from panmodel.model.tensorflow.object_graph import read_object_graph
from panmodel.wire.tensor_bundle import CheckpointState

if TYPE_CHECKING:
    from panmodel.model.tensorflow.graph import TensorFlowGraph


def checkpoint_model(
    format_name: str,
    tensors: Mapping[str, Tensor],
    where: str,
    *,
    meta: Location | None = None,
    state: CheckpointState | None = None,
) -> Model:
    """Tell names, training state and graph.

    Args:
        format_name: The format that they were read from.
        tensors: Everything in the checkpoint, by key.
        where: The file that lists them, for messages.
        meta: The file with the meta graph, if there is one.
        state: What the state file says, if the checkpoint was found through one.

    Raises:
        CorruptError: The meta graph or the graph of objects is damaged.
        LimitError: They have more nodes than `panmodel.limits` allows.
    """
    tensors, structure = read_object_graph(tensors, where)
    training = training_told(tensors, structure)
    model = Model(format_name, tensors=tensors, training=training, structure=structure)
    metadata: dict[str, Any] = {"framework": "tensorflow"}
    if meta is not None:
        graph, metadata = _meta_graph(meta)
        graph.variables = tensors
        model.program = graph
    if version := metadata.pop("tensorflow_version", ""):
        metadata["version"] = version
    if state is not None:
        metadata["checkpoint"] = {"latest": state.latest, "all": list(state.all_paths)}
    model.metadata = metadata
    return model


def _meta_graph(meta: Location) -> tuple[TensorFlowGraph, dict[str, Any]]:
    from panmodel.model.tensorflow.graph import meta_graph  # where it is needed: weights alone need no graph

    try:
        return meta_graph(meta.open())
    except PanmodelError as error:
        error.advise(f"the weights do not need the graph: with {meta.path.name} moved away they are read without it")
        raise
