"""What the nested containers of a checkpoint tell of a training run, and which of their parts belong to it.

The keys are those of PyTorch's tutorials, Lightning, Hugging Face's Trainer, fairseq, timm and detectron2.

Source: https://docs.pytorch.org/tutorials/beginner/saving_loading_models.html,
https://lightning.ai/docs/pytorch/stable/common/checkpointing_basic.html (contents of a checkpoint).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence

from panmodel.model.tensor import Tensor
from panmodel.model.torch.optimizer import Optimizer, Parameters, find_optimizers, names_of_parameters
from panmodel.model.torch.skeleton import Branch, Key, Leaf, Node, leaves
from panmodel.model.training import TrainingState

#: Keys under which checkpoints keep the model's state dict, and copies of it that are averaged over time.
_STATE_DICTS = ("state_dict", "model_state_dict", "model", "module", "net", "network", "params", "weights", "blobs")
_AVERAGED = re.compile(r".*(^|_)ema(_|$).*|.*shadow.*|swa_.*")
_EPOCHS = ("epoch", "start_epoch", "current_epoch")
_STEPS = ("global_step", "global_steps", "step", "iteration", "iter", "iter_num", "num_updates", "num_steps")
_LOSSES = ("loss", "train_loss", "val_loss", "best_loss", "best_val_loss")
#: Top-level keys under which some libraries keep these.
_COUNTERS = ("meta", "extra_state", "train_iterator", "trainer_state")
#: Top-level keys whose content belongs to a training run.
_TRAINING_KEY = re.compile(
    r".*optim(izer)?s?(_.*)?|(lr_)?sched(uler)?s?(_.*)?|.*scaler(_.*)?|amp|.*rng_states?|callbacks|loops|extra_state"
    r"|message_hub|((start|current|last|global|total|train)_)?(epochs?|steps?)|iter(ation)?s?(_num)?|num_(updates|steps)"
    r"|((train|val|valid|test|best)_)*(loss(es)?|acc|accuracy|prec1|acc1|score)|metrics?"
)
#: What the classes are called, to the beginning, of objects that belong to one whatever their key is.
_TRAINING_CLASSES = ("torch.utils.data.", "torch.amp.", "torch.cuda.amp.", "torch.optim.")
#: Buffers of torch.nn's normalisations, which no optimizer has slots for.
_BUFFERS = ("running_mean", "running_var", "num_batches_tracked")


def state_dict_key(root: Node) -> str:
    """The key under which a checkpoint keeps the model's state dict, "" if there is not exactly one."""
    key = _trained_key(root)
    if not key or not isinstance(root, Branch):
        return ""
    names = _keys(root.get(key))
    others = ((other, node) for other, node in root.items if isinstance(other, str) and other != key)
    there = ((other, node) for other, node in others if is_state_dict(node))
    copies = [other for other, node in there if _AVERAGED.fullmatch(other) or names & _keys(node)]
    return "" if copies else key


def _trained_key(root: Node) -> str:
    """The key of the state dict that is trained, whatever copies of it there are; "" if there is not exactly one."""
    if not isinstance(root, Branch) or not root.is_mapping:
        return ""
    found = [key for key in _STATE_DICTS if is_state_dict(root.get(key))]
    return found[0] if len(found) == 1 else ""


def is_state_dict(node: Node) -> bool:
    """Whether a node is a mapping from names to tensors; a few of its values may be numbers or text."""
    if not isinstance(node, Branch) or node.kind not in ("dict", "OrderedDict"):
        return False
    flat = all(isinstance(key, str) and (not isinstance(item, Branch) or item.is_tensor) for key, item in node.items)
    return flat and any(isinstance(item, (Leaf, Branch)) for _, item in node.items)


def _is_bare(root: Branch) -> bool:
    """Whether it holds tensors and nothing else: a state dict, whose tensors may be called anything."""
    return all(isinstance(item, Leaf) for _, item in root.items)


