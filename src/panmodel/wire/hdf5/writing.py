"""Writes HDF5 files: groups, contiguous datasets and attributes, in structures that every HDF5 since 1.6 reads.

The data of the datasets comes first, piece by piece, each dataset at a multiple of 64 bytes so that it can be mapped;
then what describes them, which is small; the superblock, written last, leads to it.

Source: HDF5 File Format Specification 3.0, https://support.hdfgroup.org/documentation/hdf5/latest/_f_m_t3.html:
superblock version 0, object headers version 1, groups as a B-tree with a local heap.
"""

from __future__ import annotations

import math
import struct
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple, Protocol

from panmodel.dtypes import STRING
from panmodel.errors import PanmodelError, UnsupportedError, listed
from panmodel.limits import DEFAULT
from panmodel.wire.hdf5.writing_datatypes import (
    DTYPE_ATTRIBUTE,
    MOST_RANK,
    attribute,
    dataspace,
    datatype,
    needs_name,
    string_datatype,
    text_bytes,
    widened,
)
from panmodel.wire.writable import Output, Writable

if TYPE_CHECKING:
    import numpy as np

_ALIGNMENT = 64
_UNDEFINED = b"\xff" * 8
_NOWHERE = _UNDEFINED + bytes(8)
_SUPERBLOCK = struct.Struct("<8s4x4BHHI4Q")
_ENTRY = struct.Struct("<QQII16s")
_LEAF_K, _NODE_K = 4, 16  # half the entries of a leaf and of a node: the library's own
#: Bytes of a heap for strings before the next is begun; no heap is smaller than the library's own 4096.
_HEAP, _SMALLEST_HEAP, _MOST_IN_HEAP = 1 << 16, 4096, 60_000
_MOST_MESSAGES = 65_000


class Storable(Writable, Protocol):
    """What a dataset is made of: a `model.tensor.Tensor` is."""

    def numpy(self) -> np.ndarray:
        """The elements; asked for only where they are strings."""


@dataclass(eq=False)
class NewDataset:
    """A dataset to be written. One object under two names is written once, with two links to it.

    Attributes:
        tensor: Its elements.
        attributes: Name → text, number, or array of numbers, bytes (`S`) or strings.
    """

    tensor: Storable
    attributes: dict[str, object] = field(default_factory=dict)


@dataclass(eq=False)
class NewGroup:
    """A group to be written; each is in one place.

    Attributes:
        members: Name → group or dataset. A name is not empty, not ".", and has neither "/" nor a zero byte.
        attributes: Name → text, number, or array of numbers, bytes (`S`) or strings.
    """

    members: dict[str, NewGroup | NewDataset] = field(default_factory=dict)
    attributes: dict[str, object] = field(default_factory=dict)


def is_link_name(name: str) -> bool:
    """Whether a member of a group can have this name."""
    return name not in ("", ".") and "/" not in name and "\0" not in name and _is_text(name)


def save(root: NewGroup, file: Output) -> None:
    """Write a whole file.

    Args:
        root: Its root group.
        file: Where it goes; empty so far.

    Raises:
        UnsupportedError: There is something in it that HDF5 has no room for; nothing has been written then.
    """
    check(root)
    file.write(bytes(_SUPERBLOCK.size + _ENTRY.size))
    datasets = list(dict.fromkeys(item for _, item in _walk(root) if isinstance(item, NewDataset)))
    stored = {dataset: _write_data(dataset.tensor, file) for dataset in datasets}
    writer = _MetadataWriter(file, stored, Counter(item for _, item in _walk(root)))
    entry = writer.write_tree(root)
    file.align(8)
    head = (b"\x89HDF\r\n\x1a\n", 0, 8, 8, 0, _LEAF_K, _NODE_K, 0, 0, (1 << 64) - 1, file.position, (1 << 64) - 1)
    file.overwrite(0, _SUPERBLOCK.pack(*head) + entry(0))


def check(root: NewGroup) -> None:
    """Raise UnsupportedError, with the names, if there is something that HDF5 has no room for."""
    untyped: list[str] = []
    for path, item in _walk(root):
        if len(path) > 4 * DEFAULT.nesting:
            raise UnsupportedError(f"{'/'.join(path)[:200]}…: groups nest deeper than {4 * DEFAULT.nesting}")
        if path and not is_link_name(path[-1]):
            raise UnsupportedError(f"nothing in an HDF5 file can be called {path[-1]!r}")
        _check_attributes(item, "/".join(path))
        if isinstance(item, NewDataset):
            _check_tensor(item.tensor, "/".join(path), untyped)
    if untyped:
        raise UnsupportedError(f"HDF5 has no type for {listed(untyped, 10)}")


