"""Weights of Keras 3 in several files: an index says which of them have the variables of each object.

    net.weights.json        {"metadata": {…}, "weight_map": {"/layers/dense/vars": "net_00000.weights.h5"}}
    net_00000.weights.h5    one file of variables by attribute paths, with some of the variables
    net_00001.weights.h5

The variables of one object may lie in several files; the index has a list of their names then.

Source: keras/src/saving/saving_lib.py (ShardedH5IOStore, 3.15)
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from panmodel.errors import CorruptError, LimitError, UnsafeError
from panmodel.io.sink import Sink
from panmodel.io.source import FileSource, Location
from panmodel.limits import DEFAULT
from panmodel.model.keras.placing import completed, file_of
from panmodel.model.keras.structure import LayerGroups
from panmodel.model.shards import MIXED, open_shard, plan_shards
from panmodel.model.tensor import Tensor
from panmodel.wire import strict_json
from panmodel.wire.hdf5 import Dataset, Group
from panmodel.wire.hdf5.writing import check, save

#: What an index is called, and what comes after the number of a shard.
INDEX, SHARD = ".weights.json", ".weights.h5"
_SHARD_NAME = re.compile(rf"(?P<model>.+)_\d{{5}}{re.escape(SHARD)}")
#: The first file of a weight map, in as much of an index as is looked at to tell what it is.
_FIRST_FILE = re.compile(rb'"weight_map"\s*:\s*\{\s*"(?:[^"\\]|\\.)*"\s*:\s*\[?\s*"(?:[^"\\]|\\.)+\.weights\.h5"')
_HEAD = 64 << 10


@dataclass(frozen=True, slots=True)
class VariableIndex:
    """An index, read and checked; no shard has been opened.

    Attributes:
        location: The index file.
        shards: File → the groups of variables that are in it, without the slash before them.
    """

    location: Location
    shards: Mapping[str, tuple[str, ...]]

    def open(self, shard: str) -> FileSource:
        """Open a shard.

        Raises:
            MissingFileError: It is not there; the message names variables that it holds.
            UnsafeError: It lies elsewhere, or is a link.
        """
        return open_shard(self.location, shard, self.shards[shard])

    def compare(self, shard: str, root: Group) -> None:
        """Hold a shard against the index.

        Raises:
            CorruptError: It lacks variables that the index says it has.
        """
        for group in self.shards[shard]:
            if not _has_variables(root, group):
                message = f"{shard} lacks {group[:200]!r}, which the index says it holds"
                raise CorruptError(message, where=str(self.location), hint=MIXED)


def _has_variables(root: Group, path: str) -> bool:
    group = root
    for part in path.split("/") if path else ():
        inner = group.members.get(part)
        if not isinstance(inner, Group):
            return False
        group = inner
    return any(isinstance(member, Dataset) for member in group.members.values())


def is_index(location: Location) -> bool:
    """Whether a file is an index of such shards, by its beginning; raises nothing but OSError."""
    head = location.head(_HEAD)
    return head.startswith(b"{") and _FIRST_FILE.search(head) is not None


def index_of(location: Location) -> VariableIndex | None:
    """The index that a file is, or that lists it among its shards; None if there is none.

    Raises:
        CorruptError: The index is damaged.
    """
    if is_index(location):
        return read_index(location)
    name = _SHARD_NAME.fullmatch(location.path.name)
    beside = location.beside(name["model"] + INDEX) if name else None
    if beside is None or not beside.is_file or not is_index(beside):
        return None
    index = read_index(beside)
    return index if location.path.name in index.shards else None


def read_index(location: Location) -> VariableIndex:
    """Read an index.

    Raises:
        CorruptError: It is no JSON of this form.
        LimitError: It is larger, or lists more than `panmodel.limits` allows.
        UnsafeError: A shard's name is more than the name of a file beside it.
    """
    source, where = location.open(), str(location)
    if source.size > DEFAULT.header_bytes:
        raise LimitError(f"an index of {source.size} bytes exceeds {DEFAULT.header_bytes}", where=where)
    weight_map = strict_json.parse(source.read(0, source.size), where, "the index").get("weight_map")
    if not isinstance(weight_map, dict):
        raise CorruptError("an index must have weight_map, an object", where=where)
    shards: dict[str, list[str]] = {}
    for group, named in weight_map.items():
        for file in named if isinstance(named, list) and named else [named]:
            if not isinstance(file, str) or not file:
                raise CorruptError(f"{group[:200]!r} is in no file by the index", where=where)
            if "/" in file or "\\" in file or "\0" in file or file in (".", ".."):
                message = f"the index names the shard {file[:200]!r}, which is not the name of a file beside it"
                raise UnsafeError(message, where=where)
            shards.setdefault(file, []).append(group.strip("/"))
    if len(shards) > DEFAULT.shards:
        raise LimitError(f"{len(shards)} shards exceed {DEFAULT.shards}", where=where)
    return VariableIndex(location, {file: tuple(shards[file]) for file in sorted(shards)})


# Writing


def index_names(target: str) -> tuple[str, ...]:
    """What `Format.shards` is: the one file that is sure, `net.weights.json`."""
    return (_model_of(target) + INDEX,)


def _model_of(target: str) -> str:
    for end in (INDEX, SHARD, ".h5", ".hdf5"):
        if target.lower().endswith(end):
            return target[: -len(end)]
    return target


def write_shards(tensors: Mapping[str, Tensor], structure: LayerGroups, sink: Sink) -> None:
    """Write shards of at most `sink.shard_size` bytes of tensors, and their index, which is the main file.

    An older set of the same name, in any number of shards, is replaced with this one.

    Args:
        tensors: By name.
        structure: Where they are: as variables by attribute paths, the only arrangement that has such an index.
        sink: Made by `Format.sink` of a format whose `shards` is `index_names`.

    Raises:
        UnsupportedError: A tensor that HDF5 has no type for; nothing is written.
    """
    assert sink.shard_size is not None
    structure = completed(tensors, structure)
    check(file_of(tensors, structure))
    model = _model_of(sink.target.name)
    sink.supersede(re.compile(rf"{re.escape(model)}_\d{{5}}{re.escape(SHARD)}"))
    weight_map: dict[str, list[str]] = {}
    stored: dict[int, int] = {}
    for number, content in enumerate(plan_shards(tensors, sink.shard_size)):
        file = f"{model}_{number:05}{SHARD}"
        save(file_of(content, _part_of(structure, content, is_first=not number)), sink.open(file))
        for key, tensor in content.items():
            group = "/" + structure.places[key].rpartition("/")[0]
            if file not in weight_map.setdefault(group, []):
                weight_map[group].append(file)
            stored[id(tensor)] = tensor.nbytes
    index = {"metadata": {"total_size": sum(stored.values())}, "weight_map": weight_map}
    sink.open().write(json.dumps(index, indent=4).encode())


def _part_of(structure: LayerGroups, content: Mapping[str, Tensor], *, is_first: bool) -> LayerGroups:
    """The arrangement of one shard; groups without variables, and what the model says beside, are in the first."""
    places = {key: structure.places[key] for key in content}
    above = _groups_above(places.values())
    elsewhere = _groups_above(structure.places.values()) if is_first else set(structure.groups)
    groups = {path: record for path, record in structure.groups.items() if path in above or path not in elsewhere}
    return LayerGroups(structure.layout, structure.base, groups, places, structure.documents if is_first else {})


def _groups_above(places: Iterable[str]) -> set[str]:
    above = {""}
    for place in places:
        while (place := place.rpartition("/")[0]) not in above:
            above.add(place)
    return above
