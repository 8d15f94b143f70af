"""The training state in files of Keras: the optimizer's kind, its numbers, and its slots.

Optimizers store their variables as one list; which of them belongs to which weight is told by their order, which is
that of the trainable weights. A slot is only given to a weight if all shapes agree with that order.

Source: keras/optimizers.py (2.3.1), tensorflow/python/keras/optimizer_v2/ (2.4), keras/src/optimizers/ (3.15).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import product
from typing import Any

from panmodel.model.keras.names import listing, relative
from panmodel.model.keras.structure import COMPILE_CONFIG, CONFIG, TRAINING_CONFIG, LayerGroups, Layout
from panmodel.model.tensor import Tensor
from panmodel.model.training import TrainingState

#: Slots of each optimizer: groups that follow each other, in each the slots of one weight side by side.
_Runs = tuple[tuple[str, ...], ...]
_BLOCKS: dict[str, list[_Runs]] = {  # Keras 1 and 2: all of one slot, then all of the next
    "sgd": [(("momentum",),), ()],
    "rmsprop": [(("rms",),), (("rms",), ("momentum",)), (("rms",), ("momentum",), ("mg",)), ()],
    "adagrad": [(("accumulator",),), ()],
    "adadelta": [(("accum_grad",), ("accum_var",)), ()],
    "adam": [(("m",), ("v",), ("vhat",)), (("m",), ("v",)), ()],
    "adamax": [(("m",), ("v",)), ()],
    "nadam": [(("m",), ("v",)), ()],
    "ftrl": [(("accumulator",), ("linear",)), ()],
}
_MOMENTS: list[_Runs] = [(("momentum", "velocity"), ("velocity_hat",)), (("momentum", "velocity"),), ()]
_INTERLEAVED: dict[str, list[_Runs]] = {  # since Keras 2.11: all slots of one weight, then those of the next
    "sgd": [(("momentum",),), ()],
    "lion": [(("momentum",),), ()],
    "rmsprop": [
        (("velocity",),),
        (("velocity",), ("momentum",)),
        (("velocity",), ("momentum",), ("average_gradient",)),
        (),
    ],
    "adagrad": [(("accumulator",),), ()],
    "adadelta": [(("accumulated_grad", "accumulated_delta_var"),), ()],
    "adam": _MOMENTS,
    "adamw": _MOMENTS,
    "lamb": _MOMENTS,
    "nadam": _MOMENTS,
    "adamax": [(("momentum", "norm"),), ()],
    "ftrl": [(("accumulator", "linear"),), ()],
}
#: What comes before the slots of either: the step, the learning rate, a running product of Nadam; or nothing.
_BLOCK_HEADS: tuple[tuple[str, ...], ...] = (("iteration",), ("iteration", "schedule"), ())
_INTERLEAVED_HEADS: tuple[tuple[str, ...], ...] = (
    ("iteration",),
    ("iteration", "learning_rate"),
    ("iteration", "learning_rate", "schedule"),
)
#: Weights that no optimizer trains, by the last part of their names.
_STATISTIC = re.compile(r"(moving_mean|moving_variance|running_mean|running_std|seed_generator_state)(_\d+)?(:0)?$")
_NEW_NAME = re.compile(r"(^|/)[A-Za-z]+/(m|v|vhat|momentum|velocity)/|_(momentum|velocity|accumulator|norm|linear)$")
_NORMALIZATIONS = ("BatchNormalization", "SyncBatchNormalization")
_RATES = ("learning_rate", "lr")


def training_state(structure: LayerGroups, tensors: Mapping[str, Tensor]) -> TrainingState | None:
    """What the optimizer's tensors and the configuration tell; None if there are neither."""
    variables = _optimizer_variables(structure, tensors)
    kind, numbers = _optimizer_config(structure)
    if not variables and not kind:
        return None
    state = TrainingState(optimizer=kind, hyperparameters=numbers)
    state.names = frozenset(key for key, place in structure.places.items() if structure.is_optimizer(place))
    values = list(variables.values())
    if values and not values[0].shape and values[0].dtype.kind in "iuf":
        state.step = _step(values[0])
    fitted = _fit(structure, tensors, variables, kind)
    if fitted is not None:
        head, state.slots = fitted
        if len(head) > 1 and head[1] == "learning_rate":
            state.hyperparameters = {**numbers, "learning_rate": values[1].item()}
    return state


