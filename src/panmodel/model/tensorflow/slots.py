"""The names that TensorFlow's optimizers give their slots, where a checkpoint says no more than names.

An optimizer of TensorFlow 1 names its slots after the variable and itself: `conv/kernel/Adam`, `conv/kernel/Adam_1`.
Those of tf.keras put their own name first: `Adam/conv/kernel/m`. A tensor counts as a slot if it has such a name, and
the variable so named is in the file with the same shape. Where an optimizer was made inside a name scope, the scope
comes first: `train/conv/kernel/Adam`. The user may have given the optimizer any other name (`conv/kernel/AdamOfG`,
`conv/kernel/AdamOfG_1`): then it counts if every tensor whose name ends so is named after a variable of its shape.

Slots of partitioned variables may be stored part by part under names of their own, cut off at some letter
(`embedding/rt_0/Momentum`), each with the shape of the whole and one slice: these are put together.

Source: tensorflow/python/training/slot_creator.py and the optimizers beside it, tensorflow/python/keras/optimizer_v2,
tensorflow/contrib/opt, mesh_tensorflow/optimize.py
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from panmodel.model.partitioned import PartitionedTensor
from panmodel.model.tensor import Tensor

#: Name that an optimizer gives its slots → kind of the optimizer, and its slots in the order that it makes them.
OPTIMIZERS: dict[str, tuple[str, tuple[str, ...]]] = {
    "Adam": ("adam", ("m", "v")),
    "AdamW": ("adamw", ("m", "v")),
    "AdaMax": ("adamax", ("m", "v")),
    "Nadam": ("nadam", ("m", "v")),
    "LazyAdam": ("adam", ("m", "v")),
    "Momentum": ("momentum", ("momentum",)),
    "MomentumW": ("momentumw", ("momentum",)),
    "RMSProp": ("rmsprop", ("rms", "momentum")),
    "Adagrad": ("adagrad", ("accumulator",)),
    "ProximalAdagrad": ("proximal_adagrad", ("accumulator",)),
    "AdagradDA": ("adagrad_da", ("gradient_accumulator", "gradient_squared_accumulator")),
    "Adadelta": ("adadelta", ("accum", "accum_update")),
    "Ftrl": ("ftrl", ("accum", "linear")),
    "LARSOptimizer": ("lars", ("momentum",)),
    "PowerSignOptimizer": ("powersign", ("m",)),
    "AddSignOptimizer": ("addsign", ("m",)),
    # BERT and its descendants, whose optimizers make their slots by hand
    "adam_m": ("adam", ("m",)),
    "adam_v": ("adam", ("v",)),
    "lamb_m": ("lamb", ("m",)),
    "lamb_v": ("lamb", ("v",)),
    # no optimizer: the average of a variable over the steps
    "ExponentialMovingAverage": ("", ("exponential_moving_average",)),
}
_CENTERED_RMSPROP = ("rms", "mg", "momentum")
_SLOT = re.compile(rf"(?P<variable>.+)/(?P<optimizer>{'|'.join(OPTIMIZERS)})(?:_(?P<number>[1-9]\d?))?")
#: Optimizers of tf.keras in a graph.
KERAS = "Adam|SGD|RMSprop|Adagrad|Adadelta|Adamax|Nadam|Ftrl"
_KERAS_SLOTS = frozenset(
    ["m", "v", "vhat", "momentum", "rms", "mg", "accumulator", "accum_grad", "accum_var", "linear"]
)
_KERAS_SLOT = re.compile(rf"(?:.+/)?(?P<optimizer>{KERAS})(?:_\d+)?/(?P<variable>.+)/(?P<slot>\w+)")
#: Adafactor of Mesh TensorFlow, which keeps the sums of rows and columns in place of a whole slot.
_FACTORED = re.compile(r"(?P<variable>.+)_slot_(?P<slot>vr|vc|v|m)")
_NUMBER = re.compile(r"_[1-9]\d?$")
_MOST_SCOPES = 32  # around an optimizer
_FEWEST = 2  # slots of one name that are none of the above


@dataclass(frozen=True, slots=True)
class FoundSlot:
    """A slot.

    Attributes:
        variable: The variable that it belongs to.
        kind: Kind of the optimizer; empty for an average, and if it is not known.
        optimizer: The name that the optimizer gives its slots.
        number: The number at its end, or for optimizers that name each slot, or are not known, the name itself.
        tensor: The slot; put together, where the file has it in parts.
        names: The tensors of the file that it is.
    """

    variable: str
    kind: str
    optimizer: str
    number: int | str
    tensor: Tensor
    names: tuple[str, ...]


def find_slots(tensors: Mapping[str, Tensor]) -> Iterator[FoundSlot]:
    """Every slot among the tensors of a checkpoint; none is read."""
    known: set[str] = set()
    for name, tensor in tensors.items():
        for slot in _named_slot(name, tensor, tensors):
            known.update(slot.names)
            yield slot
    for slot in _joined(tensors):
        known.update(slot.names)
        yield slot
    yield from _otherwise_named({name: tensor for name, tensor in tensors.items() if name not in known})


def _named_slot(name: str, tensor: Tensor, tensors: Mapping[str, Tensor]) -> Iterator[FoundSlot]:
    if match := _SLOT.fullmatch(name):
        variable, optimizer = _variable(match["variable"], tensor, tensors), match["optimizer"]
        number: int | str = int(match["number"] or 0)
    elif name.rpartition("/")[2] in _KERAS_SLOTS and (match := _KERAS_SLOT.fullmatch(name)):
        variable, optimizer = _variable(match["variable"], tensor, tensors), match["optimizer"]
        number = match["slot"]
    elif match := _FACTORED.fullmatch(name):
        variable, optimizer, number = match["variable"], "Adafactor", match["slot"]
        variable = variable if _is_factor(tensor.shape, tensors.get(variable)) else None
    else:
        return
    if variable:
        kind = OPTIMIZERS[optimizer][0] if isinstance(number, int) else optimizer.lower()
        yield FoundSlot(variable, kind, optimizer, number, tensor, (name,))


def _variable(name: str, slot: Tensor, tensors: Mapping[str, Tensor]) -> str | None:
    """The variable that a slot belongs to: of that name, or of its end where the optimizer had a scope."""
    for _ in range(_MOST_SCOPES):
        if name in tensors and tensors[name].shape == slot.shape:
            return name
        name = name.partition("/")[2]
    return None


def _is_factor(shape: tuple[int, ...], variable: Tensor | None) -> bool:
    """Whether a slot has the shape of a variable, or lacks one dimension of it."""
    if variable is None:
        return False
    whole = variable.shape
    return shape == whole or any(shape == whole[:axis] + whole[axis + 1 :] for axis in range(len(whole)))


def _joined(tensors: Mapping[str, Tensor]) -> Iterator[FoundSlot]:
    """Slots that are stored part by part under several names."""
    groups: dict[tuple[str, str, str, tuple[int, ...]], list[str]] = {}
    for name, tensor in tensors.items():
        slot = _SLOT.fullmatch(name) if isinstance(tensor, PartitionedTensor) and not tensor.is_complete else None
        if slot is None:
            continue
        whole, slash, part = slot["variable"].rpartition("/")
        cut = part.rstrip("0123456789")
        if slash and cut != part:
            groups.setdefault((whole, cut, name[slot.end("variable") :], tensor.shape), []).append(name)
    for (whole, _, end, _), names in groups.items():
        found = [tensor for name in names if isinstance(tensor := tensors[name], PartitionedTensor)]
        variable = _variable(whole, found[0], tensors)
        slot = _SLOT.fullmatch(whole + end)
        if variable is None or slot is None or len({tensor.dtype for tensor in found}) > 1:
            continue
        parts = [part for tensor in found for part in tensor.parts]
        tensor = PartitionedTensor(variable + end, found[0].dtype, found[0].shape, parts)
        kind = OPTIMIZERS[slot["optimizer"]][0]
        yield FoundSlot(variable, kind, slot["optimizer"], int(slot["number"] or 0), tensor, tuple(names))


def _otherwise_named(tensors: Mapping[str, Tensor]) -> Iterator[FoundSlot]:
    """Slots of optimizers that the user named: each has the name and the shape of its variable, and so have all."""
    groups: dict[str, list[str]] = {}
    for name in tensors:
        _, slash, end = name.rpartition("/")
        if slash:
            groups.setdefault(_NUMBER.sub("", end), []).append(name)
    for optimizer, names in groups.items():
        pairs = [(name.rpartition("/")[0], tensors[name]) for name in names]
        if len(pairs) < _FEWEST or not all(_has_shape(tensors.get(variable), slot) for variable, slot in pairs):
            continue
        for name, (variable, slot) in zip(names, pairs, strict=True):
            yield FoundSlot(variable, "", optimizer, name.rpartition("/")[2], slot, (name,))


def _has_shape(variable: Tensor | None, slot: Tensor) -> bool:
    return variable is not None and variable.shape == slot.shape


def slot_names(slots: list[FoundSlot]) -> dict[str, Tensor]:
    """The slots of one variable under their own names; those of a second optimizer of the same kind end in `_1`."""
    named = {}
    for slot in slots:
        if isinstance(slot.number, str):
            named[slot.number] = slot.tensor
            continue
        order = OPTIMIZERS[slot.optimizer][1]
        if slot.optimizer == "RMSProp" and any(other.optimizer == "RMSProp" and other.number == 2 for other in slots):
            order = _CENTERED_RMSPROP
        round_, place = divmod(slot.number, len(order))
        named[order[place] + (f"_{round_}" if round_ else "")] = slot.tensor
    return named