def _check_tensor(tensor: Storable, name: str, untyped: list[str]) -> None:
    if len(tensor.shape) > MOST_RANK:
        raise UnsupportedError(f"tensor {name!r} has {len(tensor.shape)} dimensions, HDF5 has up to {MOST_RANK}")
    if tensor.dtype is STRING:
        for item in tensor.numpy().reshape(-1).tolist():
            text_bytes(item, f"tensor {name!r}")
    elif not tensor.dtype.bits:
        untyped.append(f"{name!r} ({tensor.dtype})")


def _check_attributes(item: NewGroup | NewDataset, name: str) -> None:
    if len(item.attributes) > _MOST_MESSAGES:
        raise UnsupportedError(f"{name!r} has {len(item.attributes)} attributes, HDF5 takes up to {_MOST_MESSAGES}")
    for key, value in item.attributes.items():
        if not key or "\0" in key or not _is_text(key) or len(key.encode()) > 60_000:
            raise UnsupportedError(f"{name!r}: no attribute in an HDF5 file can be called {key[:200]!r}")
        try:
            attribute(key, value, lambda _: bytes(16))
        except UnsupportedError as error:
            raise UnsupportedError(f"{name!r}: {error.message}") from None


def _is_text(name: str) -> bool:
    """Whether it can be encoded: a lone surrogate cannot."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def _walk(root: NewGroup) -> Iterator[tuple[tuple[str, ...], NewGroup | NewDataset]]:
    """Everything with the names that lead to it, groups before their members; what has two names comes twice."""
    pending: list[tuple[tuple[str, ...], NewGroup | NewDataset]] = [((), root)]
    while pending:
        path, item = pending.pop()
        yield path, item
        if isinstance(item, NewGroup):
            pending.extend(((*path, name), member) for name, member in reversed(item.members.items()))


def _write_data(tensor: Storable, file: Output) -> _Stored:
    """Write a dataset's elements."""
    if tensor.dtype is STRING:
        return _write_strings(tensor, file)
    kind, size = datatype(tensor.dtype), math.prod(tensor.shape) * tensor.dtype.itemsize
    if not size:
        return _Stored(kind, _NOWHERE)
    file.align(_ALIGNMENT)
    address = file.position
    if tensor.dtype.bits < 8:
        for piece in widened(tensor.dtype, tensor.chunks()):  # the last byte may have room for more than there is
            file.write(piece[: address + size - file.position])
    else:
        file.write_all(tensor.chunks())
    if file.position - address != size:
        raise PanmodelError(f"a tensor of {size} bytes gave {file.position - address}", where=str(file.final))
    return _Stored(kind, struct.pack("<QQ", address, size))


def _write_strings(tensor: Storable, file: Output) -> _Stored:
    """Write strings into heaps, then the references to them."""
    items = tensor.numpy().reshape(-1).tolist()
    kind = string_datatype(items)
    if not items:
        return _Stored(kind, _NOWHERE)
    heap = _Heap(file)
    references = [heap.put(text_bytes(item, "a tensor")) for item in items]
    heap.flush()
    file.align(_ALIGNMENT)
    address = file.position
    return _Stored(kind, struct.pack("<QQ", address, file.write_all(references)))


class _Stored(NamedTuple):
    """What is known of a dataset once its elements are written: its datatype, their address and size as in a layout."""

    datatype: bytes
    place: bytes


class _Heap:
    """Strings of any length, in collections that are written one after the other; nothing else goes in between."""

    def __init__(self, file: Output) -> None:
        self._file = file
        file.align(8)
        self._start, self._objects, self._size = file.position, list[bytes](), 16

    def put(self, data: bytes) -> bytes:
        """Take a string; returns the reference to it."""
        if not data:
            return bytes(16)
        if self._objects and (self._size + len(data) > _HEAP or len(self._objects) == _MOST_IN_HEAP):
            self.flush()
        self._objects.append(struct.pack("<HH4xQ", len(self._objects) + 1, 1, len(data)) + _padded(data))
        self._size += len(self._objects[-1])
        return struct.pack("<IQI", len(data), self._start, len(self._objects))

    def flush(self) -> None:
        """Write the strings taken so far."""
        if not self._objects:
            return
        total = max(self._size + 16, _SMALLEST_HEAP)
        free = total - self._size
        self._file.write(struct.pack("<4sB3xQ", b"GCOL", 1, total))
        self._file.write_all(self._objects)
        self._file.write(struct.pack("<HH4xQ", 0, 0, free) + bytes(free - 16))
        self._start, self._objects, self._size = self._file.position, [], 16


