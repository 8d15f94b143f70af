"""What a training run leaves beside the weights: step, epoch, loss, optimizer kind, its hyper-parameters and slots."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from panmodel.model.notice import Notice, SlotsUnassigned
from panmodel.model.tensor import Tensor

#: Kinds of optimizers whose names are of several words, as they are called here.
_JOINED = frozenset(["rmsprop", "adamw", "adamax", "nadam", "adadelta", "adagrad", "adafactor"])


def optimizer_kind(name: str) -> str:
    """The kind that the name of an optimizer, or of its class, stands for: "RMSprop" and "rm_sprop_1" are rmsprop."""
    plain = re.sub(r"_\d+$", "", name.lower())
    joined = plain.replace("_", "")
    return joined if joined in _JOINED else plain


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
        counters: "step", "epoch" or "loss" → the tensor that says it; none for a number that is no tensor.
    """

    step: int | None = None
    epoch: int | None = None
    loss: float | None = None
    optimizer: str = ""
    hyperparameters: Mapping[str, Any] = field(default_factory=dict)
    slots: Mapping[str, Mapping[str, Tensor]] = field(default_factory=dict)
    names: frozenset[str] = frozenset()
    counters: Mapping[str, Tensor] = field(default_factory=dict)


def unassigned(training: TrainingState | None, tensors: Mapping[str, Tensor]) -> list[Notice]:
    """That a file leaves open which of its weights some slots belong to.

    Args:
        training: What the file tells.
        tensors: All its tensors.
    """
    if training is None or training.names >= tensors.keys():  # there are no weights
        return []
    numbers = tuple(key for key in training.slots if key not in tensors)
    detail = "which weights these slots belong to is left open: number, order and shapes of parameters do not tell"
    return [SlotsUnassigned(detail, numbers)] if numbers else []
