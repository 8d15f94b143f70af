"""Optimizers in checkpoints: `optimizer.state_dict()` told from its form, and which slots belong to which parameter.

The file numbers parameters in the order in which the optimizer was given them, and does not say their names (before
`named_parameters()` could be given, torch 2.6). They are found by number, order and shapes, on one assumption: that of
each group the parameters were given in the order of the state dict, as `model.parameters()` gives them. Which group has
which parameters is not assumed: where shapes do not tell them apart, slots stay under their numbers.

Source: torch/optim/optimizer.py (`Optimizer.state_dict`), torch/optim/*.py (the slots and settings of each).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType

from panmodel.model.tensor import Tensor
from panmodel.model.torch.skeleton import Branch, Key, Leaf, Node, is_scalar
from panmodel.wire.torch_records import TorchValue

#: What settings tell that no other optimizer has; then what the slots tell, the longest list first; then what settings
#: tell where there are no slots.
_KINDS_BY_OWN_SETTINGS = (
    ({"ns_steps", "ns_coefficients"}, "muon"),
    ({"beta2_decay", "d"}, "adafactor"),
    ({"scale_parameter", "relative_step"}, "adafactor"),  # of Hugging Face and fairseq
)
_KINDS_BY_SLOTS = (
    ({"exp_avg", "exp_avg_sq", "mu_product"}, "nadam"),
    ({"exp_avg", "exp_avg_sq"}, "adam"),
    ({"exp_avg", "exp_inf"}, "adamax"),
    ({"square_avg", "acc_delta"}, "adadelta"),
    ({"square_avg"}, "rmsprop"),
    ({"grad_avg", "sqr_avg"}, "adam"),  # of fastai
    ({"sqr_avg"}, "rmsprop"),
    ({"grad_avg"}, "sgd"),
    ({"momentum_buffer"}, "sgd"),
    ({"prev", "step_size"}, "rprop"),
    ({"ax", "eta", "mu"}, "asgd"),
    ({"sum"}, "adagrad"),
    ({"old_dirs"}, "lbfgs"),
)
_KINDS_BY_SETTINGS = (
    ({"betas", "amsgrad"}, "adam"),
    ({"dampening", "nesterov"}, "sgd"),
    ({"alpha", "centered"}, "rmsprop"),
    ({"lr_decay", "initial_accumulator_value"}, "adagrad"),
    ({"rho"}, "adadelta"),
    ({"history_size"}, "lbfgs"),
)
#: RAdam has the slots of Adam and its settings, without `amsgrad`: always these, and in some versions those.
_OF_RADAM = frozenset({"lr", "betas", "eps", "weight_decay", "foreach"})
#: SparseAdam has the slots of Adam, and no more settings than these.
_OF_SPARSE_ADAM = frozenset({"lr", "betas", "eps", "maximize", "initial_lr", "param_groups"})
_OF_LATER_RADAM = frozenset({"initial_lr", "maximize", "capturable", "differentiable", "decoupled_weight_decay"})
_MOST_SETTINGS = 16  # values in a list that is a setting

#: A parameter's name and tensor.
Parameters = Sequence[tuple[str, Tensor]]


@dataclass(frozen=True, slots=True)
class Optimizer:
    """One `optimizer.state_dict()`.

    Attributes:
        path: Keys that lead to it.
        state: Parameter index, or name, → its slots.
        groups: The groups of parameters, each with its settings and the indices under "params".
        cls: Of a whole optimizer, its class.
    """

    path: tuple[Key, ...]
    state: Branch
    groups: tuple[Branch, ...]
    cls: str = ""

    @property
    def indices(self) -> list[Node]:
        """The indices of all parameters, group after group."""
        return [index for group in self.groups for index in _members(group.get("params"))]

    def settings(self, tensors: Mapping[str, Tensor] = MappingProxyType({})) -> dict[str, object]:
        """The settings of the first group; with several groups also those of each, under "param_groups".

        Args:
            tensors: The tensors of the file: a rate may be one of a single number.
        """
        each = [_settings(group, tensors) for group in self.groups]
        return {} if not each else each[0] if len(each) == 1 else {**each[0], "param_groups": each}

    def slots(self) -> Iterator[tuple[Key, dict[str, Leaf]]]:
        """Index → the tensors that the optimizer keeps for the parameter."""
        for index, content in self.state.items:
            if isinstance(content, Branch):
                yield index, {str(slot): leaf for slot, leaf in content.items if isinstance(leaf, Leaf)}

    def kind(self) -> str:
        """Kind in lower case; empty if nothing tells."""
        if self.cls:
            return self.cls.rpartition(".")[2].lower()
        branches = [content for _, content in self.state.items if isinstance(content, Branch)]
        slots = {slot for content in branches for slot, _ in content.items}
        settings = self.settings()
        named = {key for group in self.groups for key, _ in group.items}
        found = next((kind for needed, kind in _KINDS_BY_OWN_SETTINGS if needed <= named), "")
        found = found or next((kind for needed, kind in _KINDS_BY_SLOTS if needed <= slots), "")
        found = found or next((kind for needed, kind in _KINDS_BY_SETTINGS if needed <= named), "")
        if found != "adam":
            return found
        if {"lr", "betas"} <= set(settings) <= _OF_SPARSE_ADAM:
            return "sparseadam"
        if set(settings) >= _OF_RADAM >= set(settings) - _OF_LATER_RADAM - {"param_groups"}:
            return "radam"
        return "adamw" if settings.get("decoupled_weight_decay") is True else found

    def step(self) -> int | Leaf | None:
        """What the first parameter's slots say of the number of steps."""
        for _, content in self.state.items:
            step = content.get("step") if isinstance(content, Branch) else None
            if type(step) is int or isinstance(step, Leaf):
                return step
        return None


