"""The files of torch.save before 1.6: pickles one after another, then the bytes of the storages.

    magic number · protocol 1001 · sys_info · the object · the storages' keys     five pickles
    int64 number of elements, elements                                           for each key

Numbers and elements are little-endian on every machine: torch turns them round when it writes, and so `little_endian`
in sys_info says nothing about them.

Source: torch/serialization.py (`_legacy_save`, `_legacy_load`), torch/csrc/serialization.cpp
(`THPStorage_writeFileRaw`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from panmodel.errors import CorruptError
from panmodel.io.source import Extent, Source
from panmodel.wire.pickle import Global, describe
from panmodel.wire.torch_records import StorageBytes, StorageRecord
from panmodel.wire.torch_unpickling import Loaded, StorageIdentity, Unpickling, storage_identity

_MAGIC_NUMBER, _PROTOCOL = 0x1950A86A20F9469CFC6C, 1001
#: What LONG1 of the magic number looks like in a pickle, behind PROTO.
_MAGIC = b"\x8a\x0a" + _MAGIC_NUMBER.to_bytes(10, "little") + b"."


def is_legacy(head: bytes) -> bool:
    """Whether a file that begins with these bytes begins with the magic number."""
    return head[:1] == b"\x80" and head[2:].startswith(_MAGIC)


def load_legacy(unpickling: Unpickling) -> Loaded:
    """Open a file of torch.save before 1.6. Storages are not read.

    Raises:
        CorruptError: The pickles are broken, a storage is missing or of another size than was said, or a tensor lies
            outside its storage.
        UnsupportedError: A storage of a kind that is not read.
    """
    source = unpickling.source
    offset, said = 0, []
    for _ in range(3):
        value, offset = unpickling.run_plain_at(offset)
        said.append(value)
    magic, protocol, system = said
    if magic != _MAGIC_NUMBER or protocol != _PROTOCOL or not isinstance(system, dict):
        raise CorruptError(f"is no file of torch's protocol {_PROTOCOL}", where=source.name)
    references = References(source.name)

    def prepare() -> Callable[[object], object]:
        references.clear()
        return references.meaning

    value, offset = unpickling.run_at(offset, prepare)
    keys, offset = unpickling.run_plain_at(offset)
    end = place_storages(source, offset, keys, references)
    behind = end if end < source.size else None
    return unpickling.finished("legacy", value, version=str(protocol), sources=references.sources, behind=behind)


@dataclass
class References:
    """What the persistent ids of a pickle mean.

    Attributes:
        where: The file, for messages.
        roots: Key → storage.
        sources: Class → file and text of its source code.
    """

    where: str
    roots: dict[str, StorageRecord] = field(default_factory=dict)
    sources: dict[Global, tuple[str, str]] = field(default_factory=dict)
    _made: dict[object, StorageRecord] = field(default_factory=dict)

    def clear(self) -> None:
        """Forget them all."""
        self.roots.clear()
        self.sources.clear()
        self._made.clear()

    def meaning(self, identity: object) -> object:
        """The storage or class of a persistent id."""
        if isinstance(identity, tuple) and identity[:1] == ("module",):
            return self.module(identity[1:])
        found = storage_identity(identity, self.where)
        if found.key not in self.roots:
            content = StorageBytes(found.nbytes)
            self.roots[found.key] = StorageRecord(found.key, found.dtype, found.location, found.nbytes, content)
        root = self.roots[found.key]
        if root.nbytes != found.nbytes:
            message = f"storage {found.key[:80]!r} has {root.nbytes} bytes, and {found.nbytes} elsewhere"
            raise CorruptError(message, where=self.where)
        return self._record(root, found)

    def _record(self, root: StorageRecord, found: StorageIdentity) -> StorageRecord:
        """The view of the root that is meant, or the root as of another type."""
        if found.view is None and found.dtype is root.dtype:
            return root
        name, first, elements = found.view or (found.key, 0, found.count)
        width = found.dtype.itemsize if found.dtype else 1
        record = StorageRecord(name, found.dtype, found.location, elements * width, root.content, first * width)
        return self._made.setdefault((found.key, found.dtype, found.view), record)

    def module(self, parts: tuple[object, ...]) -> Global:
        """The class of ("module", class, source file, source text); the text is kept."""
        cls = parts[0] if len(parts) == 3 else None
        if not isinstance(cls, Global):
            raise CorruptError(f"{describe(cls)} is no class of a module", where=self.where)
        if isinstance(parts[1], str) and isinstance(parts[2], str):
            self.sources.setdefault(cls, (parts[1], parts[2]))
        return cls


def place_storages(source: Source, offset: int, keys: object, references: References) -> int:
    """Find where the bytes of each storage lie.

    Args:
        source: The file.
        offset: Where the first of them begins.
        keys: The keys in the order of the file.
        references: The storages; each is given its extent.

    Returns:
        The offset behind the last one.

    Raises:
        CorruptError: A key is missing, comes twice or names none of them, or a number of elements is not what was said.
    """
    if not isinstance(keys, list):
        raise CorruptError(f"{describe(keys)} is no list of storages", where=source.name)
    for key in keys:
        name = key if isinstance(key, str) else describe(key)
        root = references.roots.get(name)
        if root is None or root.content.extent is not None:
            raise CorruptError(f"storage {describe(key)} is there, and none or two are expected", where=source.name)
        offset = place_storage(source, offset, root)
    missing = [key[:80] for key, root in references.roots.items() if root.content.extent is None]
    if missing:
        raise CorruptError(f"{len(missing)} storages are not there, the first is {missing[0]!r}", where=source.name)
    return offset


def place_storage(source: Source, offset: int, root: StorageRecord) -> int:
    """Give a storage its extent; the offset behind it."""
    count = int.from_bytes(source.read(offset, 8), "little", signed=True)
    width = root.dtype.itemsize if root.dtype else 1
    if count * width != root.nbytes:
        message = f"storage {root.key[:80]!r} at {offset} has {count} elements, {root.nbytes // width} are expected"
        raise CorruptError(message, where=source.name)
    source.check(offset + 8, root.nbytes)
    root.content.extent = Extent(source, offset + 8, root.nbytes)
    return offset + 8 + root.nbytes
