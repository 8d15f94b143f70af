"""Model: what every reader returns and every writer takes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Protocol

from panmodel.model.notice import Notice
from panmodel.model.structure import Structure
from panmodel.model.tensor import Tensor
from panmodel.model.training import TrainingState


class Program(Protocol):
    """A graph in some dialect: `model.graph.Graph`, `model.tensorflow.TensorFlowGraph`, `model.torch.TorchSource`."""

    dialect: ClassVar[str]


@dataclass
class Model:
    """A model file, opened and not converted.

    Attributes:
        format: Name of the format that it was read from.
        program: The graph in the file's own dialect; None for weights alone.
        tensors: Every named weight, in the order of the file. Training slots are here too, under their own names.
        training: Step, optimizer and slots, if the file has them.
        structure: How the file arranges the tensors beyond their names, if it does.
        metadata: Framework, versions, signatures, producer: whatever the file says about itself.
        strings: What whoever made the file wrote into it beside the tensors: `__metadata__` of safetensors, the
            metadata of ONNX.
        notices: What reading or converting could not carry.
        source: The path it was read from, for messages.
    """

    format: str
    program: Program | None = None
    tensors: Mapping[str, Tensor] = field(default_factory=dict)
    training: TrainingState | None = None
    structure: Structure | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)
    strings: Mapping[str, str] = field(default_factory=dict)
    notices: list[Notice] = field(default_factory=list)
    source: str = ""

    @property
    def weights(self) -> Mapping[str, Tensor]:
        """The tensors that are no part of the training state."""
        if self.training is None:
            return self.tensors
        return {name: tensor for name, tensor in self.tensors.items() if name not in self.training.names}

    @property
    def dialect(self) -> str | None:
        """The dialect of the graph, None for weights alone."""
        return self.program.dialect if self.program is not None else None