def _step(tensor: Tensor) -> int | None:
    value = float(tensor.numpy().reshape(()))
    return int(value) if value >= 0 and value == int(value) else None


def _optimizer_variables(structure: LayerGroups, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The optimizer's variables by their paths, in the order in which it lists them."""
    keys = {place: key for key, place in structure.places.items() if structure.is_optimizer(place) and key in tensors}
    if structure.layout is Layout.LAYERS:
        listed = (relative(group, name) for group, name in listing(structure))
        return {place: tensors[keys[place]] for place in listed if place in keys}
    own = re.compile(re.escape(structure.optimizer_group) + r"/vars/(\d{1,9})")
    numbered = {int(found[1]): place for place in keys if (found := own.fullmatch(place))}
    return {numbered[number]: tensors[keys[numbered[number]]] for number in sorted(numbered)}


def _optimizer_config(structure: LayerGroups) -> tuple[str, dict[str, Any]]:
    """Kind and hyper-parameters of the optimizer, as the model was compiled with it."""
    root = structure.groups.get("")
    training = parsed(root.attributes.get(TRAINING_CONFIG) if root else None)
    config = training.get("optimizer_config") or training.get("optimizer")
    if config is None:
        compiled = parsed(structure.documents.get(CONFIG)).get(COMPILE_CONFIG)
        config = compiled.get("optimizer") if isinstance(compiled, dict) else None
    if isinstance(config, str):
        return config.lower(), {}
    while isinstance(config, dict):
        name, inner = config.get("class_name"), config.get("config")
        if not isinstance(name, str) or not isinstance(inner, dict):
            break
        if isinstance(inner.get("inner_optimizer"), dict):  # one that scales the loss, around the one that trains
            config = inner["inner_optimizer"]
            continue
        numbers = {key: value for key, value in inner.items() if isinstance(value, bool | int | float | str)}
        return name.rpartition(">")[2].lower(), numbers
    return _optimizer_name(structure), {}


def _optimizer_name(structure: LayerGroups) -> str:
    """The kind of an optimizer that has the name that Keras 3 gives one of its kind ("rm_sprop_1"); else empty."""
    record = structure.groups.get(f"{structure.optimizer_group}/vars")
    said = record.attributes.get("name") if record and structure.layout is Layout.VARIABLES else None
    name = re.sub(r"_\d+$", "", said).replace("_", "") if isinstance(said, str) else ""
    return name if name in _INTERLEAVED else ""


def parsed(text: object) -> dict[str, Any]:
    """A configuration in JSON; empty if it is none."""
    try:
        plain = json.loads(text) if isinstance(text, str) else None
    except (ValueError, RecursionError):
        return {}
    return plain if isinstance(plain, dict) else {}


def _fit(
    structure: LayerGroups, tensors: Mapping[str, Tensor], variables: Mapping[str, Tensor], kind: str
) -> tuple[tuple[str, ...], dict[str, dict[str, Tensor]]] | None:
    """Which variables are slots of which weights; None if the shapes allow no sure answer."""
    weights = list(_trainable(structure, tensors).items())
    interleaved = structure.layout is Layout.VARIABLES or any(map(_NEW_NAME.search, variables))
    layouts = (_INTERLEAVED if interleaved else _BLOCKS).get(kind, [])
    heads = _INTERLEAVED_HEADS if interleaved else _BLOCK_HEADS
    orders = [weights]
    if _sorts_weights(structure):
        by_name = sorted(weights, key=lambda item: item[0])
        orders += [by_name] if by_name != weights else []
    fitted = []
    for order in orders:
        found = _fit_order(order, list(variables.values()), product(layouts, heads))
        fitted += [found] if found is not None else []
    return fitted[0] if len(fitted) == 1 else None


def _fit_order(
    weights: Sequence[tuple[str, Tensor]], values: Sequence[Tensor], layouts: Iterable[tuple[_Runs, tuple[str, ...]]]
) -> tuple[tuple[str, ...], dict[str, dict[str, Tensor]]] | None:
    """The first layout that fits the weights in this order."""
    for runs, head in layouts:
        if not values or any(value.shape for value in values[: len(head)]):
            continue
        slots = _slots(weights, values[len(head) :], runs)
        if slots is not None:
            return head, slots
    return None


def _sorts_weights(structure: LayerGroups) -> bool:
    """Whether its version of Keras may have trained the weights in the order of their names: some before 2.1 did."""
    records = (structure.groups.get(path) for path in ("", structure.base))
    versions = [record.attributes.get("keras_version") for record in records if record]
    said = next((version for version in versions if isinstance(version, str)), "1")
    return said.startswith(("1", "2.0."))


def _slots(
    weights: Sequence[tuple[str, Tensor]], values: Sequence[Tensor], runs: _Runs
) -> dict[str, dict[str, Tensor]] | None:
    """Weight → slot → tensor; None unless their number and every shape fit."""
    if len(values) != len(weights) * sum(map(len, runs)):
        return None
    slots: dict[str, dict[str, Tensor]] = {key: {} for key, _ in weights} if runs else {}
    left = iter(values)
    for run in runs:
        for key, weight in weights:
            for slot in run:
                value = next(left)
                if value.shape == weight.shape:
                    slots[key][slot] = value
                elif slot != "vhat" or value.size != 1:  # a dummy, where the maximum is not kept
                    return None
    return slots


def _trainable(structure: LayerGroups, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The weights that an optimizer trains, in the order of layers."""
    frozen, order = _layers(structure)
    keys = {place: key for key, place in structure.places.items() if key in tensors}
    if structure.layout is Layout.LAYERS:
        found = {}
        for group, name in listing(structure):
            place = relative(group, name)
            layer = group[len(structure.base) + 1 :] if structure.base else group
            if place in keys and not structure.is_optimizer(place) and layer not in frozen:
                found[keys[place]] = tensors[keys[place]]
        return {key: tensor for key, tensor in found.items() if not _STATISTIC.search(key)}
    return {keys[place]: tensors[keys[place]] for place in _variables(structure, keys, frozen, order)}


def _layers(structure: LayerGroups) -> tuple[set[str], dict[str, dict[str, Any]]]:
    """Names of the layers that are not trained, and each layer's configuration in the order of the model."""
    root = structure.groups.get("")
    model = parsed(root.attributes.get("model_config") if root else None) or parsed(structure.documents.get(CONFIG))
    config = model.get("config")
    listed = config.get("layers") if isinstance(config, dict) else config
    layers: dict[str, dict[str, Any]] = {}
    for layer in listed if isinstance(listed, list) else ():
        inner = layer.get("config") if isinstance(layer, dict) else None
        name = inner.get("name") if isinstance(inner, dict) else None
        if isinstance(name, str):
            layers[name] = layer
    return {name for name, layer in layers.items() if layer["config"].get("trainable") is False}, layers


def _variables(
    structure: LayerGroups, places: Mapping[str, str], frozen: set[str], order: Mapping[str, dict[str, Any]]
) -> Iterator[str]:
    """Paths of the variables that are trained, where the configuration gives the order of layers; else none."""
    groups: dict[str, list[str]] = {}
    for place in places:
        inside = re.match(r"(layers/[^/]+)/", place)
        if inside:
            groups.setdefault(inside[1], []).append(place)
    named = {}
    for group in groups:
        record = structure.groups.get(f"{group}/vars")
        said = record.attributes.get("name") if record else None
        named[said if isinstance(said, str) else group.rpartition("/")[2]] = group
    for name, layer in order.items():
        if name not in named or name in frozen:
            continue
        own = groups[named[name]]
        if layer.get("class_name") in _NORMALIZATIONS:
            flags = (layer["config"].get("scale", True), layer["config"].get("center", True))
            own = own[: sum(map(bool, flags))]
        yield from (place for place in own if "seed_generator" not in place)
