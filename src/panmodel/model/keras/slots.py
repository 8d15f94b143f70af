"""Which variables of a Keras optimizer are slots of which weights: told by their names, or else by their order.

Most files name slots after the weights (`Adam/dense/kernel/m:0`, `Adam/m/dense/kernel:0`,
`adam/sequential_dense_kernel_momentum`). The others list the variables of an optimizer in the order in which it made
them, which is that of the trained weights; a slot is only given to a weight there if all shapes agree with that order.

Source: keras/optimizers.py (2.3.1), tensorflow/python/keras/optimizer_v2/ (2.4), keras/src/optimizers/ (3.15).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from itertools import product
from typing import Any

from panmodel.model.tensor import Tensor

#: Weight → slot → tensor.
Slots = dict[str, dict[str, Tensor]]
#: Weight, its shape, and slot.
_Place = tuple[str, tuple[int, ...], str]
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
_MOMENTS: _Runs = (("momentum", "velocity"),)
_INTERLEAVED: dict[str, list[_Runs]] = {  # since Keras 2.11: all slots of one weight, then those of the next
    "sgd": [(("momentum",),), ()],
    "lion": [(("momentum",),), ()],
    "rmsprop": [(("velocity",),), ()],
    "adagrad": [(("accumulator",),), ()],
    "adadelta": [(("accumulated_grad", "accumulated_delta_var"),), ()],
    "adam": [_MOMENTS, ()],
    "adamw": [_MOMENTS, ()],
    "lamb": [_MOMENTS, ()],
    "nadam": [_MOMENTS, ()],
    "adamax": [(("momentum", "norm"),), ()],
    "adafactor": [(("r", "c", "v"),)],
    "muon": [(("momentum", "velocity?"),)],
    "ftrl": [(("accumulator", "linear"),), ()],
}
#: What some settings of an optimizer add to its slots, before them and after them.
_BEFORE = {"use_ema": "average", "gradient_accumulation_steps": "gradient_accumulator"}
_AFTER = {
    "rmsprop": {"momentum": "momentum", "centered": "average_gradient"},
    "adam": {"amsgrad": "velocity_hat"},
    "adamw": {"amsgrad": "velocity_hat"},
}
#: What comes before the slots of either: the step, the learning rate, a running product of Nadam; or nothing.
_BLOCK_HEADS: tuple[tuple[str, ...], ...] = (("iteration",), ("iteration", "schedule"), ())
_INTERLEAVED_HEADS: tuple[tuple[str, ...], ...] = (
    ("iteration",),
    ("iteration", "learning_rate"),
    ("iteration", "learning_rate", "schedule"),
)
_OPTIONAL = "?"  # after the name of a slot that matrices need not have: Muon trains some weights as Adam does
_MOST_WAYS = 1 << 20  # that are looked at
_FACTORS = ("r", "c")  # Adafactor keeps sums of rows and of columns beside a whole slot, except of vectors
_MOST_WORDS = 8  # of a slot's name
_MOST_SCOPES = 8  # before a weight's name
_LONGEST = 4096  # of a name that is looked at


def slots_by_name(weights: Mapping[str, Tensor], variables: Mapping[str, Tensor]) -> Slots | None:
    """Give slots to weights by the names of both.

    Args:
        weights: Every weight by its name in its file.
        variables: The optimizer's variables by their names in theirs.

    Returns:
        The slots by the names of the weights; None unless every variable that is no single number is a slot.
    """
    plain = {name.removesuffix(":0"): name for name in weights}
    flat: dict[str, str] = {}
    for name in plain:
        joined = name.replace("/", "_")
        flat[joined] = "" if joined in flat else name  # no telling which
    found: Slots = {}
    for name, variable in variables.items():
        weight, slot = _named(name.removesuffix(":0"), plain, flat)
        weight = plain.get(weight, "")
        if not weight or slot in found.get(weight, {}) or not _may_be(slot, variable, weights[weight]):
            if variable.shape:
                return None
            continue
        found.setdefault(weight, {})[slot] = variable
    return {name: found[name] for name in weights if name in found} or None


def _may_be(slot: str, variable: Tensor, weight: Tensor) -> bool:
    return variable.shape == weight.shape or slot in _FACTORS


def _named(name: str, plain: Mapping[str, str], flat: Mapping[str, str]) -> tuple[str, str]:
    """The weight and the slot that a variable's name tells; empty texts if it does not."""
    parts = name.split("/") if len(name) <= _LONGEST else []
    for start in range(min(len(parts) - 1, _MOST_SCOPES)):
        weight = "/".join(parts[start:-1])
        if weight in plain:  # "Adam/dense/kernel/m"
            return weight, parts[-1]
        weight = "/".join(parts[start + 1 :])
        if weight in plain:  # "Adam/m/dense/kernel"
            return weight, parts[start]
        words = weight.replace("/", "_").split("_")
        for place in range(len(words) - 1, max(len(words) - _MOST_WORDS, 0), -1):
            if weight := flat.get("_".join(words[:place]), ""):  # "adam/dense_kernel_velocity"
                return weight, "_".join(words[place:])
    return "", ""


