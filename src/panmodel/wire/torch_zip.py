"""The zip files of torch.save since 1.6: a pickle, and one member for each storage that its tensors are views of.

    <root>/data.pkl     the pickled object, protocol 2; storages are persistent ids
    <root>/data/<key>   the bytes of a storage
    <root>/byteorder    "little" or "big"; little where it is missing
    <root>/version      of the container, 3

Source: torch/serialization.py (`_save`, `_load`) and caffe2/serialize/inline_container.cc.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from panmodel import dtypes
from panmodel.errors import CorruptError
from panmodel.wire.torch_records import StorageBytes, StorageRecord
from panmodel.wire.torch_unpickling import Loaded, Unpickling, storage_identity
from panmodel.wire.zip import Archive

_SMALL = 4096  # bytes: the version, byteorder and such
#: What torch.save puts into an archive besides pickle and storages, even if it finds something that it cannot pickle.
_RECORDS = frozenset(("version", "byteorder", ".data/serialization_id", ".format_version", ".storage_alignment"))
_BROKEN_OFF = (
    "torch.save broke off, since something cannot be pickled, a module of torch.jit for one: save that with"
    " torch.jit.save, and of others the state_dict()"
)


def load_zip(unpickling: Unpickling) -> Loaded:
    """Open a torch zip file. Storages are not read.

    Raises:
        CorruptError: The archive or the pickle is broken, or a tensor lies outside its storage.
        UnsupportedError: A storage of a kind that is not read.
    """
    source, limits = unpickling.source, unpickling.limits
    archive = Archive(source, zero_crc_is_absent=True, limits=limits)
    root = find_root(archive.members)
    if root is None:
        hint = _BROKEN_OFF if is_broken_off(archive.members) else ""
        raise CorruptError("the archive has no data.pkl", where=source.name, hint=hint)
    big_endian = is_big_endian(archive, root)
    where = f"{source.name}, {root}/data.pkl"
    data = archive.read(f"{root}/data.pkl", limit=limits.pickle_bytes)
    value = unpickling.run_whole(data, where, ZipStorages(archive, f"{root}/data", where, big_endian).storage)
    return unpickling.finished(
        "zip",
        value,
        big_endian=big_endian,
        version=member_text(archive, f"{root}/version") or member_text(archive, f"{root}/.data/version"),
        serialization_id=member_text(archive, f"{root}/.data/serialization_id"),
        archive=archive,
        root=root,
    )


def find_root(names: Iterable[str]) -> str | None:
    """The folder of the archive that has a data.pkl, the outermost if there are several."""
    roots = [name.removesuffix("/data.pkl") for name in names if name.endswith("/data.pkl")]
    return min(roots, key=lambda root: (root.count("/"), root), default=None)


def is_broken_off(names: Iterable[str]) -> bool:
    """Whether an archive of these members is what is left of a torch.save that failed."""
    stems = {name.partition("/")[2] for name in names}
    return "version" in stems and stems <= _RECORDS


def is_big_endian(archive: Archive, root: str) -> bool:
    """Whether the storages of an archive are big-endian: `<root>/byteorder`.

    Raises:
        CorruptError: They are neither that nor little-endian.
    """
    order = member_text(archive, f"{root}/byteorder") or "little"
    if order not in ("little", "big"):
        raise CorruptError(f"byteorder is {order[:20]!r}, neither little nor big", where=archive.source.name)
    return order == "big"


def member_text(archive: Archive, name: str) -> str:
    """The text of a short member (the version, the byte order); "" if there is none."""
    return archive.read(name, limit=_SMALL).decode("ascii", "replace").strip() if name in archive.members else ""


@dataclass
class ZipStorages:
    """The storages that a pickle names by persistent ids.

    Args:
        archive: The archive that they are members of.
        folder: The folder in it whose files they are.
        where: The pickle, for messages.
        big_endian: Their elements are big-endian.
    """

    archive: Archive
    folder: str
    where: str
    big_endian: bool
    made: dict[object, StorageRecord] = field(default_factory=dict)
    contents: dict[str, StorageBytes] = field(default_factory=dict)

    def storage(self, identity: object) -> StorageRecord:
        """The storage of a persistent id ("storage", type, key, location, numel)."""
        found = storage_identity(identity, self.where)
        name = f"{self.folder}/{found.key}"
        if name not in self.archive.members:
            raise CorruptError(f"storage {found.key[:80]!r} is not in the archive", where=self.where)
        nbytes = self.archive.members[name].size
        if found.nbytes != nbytes:
            expected = f"{found.count} {found.dtype or dtypes.UINT8} elements are expected"
            raise CorruptError(f"storage {found.key[:80]!r} has {nbytes} bytes, {expected}", where=self.where)
        content = self.contents.get(found.key)
        if content is None:
            extent = self.archive.extent(name)
            content = StorageBytes(nbytes, extent, self.big_endian, self.archive, name)
            self.contents[found.key] = content
        record = StorageRecord(found.key, found.dtype, found.location, nbytes, content)
        return self.made.setdefault((found.key, found.dtype), record)
