"""What lies in the containers that people pickle with torch.save: state dicts, nested ones, training checkpoints."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from panmodel.errors import LimitError, UnsupportedError
from panmodel.limits import DEFAULT, Limits
from panmodel.model.tensor import Tensor
from panmodel.model.training import TrainingState
from panmodel.wire.pickle import Dictionary, describe
from panmodel.wire.torch_records import TensorRecord

#: Keys under which checkpoints keep the model's state dict, the optimizer's, and how far training has come.
_STATE_DICTS = ("state_dict", "model_state_dict", "model", "module", "net", "network", "params", "weights")
_OPTIMIZERS = ("optimizer_state_dict", "optimizer", "optim")
_EPOCHS, _STEPS = ("epoch",), ("step", "global_step", "iteration", "iter")
#: What the slots tell of the optimizer, the longest list first.
_KINDS = (
    ({"exp_avg", "exp_avg_sq"}, "adam"),
    ({"exp_avg", "exp_inf"}, "adamax"),
    ({"square_avg", "acc_delta"}, "adadelta"),
    ({"square_avg"}, "rmsprop"),
    ({"momentum_buffer"}, "sgd"),
    ({"sum"}, "adagrad"),
)
#: Buffers of torch.nn's normalisations, which no optimizer has slots for.
_BUFFERS = ("running_mean", "running_var", "num_batches_tracked")
#: Containers may hold each other so that there are far more ways to a thing than things.
_REPEATS, _FEW = 8, 100_000
_CONTAINERS = (dict, list, tuple, set, frozenset)


@dataclass
class Contents:
    """Everything in a pickled container, under names joined by dots.

    Attributes:
        tensors: The tensors.
        values: Numbers, strings and None.
        opaque: Names of what is neither.
        modules: Module name → what `state_dict()._metadata` says of it (version).
    """

    tensors: dict[str, TensorRecord] = field(default_factory=dict)
    values: dict[str, object] = field(default_factory=dict)
    opaque: list[str] = field(default_factory=list)
    modules: dict[str, dict[str, object]] = field(default_factory=dict)

    def add(self, name: str, item: object) -> None:
        """Sort in what is no container."""
        if isinstance(item, TensorRecord):
            self.tensors[name] = item
        elif item is None or isinstance(item, (bool, int, float, str)):
            self.values[name] = item
        else:
            self.opaque.append(name)


def state_dict_of(value: object) -> str:
    """The key under which a checkpoint keeps the model's state dict, "" if there is not exactly one."""
    if not isinstance(value, dict):
        return ""
    found = [key for key in _STATE_DICTS if _is_state_dict(value.get(key))]
    return found[0] if len(found) == 1 else ""


def _is_state_dict(value: object) -> bool:
    return isinstance(value, dict) and bool(value) and all(isinstance(item, TensorRecord) for item in value.values())


def contents(value: object, where: str, *, without_prefix: str = "", limits: Limits = DEFAULT) -> Contents:
    """Walk a container.

    Args:
        value: Dicts, lists and tuples within each other.
        where: The file, for messages.
        without_prefix: A first key that names below it go without.
        limits: Caps on depth and number.

    Raises:
        LimitError: It is nested too deep, or without end.
        UnsupportedError: Two tensors come to have one name.
    """
    found, nodes, characters = Contents(), 0, 0
    sizes: dict[int, int] = {}  # of every container once, however many hold it
    pending: list[tuple[tuple[str, ...], object]] = [((), value)]
    while pending:
        path, item = pending.pop()
        name = ".".join(path[1:] if without_prefix and path[:1] == (without_prefix,) else path)
        nodes, characters = nodes + 1, characters + len(name)
        if isinstance(item, _CONTAINERS):
            sizes.setdefault(id(item), len(item))
        is_repeated = nodes > _FEW and nodes > _REPEATS * sum(sizes.values()) if nodes % _FEW == 1 else False
        if len(path) > limits.nesting or nodes > 2 * limits.tensors or characters > limits.pickle_bytes or is_repeated:
            raise LimitError("containers are nested too deep, or within themselves", where=where)
        if isinstance(item, _CONTAINERS):
            if isinstance(item, Dictionary) and not found.modules:
                found.modules = _modules(item)
            pending.extend(((*path, key), child) for key, child in reversed(list(_children(item))))
        elif name in found.tensors and isinstance(item, TensorRecord):
            raise UnsupportedError(f"two tensors come to be named {name[:200]!r}", where=where)
        else:
            found.add(name, item)
    return found


def _children(item: object) -> Iterator[tuple[str, object]]:
    if isinstance(item, dict):
        for key, child in item.items():
            yield _text(key), child
    elif isinstance(item, _CONTAINERS):
        for index, child in enumerate(item):
            yield str(index), child