def find_optimizers(root: Node) -> list[Optimizer]:
    """Every optimizer in a skeleton, in order."""
    found: list[Optimizer] = []
    pending: list[tuple[tuple[Key, ...], Node]] = [((), root)]
    while pending:
        path, node = pending.pop()
        if not isinstance(node, Branch):
            continue
        state, groups = node.get("state"), _groups(node, path)
        if isinstance(state, Branch) and state.is_mapping and groups is not None:
            found.append(Optimizer(path, state, groups, node.cls))
        elif isinstance(state, Branch) and (groups := _groups_of_list(state, node.get("hypers"))):
            found.append(Optimizer(path, state, groups))
        else:
            pending.extend(((*path, key), child) for key, child in reversed(node.items))
    return found


def _groups(node: Branch, path: tuple[Key, ...]) -> tuple[Branch, ...] | None:
    """The groups of an optimizer, none where the file leaves them out and only its key tells; None of anything else."""
    groups = node.get("param_groups")
    if isinstance(groups, Branch) and not groups.is_mapping:
        return tuple(group for _, group in groups.items if isinstance(group, Branch) and group.is_mapping)
    return () if groups is None and path and "optim" in str(path[-1]) else None


def _groups_of_list(state: Branch, settings: Node) -> tuple[Branch, ...]:
    """The groups of an optimizer of fastai: slots are a list in the order of the parameters, settings one of groups.

    Which parameters are in which group is not said: the first has them all.
    """
    if isinstance(settings, Branch) and settings.kind == "object":  # fastcore's list
        settings = settings.get("items")
    groups = [group for group in _members(settings) if isinstance(group, Branch) and group.is_mapping]
    if not groups or state.is_mapping or not all(isinstance(slots, Branch) for slots in _members(state)):
        return ()
    indices = Branch("list", tuple((number, number) for number in range(len(state.items))))
    return replace(groups[0], items=(*groups[0].items, ("params", indices))), *groups[1:]


def names_of_parameters(
    optimizers: Sequence[Optimizer], parameters: Parameters, tensors: Mapping[str, Tensor]
) -> list[dict[Key, str]]:
    """For each optimizer: index → name of the parameter, without those that are not sure.

    An optimizer of one group is taken to have been given its parameters in the order of the state dict: nothing in the
    file could show another order of parameters that have one shape.

    Args:
        optimizers: All of the file.
        parameters: Those of the state dict, in its order; a tied one once.
        tensors: The tensors of the file, which the slots are among.
    """
    told = [_told_names(optimizer) for optimizer in optimizers]
    if all(names is not None for names in told):
        return [names or {} for names in told]
    counts = [len(optimizer.indices) for optimizer in optimizers]
    if len(optimizers) == 1 or sum(counts) != len(parameters):  # each may have been given all of them
        return [_by_order(optimizer, parameters, tensors) for optimizer in optimizers]
    return _by_shapes(optimizers, parameters, tensors)


