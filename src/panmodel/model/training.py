"""What a training run leaves beside the weights: step, epoch, loss, optimizer kind, its hyper-parameters and slots."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from panmodel.model.tensor import Tensor


@dataclass
class TrainingState:
    """The state of a training run.

    It is told from the tensors and the `Structure` of a file: a writer that keeps both keeps it.

    Attributes:
        step: Optimizer steps done; None if the file does not say.
        epoch: Epochs done; None if the file does not say.
        loss: The loss that was recorded last; None if the file does not say.
        optimizer: Kind in lower case ("adam", "momentum"); empty if unknown.
        hyperparameters: Learning rate, betas, … as the file names them.
        slots: Variable name → slot name ("m", "v", "momentum") → tensor, as the file holds it.
        names: Which of the model's tensors belong to this state: slots, counters, rates. The others are weights.
    """

    step: int | None = None
    epoch: int | None = None
    loss: float | None = None
    optimizer: str = ""
    hyperparameters: Mapping[str, Any] = field(default_factory=dict)
    slots: Mapping[str, Mapping[str, Tensor]] = field(default_factory=dict)
    names: frozenset[str] = frozenset()
