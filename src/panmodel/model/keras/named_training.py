"""The training state that the paths of Keras 3's variables tell, where a file says no more than names.

An optimizer puts its own name first: `adam/iteration`, `adam/learning_rate`, `adam/net_dense_kernel_momentum` of the
variable `net/dense/kernel`. A file of weights numbers what each part of a model holds: `layers/dense/vars/0`,
`optimizer/vars/2`.

Source: keras/src/optimizers/base_optimizer.py (`add_variable_from_reference`), keras/src/saving/saving_lib.py (3.15)
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from panmodel.model.keras.structure import LayerGroups, Layout
from panmodel.model.tensor import Tensor
from panmodel.model.training import TrainingState, optimizer_kind

_STEP, _RATE = "iteration", "learning_rate"
_NUMBERED = re.compile(r"(?:.+/)?vars/\d+")
_OPTIMIZER = "optimizer/vars/0"  # the step, in every file that has an optimizer
_MOST_WORDS = 8  # of a slot's name


def told_by_numbers(tensors: Mapping[str, Tensor]) -> TrainingState | None:
    """What numbered variables tell; None if there are others, or none of an optimizer.

    Args:
        tensors: Every tensor of the file; the step is read.
    """
    if _OPTIMIZER not in tensors or not all(map(_NUMBERED.fullmatch, tensors)):
        return None
    return LayerGroups(Layout.VARIABLES, places={name: name for name in tensors}).training_state(tensors)


def told_by_paths(tensors: Mapping[str, Tensor]) -> TrainingState | None:
    """What the paths of an optimizer's variables tell; None if there is not exactly one.

    Args:
        tensors: Every tensor of the file; step and learning rate are read.
    """
    scopes = [name[: -len(_STEP)] for name in tensors if name.endswith(f"/{_STEP}") and _is_scope(name, tensors)]
    if len(scopes) != 1:
        return None
    (scope,) = scopes
    step, rate = tensors[scope + _STEP], tensors[scope + _RATE]
    own = [name for name in tensors if name.startswith(scope)]
    return TrainingState(
        step=int(step.item()),
        optimizer=optimizer_kind(scope.rstrip("/").rpartition("/")[2]),
        hyperparameters={_RATE: rate.item()},
        slots=_slots(scope, own, tensors),
        names=frozenset(own),
        counters={"step": step},
    )


def _is_scope(name: str, tensors: Mapping[str, Tensor]) -> bool:
    """Whether a step is counted beside a rate."""
    step, rate = tensors[name], tensors.get(name[: -len(_STEP)] + _RATE)
    return step.size == 1 and step.dtype.is_integer and rate is not None and rate.size == 1 and rate.dtype.is_float


def _slots(scope: str, own: list[str], tensors: Mapping[str, Tensor]) -> dict[str, dict[str, Tensor]]:
    """The slots of each weight: named after it, and of its shape."""
    weights = tensors.keys() - set(own)
    flat = {name.replace("/", "_"): name for name in sorted(weights)}
    found: dict[str, dict[str, Tensor]] = {}
    for name in own:
        words = name[len(scope) :].split("_")
        for place in range(len(words) - 1, max(len(words) - _MOST_WORDS, 0), -1):
            weight = flat.get("_".join(words[:place]))
            if weight is not None and tensors[weight].shape == tensors[name].shape:
                found.setdefault(weight, {})["_".join(words[place:])] = tensors[name]
                break
    return found
