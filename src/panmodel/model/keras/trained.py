"""Which weights of a Keras model an optimizer trains, in its order: that in which the layers made them.

A file of attribute paths has them in the order of the paths, which is another one: the configuration tells the order of
the layers, and of layers that are made of others it is known for those of Keras itself.

Source: keras/src/saving/saving_lib.py, keras/src/layers/layer.py (3.15)
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from panmodel.limits import DEFAULT
from panmodel.model.keras.configuration import parsed
from panmodel.model.keras.names import LAYER_DEPENDENCIES, LAYERS, listing, relative
from panmodel.model.keras.structure import CONFIG, LayerGroups, Layout, join
from panmodel.model.tensor import Tensor

#: Weights that no optimizer trains, by the last part of their names.
_STATISTIC = re.compile(
    r"(moving_mean|moving_variance|running_mean|running_std|seed_generator_state|vector_u|sn_u)(_\d+)?(:0)?$"
)
_NORMALIZATIONS = ("BatchNormalization", "SyncBatchNormalization")
_NORMALIZATION, _SPECTRAL = "Normalization", "SpectralNormalization"
#: Layers whose own variables are statistics.
_UNTRAINED = (_NORMALIZATION, _SPECTRAL)
#: Layers that are made of several others: the attributes that these are, in the order in which they are made.
_PARTS: dict[str, tuple[str, ...]] = {
    "Bidirectional": ("forward_layer", "backward_layer"),
    "MultiHeadAttention": ("query_dense", "key_dense", "gate_dense", "value_dense", "output_dense"),
    "GroupQueryAttention": ("query_dense", "key_dense", "gate_dense", "value_dense", "output_dense"),
    "GroupedQueryAttention": ("query_dense", "key_dense", "gate_dense", "value_dense", "output_dense"),
}
_OWN = "vars"
_SEEDS = "seed_generator"


def trained_weights(
    structure: LayerGroups, tensors: Mapping[str, Tensor], *, with_frozen: bool = False
) -> dict[str, Tensor]:
    """The weights that an optimizer trains, in its order; none where the file does not tell the order.

    Args:
        structure: Where they are.
        tensors: Every tensor by name.
        with_frozen: Whether those of layers that are not trained are among them: the optimizer has slots for them if
            they were frozen later, and Keras 3.0 trains what is frozen before it is built.
    """
    keys = {place: key for key, place in structure.places.items() if key in tensors}
    if structure.layout is Layout.LAYERS:
        return _listed(structure, keys, tensors, with_frozen=with_frozen)
    layers = _layers(_model(structure))
    if not layers:
        return {}
    try:
        found = _Paths(structure, keys, with_frozen=with_frozen).of_layers(layers, "")
        return {keys[place]: tensors[keys[place]] for place in found}
    except _UnknownOrder:
        return {}


def weights_of_layers(structure: LayerGroups, tensors: Mapping[str, Tensor]) -> dict[str, list[str]]:
    """Layer → its weights in the order of files by layers, those that are trained first.

    Args:
        structure: An arrangement by paths of variables, with the configuration of the model.
        tensors: Every tensor by name.

    Returns:
        Names of tensors by the names of layers, both in order; nothing unless the layer of each weight is known.
    """
    keys = {place: key for key, place in structure.places.items() if key in tensors}
    layers = _layers(_model(structure))
    found: dict[str, list[str]] = {}
    every = _Paths(structure, keys, with_frozen=True, with_statistics=True)
    try:
        trained = {place for _, places in _Paths(structure, keys).by_layer(layers, "") for place in places}
        for layer, places in every.by_layer(layers, ""):
            order = sorted(places, key=lambda place: place not in trained)
            if order:
                found[str(_config(layer).get("name"))] = [keys[place] for place in order]
    except _UnknownOrder:
        return {}
    known = {key for listed in found.values() for key in listed}
    others = [place for place, key in keys.items() if key not in known and place not in every.twice]
    is_known = all(structure.is_training(place) or _SEEDS in place for place in others)
    return found if is_known and sum(map(len, found.values())) == len(known) else {}


class _UnknownOrder(Exception):  # noqa: N818 - it is no error: the file does not tell
    """A layer is made of others in an order that is not known."""


def _listed(
    structure: LayerGroups, keys: Mapping[str, str], tensors: Mapping[str, Tensor], *, with_frozen: bool
) -> dict[str, Tensor]:
    left = {
        layer["config"].get("name")
        for layer in _layers(_model(structure))
        if _class(layer) == _NORMALIZATION or (layer["config"].get("trainable") is False and not with_frozen)
    }
    found = {}
    for group, name in listing(structure):
        place = relative(group, name)
        layer = group[len(structure.base) + 1 :] if structure.base else group
        if place in keys and not structure.is_optimizer(place) and layer not in left:
            found[keys[place]] = tensors[keys[place]]
    return {key: tensor for key, tensor in found.items() if not _STATISTIC.search(key)}


def _model(structure: LayerGroups) -> dict[str, Any]:
    root = structure.groups.get("")
    return parsed(root.attributes.get("model_config") if root else None) or parsed(structure.documents.get(CONFIG))


def _layers(model: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Configurations of the layers of a model, in their order; none if it is no model of layers."""
    config = model.get("config")
    listed = config.get("layers") if isinstance(config, dict) else config
    return [layer for layer in listed if _config(layer)] if isinstance(listed, list) else []


def _config(layer: object) -> dict[str, Any]:
    config = layer.get("config") if isinstance(layer, dict) else None
    return config if isinstance(config, dict) else {}


