"""How HDF5 files of Keras arrange weights: groups of layers, their order, and the configuration beside them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, ClassVar, Self

from panmodel.errors import CorruptError
from panmodel.model.tensor import Tensor
from panmodel.model.training import TrainingState

#: The group of the optimizer's weights in a whole model.
OPTIMIZER_WEIGHTS = "optimizer_weights"
#: The group of the optimizer in a file of attribute paths.
OPTIMIZER = "optimizer"
#: The group of what Keras 2 measures while it trains, there.
METRICS = "metrics"
#: The root's attribute, and the archive's member, that say how the model was trained.
TRAINING_CONFIG, COMPILE_CONFIG, CONFIG = "training_config", "compile_config", "config.json"
#: What the names of files begin with that layers keep beside their weights: the words of a vocabulary.
ASSETS = "assets/"
_WHERE = "the structure of a Keras model"


class Layout(StrEnum):
    """Which of the arrangements a file has."""

    LAYERS = "layers"  # groups with `weight_names`, in the order of `layer_names`: Keras 1 to 3, .h5
    VARIABLES = "variables"  # paths of attributes that end in vars/0: Keras 3, .weights.h5
    PATHS = "paths"  # any other


@dataclass
class GroupRecord:
    """What a group has beside its members.

    Attributes:
        attributes: Texts, numbers, lists of texts, and numeric arrays as {"dtype", "shape", "values"}.
        layers: Names of the layers in their order, if it has them.
        weights: Name of each weight and the tensor that it is, in their order, if it has them.
    """

    attributes: dict[str, Any] = field(default_factory=dict)
    layers: list[str] | None = None
    weights: list[tuple[str, str]] | None = None


@dataclass
class LayerGroups:
    """The groups of a file of Keras, and where in them each tensor is.

    Attributes:
        layout: Which arrangement it is.
        base: The group that the layers are in: "model_weights" in a whole model, "" in a file of weights.
        groups: Each group by its path ("" for the root), parents first.
        places: Tensor → path of its dataset.
        documents: Name → text of what lies beside the weights in an archive: config.json, metadata.json, and the files
            of layers under `ASSETS`, bytes that are no text as lone surrogates.
    """

    family: ClassVar[str] = "keras"

    layout: Layout = Layout.PATHS
    base: str = ""
    groups: dict[str, GroupRecord] = field(default_factory=dict)
    places: dict[str, str] = field(default_factory=dict)
    documents: dict[str, str] = field(default_factory=dict)

    @property
    def optimizer_group(self) -> str:
        """The path of the group that the optimizer's tensors are in."""
        return OPTIMIZER_WEIGHTS if self.layout is Layout.LAYERS else OPTIMIZER

    def is_optimizer(self, place: str) -> bool:
        """Whether a dataset at this path belongs to the optimizer."""
        if self.layout is Layout.PATHS:
            return False
        return place.startswith(self.optimizer_group + "/")

    def is_training(self, place: str) -> bool:
        """Whether a dataset at this path belongs to a training run: to the optimizer, or to what measures it."""
        measures = self.layout is Layout.VARIABLES and place.startswith(METRICS + "/")
        return measures or self.is_optimizer(place)

    def edited(self, names: Mapping[str, str], *, keep_training: bool = True) -> Self | None:
        """See `Structure.edited`. A weight of a layer is listed under its new name."""
        moved = {key: group for key, group in self._listed().items() if names.get(key, key) != key}
        places = {
            names[key]: join(moved[key], names[key]) if key in moved else place
            for key, place in self.places.items()
            if key in names
        }
        groups = {path: _edited(record, names, moved) for path, record in self.groups.items()}
        documents = dict(self.documents)
        if not keep_training:
            places = {key: place for key, place in places.items() if not self.is_training(place)}
            inside = {self.optimizer_group, METRICS if self.layout is Layout.VARIABLES else ""} - {""}
            groups = {path: rec for path, rec in groups.items() if path not in inside and not self.is_training(path)}
            if "" in groups:
                groups[""].attributes.pop(TRAINING_CONFIG, None)
            if CONFIG in documents:
                documents[CONFIG] = _without_training(documents[CONFIG])
        if not places:
            return None
        return type(self)(self.layout, self.base, groups, places, documents)

    def _listed(self) -> dict[str, str]:
        """Tensor → the group of the layer that lists it by the path that it has."""
        return {
            key: path
            for path, record in self.groups.items()
            for name, key in record.weights or ()
            if not self.is_optimizer(self.places.get(key, "")) and self.places.get(key) == join(path, name)
        }

    def training_state(self, tensors: Mapping[str, Tensor]) -> TrainingState | None:
        """See `Structure.training_state`."""
        from panmodel.model.keras.training import training_state

        return training_state(self, tensors)

    def to_json(self) -> dict[str, Any]:
        """See `Structure.to_json`."""
        groups = {
            path: {"attributes": record.attributes, "layers": record.layers, "weights": record.weights}
            for path, record in self.groups.items()
        }
        return {
            "layout": self.layout.value,
            "base": self.base,
            "groups": groups,
            "places": self.places,
            "documents": self.documents,
        }

    @classmethod
    def from_json(cls, plain: dict[str, Any], tensors: Mapping[str, Tensor]) -> Self:
        """See `Structure.from_json`."""
        layout, base = plain.get("layout"), plain.get("base")
        if layout not in list(Layout) or not isinstance(base, str):
            raise CorruptError(f"{_WHERE} has no layout that is known: {str(layout)[:80]!r}")
        groups = {path: _group(record, tensors) for path, record in _object(plain.get("groups"), "groups").items()}
        places = _texts(plain.get("places"), "places")
        if missing := next((key for key in places if key not in tensors), None):
            raise CorruptError(f"{_WHERE} names the tensor {missing[:200]!r}, which is not there")
        return cls(Layout(layout), base, groups, places, _texts(plain.get("documents"), "documents"))


