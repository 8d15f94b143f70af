"""What optimizers leave in an object-based checkpoint: slot variables, counters, rates.

Those of Keras 2 and TensorFlow register slots with the graph of objects. Those of Keras 3 keep lists of
the variables that they train and of each slot, in one order. Others keep one list of all their variables, and the names
of these tell which variable and slot they are: `adam/sequential_a_kernel_velocity`.

Source: tensorflow/core/protobuf/trackable_object_graph.proto, keras/src/optimizers/base_optimizer.py
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence, Set
from functools import cached_property

from panmodel.errors import LimitError
from panmodel.limits import DEFAULT
from panmodel.model.tensor import Tensor
from panmodel.model.tensorflow.objects import TrackedObject, parents, tracking_order
from panmodel.model.training import TrainingState, optimizer_kind

_COUNTERS = ("iter", "_iterations", "iterations")
_RATES = frozenset(["learning_rate", "_learning_rate", "decay", "momentum", "beta_1", "rho", "_variables"])
#: What an optimizer that scales the loss keeps, around another one.
_SCALES = frozenset(["current_loss_scale", "dynamic_scale", "dynamic_counter", "step_counter", "_loss_scale"])
#: The optimizer that it is around.
_INNER = "inner_optimizer"
_MOST_WORDS = 8  # of a slot's name
_MOST_SCOPES = 3  # before a slot's name
#: Lists of slots by what an optimizer calls them, where that is no plural.
_LISTS = {"model_variables_moving_average": "average", "accumulated_gradients": "gradient_accumulator"}
#: How the names of slots end: "adam/net_dense_kernel_momentum", "adagrad/accumulator".
_SLOT = re.compile(
    r"(?:^|[/_])(momentum|velocity|velocity_hat|norm|linear|accumulator|gradient_accumulator|average|average_gradient"
    r"|accumulated_grad|accumulated_delta_var)(?:_\d+)?$"
)
_LONGEST_SLOT = 64
_STEPS = ("global_step", "step", "steps")
#: What the callback of Keras counts that resumes a run which was cut off.
_BACKUPS = ("ckpt_saved_epoch", "ckpt_saved_batch", "train_counter")
#: Slots → kind of the optimizer, for files that do not name it.
_KINDS = {
    frozenset(["m", "v"]): "adam",
    frozenset(["m", "v", "vhat"]): "adam",
    frozenset(["momentum"]): "momentum",
    frozenset(["rms"]): "rmsprop",
    frozenset(["rms", "momentum"]): "rmsprop",
    frozenset(["rms", "mg"]): "rmsprop",
    frozenset(["rms", "momentum", "mg"]): "rmsprop",
    frozenset(["accumulator"]): "adagrad",
    frozenset(["accum_grad", "accum_var"]): "adadelta",
    frozenset(["accumulator", "linear"]): "ftrl",
}


def object_training_state(nodes: Sequence[TrackedObject], tensors: Mapping[str, Tensor]) -> TrainingState | None:
    """Find the state of a training run among the objects of a checkpoint.

    Reads nothing but scalars: counters, rates, the step.

    Args:
        nodes: The objects, the root first.
        tensors: The tensors by name.

    Returns:
        The state; None if there is no optimizer and no step.

    Raises:
        CorruptError: A scalar that is read does not meet its checksum.
        LimitError: The optimizers list more variables than `panmodel.limits` allows.
    """
    return _Finder(nodes, tensors).state()


class _Finder:
    def __init__(self, nodes: Sequence[TrackedObject], tensors: Mapping[str, Tensor]) -> None:
        self._nodes, self._tensors = nodes, tensors
        self._names: dict[str, None] = {}
        self._slots: dict[str, dict[str, Tensor]] = {}
        self._kinds: dict[str, None] = {}
        self._hyperparameters: dict[str, float | int] = {}
        self._counters: dict[str, Tensor] = {}
        self._step: int | None = None
        self._seen = 0

    def state(self) -> TrainingState | None:
        for node in self._nodes:
            children = dict(node.children)
            if _INNER in children:
                self._take_scales(children)
            elif node.slots or (_RATES & children.keys() and any(name in children for name in _COUNTERS)):
                self._take_optimizer(node, children)
            elif _SCALES & children.keys():
                self._take_scalars(children)
        root = dict(self._nodes[0].children)
        for name in _STEPS:
            step = self._take_counter(root, name, "step")
            self._step = step if self._step is None else self._step
        epoch = self._take_counter(root, "epoch", "epoch")
        for name in ("save_counter", *_BACKUPS):
            self._take_counter(root, name)
        if not self._names:
            return None
        self._take_metrics(root)
        return TrainingState(
            step=self._step,
            epoch=epoch,
            optimizer=" and ".join(self._kinds),
            hyperparameters=self._hyperparameters,
            slots=self._slots,
            names=frozenset(self._names),
            counters=self._counters,
        )

    def _take_optimizer(self, node: TrackedObject, children: Mapping[str, int]) -> None:
        for slot in node.slots:
            for name in self._of(slot.node):
                for variable in list(self._of(slot.variable))[:1]:
                    self._slots.setdefault(variable, {})[slot.name] = self._tensors[name]
                self._names[name] = None
        trained = children.get("_trainable_variables")
        weights = [name for _, name in sorted(self._items(trained))] if trained is not None else []
        counters = [name for child in _COUNTERS if child in children for name in self._of(children[child])]
        for name in counters:
            step = self._scalar(name)
            if self._step is None and isinstance(step, int):
                self._step = step
                self._counters["step"] = self._tensors[name]
            self._names[name] = None
        self._take_scalars({name: child for name, child in children.items() if name not in _COUNTERS})
        among = frozenset(weights)
        listed = [name for name in self._listed(children, "_variables") if name not in among]
        own = [name for name in listed if name not in self._names]
        self._take_listed(own, weights, self._take_lists(children, weights))
        self._take_fillers(children)
        found = frozenset(slot for slots in self._slots.values() for slot in slots)
        self._take_kind(counters, listed + [name for slot in node.slots for name in self._of(slot.node)], node, found)

    def _take_lists(self, children: Mapping[str, int], weights: list[str]) -> frozenset[str]:
        """The slots in lists of an optimizer's own, one for each slot, in the order of the weights; gives their names.

        Only where all shapes agree: an item is a slot if it has the shape of the weight at its place.
        """
        taken: set[str] = set()
        for child, number in children.items():
            plural = child.removeprefix("_")
            items = {at: name for at, name in self._items(number) if at < len(weights)} if weights else {}
            if child in ("_variables", "_trainable_variables") or not items:
                continue
            shapes = [(self._tensors[name].shape, self._tensors[weights[at]].shape) for at, name in items.items()]
            if any(shape != whole for shape, whole in shapes):
                continue
            slot = _LISTS.get(plural) or (plural[:-3] + "y" if plural.endswith("ies") else plural.removesuffix("s"))
            for at, name in items.items():
                self._slots.setdefault(weights[at], {})[slot] = self._tensors[name]
                self._names[name] = None
                taken.add(name)
        return frozenset(taken)

    def _take_fillers(self, children: Mapping[str, int]) -> None:
        """What only lists of an optimizer hold: single numbers for the weights that have no such slot."""
        lists = {number for child, number in children.items() if child != "_trainable_variables"}
        for number in lists:
            items = self._nodes[number].children
            self._count(len(items))
            for at, item in items:
                missing = [name for name in self._of(item) if name not in self._names]
                if missing and at.isdecimal() and self._parents[item] <= lists:
                    self._names.update(dict.fromkeys(missing))

    @cached_property
    def _parents(self) -> dict[int, set[int]]:
        return parents(self._nodes)

    def _items(self, number: int) -> list[tuple[int, str]]:
        """The tensors in a list, each with its place."""
        items = self._nodes[number].children
        self._count(len(items))
        return [(int(at), name) for at, child in items if at.isdecimal() and len(at) < 9 for name in self._of(child)]

    def _take_listed(self, own: list[str], weights: list[str], placed: frozenset[str]) -> None:
        """The slots in an optimizer's list of variables, told by their names; without a match they have no variable."""
        if not own:
            return
        variables = frozenset(weights) or self._tensors.keys() - set(own)
        self._count(len(variables))
        flat = {name.replace("/", "_"): name for name in variables}
        left = []
        for name in own:
            self._names[name] = None
            found = _named_slot(name, variables, flat) if name not in placed else None
            if found is not None:
                self._slots.setdefault(found[0], {})[found[1]] = self._tensors[name]
            elif name not in placed:
                left.append(name)
        full = {known.tensor: known.full_name for node in self._nodes for known in node.attributes} if left else {}
        if left and weights:
            self._take_ordered(left, weights, full)
        elif left:
            self._take_namesakes(left, frozenset(own), full)

    def _take_ordered(self, left: list[str], weights: list[str], full: Mapping[str, str]) -> None:
        """The slots whose names tell which slot they are, and not of which weight: one for each, in their order."""
        slots: dict[str, list[str]] = {}
        for name in left:
            if found := _SLOT.search(full.get(name, "")[-_LONGEST_SLOT:]):
                slots.setdefault(found[1], []).append(name)
        for slot, names in slots.items():
            self._take_pairs(slot, weights, names)

    def _take_pairs(self, slot: str, weights: list[str], names: list[str]) -> None:
        pairs = list(zip(weights, names, strict=False))
        alike = all(self._tensors[weight].shape == self._tensors[name].shape for weight, name in pairs)
        if alike and len(weights) == len(names):
            for weight, name in pairs:
                self._slots.setdefault(weight, {})[slot] = self._tensors[name]

    def _take_namesakes(self, left: list[str], own: frozenset[str], full: Mapping[str, str]) -> None:
        """The slots of weights that have one name in different models: these follow each other as their slots do."""
        weights: dict[str, list[str]] = {}
        for name in dict.fromkeys(name for number in tracking_order(self._nodes) for name in self._of(number)):
            if name not in own and full[name]:
                weights.setdefault(full[name], []).append(name)
        slots: dict[tuple[str, str], list[str]] = {}
        for name in left:
            found = _named_slot(full.get(name, ""), weights.keys(), {})
            if found is not None:
                slots.setdefault(found, []).append(name)
        for (shared, slot), names in slots.items():
            self._take_pairs(slot, weights[shared], names)

    def _take_scales(self, children: Mapping[str, int]) -> None:
        """What an optimizer keeps that only scales the loss: the one inside trains, and counts the steps."""
        self._take_scalars({child: number for child, number in children.items() if child in _SCALES})
        for child in (*_COUNTERS, "_learning_rate"):
            self._names.update(dict.fromkeys(self._of(children[child]) if child in children else ()))

    def _take_metrics(self, root: Mapping[str, int]) -> None:
        """What tf.keras measures while it trains, in a SavedModel."""
        at = dict(self._nodes[root["keras_api"]].children).get("metrics") if "keras_api" in root else None
        metrics = self._nodes[at].children if at is not None else ()
        self._count(len(metrics))
        for _, metric in metrics:
            self._names.update((name, None) for _, part in self._nodes[metric].children for name in self._of(part))

    def _take_kind(self, counters: list[str], names: list[str], node: TrackedObject, found: frozenset[str]) -> None:
        """The kind of an optimizer: what its variables' names begin with, or what its slots are called."""
        scopes = {name.partition("/")[0].lower() for name in counters if "/" in name}
        scopes = scopes or {name.partition("/")[0].lower() for name in names if "/" in name}
        slots = frozenset(slot.name for slot in node.slots) or found
        kind = scopes.pop() if len(scopes) == 1 else ""
        kind = _KINDS.get(slots, kind) if kind in ("", "optimizer", "training", *slots) else kind
        if kind and kind != "optimizer":
            self._kinds[optimizer_kind(kind)] = None

    def _take_scalars(self, children: Mapping[str, int]) -> None:
        """The rates of an optimizer."""
        for child, number in children.items():
            for name in self._of(number):
                value = self._scalar(name)
                if value is not None:
                    self._names[name] = None
                    self._hyperparameters.setdefault(child.removeprefix("_"), value)

    def _take_counter(self, children: Mapping[str, int], child: str, what: str = "") -> int | None:
        for name in self._of(children[child]) if child in children else ():
            value = self._scalar(name)
            if isinstance(value, int):
                self._names[name] = None
                if what:
                    self._counters.setdefault(what, self._tensors[name])
                return value
        return None

    def _of(self, number: int) -> Iterator[str]:
        """Names of the tensors of an object."""
        return (known.tensor for known in self._nodes[number].attributes if known.tensor in self._tensors)

    def _listed(self, children: Mapping[str, int], child: str) -> list[str]:
        """Names of the tensors in a list that an object has."""
        if child not in children:
            return []
        items = self._nodes[children[child]].children
        self._count(len(items))
        return [name for _, number in items for name in self._of(number)]

    def _count(self, items: int) -> None:
        """Keep a file in which many optimizers list many variables from taking forever."""
        self._seen += items
        if self._seen > DEFAULT.fields:
            raise LimitError(f"optimizers list more than {DEFAULT.fields} variables")

    def _scalar(self, name: str) -> float | int | None:
        tensor = self._tensors[name]
        if tensor.size != 1 or tensor.dtype.kind not in "fiu":
            return None
        value: float | int = tensor.item()
        return value


def _named_slot(name: str, variables: Set[str], flat: Mapping[str, str]) -> tuple[str, str] | None:
    """The variable and the slot that a name tells."""
    parts = name.split("/", _MOST_SCOPES)
    for place in range(1, len(parts)):  # "Adam/m/dense/kernel"
        if (variable := "/".join(parts[place:])) in variables:
            return variable, parts[place - 1]
    words = name.partition("/")[2].split("_")
    for place in range(len(words) - 1, max(len(words) - _MOST_WORDS, 0), -1):
        if (variable := "_".join(words[:place])) in flat:  # "adam/dense_kernel_velocity"
            return flat[variable], "_".join(words[place:])
    return None