def is_training_key(key: Key) -> bool:
    """Whether what a checkpoint has under this key belongs to the training run."""
    return isinstance(key, str) and _TRAINING_KEY.fullmatch(key) is not None


def training_parts(root: Node) -> Iterator[tuple[tuple[Key, ...], Node]]:
    """Paths and nodes that belong to the training run: optimizers wherever they are, and top-level keys."""
    for optimizer in find_optimizers(root):
        yield optimizer.path, _at(root, optimizer.path)
    if isinstance(root, Branch) and root.is_mapping and not _is_bare(root):
        for key, node in root.items:
            if is_training_key(key) or _is_of_training(node):
                yield (key,), node


def _is_of_training(node: Node) -> bool:
    """Whether it is an object of a class that only training needs (a loader of data, say), or a list of some."""
    if not isinstance(node, Branch):
        return False
    parts = [part for _, part in node.items] if node.kind in ("list", "tuple") else [node]
    return bool(parts) and all(isinstance(part, Branch) and part.cls.startswith(_TRAINING_CLASSES) for part in parts)


def told(root: Node, tensors: Mapping[str, Tensor]) -> tuple[TrainingState | None, frozenset[str]]:
    """The training state that a checkpoint holds.

    Args:
        root: Its containers.
        tensors: Its tensors by name; small ones (steps, a loss) are read.

    Returns:
        The state, None if there is none; and the paths, joined by dots, of what went into it.
    """
    parts = list(training_parts(root))
    if not parts:
        return None, frozenset()
    optimizers = find_optimizers(root)
    state = TrainingState(names=frozenset(leaf.name for _, node in parts for leaf in leaves(node)))
    used = {".".join(map(str, optimizer.path)) for optimizer in optimizers}
    used |= _counters(state, root, tensors)
    if optimizers:
        _read_optimizers(state, optimizers, _parameters(root, state.names, tensors), tensors)
    return state, frozenset(used)


def told_by_names(tensors: Mapping[str, Tensor]) -> TrainingState | None:
    """The optimizers that names alone tell, "optimizer.state.0.exp_avg": slots under numbers, for no groups are there.

    Args:
        tensors: Every tensor of a file whose names are the keys that led to them; steps are read.
    """
    found: dict[str, dict[str, dict[str, Leaf]]] = {}
    for name in tensors:
        if (place := _place_of_slot(name)) is not None:
            path, index, slot = place
            found.setdefault(path, {}).setdefault(index, {})[slot] = Leaf(name)
    listed = (
        (path, Branch("dict", tuple((at, _slots(slots)) for at, slots in those.items())))
        for path, those in found.items()
    )
    optimizers = [
        optimizer for optimizer in (Optimizer((path,), state, ()) for path, state in listed) if optimizer.kind()
    ]
    if not optimizers:
        return None
    own = {optimizer.path[0] for optimizer in optimizers}
    rates = {name for name in tensors if name.partition(".param_groups.")[0] in own}
    slots = {leaf.name for optimizer in optimizers for _, leaf_of in optimizer.slots() for leaf in leaf_of.values()}
    state = TrainingState(names=frozenset(rates | slots))
    _read_optimizers(state, optimizers, [], tensors)
    state.hyperparameters = {}  # which are in the groups
    return state


def _slots(leaf_of: Mapping[str, Leaf]) -> Branch:
    return Branch("dict", tuple(leaf_of.items()))


def _place_of_slot(name: str) -> tuple[str, str, str] | None:
    """Where the optimizer is that a name is a slot of, the parameter and the slot; None if it is of none."""
    parts = name.split(".")
    for at in range(1, len(parts) - 2):
        if parts[at] == "state" and any("optim" in part for part in parts[max(at - 2, 0) : at]):
            return ".".join(parts[:at]), ".".join(parts[at + 1 : -1]), parts[-1]
    return None