class _MetadataWriter:
    """Writes object headers and groups, members before the groups that they are in.

    Args:
        file: Where they go, at its end.
        stored: What each dataset has become.
        links: Number of links to each object.
    """

    def __init__(
        self,
        file: Output,
        stored: Mapping[NewDataset, _Stored],
        links: Mapping[NewGroup | NewDataset, int],
    ) -> None:
        self._file, self._stored, self._links = file, stored, links
        self._written: dict[NewGroup | NewDataset, Callable[[int], bytes]] = {}
        self._messages: dict[NewGroup | NewDataset, list[bytes]] = {}

    def write_tree(self, root: NewGroup) -> Callable[[int], bytes]:
        """Write everything; returns what makes the root's entry from the place of its name in a heap."""
        items = list(dict.fromkeys(item for _, item in _walk(root)))
        heap = _Heap(self._file)
        for item in items:
            attributes = dict(item.attributes)
            if isinstance(item, NewDataset) and needs_name(item.tensor.dtype):
                attributes[DTYPE_ATTRIBUTE] = item.tensor.dtype.name
            self._messages[item] = [attribute(name, value, heap.put) for name, value in attributes.items()]
        heap.flush()
        datasets = [item for item in items if isinstance(item, NewDataset)]
        groups = [item for item in items if isinstance(item, NewGroup)]
        ordered: list[NewGroup | NewDataset] = [*datasets, *reversed(groups)]
        for item in ordered:  # what is linked to comes before what links to it
            self._written[item] = self._write(item)
        return self._written[root]

    def _write(self, item: NewGroup | NewDataset) -> Callable[[int], bytes]:
        if isinstance(item, NewGroup):
            tree = self._write_links(item)
            address = self._write_header(item, [(0x11, tree)])
            return lambda name: _ENTRY.pack(name, address, 1, 0, tree)
        kind, place = self._stored[item]
        messages = [
            (0x01, dataspace(item.tensor.shape)),
            (0x03, kind),
            (0x05, b"\x02\x02\x02\x01\0\0\0\0"),  # no fill value of its own
            (0x08, b"\x03\x01" + place),
        ]
        address = self._write_header(item, messages)
        return lambda name: _ENTRY.pack(name, address, 0, 0, bytes(16))

    def _write_header(self, item: NewGroup | NewDataset, messages: list[tuple[int, bytes]]) -> int:
        """An object header of version 1; returns its address."""
        self._file.align(8)
        address = self._file.position
        messages = messages + [(0x0C, message) for message in self._messages.pop(item)]
        parts = [
            struct.pack("<HHB3x", kind, len(body), 0) + body
            for kind, body in ((kind, _padded(message)) for kind, message in messages)
        ]
        self._file.write(struct.pack("<BxHII4x", 1, len(parts), self._links[item], sum(map(len, parts))))
        self._file.write_all(parts)
        return address

    def _write_links(self, group: NewGroup) -> bytes:
        """The heap of names, the leaves and the nodes of a group; returns the addresses of the root node and heap."""
        names = sorted((name.encode(), member) for name, member in group.members.items())
        heap, places = bytearray(8), []
        for name, _ in names:
            places.append(len(heap))
            heap += _padded(name + b"\0")
        entries = [self._written[member](place) for (_, member), place in zip(names, places, strict=True)]
        children = []
        for start in range(0, len(entries), 2 * _LEAF_K):
            part = entries[start : start + 2 * _LEAF_K]
            leaf = struct.pack("<4sBxH", b"SNOD", 1, len(part)) + b"".join(part)
            address = self._append(leaf.ljust(8 + 2 * _LEAF_K * _ENTRY.size, b"\0"))
            children.append((address, places[start + len(part) - 1]))
        node = self._write_nodes(children)
        self._file.align(8)
        start = self._file.position
        self._file.write(struct.pack("<4sB3xQQQ", b"HEAP", 0, len(heap), 1, start + 32))
        self._file.write(heap)
        return struct.pack("<QQ", node, start)

    def _write_nodes(self, children: list[tuple[int, int]]) -> int:
        """The B-tree over the leaves of a group, given as address and place of the last name; returns its address."""
        level, most, size = 0, 2 * _NODE_K, 24 + 8 * (4 * _NODE_K + 1)
        while True:
            parts = [children[start : start + most] for start in range(0, len(children), most)] or [[]]
            self._file.align(8)
            begin, above, before = self._file.position, [], 0
            for index, part in enumerate(parts):
                left = struct.pack("<Q", begin + (index - 1) * size) if index else _UNDEFINED
                right = struct.pack("<Q", begin + (index + 1) * size) if index + 1 < len(parts) else _UNDEFINED
                node = struct.pack("<4sBBH", b"TREE", 0, level, len(part)) + left + right + struct.pack("<Q", before)
                node += b"".join(struct.pack("<QQ", *child) for child in part)
                before = part[-1][1] if part else 0
                above.append((self._append(node.ljust(size, b"\0")), before))
            if len(above) == 1:
                return above[0][0]
            children, level = above, level + 1

    def _append(self, block: bytes) -> int:
        self._file.align(8)
        address = self._file.position
        self._file.write(block)
        return address


def _padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % 8)