def _told_names(optimizer: Optimizer) -> dict[Key, str] | None:
    """The names that the file says: as keys of the state, or beside the indices."""
    names: dict[Key, str] = {}
    for group in optimizer.groups:
        indices, told = _members(group.get("params")), _members(group.get("param_names"))
        if indices and all(isinstance(index, str) for index in indices):
            told = indices
        if len(told) != len(indices) or not all(isinstance(name, str) for name in told):
            return None
        for index, name in zip(indices, told, strict=True):
            if isinstance(index, (int, str)):
                names[index] = str(name)
    return names


def _by_order(optimizer: Optimizer, parameters: Parameters, tensors: Mapping[str, Tensor]) -> dict[Key, str]:
    """By the order of the state dict; those of several groups by shapes.

    The state dict may hold more than the optimizer was given: buffers, metrics, parameters that are not trained. The
    names of one group are sure all the same if there is one way alone to leave the others out.
    """
    indices = optimizer.indices
    if not indices or len(indices) > len(parameters) or not all(map(_is_index, indices)):
        return {}
    shapes = _slot_shapes(optimizer, tensors)
    wanted = [shapes.get(index, {}) for index in indices]  # type: ignore[arg-type]
    if len(indices) < len(parameters):
        names = _only_choice(wanted, parameters) if len(optimizer.groups) == 1 else []
        return dict(zip(indices, names, strict=False))  # type: ignore[arg-type]
    if sum(bool(_members(group.get("params"))) for group in optimizer.groups) > 1:
        return _by_shapes([optimizer], parameters, tensors)[0]
    if all(_fits(slots, tensor.shape) for slots, (_, tensor) in zip(wanted, parameters, strict=True)):
        return {index: name for index, (name, _) in zip(indices, parameters, strict=True)}  # type: ignore[misc]
    return {}


def _by_shapes(
    optimizers: Sequence[Optimizer], parameters: Parameters, tensors: Mapping[str, Tensor]
) -> list[dict[Key, str]]:
    """Of as many parameters as there are, those that only one group can have: all that have their shape are in it.

    Weight decay parts matrices from vectors, a new head has other shapes than the body that it is put on. What no shape
    tells is sure as well if it is all in one group, and the others are told.
    """
    if not all(_is_index(index) for optimizer in optimizers for index in optimizer.indices):
        return [{} for _ in optimizers]
    places = list(_places(optimizers, tensors))
    of_shape: dict[tuple[int, ...], list[tuple[str, Tensor]]] = {}
    for entry in parameters:
        of_shape.setdefault(entry[1].shape, []).append(entry)
    alike: dict[tuple[int, ...], list[_Place]] = {}
    for place in places:
        shapes = (shape for slot, shape in place.slots.items() if slot != "step" and shape in of_shape)
        if (whole := next(shapes, None)) is not None:
            alike.setdefault(whole, []).append(place)
    given: dict[_Place, str] = {}
    for shape, those in alike.items():
        given |= _given(those, of_shape[shape])
    told = set(given.values())
    rest = [entry for entry in parameters if entry[0] not in told]
    given |= _given([place for place in places if place not in given], rest)
    unordered = _unordered(places, given, parameters)
    names: list[dict[Key, str]] = [{} for _ in optimizers]
    for place, name in given.items():
        if place.group not in unordered:
            names[place.group[0]][place.index] = name
    return names


@dataclass(frozen=True, slots=True)
class _Place:
    """A parameter as an optimizer knows it: by its group, that is the optimizer and its place there, and the index."""

    group: tuple[int, int]
    index: Key
    slots: Mapping[str, tuple[int, ...]] = field(compare=False)


def _places(optimizers: Sequence[Optimizer], tensors: Mapping[str, Tensor]) -> Iterator[_Place]:
    for number, optimizer in enumerate(optimizers):
        shapes = _slot_shapes(optimizer, tensors)
        for at, group in enumerate(optimizer.groups):
            for index in _members(group.get("params")):
                if isinstance(index, (int, str)):
                    yield _Place((number, at), index, shapes.get(index, {}))


