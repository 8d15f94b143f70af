"""Whole optimizers in pickles, as what `state_dict()` would make of them.

An optimizer is an object like any other; what makes it one are its `state`, whose keys are the parameters themselves,
and its `param_groups`, which hold these. Its state dict numbers them instead, in the order of the groups.

Source: torch/optim/optimizer.py (`Optimizer.__getstate__`, `Optimizer.state_dict`)
"""

from __future__ import annotations

from panmodel.model.torch.modules import attributes
from panmodel.wire.pickle import Object


def is_optimizer(value: object) -> bool:
    """Whether an object has the state of an optimizer."""
    if not isinstance(value, Object) or value.called:
        return False
    held = attributes(value)
    groups = held.get("param_groups")
    if not isinstance(held.get("state"), dict) or not isinstance(groups, list):
        return False
    return all(isinstance(group, dict) and isinstance(group.get("params"), list) for group in groups)


def state_dict(optimizer: Object) -> dict[object, object]:
    """The state of an optimizer, its parameters numbered.

    Args:
        optimizer: An object of which `is_optimizer` holds.
    """
    held = attributes(optimizer)
    groups, state = held["param_groups"], held["state"]
    assert isinstance(groups, list)
    assert isinstance(state, dict)
    numbers: dict[int, int] = {}
    packed: list[dict[object, object]] = []
    for group in groups:
        indices = [numbers.setdefault(id(parameter), len(numbers)) for parameter in group["params"]]
        packed.append({**group, "params": indices})
    return {"state": {numbers.get(id(key), key): slots for key, slots in state.items()}, "param_groups": packed}
