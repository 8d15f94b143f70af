"""What a training run of TensorFlow 1 leaves in a checkpoint: slot variables, powers of the betas, rates, the step.

Source: tensorflow/python/training/{slot_creator,training_util,adam}.py and the optimizers beside them
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from functools import cache
from typing import TYPE_CHECKING

from panmodel.model.tensor import Tensor
from panmodel.model.tensorflow.slots import KERAS, FoundSlot, find_slots, slot_names
from panmodel.model.training import TrainingState

if TYPE_CHECKING:
    import numpy as np

_BETAS = {"beta1_power": 0.9, "beta2_power": 0.999}  # Adam's own defaults
#: Scalars of a training run by the end of their names: kinds of their elements, and what they are.
_SCALAR = re.compile(
    r"(?:.*/)?(?:(?P<step>global_step)|(?P<epoch>epoch)"
    r"|(?P<rate>beta[12]_power|learning_rate|lr|loss_scale|current_loss_scale|(?:num_)?(?:good|bad)_steps))(?:_\d+)?"
)
_KERAS_SCALAR = re.compile(
    rf"(?:.*/)?(?:{KERAS})(?:_\d+)?/(?:(?P<step>iter)|(?P<rate>beta_1|beta_2|decay|learning_rate|momentum|rho|epsilon"
    r"|momentum_cache|beta|learning_rate_power|l[12]_regularization_strength))"
)


def training_state(tensors: Mapping[str, Tensor]) -> TrainingState | None:
    """Find the state of a training run among the tensors of a checkpoint.

    Reads nothing but scalars: the global step, the powers of the betas, rates.

    Args:
        tensors: Every tensor of the file.

    Returns:
        The state; None if the file has neither slots nor a step.

    Raises:
        CorruptError: A scalar that is read does not meet its checksum.
    """
    found: dict[str, list[FoundSlot]] = {}
    for slot in find_slots(tensors):
        found.setdefault(slot.variable, []).append(slot)
    scalars = _Scalars(tensors)
    if not found and not scalars.steps:
        return None
    kinds = dict.fromkeys(slot.kind for slots in found.values() for slot in slots if slot.kind)
    named = {name for slots in found.values() for slot in slots for name in slot.names}
    step = scalars.only(scalars.steps)
    return TrainingState(
        step=int(step) if step is not None else _step_from_powers(scalars.rates),
        epoch=scalars.epoch,
        optimizer=" and ".join(kinds),
        hyperparameters=scalars.rates,
        slots={variable: slot_names(slots) for variable, slots in found.items()},
        names=frozenset(named | scalars.names),
    )


class _Scalars:
    """The counters and rates among the tensors.

    Attributes:
        names: What they are called.
        steps: Every count of steps by its name.
        rates: Every rate by the end of its name; where several have the same, those in scopes by their whole names.
        epoch: The epoch, if there is one.
    """

    def __init__(self, tensors: Mapping[str, Tensor]) -> None:
        self.names: set[str] = set()
        self.steps: dict[str, float | int] = {}
        self.rates: dict[str, float | int] = {}
        self.epoch: int | None = None
        for name, tensor in tensors.items():
            match = _KERAS_SCALAR.fullmatch(name) or _SCALAR.fullmatch(name)
            if match and tensor.size == 1 and tensor.dtype.kind in "fiu":
                self._take(name, match.groupdict(), tensor)

    def _take(self, name: str, what: Mapping[str, str | None], tensor: Tensor) -> None:
        is_integer = tensor.dtype.is_integer
        if not (what.get("rate") or is_integer):
            return
        value: float | int = tensor.item()
        self.names.add(name)
        if what.get("step"):
            self.steps[name] = value
        elif what.get("epoch"):
            self.epoch = int(value)
        else:
            plain = name.rpartition("/")[2]
            self.rates[name if plain in self.rates else plain] = value

    @staticmethod
    def only(found: Mapping[str, float | int]) -> float | int | None:
        """The value without a scope, or else the only one."""
        plain = found.get("global_step")
        return plain if plain is not None else next(iter(found.values())) if len(found) == 1 else None


def _step_from_powers(powers: Mapping[str, float]) -> int | None:
    """How many steps Adam has done, if it had its default betas.

    After t steps the powers are beta ** (t + 1), in float32 and multiplied one by one: a stored power is either one of
    these numbers to the last bit, or that of another beta. The first beta vanishes after a thousand steps.
    """
    last = powers.get("beta2_power", 0.0)
    if not 1e-37 < last < 1.0:  # below is where float32 begins to lose digits
        return None
    import numpy as np

    found = np.flatnonzero(_powers(_BETAS["beta2_power"]) == np.float32(last))
    if len(found) != 1:
        return None
    step = int(found[0])
    first = float(_powers(_BETAS["beta1_power"])[step])
    return step if math.isclose(powers.get("beta1_power", 0.0), first, rel_tol=1e-6, abs_tol=1e-37) else None


@cache
def _powers(beta: float) -> np.ndarray:
    """A beta to the power of 1, 2, … until the larger of the defaults has vanished."""
    import numpy as np

    with np.errstate(under="ignore"):
        return np.multiply.accumulate(np.full(90_000, beta, np.float32))