def _counters(state: TrainingState, root: Node, tensors: Mapping[str, Tensor]) -> set[str]:
    """Put epoch, step and loss into the state; returns their keys."""
    if not isinstance(root, Branch) or _is_bare(root):
        return set()
    used = set()
    for keys, attribute in ((_EPOCHS, "epoch"), (_STEPS, "step"), (_LOSSES, "loss")):
        for path, node in _told_under(root, keys):
            number = _number(node, tensors)
            if number is not None and (attribute == "loss" or number == int(number)):
                setattr(state, attribute, float(number) if attribute == "loss" else int(number))
                _note_tensor(state, attribute, node, tensors)
                used.add(path)
                break
    return used


def _told_under(root: Branch, keys: Sequence[str]) -> Iterator[tuple[str, Node]]:
    """What lies under these keys, and its path: in the root, then in what libraries keep counters in."""
    pending: list[tuple[str, Branch]] = [("", root)]
    while pending:
        path, branch = pending.pop(0)
        yield from ((path + key, branch.get(key)) for key in keys)
        children = ((key, branch.get(key)) for key in _COUNTERS)
        pending += [(f"{path}{key}.", child) for key, child in children if isinstance(child, Branch)]


def _number(node: Node, tensors: Mapping[str, Tensor]) -> float | int | None:
    """A finite number, or the one element of a tensor; None for anything else."""
    if isinstance(node, Leaf):
        tensor = tensors[node.name]
        node = tensor.item() if tensor.size == 1 and tensor.dtype.kind in "iuf" else None
    if isinstance(node, bool) or not isinstance(node, (int, float)) or node != node or abs(node) == float("inf"):
        return None
    return node


def _note_tensor(state: TrainingState, what: str, node: Node, tensors: Mapping[str, Tensor]) -> None:
    if isinstance(node, Leaf):
        state.counters = {**state.counters, what: tensors[node.name]}


def _read_optimizers(
    state: TrainingState, optimizers: list[Optimizer], parameters: Parameters, tensors: Mapping[str, Tensor]
) -> None:
    state.optimizer = next((kind for kind in (optimizer.kind() for optimizer in optimizers) if kind), "")
    state.hyperparameters = optimizers[0].settings(tensors)
    if len(optimizers) > 1:
        state.hyperparameters["optimizers"] = [optimizer.settings(tensors) for optimizer in optimizers]
    slots: dict[str, dict[str, Tensor]] = {}
    for optimizer, names in zip(optimizers, names_of_parameters(optimizers, parameters, tensors), strict=True):
        prefix = "".join(f"{key}." for key in optimizer.path) if len(optimizers) > 1 else ""
        for index, leaf_of in optimizer.slots():
            if leaf_of:
                name = names.get(index, f"{prefix}{index}")
                slots.setdefault(name, {}).update({slot: tensors[leaf.name] for slot, leaf in leaf_of.items()})
    state.slots = slots
    if state.step is None:
        for node in (optimizer.step() for optimizer in optimizers):
            if (step := _number(node, tensors)) is not None:
                state.step = int(step)
                _note_tensor(state, "step", node, tensors)
                break


def _parameters(root: Node, training: frozenset[str], tensors: Mapping[str, Tensor]) -> Parameters:
    """What an optimizer may have slots for, in the order of the state dict: no buffer, no integers, ties once."""
    key = _trained_key(root)
    inside = root.get(key) if key and isinstance(root, Branch) else root
    found: list[tuple[str, Tensor]] = []
    seen: set[int] = set()
    for leaf in leaves(inside):
        tensor = tensors[leaf.name]
        is_buffer = leaf.name.rpartition(".")[2] in _BUFFERS or tensor.dtype.kind not in "fc"
        if leaf.name not in training and not is_buffer and id(tensor) not in seen:
            seen.add(id(tensor))
            found.append((leaf.name, tensor))
    return found


def _keys(node: Node) -> set[Key]:
    return {key for key, _ in node.items} if isinstance(node, Branch) else set()


def _at(root: Node, path: tuple[Key, ...]) -> Node:
    for key in path:
        assert isinstance(root, Branch)
        root = root.get(key)
    return root
