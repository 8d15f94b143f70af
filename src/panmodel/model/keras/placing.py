"""From tensors and their arrangement to the groups of an HDF5 file."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from typing import Any

from panmodel.errors import UnsupportedError
from panmodel.limits import DEFAULT
from panmodel.model.keras.names import names_of, relative
from panmodel.model.keras.order import Ordered, in_order
from panmodel.model.keras.reading import DOCUMENT, LAYER_NAMES, NAMES, VARIABLE, WEIGHT_NAMES
from panmodel.model.keras.structure import GroupRecord, LayerGroups, Layout, is_asset, join, parents
from panmodel.model.tensor import Tensor
from panmodel.wire.hdf5.writing import NewDataset, NewGroup, is_link_name

#: What an object header takes of one attribute: longer lists are split over several, as Keras does.
_HEADER_LIMIT = 64_512
#: A file without a version is taken for one of Keras 1, whose weights newer versions transpose.
VERSION = "3.0.0"
_LONGEST_NAME = 1024  # of a path that is made from a tensor's name


def arranged(tensors: Mapping[str, Tensor], training: Collection[str] = (), *, is_told: bool = False) -> LayerGroups:
    """Layers in Keras's order for tensors that have none: "block/conv" for "block/conv/kernel:0", "fc" for "fc.weight".

    Names that are paths of variables of Keras 3 are taken for such. A name that cannot be a path, or is in the way of
    another, gets a path of its own; `file_of` says which it is.

    Args:
        tensors: All tensors by name, in the order of the source.
        training: Names of those that are no weights, which belong to no layer.
        is_told: Whether the layers come in the order in which they were made, whatever their names.
    """
    weights = {key: tensor for key, tensor in tensors.items() if key not in training}
    if weights and all(map(VARIABLE.fullmatch, weights)):
        return LayerGroups(Layout.VARIABLES, "", {"": GroupRecord()})
    structure = LayerGroups(Layout.LAYERS, "", {"": GroupRecord({"keras_version": VERSION}, layers=[])})
    taken = _Taken(structure.groups)
    _add_layers(structure, in_order(weights, is_told=is_told), taken)
    for key in tensors:
        if key not in weights:
            structure.places[key] = taken.take(key)
    return structure


def file_of(tensors: Mapping[str, Tensor], structure: LayerGroups) -> NewGroup:
    """The root group of a file with these tensors.

    Args:
        tensors: All tensors by name; those that the structure does not know get layers of their own.
        structure: Where they go.
    """
    structure = completed(tensors, structure)
    root, groups = _groups(structure)
    made: dict[int, NewDataset] = {}
    paths: dict[str, str] = {}
    for key, place in structure.places.items():
        tensor = tensors[key]
        dataset = made.setdefault(id(tensor), NewDataset(tensor))
        _put(root, place.split("/"), dataset)
        paths[place] = key
    for path, record in structure.groups.items():
        groups[path].attributes.update(_attributes(record))
        for name, key in record.weights or ():
            if (other := relative(path, name)) != structure.places[key]:
                _put(root, other.split("/"), made[id(tensors[key])])
    unkept = unkept_documents(structure)
    for name, text in structure.documents.items():
        if name not in unkept:
            root.attributes[DOCUMENT + name] = _encoded(text)
    _say_names(root, structure, paths)
    return root


def unkept_documents(structure: LayerGroups) -> tuple[str, ...]:
    """Names of the files of layers that are no text: an HDF5 file has no place for them."""
    return tuple(name for name, text in structure.documents.items() if is_asset(name) and "\0" in text)


def completed(tensors: Mapping[str, Tensor], structure: LayerGroups) -> LayerGroups:
    """The structure with a place for every tensor, each path one that a file can have.

    Args:
        tensors: All tensors by name.
        structure: Where they go, as far as it knows them.
    """
    groups = {
        path: GroupRecord(record.attributes, record.layers and list(record.layers), record.weights)
        for path, record in structure.groups.items()
        if not path or is_path(path)
    }
    base = structure.base if structure.base in groups else ""
    result = LayerGroups(structure.layout, base, groups, {}, structure.documents)
    result.groups.setdefault("", GroupRecord())
    taken = _Taken(result.groups)
    for key, place in structure.places.items():
        if key in tensors and taken.add(place):
            result.places[key] = place
    for path, record in result.groups.items():
        if record.weights is not None:
            record.weights = [
                (name, key) for name, key in record.weights if _is_at(relative(path, name), key, result, taken)
            ]
    left = {key: tensor for key, tensor in tensors.items() if key not in result.places}
    if result.layout is Layout.LAYERS:
        _add_layers(result, in_order(left), taken)
    else:
        result.places.update((key, taken.take(key)) for key in left)
    return result


def _is_at(path: str, key: str, structure: LayerGroups, taken: _Taken) -> bool:
    """Whether a layer may list a tensor at a path: at its own; a variable at another one that leads to it as well."""
    if structure.layout is Layout.VARIABLES and key in structure.places:
        return taken.add(path)
    return structure.places.get(key) == path


def _add_layers(structure: LayerGroups, order: Ordered, taken: _Taken) -> None:
    for layer, key in ((layer, key) for layer, keys in order.layers.items() for key in keys):
        wanted = join(structure.base, f"{layer}/{key}")
        place = taken.take(wanted, structure.base, twice=True)
        name = key
        if place != wanted:
            layer = name = place.rpartition("/")[2]
        structure.places[key] = place
        group = join(structure.base, layer)
        for path in parents(group):
            structure.groups.setdefault(path, GroupRecord())
        record, base = structure.groups[group], structure.groups[structure.base]
        if record.weights is None:
            record.weights = []
            base.layers = [] if base.layers is None else base.layers
            base.layers.append(layer)
        record.weights.append((name, key))


class _Taken:
    """The paths of a file: a dataset is no group, and there is one of a name."""

    def __init__(self, groups: Mapping[str, GroupRecord]) -> None:
        self._groups = {parent for path in groups for parent in parents(path)}
        self._datasets: set[str] = set()
        self._spare = 0

    def take(self, place: str, base: str = "", *, twice: bool = False) -> str:
        """Take a path for a dataset, or another one if that cannot be.

        Args:
            place: The path.
            base: The group that another one is in.
            twice: Whether another one has its name for its group as well.
        """
        while not self.add(place):
            name = f"tensor_{self._spare}"
            place = join(base, f"{name}/{name}" if twice else name)
            self._spare += 1
        return place

    def add(self, place: str) -> bool:
        """Take a path for a dataset; False if that cannot be."""
        if not is_path(place) or place in self._groups or place in self._datasets:
            return False
        above = list(parents(place.rpartition("/")[0]))
        if not self._datasets.isdisjoint(above):
            return False
        self._datasets.add(place)
        self._groups.update(above)
        return True


def is_path(path: str) -> bool:
    """Whether a file can have a member at a path."""
    parts = path.split("/")
    return len(path) <= _LONGEST_NAME and len(parts) < DEFAULT.nesting and all(map(is_link_name, parts))


def _groups(structure: LayerGroups) -> tuple[NewGroup, dict[str, NewGroup]]:
    root = NewGroup()
    made = {"": root}
    for path in structure.groups:
        parent = root
        for step in list(parents(path))[1:]:
            if step not in made:
                made[step] = NewGroup()
                parent.members[step.rpartition("/")[2]] = made[step]
            parent = made[step]
    return root, made


def _put(root: NewGroup, parts: list[str], dataset: NewDataset) -> None:
    group = root
    for part in parts[:-1]:
        inner = group.members.setdefault(part, NewGroup())
        assert isinstance(inner, NewGroup)
        group = inner
    group.members[parts[-1]] = dataset


def _attributes(record: GroupRecord) -> dict[str, object]:
    import numpy as np

    attributes: dict[str, object] = {}
    for name, value in record.attributes.items():
        if isinstance(value, str):
            attributes[name] = _encoded(value)
        elif isinstance(value, list):
            attributes[name] = np.array([_encoded(text) for text in value] or np.zeros(0, "S1"))
        else:
            attributes[name] = _array(value) if isinstance(value, dict) else value
    if record.layers is not None:
        attributes.update(_split(LAYER_NAMES, record.layers))
    if record.weights is not None:
        attributes.update(_split(WEIGHT_NAMES, [name for name, _ in record.weights]))
    return attributes


def _encoded(text: str) -> bytes:
    """Text as the bytes that Keras writes: versions before 2.4 cannot read any other."""
    return text.encode("utf-8", "surrogateescape")


def _array(plain: dict[str, Any]) -> object:
    import numpy as np

    try:
        return np.array(plain["values"], plain["dtype"]).reshape(plain["shape"])
    except (TypeError, ValueError, OverflowError):
        message = f"an attribute cannot be {str(plain['dtype'])[:80]} of shape {plain['shape'][:32]}"
        raise UnsupportedError(message) from None


def _split(name: str, texts: list[str]) -> dict[str, object]:
    """A list of texts as an attribute, or as several with numbers where it is too long for one."""
    import numpy as np

    array = np.array([_encoded(text) for text in texts] or np.zeros(0, "S1"))
    pieces = 1
    while any(part.nbytes > _HEADER_LIMIT for part in np.array_split(array, pieces)) and pieces < len(texts):
        pieces += 1
    if pieces == 1:
        return {name: array}
    return {f"{name}{number}": part for number, part in enumerate(np.array_split(array, pieces))}


def _say_names(root: NewGroup, structure: LayerGroups, paths: Mapping[str, str]) -> None:
    """Write down the name of each tensor that its path does not tell."""
    told = names_of(structure, paths)
    other = {path: key for path, key in paths.items() if told[path] != key}
    if other:
        root.attributes[NAMES] = json.dumps(other, separators=(",", ":"))