def _text(key: object) -> str:
    """A dictionary key as part of a name."""
    return key if isinstance(key, str) else str(key) if _is_index(key) else describe(key)


def _is_index(key: object) -> bool:
    return type(key) is int and -(1 << 63) <= key < 1 << 63


def _modules(value: Dictionary) -> dict[str, dict[str, object]]:
    metadata = value.attributes.get("_metadata")
    if not isinstance(metadata, dict):
        return {}
    return {
        name: {key: told for key, told in item.items() if isinstance(key, str) and isinstance(told, (int, float, str))}
        for name, item in metadata.items()
        if isinstance(name, str) and isinstance(item, dict)
    }


def training_state(
    value: object, inside: str, found: Contents, tensors: Mapping[str, Tensor]
) -> tuple[TrainingState | None, frozenset[str]]:
    """Step, epoch, optimizer and slots of a checkpoint.

    Args:
        value: The pickled container.
        inside: The key of the state dict in it.
        found: Its contents by name.
        tensors: The same tensors, lazy.

    Returns:
        The training state, None if there is none, and the names of values that went into it.
    """
    if not isinstance(value, dict):
        return None, frozenset()
    state, used = TrainingState(), set()
    for key in (*_EPOCHS, *_STEPS):
        number = value.get(key)
        if type(number) is int:
            used.add(key)
            if key in _EPOCHS:
                state.epoch = number
            elif state.step is None:
                state.step = number
    for key in _OPTIMIZERS:
        optimizer = value.get(key)
        if isinstance(optimizer, dict) and isinstance(optimizer.get("state"), dict):
            _read_optimizer(state, key, optimizer, _parameters(value.get(inside) if inside else None, found), tensors)
            used |= {name for name in found.values if name.startswith(f"{key}.param_groups.")}
            break
    return (state, frozenset(used)) if used or state.slots else (None, frozenset())


def _parameters(state_dict: object, found: Contents) -> list[tuple[str, tuple[int, ...]]]:
    """Name and shape of what an optimizer has slots for, in the order of `Module.parameters()`."""
    if not isinstance(state_dict, dict):
        return []
    names = [name for name in state_dict if isinstance(name, str) and name.rpartition(".")[2] not in _BUFFERS]
    return [(name, found.tensors[name].shape) for name in names]


def _read_optimizer(
    state: TrainingState,
    key: str,
    optimizer: Mapping[object, object],
    parameters: list[tuple[str, tuple[int, ...]]],
    tensors: Mapping[str, Tensor],
) -> None:
    groups = optimizer.get("param_groups")
    groups = [group for group in groups if isinstance(group, dict)] if isinstance(groups, list) else []
    if groups:
        settings = {name: value for name, value in groups[0].items() if isinstance(name, str) and name != "params"}
        state.hyperparameters = {name: value for name, value in settings.items() if _is_plain(value)}
    slots: dict[str, dict[str, Tensor]] = {}
    stored = optimizer["state"]
    assert isinstance(stored, dict)
    names = _names_of_parameters(groups, stored, parameters)
    for index, content in stored.items():
        prefix = f"{key}.state.{_text(index)}."
        if isinstance(content, dict):
            here = {
                slot: tensors[prefix + slot] for slot in content if isinstance(slot, str) and prefix + slot in tensors
            }
            slots[names.get(index, _text(index))] = here
    state.slots = {name: content for name, content in slots.items() if content}
    kinds = {slot for content in state.slots.values() for slot in content}
    state.optimizer = next((kind for needed, kind in _KINDS if needed <= kinds), "")
    if state.optimizer == "adam" and state.hyperparameters.get("decoupled_weight_decay"):
        state.optimizer = "adamw"


def _is_plain(value: object) -> bool:
    if isinstance(value, (list, tuple)):
        return len(value) <= 8 and all(item is None or isinstance(item, (bool, int, float, str)) for item in value)
    return value is None or isinstance(value, (bool, int, float, str))


def _names_of_parameters(
    groups: list[dict[object, object]], stored: Mapping[object, object], parameters: list[tuple[str, tuple[int, ...]]]
) -> dict[object, str]:
    """Optimizer index → parameter name, where number and shapes leave no doubt; the file itself does not say."""
    indices = [index for group in groups if isinstance(group.get("params"), list) for index in group["params"]]  # type: ignore[attr-defined]
    if len(indices) != len(parameters) or not all(map(_is_index, indices)):
        return {}
    names: dict[object, str] = {}
    for index, (name, shape) in zip(indices, parameters, strict=True):
        content = stored.get(index, {})
        slots = (
            [slot for slot in content.values() if isinstance(slot, TensorRecord)] if isinstance(content, dict) else []
        )
        if any(slot.shape not in (shape, ()) and math.prod(slot.shape) != 1 for slot in slots):
            return {}
        names[index] = name
    return names
