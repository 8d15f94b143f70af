"""From the groups of an HDF5 file to named tensors and their arrangement."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from panmodel.dtypes import BFLOAT16
from panmodel.errors import CorruptError, LimitError, UnsupportedError
from panmodel.limits import DEFAULT
from panmodel.model.keras.names import listing, names_of, natural, relative
from panmodel.model.keras.structure import (
    GroupRecord,
    LayerGroups,
    Layout,
    is_plain,
    join,
    parents,
)
from panmodel.model.keras.tensor import DatasetTensor, element_type
from panmodel.wire.hdf5 import Dataset, Group
from panmodel.wire.hdf5.writing_datatypes import DTYPE_ATTRIBUTE

LAYER_NAMES, WEIGHT_NAMES = "layer_names", "weight_names"
#: The root's attribute in files of panmodel: path of a dataset → name of the tensor, where the path does not tell.
NAMES = "panmodel.names"
#: What the root's attributes begin with in files of panmodel that hold the texts of an archive (config.json).
DOCUMENT = "panmodel.document."
_MODEL_WEIGHTS = "model_weights"
#: The path of a variable of Keras 3.
VARIABLE = re.compile(r"(.+/)?vars/\d+")
_MOST_VALUES = 4096  # of an array in an attribute


@dataclass
class Contents:
    """What a file holds.

    Attributes:
        tensors: Every tensor by the name that users see, in the order of layers and weights.
        structure: Where they are.
        skipped: Paths of datasets whose elements are nothing that a tensor can have.
        dropped: Attributes that are neither text nor numbers, each as path and name.
    """

    tensors: dict[str, DatasetTensor]
    structure: LayerGroups
    skipped: list[str]
    dropped: list[str]


def read_contents(root: Group, where: str, *more: Group) -> Contents:
    """Find the tensors of a file, under the names that `names_of` gives them.

    Args:
        root: The root group.
        where: The file, for messages.
        more: The root groups of further files, which hold further datasets of the same model.

    Raises:
        CorruptError: Lists of layers and weights name what is not there, or two files have the same dataset.
        LimitError: There are more groups or tensors than any model has.
    """
    found = _walk(root, where)
    if more:
        found = _joined([found, *(_walk(other, where) for other in more)], where)
    structure = _structure(found)
    dropped = [path for group, item in found.groups.items() for path in _attributes(group, item, structure)]
    for path, dataset in found.datasets.items():
        dropped += [join(path, name) for name in dataset.attributes if name != DTYPE_ATTRIBUTE]
    pairs = None if structure.layout is Layout.PATHS else BFLOAT16  # which most versions of Keras do not name
    kinds = {path: element_type(dataset, pairs) for path, dataset in found.datasets.items()}
    names = _names(structure, found, where)
    made: dict[tuple[int, int], DatasetTensor] = {}
    tensors: dict[str, DatasetTensor] = {}
    for path, name in names.items():
        dataset, dtype = found.datasets[path], kinds[path]
        if dtype is None or dataset.null:
            continue
        header = found.files[path], dataset.address
        if header not in made:
            made[header] = DatasetTensor(dataset, name, dtype)
        tensors[name] = made[header]
        structure.places[name] = path
    for record in structure.groups.values():
        if record.weights is not None:  # listed by paths until now
            record.weights = [(name, names[path]) for name, path in record.weights if names[path] in tensors]
    skipped = [path for path, name in names.items() if name not in tensors]
    return Contents(tensors, structure, skipped, dropped)


@dataclass
class _Found:
    roots: list[Group]
    groups: dict[str, Group] = field(default_factory=dict)
    datasets: dict[str, Dataset] = field(default_factory=dict)
    files: dict[str, int] = field(default_factory=dict)  # number of the file that a dataset is in


def _joined(parts: list[_Found], where: str) -> _Found:
    """What several files hold together, in the order that it would have in one; what a group says it says in any."""
    groups: dict[str, Group] = {}
    datasets: dict[str, tuple[int, Dataset]] = {}
    for number, part in enumerate(parts):
        for path, group in part.groups.items():
            if path not in groups or not groups[path].attributes:
                groups[path] = group
        for path, dataset in part.datasets.items():
            if path in datasets:
                raise CorruptError(f"two of its files have {path[:200]!r}", where=where)
            datasets[path] = number, dataset
    if clash := next((path for path in groups if path in datasets), None):
        raise CorruptError(f"{clash[:200]!r} is a group in one of its files, and no group in another", where=where)
    if len(groups) + len(datasets) > DEFAULT.tensors:
        raise LimitError("has more groups or tensors than any model", where=where)
    order = sorted(datasets, key=_placed)
    return _Found(
        roots=[part.roots[0] for part in parts],
        groups={path: groups[path] for path in sorted(groups, key=_nested)},
        datasets={path: datasets[path][1] for path in order},
        files={path: datasets[path][0] for path in order},
    )


def _walk(root: Group, where: str) -> _Found:
    """All groups and datasets by their paths, numbers in the order of their value."""
    found, seen = _Found([root]), set[int]()
    pending: list[tuple[str, Group]] = [("", root)]
    while pending:
        path, group = pending.pop()
        if group.address in seen:
            continue  # a group under two names, or within itself
        seen.add(group.address)
        if path.count("/") >= DEFAULT.nesting or len(seen) + len(found.datasets) > DEFAULT.tensors:
            raise LimitError("has more groups or tensors than any model, or deeper ones", where=where)
        found.groups[path] = group
        inner = []
        for name in sorted(group.members, key=natural):
            member = group.members[name]
            if isinstance(member, Dataset):
                found.datasets[join(path, name)] = member
                found.files[join(path, name)] = 0
            elif isinstance(member, Group):
                inner.append((join(path, name), member))
        pending.extend(reversed(inner))
    return found


def _placed(path: str) -> list[Any]:
    """A key that puts paths in the order of a walk: what a group holds itself before what is in groups within it."""
    *groups, last = path.split("/")
    return [*((1, natural(part)) for part in groups), (0, natural(last))]


def _nested(group: str) -> list[Any]:
    """The same for groups."""
    return [natural(part) for part in group.split("/")] if group else []


def _structure(found: _Found) -> LayerGroups:
    if _without_lists(found):
        return LayerGroups(Layout.VARIABLES)
    for base in (_MODEL_WEIGHTS, ""):
        if base in found.groups and _listed(found.groups[base].attributes, LAYER_NAMES) is not None:
            return LayerGroups(Layout.LAYERS, base)
    if any(VARIABLE.fullmatch(path) for path in found.datasets):
        return LayerGroups(Layout.VARIABLES)
    return LayerGroups(Layout.PATHS)


def _without_lists(found: _Found) -> bool:
    """Whether layers list nothing but variables that are elsewhere under their paths; such lists are left out then."""
    lists = {path: _listed(group.attributes, WEIGHT_NAMES) for path, group in found.groups.items()}
    listed = [relative(path, name) for path, names in lists.items() for name in names or ()]
    variables = {dataset.address for path, dataset in found.datasets.items() if VARIABLE.fullmatch(path)}
    if not listed or len(found.roots) > 1 or any(VARIABLE.fullmatch(path) for path in listed):
        return False
    if not all(path in found.datasets and found.datasets[path].address in variables for path in listed):
        return False
    aliases = set(listed)
    found.datasets = {path: dataset for path, dataset in found.datasets.items() if path not in aliases}
    inside = {path for place in found.datasets for path in parents(place)}
    found.groups = {path: group for path, group in found.groups.items() if lists[path] is None or path in inside}
    return True


def _listed(attributes: Mapping[str, object], name: str) -> list[str] | None:
    """A list of texts in one attribute, or in several with numbers, since one takes 64 kB; None if there is none."""
    if name in attributes:
        return _as_texts(attributes[name])
    parts: list[str] = []
    number = 0
    while f"{name}{number}" in attributes:
        parts += _as_texts(attributes[f"{name}{number}"]) or []
        number += 1
    return parts if number else None


def _as_texts(value: object) -> list[str] | None:
    """A list of texts; an empty array of numbers is what a list of none becomes in some versions of Keras."""
    import numpy as np

    array = np.asarray(value)
    if not array.size:
        return []
    items = array.reshape(-1).tolist()
    if array.dtype.kind not in "OSU" or not all(isinstance(item, str | bytes) for item in items):
        return None
    return [item.decode("utf-8", "surrogateescape") if isinstance(item, bytes) else item for item in items]


def _attributes(path: str, group: Group, structure: LayerGroups) -> Iterator[str]:
    """Note what a group has; yields the attributes that cannot be kept."""
    record = structure.groups.setdefault(path, GroupRecord())
    special: list[str] = [NAMES] if not path else []
    if structure.layout is Layout.VARIABLES:
        special += [LAYER_NAMES, WEIGHT_NAMES]
    if structure.layout is Layout.LAYERS:
        if path == structure.base:
            record.layers = _listed(group.attributes, LAYER_NAMES)
            special.append(LAYER_NAMES)
        weights = _listed(group.attributes, WEIGHT_NAMES)
        if weights is not None:
            record.weights = [(name, relative(path, name)) for name in weights]
            special.append(WEIGHT_NAMES)
    for name in group.attributes:
        if name.rstrip("0123456789") in special:
            continue
        try:
            value = _plain(group.attributes[name])
        except UnsupportedError:
            value = None
        if not path and name.startswith(DOCUMENT) and isinstance(value, str):
            structure.documents[name.removeprefix(DOCUMENT)] = value
        elif value is None:
            yield join(path, name)
        else:
            record.attributes[name] = value


def _plain(value: object) -> Any:
    """An attribute as `GroupRecord.attributes` has it; None if it cannot be there."""
    import numpy as np

    if isinstance(value, bytes):
        value = value.decode("utf-8", "surrogateescape")
    if isinstance(value, np.ndarray):
        if value.dtype.kind in "OSU":
            return _as_texts(value)
        if value.dtype.kind not in "biuf" or value.size > _MOST_VALUES:
            return None
        return {"dtype": value.dtype.name, "shape": list(value.shape), "values": value.reshape(-1).tolist()}
    return value if is_plain(value) else None


def _names(structure: LayerGroups, found: _Found, where: str) -> dict[str, str]:
    """Path of each dataset → name of its tensor, in the order of the tensors."""
    layers = structure.groups[structure.base].layers or ()
    if missing := next((name for name in layers if relative(structure.base, name) not in found.groups), None):
        raise CorruptError(f"lists the layer {missing[:200]!r}, which is not there", where=where)
    for group, name in listing(structure):
        if relative(group, name) not in found.datasets:
            raise CorruptError(f"the group {group[:200]!r} lists {name[:200]!r}, which is not there", where=where)
    names = names_of(structure, found.datasets)
    names.update(_own_names(found, names, where))
    if len(set(names.values())) != len(names):
        double = next(name for name, count in Counter(names.values()).items() if count > 1)
        raise CorruptError(f"two tensors are called {double[:200]!r}", where=where)
    return names


def _own_names(found: _Found, names: Mapping[str, str], where: str) -> dict[str, str]:
    """What `NAMES` says."""
    own: dict[str, str] = {}
    for root in found.roots:
        text = root.attributes.get(NAMES)
        if text is None:
            continue
        try:
            plain = json.loads(text) if isinstance(text, str) else None
        except (ValueError, RecursionError):
            plain = None
        if not isinstance(plain, dict) or not all(isinstance(plain[path], str) and path in names for path in plain):
            raise CorruptError(f"{NAMES} is no list of the names of tensors", where=where)
        own.update(plain)
    return own
