"""The training state in files of Keras: the optimizer's kind, its numbers, and its slots."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from panmodel.model.keras.configuration import optimizer_of
from panmodel.model.keras.names import listing, relative
from panmodel.model.keras.slots import is_interleaved, slots_by_name, slots_by_order
from panmodel.model.keras.structure import LayerGroups, Layout
from panmodel.model.keras.trained import trained_weights
from panmodel.model.tensor import Tensor
from panmodel.model.training import TrainingState

_STEPS = ("iteration", "iterations", "iter")
_RATES = ("learning_rate", "dynamic_scale", "step_counter", "current_loss_scale", "good_steps")


def training_state(structure: LayerGroups, tensors: Mapping[str, Tensor]) -> TrainingState | None:
    """What the optimizer's tensors and the configuration tell; None if there are neither."""
    variables = _optimizer_variables(structure, tensors)
    kind, numbers = optimizer_of(structure)
    state = TrainingState(optimizer=kind, hyperparameters=numbers)
    state.names = frozenset(key for key, place in structure.places.items() if structure.is_training(place))
    if not (variables or kind or state.names):
        return None
    values = list(variables.values())
    if values and _is_number(values[0]):
        _take_step(state, values[0])
    if structure.layout is Layout.LAYERS:
        _take_named(state, structure, tensors, variables)
    if not state.slots:
        interleaved = structure.layout is Layout.VARIABLES or is_interleaved(variables)
        orders = _orders(structure, tensors)
        fitted = slots_by_order(orders, values, kind, numbers, interleaved=interleaved)
        if fitted is not None:
            head, state.slots = fitted
            if len(head) > 1 and head[1] == "learning_rate":
                state.hyperparameters = {**numbers, "learning_rate": values[1].item()}
    return state


def _is_number(tensor: Tensor) -> bool:
    return not tensor.shape and tensor.dtype.kind in "iuf"


def _take_step(state: TrainingState, tensor: Tensor) -> None:
    value = float(tensor.numpy().reshape(()))
    state.step = int(value) if value >= 0 and value == int(value) else None
    state.counters = {} if state.step is None else {"step": tensor}


def _take_named(
    state: TrainingState, structure: LayerGroups, tensors: Mapping[str, Tensor], variables: Mapping[str, Tensor]
) -> None:
    """What the names of an optimizer's variables tell; of an optimizer around another one the inner one counts."""
    numbers: dict[str, Any] = {}
    for name, tensor in variables.items():
        last = name.rpartition("/")[2].removesuffix(":0")
        if last in _STEPS and _is_number(tensor):
            _take_step(state, tensor)
        elif last in _RATES and _is_number(tensor):
            numbers[last] = tensor.item()
    state.hyperparameters = {**state.hyperparameters, **numbers}
    found = slots_by_name(_listed_weights(structure, tensors), variables)
    keys = {name: key for name, key in _listed_keys(structure).items() if key in tensors}
    state.slots = {keys[name]: slots for name, slots in (found or {}).items()}


def _listed_weights(structure: LayerGroups, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensors[key] for name, key in _listed_keys(structure).items() if key in tensors}


def _listed_keys(structure: LayerGroups) -> dict[str, str]:
    """Weights as their layers list them → their keys; without the names that several have."""
    keys = {place: key for key, place in structure.places.items()}
    found: dict[str, str] = {}
    for group, name in listing(structure):
        place = relative(group, name)
        if place in keys and not structure.is_optimizer(place):
            found[name] = "" if found.get(name, keys[place]) != keys[place] else keys[place]
    return {name: key for name, key in found.items() if key}


def _optimizer_variables(structure: LayerGroups, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The optimizer's variables by their paths, in the order in which it lists them."""
    keys = {place: key for key, place in structure.places.items() if structure.is_optimizer(place) and key in tensors}
    if structure.layout is Layout.LAYERS:
        listed = (relative(group, name) for group, name in listing(structure))
        return {place: tensors[keys[place]] for place in listed if place in keys}
    inside = structure.optimizer_group
    for group in (f"{inside}/inner_optimizer", inside):  # the inner one trains; the outer one lists its variables again
        own = re.compile(re.escape(group) + r"/vars/(\d{1,9})")
        numbered = {int(found[1]): place for place in keys if (found := own.fullmatch(place))}
        if numbered:
            return {numbered[number]: tensors[keys[numbered[number]]] for number in sorted(numbered)}
    return {}


def _orders(structure: LayerGroups, tensors: Mapping[str, Tensor]) -> list[dict[str, Tensor]]:
    """The trained weights, in each order that they may have been trained in."""
    weights = trained_weights(structure, tensors)
    orders = [weights]
    by_name = dict(sorted(weights.items()))
    if _sorts_weights(structure) and list(by_name) != list(weights):
        orders.append(by_name)
    with_frozen = trained_weights(structure, tensors, with_frozen=True)
    if len(with_frozen) != len(weights):
        orders.append(with_frozen)
    return orders


def _sorts_weights(structure: LayerGroups) -> bool:
    """Whether its version of Keras may have trained the weights in the order of their names: some before 2.1 did."""
    if structure.layout is not Layout.LAYERS:  # files of Keras 3
        return False
    records = (structure.groups.get(path) for path in ("", structure.base))
    versions = [record.attributes.get("keras_version") for record in records if record]
    said = next((version for version in versions if isinstance(version, str)), "1")
    return said.startswith(("1", "2.0."))
