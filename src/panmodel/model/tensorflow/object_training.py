"""What optimizers leave in an object-based checkpoint: slot variables, counters, rates.

Those of Keras 2 and TensorFlow register slots with the graph of objects. Those of Keras 3 keep a list of all their
variables, and the names of these tell which variable and slot they are: `adam/sequential_a_kernel_velocity`.

Source: tensorflow/core/protobuf/trackable_object_graph.proto, keras/src/optimizers/base_optimizer.py
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from panmodel.errors import LimitError
from panmodel.limits import DEFAULT
from panmodel.model.tensor import Tensor
from panmodel.model.tensorflow.objects import TrackedObject
from panmodel.model.training import TrainingState

_COUNTERS = ("iter", "_iterations", "iterations")
_RATES = frozenset(["learning_rate", "_learning_rate", "decay", "momentum", "beta_1", "rho", "_variables"])
#: What an optimizer that scales the loss keeps, around another one.
_SCALES = frozenset(["current_loss_scale", "dynamic_scale", "dynamic_counter", "step_counter", "_loss_scale"])
_MOST_WORDS = 8  # of a slot's name
_STEPS = ("global_step", "step", "steps")
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
        self._step: int | None = None
        self._seen = 0

    def state(self) -> TrainingState | None:
        for node in self._nodes:
            children = dict(node.children)
            if node.slots or (_RATES & children.keys() and any(name in children for name in _COUNTERS)):
                self._take_optimizer(node, children)
            elif _SCALES & children.keys():
                self._take_scalars(children)
        root = dict(self._nodes[0].children)
        steps = [self._take_counter(root, name) for name in (*_STEPS, "save_counter")]
        epoch = self._take_counter(root, "epoch")
        if not self._names:
            return None
        known = [step for step in (self._step, *steps[:-1]) if step is not None]
        return TrainingState(
            step=known[0] if known else None,
            epoch=epoch,
            optimizer=" and ".join(self._kinds),
            hyperparameters=self._hyperparameters,
            slots=self._slots,
            names=frozenset(self._names),
        )

    def _take_optimizer(self, node: TrackedObject, children: Mapping[str, int]) -> None:
        for slot in node.slots:
            for name in self._of(slot.node):
                for variable in list(self._of(slot.variable))[:1]:
                    self._slots.setdefault(variable, {})[slot.name] = self._tensors[name]
                self._names[name] = None
        weights = self._listed(children, "_trainable_variables")
        counters = [name for child in _COUNTERS if child in children for name in self._of(children[child])]
        for name in counters:
            step = self._scalar(name)
            if self._step is None and isinstance(step, int):
                self._step = step
            self._names[name] = None
        self._take_scalars({name: child for name, child in children.items() if name not in _COUNTERS})
        listed = [name for name in self._listed(children, "_variables") if name not in weights]
        own = [name for name in listed if name not in self._names]
        self._take_listed(own, weights)
        self._take_kind(counters + listed + [name for slot in node.slots for name in self._of(slot.node)], node)

    def _take_listed(self, own: list[str], weights: list[str]) -> None:
        """The slots in an optimizer's list of variables, told by their names; without a match they have no variable."""
        if not own:
            return
        variables = frozenset(weights) or self._tensors.keys() - set(own)
        self._count(len(variables))
        flat = {name.replace("/", "_"): name for name in variables}
        for name in own:
            self._names[name] = None
            rest = name.partition("/")[2]
            slot, _, variable = rest.partition("/")
            if variable in variables:  # "Adam/m/dense/kernel"
                self._slots.setdefault(variable, {})[slot] = self._tensors[name]
                continue
            words = rest.split("_")
            for place in range(len(words) - 1, max(len(words) - _MOST_WORDS, 0), -1):
                if (variable := "_".join(words[:place])) in flat:  # "adam/dense_kernel_velocity"
                    self._slots.setdefault(flat[variable], {})["_".join(words[place:])] = self._tensors[name]
                    break

    def _take_kind(self, names: list[str], node: TrackedObject) -> None:
        """The kind of an optimizer: what its variables' names begin with, or what its slots are called."""
        scopes = {name.partition("/")[0].lower() for name in names if "/" in name}
        slots = frozenset(slot.name for slot in node.slots)
        kind = scopes.pop() if len(scopes) == 1 else ""
        kind = _KINDS.get(slots, kind) if kind in ("", "optimizer", "training") else kind
        if kind and kind != "optimizer":
            self._kinds[kind] = None

    def _take_scalars(self, children: Mapping[str, int]) -> None:
        """The rates of an optimizer."""
        for child, number in children.items():
            for name in self._of(number):
                value = self._scalar(name)
                if value is not None:
                    self._names[name] = None
                    self._hyperparameters.setdefault(child.removeprefix("_"), value)

    def _take_counter(self, children: Mapping[str, int], child: str) -> int | None:
        for name in self._of(children[child]) if child in children else ():
            value = self._scalar(name)
            if isinstance(value, int):
                self._names[name] = None
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