def _given(places: Sequence[_Place], parameters: Parameters) -> dict[_Place, str]:
    """Names of these in their order, if they are all of one group and fit; else none."""
    if len(places) != len(parameters) or len({place.group for place in places}) != 1:
        return {}
    pairs = list(zip(places, parameters, strict=True))
    fit = all(_fits(place.slots, tensor.shape) for place, (_, tensor) in pairs)
    return {place: name for place, (name, _) in pairs} if fit else {}


def _unordered(places: Sequence[_Place], given: Mapping[_Place, str], parameters: Parameters) -> set[tuple[int, int]]:
    """The groups in which the names are not in the order of the state dict, so that they may be anything."""
    order = {name: number for number, (name, _) in enumerate(parameters)}
    last: dict[tuple[int, int], int] = {}
    found: set[tuple[int, int]] = set()
    for place in places:
        if place in given:
            number = order[given[place]]
            if number < last.get(place.group, -1):
                found.add(place.group)
            last[place.group] = number
    return found


def _slot_shapes(optimizer: Optimizer, tensors: Mapping[str, Tensor]) -> dict[Key, dict[str, tuple[int, ...]]]:
    return {
        index: {slot: tensors[leaf.name].shape for slot, leaf in slots.items()} for index, slots in optimizer.slots()
    }


def _only_choice(wanted: Sequence[Mapping[str, tuple[int, ...]]], parameters: Parameters) -> list[str]:
    """The names of those parameters, in their order, that fit the slots; none if there are several ways to choose.

    The first way takes each as early as it can be, the last way as late: if they agree, there is no other.
    """
    first, last = (_earliest(slots, given) for slots, given in ((wanted, parameters), (wanted[::-1], parameters[::-1])))
    places = [len(parameters) - 1 - place for place in reversed(last)]
    return [parameters[place][0] for place in first] if first == places else []


def _earliest(wanted: Sequence[Mapping[str, tuple[int, ...]]], parameters: Parameters) -> list[int]:
    """The place of the first parameter that fits each, behind that of the one before; empty if there is none."""
    found: list[int] = []
    places = iter(range(len(parameters)))
    for slots in wanted:
        place = next((place for place in places if _fits_closely(slots, parameters[place][1].shape)), None)
        if place is None:
            return []
        found.append(place)
    return found


def _fits_closely(slots: Mapping[str, tuple[int, ...]], shape: tuple[int, ...]) -> bool:
    """Whether slots are of a parameter of that shape, and one of them has just that shape."""
    return _fits(slots, shape) and shape in slots.values()


def _fits(slots: Mapping[str, tuple[int, ...]], shape: tuple[int, ...]) -> bool:
    return all(slot == shape or math.prod(slot) == 1 or _is_factor(name, slot, shape) for name, slot in slots.items())


def _is_factor(name: str, slot: tuple[int, ...], shape: tuple[int, ...]) -> bool:
    """Whether a slot is one of rows or columns, as Adafactor keeps instead of one of the parameter's shape."""
    if len(shape) < 2 or not {"row", "col"} & set(name.split("_")):
        return False
    rows, columns = shape[:-1], (*shape[:-2], shape[-1])
    return slot in (rows, columns, (*rows, 1), (*shape[:-2], 1, shape[-1]))


def _members(node: Node) -> list[Node]:
    return [item for _, item in node.items] if isinstance(node, Branch) and not node.is_mapping else []


def _is_index(node: Node) -> bool:
    return type(node) is int or isinstance(node, str)


def _settings(group: Branch, tensors: Mapping[str, Tensor]) -> dict[str, object]:
    found: dict[str, object] = {}
    for key, value in group.items:
        if isinstance(key, str) and key not in ("params", "param_names"):
            if is_scalar(value) or isinstance(value, TorchValue):
                found[key] = str(value) if isinstance(value, TorchValue) else value
            elif isinstance(value, Leaf) and value.name in tensors and tensors[value.name].size == 1:
                found[key] = tensors[value.name].item()
            elif isinstance(value, Branch) and not value.is_mapping and len(value.items) <= _MOST_SETTINGS:
                plain = _members(value)
                if all(map(is_scalar, plain)):
                    found[key] = tuple(plain) if value.kind == "tuple" else plain
    return found