class _Paths:
    """The paths of trained variables in a file of attribute paths."""

    def __init__(
        self,
        structure: LayerGroups,
        places: Mapping[str, str],
        *,
        with_frozen: bool = False,
        with_statistics: bool = False,
    ) -> None:
        self._structure, self._with_frozen, self._with_statistics = structure, with_frozen, with_statistics
        self._inner: dict[str, dict[str, None]] = {}
        self._seen: set[str] = set()
        self.twice: set[str] = set()  # variables of a layer within, which are there as well
        for place in places:
            parent, _, part = place.rpartition("/")
            while part not in self._inner.setdefault(parent, {}):
                self._inner[parent][part] = None
                parent, _, part = parent.rpartition("/")

    def of_layers(self, layers: list[dict[str, Any]], path: str, depth: int = 0) -> Iterator[str]:
        """Those of a model at a path."""
        for _, places in self.by_layer(layers, path, depth):
            yield from places

    def by_layer(
        self, layers: list[dict[str, Any]], path: str, depth: int = 0
    ) -> Iterator[tuple[dict[str, Any], list[str]]]:
        """Those of each layer of a model at a path, with the configuration of the layer."""
        old, container = join(path, LAYER_DEPENDENCIES), join(path, LAYERS)
        container = old if old in self._inner else container
        groups = dict.fromkeys(f"{container}/{part}" for part in self._inner.get(container, ()))
        names = {name: group for group in groups if (name := self._name(group))}
        count: dict[str, int] = {}
        for layer in layers:
            kind = _snake(_class(layer))
            number = count[kind] = count.get(kind, -1) + 1
            by_class = f"{container}/{kind}_{number}" if number else f"{container}/{kind}"
            if container == old and by_class in groups:
                count[kind] += 1  # it is there twice: among the layers that have weights as well
            group = names.get(str(_config(layer).get("name")), "" if names else by_class)
            if group in groups:
                yield layer, list(self._of_layer(layer, group, depth + 1))

    def _of_layer(self, layer: dict[str, Any], group: str, depth: int) -> Iterator[str]:
        config = _config(layer)
        is_frozen = config.get("trainable") is False and not self._with_frozen
        if is_frozen or group in self._seen:
            return
        self._seen.add(group)
        if depth > DEFAULT.nesting:
            raise _UnknownOrder
        if layers := _layers(layer):
            yield from self.of_layers(layers, group, depth)
            return
        yield from self._own(layer, group)
        for part, inner in self._parts(layer, group):
            yield from self._of_layer(inner, f"{group}/{part}", depth + 1)

    def _own(self, layer: dict[str, Any], group: str) -> list[str]:
        variables = f"{group}/{_OWN}"
        numbers = sorted((part for part in self._inner.get(variables, ()) if part.isdecimal()), key=int)
        if _class(layer) in _NORMALIZATIONS and not self._with_statistics:
            config = _config(layer)
            numbers = numbers[: sum(map(bool, (config.get("scale", True), config.get("center", True))))]
        elif _class(layer) == _SPECTRAL and self._with_statistics:
            self.twice.update(f"{variables}/{number}" for number in numbers[:-1])
            numbers = numbers[-1:]
        elif _class(layer) in _UNTRAINED and not self._with_statistics:
            numbers = []
        return [f"{variables}/{number}" for number in numbers]

    def _parts(self, layer: dict[str, Any], group: str) -> list[tuple[str, dict[str, Any]]]:
        """The layers that a layer is made of, as their paths within its own and their configurations."""
        parts = [part for part in self._inner.get(group, ()) if part != _OWN and not part.startswith(_SEEDS)]
        config = _config(layer)
        order = _PARTS.get(_class(layer), ())
        plain = {part.removeprefix("_"): part for part in parts}  # Keras 2 has them under private names
        if order and plain.keys() <= set(order):
            shared = config.get("layer")
            inner = shared if isinstance(shared, dict) else {}
            return [(plain[part], inner) for part in order if part in plain]
        if parts == ["cells"] and isinstance(config.get("cells"), list):
            return self._cells(config["cells"], f"{group}/cells")
        if len(parts) > 1:
            raise _UnknownOrder
        return [(part, config[part] if isinstance(config.get(part), dict) else {}) for part in parts]

    def _cells(self, cells: list[Any], container: str) -> list[tuple[str, dict[str, Any]]]:
        found, count = [], dict[str, int]()
        for cell in cells:
            kind = _snake(_class(cell))
            number = count[kind] = count.get(kind, -1) + 1
            found.append((f"{kind}_{number}" if number else kind, cell if isinstance(cell, dict) else {}))
        if {part for part, _ in found} != set(self._inner.get(container, ())):
            raise _UnknownOrder
        return [(f"cells/{part}", cell) for part, cell in found]

    def _name(self, group: str) -> str:
        """The name of a layer that the user gave."""
        record = self._structure.groups.get(f"{group}/{_OWN}")
        said = record.attributes.get("name") if record else None
        return said if isinstance(said, str) else ""


def _class(layer: object) -> str:
    name = layer.get("class_name") if isinstance(layer, dict) else None
    return name.rpartition(">")[2] if isinstance(name, str) else ""


def _snake(name: str) -> str:
    """What Keras calls a layer of a class in a file: "BatchNormalization" is batch_normalization."""
    name = re.sub(r"(.)([A-Z][a-z]+)", r"\1_\2", re.sub(r"\W+", "", name))
    return re.sub(r"([a-z])([A-Z])", r"\1_\2", name).lower()