def slots_by_order(
    orders: Iterable[Mapping[str, Tensor]],
    values: Sequence[Tensor],
    kind: str,
    settings: Mapping[str, Any],
    *,
    interleaved: bool,
) -> tuple[tuple[str, ...], Slots] | None:
    """Give slots to weights by the order of both.

    Args:
        orders: The trained weights, in each order that they may have been trained in.
        values: The optimizer's variables.
        kind: Kind of the optimizer.
        settings: What it was made with.
        interleaved: Whether it is an optimizer of Keras 2.11 or later.

    Returns:
        What the variables before the slots are, and the slots; None if the shapes allow no sure answer.
    """
    layouts = _layouts(kind, settings) if interleaved else _BLOCKS.get(kind, [])
    heads = _INTERLEAVED_HEADS if interleaved else _BLOCK_HEADS
    if interleaved and kind == "nadam" and len(values) > 1 and not values[-1].shape:
        values = values[:-1]  # a running product
    fitted = []
    for order in orders:
        found = _fit(list(order.items()), values, product(layouts, heads))
        fitted += [found] if found is not None else []
    return fitted[0] if len(fitted) == 1 else None


def _layouts(kind: str, settings: Mapping[str, Any]) -> list[_Runs]:
    before: _Runs = tuple((slot,) for setting, slot in _BEFORE.items() if settings.get(setting))
    after: _Runs = tuple((slot,) for setting, slot in _AFTER.get(kind, {}).items() if settings.get(setting))
    return [(*before, *runs, *after) if runs else before for runs in _INTERLEAVED.get(kind, [])]


def _fit(
    weights: Sequence[tuple[str, Tensor]], values: Sequence[Tensor], layouts: Iterable[tuple[_Runs, tuple[str, ...]]]
) -> tuple[tuple[str, ...], Slots] | None:
    """The first layout that fits the weights in this order."""
    for runs, head in layouts:
        if not values or any(value.shape for value in values[: len(head)]):
            continue
        slots = _slots(weights, values[len(head) :], runs)
        if slots is not None:
            return head, slots
    return None


def _slots(weights: Sequence[tuple[str, Tensor]], values: Sequence[Tensor], runs: _Runs) -> Slots | None:
    """Weight → slot → tensor; None unless their number and every shape fit."""
    order = [(key, weight.shape, slot) for run in runs for key, weight in weights for slot in run]
    if len(values) != len(order):  # Keras 2 has nothing in the place of what vectors lack
        order = [(key, shape, slot) for key, shape, slot in order if len(shape) > 1 or slot not in _FACTORS]
    order = _without_missing(order, values)
    if len(values) != len(order):
        return None
    slots: Slots = {key: {} for key, _ in weights} if runs else {}
    for (key, shape, slot), value in zip(order, values, strict=True):
        if value.shape == _shape(slot, shape):
            slots[key][slot] = value
        elif value.size != 1 or not (slot == "vhat" or (slot in _FACTORS and len(shape) < 2)):
            return None
    if any("vhat" not in found for found in slots.values()):  # dummies, where the maximum is not kept
        for found in slots.values():
            found.pop("vhat", None)
    return slots


def _without_missing(order: list[_Place], values: Sequence[Tensor]) -> list[_Place]:
    """The order of the slots without those optional ones that are not there; empty if no or several choices fit."""
    plain = [(key, shape, slot.removesuffix(_OPTIONAL)) for key, shape, slot in order]
    optional = [slot.endswith(_OPTIONAL) and len(shape) == 2 for _, shape, slot in order]
    if not any(optional):
        return plain
    ends, known = {len(values)}, 0
    rest: list[set[int]] = []  # for each slot from the last one: numbers of values from which on the rest fits
    for (_, shape, _), may_lack in zip(reversed(plain), reversed(optional), strict=True):
        ends = {end - 1 for end in ends if end and values[end - 1].shape == shape} | (ends if may_lack else set())
        rest.append(ends)
        known += len(ends)
        if known > _MOST_WAYS:
            return []
    found, place = [], 0
    for slot, may_lack, after in zip(plain, optional, [*reversed(rest[:-1]), {len(values)}], strict=True):
        is_there = place < len(values) and values[place].shape == slot[1] and place + 1 in after
        if is_there == (may_lack and place in after):  # both ways, or none
            return []
        if is_there:
            found.append(slot)
            place += 1
    return found


def _shape(slot: str, weight: tuple[int, ...]) -> tuple[int, ...] | None:
    """The shape of the slot of a weight; None if a weight of this shape has none."""
    if slot not in _FACTORS:
        return weight
    if len(weight) < 2:
        return None
    return weight[:-1] if slot == "r" else (*weight[:-2], weight[-1])


def is_interleaved(names: Iterable[str]) -> bool:
    """Whether variables have the names that optimizers of Keras 2.11 and later give theirs."""
    return any(map(_NEW_NAME.search, names))


_NEW_NAME = re.compile(
    r"(^|/)[A-Za-z]+/(m|v|vhat|momentum|velocity)/"
    r"|_(momentum|velocity|accumulator|norm|linear|accumulated_grad|accumulated_delta_var)$"
)
