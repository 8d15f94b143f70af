"""The zip files of torch.save since 1.6: a pickle, and one member for each storage that its tensors are views of.

    <root>/data.pkl     the pickled object, protocol 2; storages are persistent ids
    <root>/data/<key>   the bytes of a storage
    <root>/byteorder    "little" or "big"; little where it is missing
    <root>/version      of the container, 3

Source: torch/serialization.py (`_save`, `_load`), torch/_utils.py (the rebuild functions) and
caffe2/serialize/inline_container.cc.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import partial

from panmodel import dtypes
from panmodel.errors import CorruptError, UnsupportedError
from panmodel.io.source import Source
from panmodel.limits import DEFAULT, Limits
from panmodel.wire.pickle import Global, Machine, describe
from panmodel.wire.torch_records import UNTYPED_STORAGES, StorageRecord, allow_list
from panmodel.wire.zip import Archive

_SMALL = 4096  # bytes: the version, byteorder and such


@dataclass(frozen=True, slots=True)
class Loaded:
    """What a torch zip file holds.

    Attributes:
        archive: The archive.
        root: The folder that everything lies in.
        value: The pickled value; tensors are `TensorRecord`s.
        unknown: Names in the pickle that are none of a state dict, with the position of their first mention.
        called: Those of them that unpickling would call as functions, not only make objects of.
        big_endian: Storages are big-endian.
        version: Of the container.
    """

    archive: Archive
    root: str
    value: object
    unknown: Mapping[Global, int]
    called: frozenset[Global]
    big_endian: bool
    version: str


def load(source: Source, *, limits: Limits = DEFAULT) -> Loaded:
    """Open a torch zip file. Storages are not read.

    Raises:
        CorruptError: The archive or the pickle is broken, or a tensor lies outside its storage.
        UnsupportedError: A storage of a kind that is not read.
    """
    archive = Archive(source, zero_crc_is_absent=True, limits=limits)
    root = find_root(archive.members)
    if root is None:
        raise CorruptError("the archive has no data.pkl", where=source.name)
    where = f"{source.name}, {root}/data.pkl"
    data = archive.read(f"{root}/data.pkl", limit=limits.pickle_bytes)
    known = allow_list(where, len(data), limits)
    storages: dict[str, StorageRecord] = {}
    persistent = partial(_storage, archive, root, storages)
    machine = Machine(data, where=where, known=known, persistent=persistent, limits=limits)
    value = machine.run()
    if machine.position != len(data):
        raise CorruptError(f"{len(data) - machine.position} bytes follow the pickle", where=where)
    unknown = {name: position for name, position in machine.globals.items() if name not in known}
    order = _record(archive, f"{root}/byteorder") or "little"
    if order not in ("little", "big"):
        raise CorruptError(f"byteorder is {order[:20]!r}, neither little nor big", where=source.name)
    version = _record(archive, f"{root}/version") or _record(archive, f"{root}/.data/version")
    return Loaded(archive, root, value, unknown, frozenset(machine.called) & unknown.keys(), order == "big", version)


def find_root(names: Iterable[str]) -> str | None:
    """The folder of the archive that has a data.pkl, the outermost if there are several."""
    roots = [name.removesuffix("/data.pkl") for name in names if name.endswith("/data.pkl")]
    return min(roots, key=lambda root: (root.count("/"), root), default=None)


def _record(archive: Archive, name: str) -> str:
    return archive.read(name, limit=_SMALL).decode("ascii", "replace").strip() if name in archive.members else ""


def _storage(archive: Archive, root: str, storages: dict[str, StorageRecord], identity: object) -> StorageRecord:
    """The storage of a persistent id ("storage", type, key, location, numel)."""
    where = f"{archive.source.name}, {root}/data.pkl"
    if not isinstance(identity, tuple) or len(identity) != 5 or identity[0] != "storage":
        raise CorruptError(f"persistent id {describe(identity)} is no storage", where=where)
    _, kind, key, location, count = identity
    if not isinstance(kind, Global) or not isinstance(key, str) or not isinstance(location, str):
        raise CorruptError(f"storage {describe(key)} is described by values of other types", where=where)
    dtype = dtypes.UINT8 if kind in UNTYPED_STORAGES else dtypes.BY_TORCH_STORAGE.get(kind.name)
    if dtype is None or (kind.module != "torch" and kind not in UNTYPED_STORAGES):
        raise UnsupportedError(f"storage {key[:80]!r} is a {describe(kind)}, which is not read", where=where)
    if type(count) is not int:
        raise CorruptError(f"storage {key[:80]!r} has {describe(count)} as number of elements", where=where)
    name = f"{root}/data/{key}"
    if name not in archive.members:
        raise CorruptError(f"storage {key[:80]!r} is not in the archive", where=where)
    nbytes = archive.members[name].size
    if count * dtype.itemsize != nbytes:
        message = f"storage {key[:80]!r} has {nbytes} bytes, {describe(count)} {dtype} elements are expected"
        raise CorruptError(message, where=where)
    untyped = None if kind in UNTYPED_STORAGES else dtype
    return storages.setdefault(f"{key}/{dtype}", StorageRecord(key, name, untyped, location, nbytes))
