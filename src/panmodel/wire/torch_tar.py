"""The files of torch.save until 0.1.10: a tar archive with the storages, the tensors and a pickle that refers to them.

    storages   their number; for each a pickle (key, location, type), int64 number of elements, the elements; then a
               pickle with the views of storages, (key, root's key, first element, elements) each
    tensors    their number; for each a pickle (key, storage's key, type), int32 rank, 4 bytes of nothing, int64 sizes,
               int64 strides, int64 offset
    pickle     the object; tensors, storages and classes are persistent ids

Source: torch/serialization.py (`legacy_load` in `_legacy_load`).
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import replace

from panmodel.errors import CorruptError, LimitError
from panmodel.io.source import Extent, PartSource
from panmodel.wire.pickle import describe
from panmodel.wire.tar import is_tar, read_tar
from panmodel.wire.torch_legacy import References, place_storage
from panmodel.wire.torch_rebuild import Rebuilding
from panmodel.wire.torch_records import StorageBytes, StorageRecord, TensorRecord
from panmodel.wire.torch_unpickling import Loaded, Unpickling, storage_type, storage_view

__all__ = ["is_tar", "load_tar"]


def load_tar(unpickling: Unpickling) -> Loaded:
    """Open a tar file of torch.save. Storages are not read.

    Raises:
        CorruptError: The archive or its pickles are broken, or a tensor lies outside its storage.
        UnsafeError: It holds anything but plain files.
        UnsupportedError: A storage of a kind that is not read.
    """
    source = unpickling.source
    members = read_tar(source, limits=unpickling.limits)
    missing = {"pickle", "storages"} - members.keys()
    if missing:
        raise CorruptError(f"the archive has no member {min(missing)!r}", where=source.name)
    inside = {name: _part(unpickling, name, extent) for name, extent in members.items()}
    known = _storages(inside["storages"])
    tensors = _tensors(inside["tensors"], known) if "tensors" in inside else {}
    references = References(source.name)

    def meaning(identity: object) -> object:
        if isinstance(identity, tuple) and identity[:1] != ("storage",):
            return references.module(identity[1:] if identity[:1] == ("module",) else identity)
        key = _key(identity[2] if isinstance(identity, tuple) and len(identity) > 2 else identity, source.name)
        found = tensors.get(key) or known.get(key)
        if found is None:
            raise CorruptError(f"{key[:80]!r} is neither a tensor nor a storage of the archive", where=source.name)
        return found

    pickle = inside["pickle"]
    value, end = pickle.run_at(0, lambda: meaning)
    if end != pickle.source.size:
        raise CorruptError(f"{pickle.source.size - end} bytes follow the pickle", where=pickle.source.name)
    return pickle.finished("tar", value, version="0.1", sources=references.sources)


def _part(unpickling: Unpickling, name: str, extent: Extent) -> Unpickling:
    """The unpickling of one member; the names it meets are those of the whole."""
    return replace(unpickling, source=PartSource(extent, f"{unpickling.source.name}, {name}"))


def _key(value: object, where: str) -> str:
    """Torch's keys were the addresses of C objects, as numbers or as their digits."""
    if type(value) is not int and not isinstance(value, str):
        raise CorruptError(f"{describe(value)} is no key of a tensor or storage", where=where)
    return describe(value) if type(value) is int else str(value)


def _count(unpickling: Unpickling, limit: int) -> tuple[int, int]:
    """The number at the begin of a member, and the offset behind it."""
    count, offset = unpickling.run_plain_at(0)
    if type(count) is not int or count < 0:
        raise CorruptError(f"begins with {describe(count)}, not with a number", where=unpickling.source.name)
    if count > limit:
        raise LimitError(f"{count} tensors or storages exceed {limit}", where=unpickling.source.name)
    return count, offset


def _three(value: object, where: str) -> tuple[object, object, object]:
    if not isinstance(value, tuple) or len(value) != 3:
        raise CorruptError(f"a tensor or storage is described by {describe(value)}", where=where)
    return value


def _storages(part: Unpickling) -> dict[str, StorageRecord]:
    where = part.source.name
    count, offset = _count(part, part.limits.tensors)
    known: dict[str, StorageRecord] = {}
    for _ in range(count):
        said, offset = part.run_at(offset)
        key, location, kind = _three(said, where)
        dtype = storage_type(kind, where)
        elements = int.from_bytes(part.source.read(offset, 8), "little", signed=True)
        nbytes = elements * (dtype.itemsize if dtype else 1)
        part.source.check(offset + 8, nbytes)
        name = _key(key, where)
        if name in known:
            raise CorruptError(f"two storages have the key {name[:80]!r}", where=where)
        place = location if isinstance(location, str) else ""
        known[name] = StorageRecord(name, dtype, place, nbytes, StorageBytes(nbytes))
        offset = place_storage(part.source, offset, known[name])
    if offset < part.source.size:
        views, offset = part.run_plain_at(offset)
        for view in views if isinstance(views, list) else _three(views, where):
            _add_view(known, view, where)
    return known


def _add_view(known: dict[str, StorageRecord], said: object, where: str) -> None:
    """A storage that is a part of another: (key, root's key, first element, elements)."""
    if not isinstance(said, (tuple, list)) or len(said) != 4:
        raise CorruptError(f"a view of a storage is described by {describe(said)}", where=where)
    root = known.get(_key(said[1], where))
    if root is None:
        raise CorruptError(f"a view of storage {describe(said[1])}, which is not there", where=where)
    width = root.dtype.itemsize if root.dtype else 1
    name, first, elements = storage_view((said[0], *said[2:]), root.nbytes // width, where)
    begin = root.begin + first * width
    known[name] = StorageRecord(name, root.dtype, root.location, elements * width, root.content, begin)


def _tensors(part: Unpickling, storages: Mapping[str, StorageRecord]) -> dict[str, TensorRecord]:
    where, source = part.source.name, part.source
    count, offset = _count(part, part.limits.tensors)
    rebuilding = Rebuilding(where, 0, part.limits)
    tensors: dict[str, TensorRecord] = {}
    for _ in range(count):
        said, offset = part.run_at(offset)
        key, storage, _ = _three(said, where)
        (rank,) = struct.unpack("<i", source.read(offset, 4))
        if not 0 <= rank <= part.limits.rank:
            raise LimitError(f"a tensor with {rank} dimensions", where=where)
        numbers = struct.unpack(f"<{2 * rank + 1}q", source.read(offset + 8, 16 * rank + 8))
        offset += 16 + 16 * rank
        name = _key(storage, where)
        if name not in storages:
            raise CorruptError(f"a tensor of storage {name[:80]!r}, which is not there", where=where)
        view = (storages[name], numbers[-1], numbers[:rank], numbers[rank:-1])
        tensors[_key(key, where)] = rebuilding.view(view, None)
    return tensors
