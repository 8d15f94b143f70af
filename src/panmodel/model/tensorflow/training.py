"""What TensorFlow 1 optimizers leave in a checkpoint: slot variables, powers of the betas, the global step.

An optimizer names its slots after the variable and itself: `conv/kernel/Adam`, `conv/kernel/Adam_1`. A tensor counts as
a slot if it has such a name, and the variable so named is in the file with the same shape. Where an optimizer was made
inside a name scope, the scope comes first: `train/conv/kernel/Adam`.

Source: tensorflow/python/training/slot_creator.py and the optimizers beside it
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping

from panmodel.model.tensor import Tensor
from panmodel.model.training import TrainingState

#: Name that an optimizer gives its slots → kind of the optimizer, and its slots in the order that it makes them.
_OPTIMIZERS: dict[str, tuple[str, tuple[str, ...]]] = {
    "Adam": ("adam", ("m", "v")),
    "AdamW": ("adamw", ("m", "v")),
    "AdaMax": ("adamax", ("m", "v")),
    "Momentum": ("momentum", ("momentum",)),
    "RMSProp": ("rmsprop", ("rms", "momentum")),
    "Adagrad": ("adagrad", ("accumulator",)),
    "ProximalAdagrad": ("proximal_adagrad", ("accumulator",)),
    "AdagradDA": ("adagrad_da", ("gradient_accumulator", "gradient_squared_accumulator")),
    "Adadelta": ("adadelta", ("accum", "accum_update")),
    "Ftrl": ("ftrl", ("accum", "linear")),
    # The Adam of BERT and its descendants, which makes its slots by hand
    "adam_m": ("adam", ("m",)),
    "adam_v": ("adam", ("v",)),
}
_CENTERED_RMSPROP = ("rms", "mg", "momentum")
_SLOT = re.compile(rf"(?P<variable>.+)/(?P<optimizer>{'|'.join(_OPTIMIZERS)})(?:_(?P<number>[1-9]\d?))?")
_BETAS = {"beta1_power": 0.9, "beta2_power": 0.999}  # Adam's own defaults

#: A slot before it has its name: the optimizer's name for it, its number there, and the tensor.
_Found = tuple[str, int, Tensor]


def training_state(tensors: Mapping[str, Tensor]) -> TrainingState | None:
    """Find the state of a training run among the tensors of a checkpoint.

    Reads nothing but scalars: the global step and the powers of the betas.

    Args:
        tensors: Every tensor of the file.

    Returns:
        The state; None if the file has neither slots nor a step.

    Raises:
        CorruptError: A scalar that is read does not meet its checksum.
    """
    found = _slots(tensors)
    step = _scalar(tensors, "global_step", "iu")
    if not found and step is None:
        return None
    powers = {name: _scalar(tensors, name, "f") for name in _BETAS}
    known = {name: value for name, value in powers.items() if value is not None}
    kinds = {_OPTIMIZERS[optimizer][0]: None for slots in found.values() for optimizer, _, _ in slots}
    return TrainingState(
        step=int(step) if step is not None else _step_from_powers(known),
        optimizer=" and ".join(kinds),
        hyperparameters=known,
        slots={variable: _named(slots) for variable, slots in found.items()},
        names=_names(tensors, found),
    )


def _names(tensors: Mapping[str, Tensor], found: Mapping[str, list[_Found]]) -> frozenset[str]:
    """The tensors that belong to the training state: slots, powers and the step."""
    slots = {id(tensor) for kinds in found.values() for _, _, tensor in kinds}
    scalars = {*_BETAS, "global_step"}
    return frozenset(n for n, tensor in tensors.items() if id(tensor) in slots or n.rpartition("/")[2] in scalars)


def _slots(tensors: Mapping[str, Tensor]) -> dict[str, list[_Found]]:
    """Variable → its slots."""
    found: dict[str, list[_Found]] = {}
    for name, tensor in tensors.items():
        match = _SLOT.fullmatch(name)
        variable = _variable(match["variable"], tensor, tensors) if match else None
        if match and variable:
            found.setdefault(variable, []).append((match["optimizer"], int(match["number"] or 0), tensor))
    return found


def _variable(name: str, slot: Tensor, tensors: Mapping[str, Tensor]) -> str | None:
    """The variable that a slot belongs to: of that name, or of its end where the optimizer had a scope."""
    while name:
        if name in tensors and tensors[name].shape == slot.shape:
            return name
        name = name.partition("/")[2]
    return None


def _named(slots: list[_Found]) -> dict[str, Tensor]:
    """The slots of one variable under their own names; those of a second optimizer of the same kind end in `_1`."""
    named = {}
    for optimizer, number, tensor in slots:
        order = _OPTIMIZERS[optimizer][1]
        if optimizer == "RMSProp" and any(other == optimizer and at == 2 for other, at, _ in slots):
            order = _CENTERED_RMSPROP
        round_, place = divmod(number, len(order))
        named[order[place] + (f"_{round_}" if round_ else "")] = tensor
    return named


def _scalar(tensors: Mapping[str, Tensor], name: str, kinds: str) -> float | int | None:
    """The value of the scalar of that name, perhaps in a scope; None if there is none, or more than one."""
    named = [tensors[name]] if name in tensors else [t for key, t in tensors.items() if key.endswith("/" + name)]
    if len(named) != 1 or named[0].size != 1 or named[0].dtype.kind not in kinds:
        return None
    value: float | int = named[0].numpy().reshape(()).item()
    return value


def _step_from_powers(powers: Mapping[str, float]) -> int | None:
    """How many steps Adam has done, if both powers say the same for its default betas.

    After t steps the powers are beta ** (t + 1). That of the first beta vanishes after a thousand steps.
    """
    steps = []
    for name, beta in _BETAS.items():
        power = powers.get(name, 0.0)
        if not 1e-37 < power < 1.0:  # below is where float32 begins to lose digits
            return None
        steps.append(math.log(power) / math.log(beta) - 1)
    agreed = round(steps[1])
    return agreed if all(abs(step - agreed) < 0.1 for step in steps) else None
