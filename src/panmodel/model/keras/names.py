"""What the tensors of a file are called, told from its groups: the one rule that readers and writers share.

A tensor of a layer is called as its layer lists it ("conv1/kernel:0"); where layers list the same name, the layer comes
before it; a path that begins with "/" stands for what is still not unique. A variable of Keras 3 is called by its path,
with the names of layers that the user gave ("layers/conv1/vars/0"). All other tensors are called by their path.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any

from panmodel.model.keras.structure import LayerGroups, Layout, join

#: What a model of Keras 3, and one of Keras 2.12 to 2.15, has its layers in.
LAYERS, LAYER_DEPENDENCIES = "layers", "_layer_checkpoint_dependencies"


def relative(path: str, name: str) -> str:
    """The path of what a group at `path` lists as `name`."""
    return join(path, "/".join(part for part in name.split("/") if part not in ("", ".")))


def natural(name: str) -> list[Any]:
    """A key that puts dense_10 after dense_9: text and numbers in turn."""
    parts: list[Any] = re.split(r"(\d+)", name)
    for place in range(1, len(parts), 2):
        digits = parts[place].lstrip("0")
        parts[place] = (len(digits), digits, parts[place])
    return parts


def listing(structure: LayerGroups) -> Iterator[tuple[str, str]]:
    """Each weight that a group lists, as the group's path and the name: layers in their order, then other groups."""
    base = structure.groups.get(structure.base)
    order = dict.fromkeys(relative(structure.base, name) for name in (base.layers if base else None) or ())
    order.update(dict.fromkeys(path for path in structure.groups if not structure.is_optimizer(path + "/")))
    order.update(dict.fromkeys(structure.groups))
    for group in order:
        record = structure.groups.get(group)
        for name, _ in (record.weights if record else None) or ():
            yield group, name


def names_of(structure: LayerGroups, paths: Iterable[str]) -> dict[str, str]:
    """Path of each dataset → name of its tensor, in the order of the tensors.

    Args:
        structure: The groups with their attributes and lists; `places` are not looked at.
        paths: All datasets.
    """
    if structure.layout is Layout.VARIABLES:
        return _variable_names(structure, list(paths))
    there = dict.fromkeys(paths)
    listed: dict[str, tuple[str, str]] = {}
    if structure.layout is Layout.LAYERS:
        for group, name in listing(structure):
            path = relative(group, name)
            layer = group[len(structure.base) + 1 :] if structure.base else group
            if path in there:
                listed.setdefault(path, ("", path) if structure.is_optimizer(path) else (layer, name))
    listed.update((path, ("", path)) for path in there if path not in listed)
    count = Counter(name for _, name in listed.values())
    names = {path: name if count[name] == 1 else join(layer, name) for path, (layer, name) in listed.items()}
    return _unique(names, "/")


def _variable_names(structure: LayerGroups, paths: list[str]) -> dict[str, str]:
    shown = {"": ""}
    for path in paths:
        place = -1
        while (place := path.find("/", place + 1)) >= 0:
            group = path[:place]
            if group not in shown:
                shown[group] = join(shown[group.rpartition("/")[0]], _shown(structure, group))
    names = {path: join(shown[path.rpartition("/")[0]], path.rpartition("/")[2]) for path in paths}
    return _unique(names, "")


def _shown(structure: LayerGroups, group: str) -> str:
    """The name of a layer that the user gave, for the last part of the path of its group."""
    parent, _, part = group.rpartition("/")
    record = structure.groups.get(join(group, "vars"))
    if parent.rpartition("/")[2] not in (LAYERS, LAYER_DEPENDENCIES) or record is None:
        return part
    said = record.attributes.get("name")
    return said if isinstance(said, str) and said else part


def _unique(names: dict[str, str], mark: str) -> dict[str, str]:
    """The names, and paths with a mark for those that are not unique."""
    count = Counter(names.values())
    return {path: name if count[name] == 1 else mark + path for path, name in names.items()}
