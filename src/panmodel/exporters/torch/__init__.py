"""The hub → PyTorch source that a person would have written."""

from __future__ import annotations

from dataclasses import replace

from panmodel.errors import UnsupportedError
from panmodel.model.graph import Graph
from panmodel.model.model import Model


def export(model: Model, *, weights: str = "net.safetensors") -> Model:
    """Write a model whose graph is in the hub as PyTorch source.

    Args:
        model: A model with a `Graph`.
        weights: Name of the file that the weights will be in, for the header.

    Returns:
        The model with a `TorchSource`; its tensors are the state dict.

    Raises:
        UnsupportedError: It has no graph of the hub.
        UnsupportedOperatorsError: Operators that cannot be written, all of them.
    """
    from panmodel.exporters.torch.module import write_module

    if not isinstance(model.program, Graph):
        raise UnsupportedError("only a graph can become PyTorch source", where=model.source)
    program = write_module(model.program, model.source, weights)
    return replace(model, format="torch_source", program=program, tensors=dict(program.state))