def is_asset(name: str) -> bool:
    """Whether a file of this name is one of a layer's, inside its folder."""
    parts = name.split("/")
    is_plain = not any(part in ("", ".", "..") or "\\" in part or "\0" in part for part in parts)
    return name.startswith(ASSETS) and is_plain


def join(path: str, name: str) -> str:
    """The path of a member of a group."""
    return f"{path}/{name}" if path else name


def parents(path: str) -> Iterator[str]:
    """A group's path and those of the groups that it is in, the root first."""
    yield ""
    for place, letter in enumerate(path):
        if letter == "/":
            yield path[:place]
    if path:
        yield path


def _edited(record: GroupRecord, names: Mapping[str, str], moved: Mapping[str, str]) -> GroupRecord:
    weights = record.weights
    if weights is not None:
        weights = [(names[key] if key in moved else name, names[key]) for name, key in weights if key in names]
    return GroupRecord(dict(record.attributes), None if record.layers is None else list(record.layers), weights)


def _without_training(text: str) -> str:
    """A model's configuration without what it was compiled with."""
    try:
        plain = json.loads(text)
    except (ValueError, RecursionError):
        return text
    if not isinstance(plain, dict) or COMPILE_CONFIG not in plain:
        return text
    return json.dumps({key: value for key, value in plain.items() if key != COMPILE_CONFIG})


def _object(plain: object, what: str) -> dict[str, Any]:
    if not isinstance(plain, dict):
        raise CorruptError(f"{_WHERE} has no {what}")
    return plain


def _texts(plain: object, what: str) -> dict[str, str]:
    found = _object(plain, what)
    if not all(isinstance(value, str) for value in found.values()):
        raise CorruptError(f"{_WHERE} has {what} that are no texts")
    return found


def _group(plain: object, tensors: Mapping[str, Tensor]) -> GroupRecord:
    record = _object(plain, "groups")
    layers, weights = record.get("layers"), record.get("weights")
    if layers is not None and not (isinstance(layers, list) and all(isinstance(name, str) for name in layers)):
        raise CorruptError(f"{_WHERE} has names of layers that are no texts")
    if weights is not None:
        if not isinstance(weights, list) or not all(map(_is_weight, weights)):
            raise CorruptError(f"{_WHERE} has weights that are not pairs of texts")
        if missing := next((key for _, key in weights if key not in tensors), None):
            raise CorruptError(f"{_WHERE} names the tensor {missing[:200]!r}, which is not there")
        weights = [(name, key) for name, key in weights]
    attributes = _object(record.get("attributes"), "attributes")
    for value in attributes.values():
        if not is_plain(value):
            raise CorruptError(f"{_WHERE} has an attribute that is neither text nor numbers")
    return GroupRecord(attributes, layers, weights)


def _is_weight(plain: object) -> bool:
    return isinstance(plain, list | tuple) and len(plain) == 2 and all(isinstance(part, str) for part in plain)


def is_plain(value: object) -> bool:
    """Whether an attribute has a value that `GroupRecord.attributes` may have."""
    if isinstance(value, list):
        return all(isinstance(part, str) for part in value)
    if isinstance(value, dict):
        dtype, shape, values = (value.get(key) for key in ("dtype", "shape", "values"))
        if not isinstance(dtype, str) or not isinstance(shape, list) or not isinstance(values, list):
            return False
        return all(type(size) is int and size >= 0 for size in shape) and all(
            isinstance(number, int | float) for number in values
        )
    return isinstance(value, str | bool | float) or (isinstance(value, int) and -(1 << 63) <= value < 1 << 64)
