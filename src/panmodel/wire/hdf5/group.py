"""Groups: the folders of an HDF5 file, opened when asked for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from panmodel.errors import CorruptError, LimitError, UnsafeError, UnsupportedError
from panmodel.io.source import Source
from panmodel.limits import DEFAULT, Limits
from panmodel.wire.hdf5.attributes import Attributes
from panmodel.wire.hdf5.dataset import Dataset
from panmodel.wire.hdf5.datatype import Datatype, read_datatype
from panmodel.wire.hdf5.file import File
from panmodel.wire.hdf5.heaps import GlobalHeap
from panmodel.wire.hdf5.links import Link, read_links
from panmodel.wire.hdf5.object_header import Header, Kind, read_header
from panmodel.wire.hdf5.superblock import read_superblock

#: Soft links that one path may pass, as many as the HDF5 library follows.
_MOST_SOFT_LINKS = 16


def read_file(source: Source, limits: Limits = DEFAULT) -> Group:
    """Open an HDF5 file: reads the superblock and the root group's header, whatever the size.

    Args:
        source: The file's bytes.
        limits: Caps on what is believed of it.

    Returns:
        The root group.

    Raises:
        CorruptError: It is not HDF5, or contradicts the format or a checksum.
        TruncatedError: It is shorter than it says.
        UnsupportedError: Its data are spread over several files.
    """
    found = read_superblock(source, limits)
    opened = _Opened(found.file)
    if found.extension is not None:
        extension = opened.header(found.extension)
        if extension.body(Kind.DRIVER) or extension.body(Kind.CACHE_IMAGE):
            message = "the file has a driver or a cache image, which are not read"
            raise UnsupportedError(message, where=source.name, hint="repack it with h5repack")
    header = opened.header(found.root)
    if not _is_group(header):
        raise CorruptError("the root is not a group", where=found.file.where(found.root))
    return Group(opened, header, "/")


class _Opened:
    """What all objects of an open file share: every header is read once, whatever leads to it."""

    def __init__(self, file: File) -> None:
        self.file, self.heap = file, GlobalHeap(file)
        self._headers: dict[int, Header] = {}
        self._links: dict[int, dict[str, Link]] = {}
        self._attributes: dict[int, Attributes] = {}
        self._datasets: dict[int, Dataset] = {}
        self.root: Group | None = None

    def header(self, address: int) -> Header:
        """The object header at an address."""
        if address not in self._headers:
            self._headers[address] = read_header(self.file, address)
        return self._headers[address]

    def links(self, header: Header) -> dict[str, Link]:
        """The links of the group with that header."""
        if header.address not in self._links:
            self._links[header.address] = read_links(header)
        return self._links[header.address]

    def attributes(self, header: Header, name: str) -> Attributes:
        """The attributes of the group with that header."""
        if header.address not in self._attributes:
            self._attributes[header.address] = Attributes(header, self.heap, name)
        return self._attributes[header.address]

    def dataset(self, header: Header, name: str) -> Dataset:
        """The dataset with that header, under one of its names."""
        if header.address not in self._datasets:
            self._datasets[header.address] = Dataset(header, self.heap, name)
        return self._datasets[header.address].renamed(name)


_GROUP = frozenset([Kind.SYMBOL_TABLE.value, Kind.LINK_INFO.value, Kind.LINK.value, Kind.GROUP_INFO.value])


def _is_group(header: Header) -> bool:
    return header.has(_GROUP)


@dataclass(frozen=True, slots=True)
class CommittedType:
    """A datatype that is an object of its own.

    Attributes:
        name: Its path from the root.
        address: Where its header is.
        datatype: The datatype.
    """

    name: str
    address: int
    datatype: Datatype


class Group:
    """A group. Opening it reads its header; links, members and attributes are read when asked for.

    Attributes:
        name: Its path from the root: "/", "/layer", "/layer/kernel".
        address: Where its header is: two names of one group have the same.
        where: The file and the header's offset, for messages.
    """

    def __init__(self, opened: _Opened, header: Header, name: str) -> None:
        self._opened, self._header = opened, header
        self.name, self.address = name, header.address
        self.where = opened.file.where(header.address)
        if name == "/":
            opened.root = self

    @property
    def links(self) -> Mapping[str, Link]:
        """What leads out of the group, by name: in the order of creation if it is tracked, else of names."""
        return self._opened.links(self._header)

    @property
    def members(self) -> Members:
        """What is in the group, by name, in the order of `links`; each member is opened when asked for."""
        return Members(self)

    @property
    def attributes(self) -> Attributes:
        """Its attributes."""
        return self._opened.attributes(self._header, self.name)

    def __getitem__(self, path: str) -> Group | Dataset | CommittedType:
        """What a path leads to, from this group or, if it begins with a slash, from the root.

        Raises:
            KeyError: There is nothing of that name.
            CorruptError: A soft link leads nowhere or in a circle, or what it leads to is damaged.
            UnsafeError: It passes a link to another file.
        """
        return _follow(self, path, [_MOST_SOFT_LINKS])

    def __contains__(self, path: str) -> bool:
        try:
            self[path]
        except KeyError:
            return False
        return True

    def open(self, link: Link) -> Group | Dataset | CommittedType:
        """What one of this group's links leads to; see `__getitem__`."""
        return _open(self, link, [_MOST_SOFT_LINKS])

    def __repr__(self) -> str:
        return f"<group {self.name}>"

    def _child(self, name: str, address: int) -> Group | Dataset | CommittedType:
        path = f"{self.name.rstrip('/')}/{name}"
        limits = self._opened.file.limits
        if path.count("/") > limits.nesting:
            raise LimitError(f"groups are nested deeper than {limits.nesting}", where=self.where)
        header = self._opened.header(address)
        if _is_group(header):
            return Group(self._opened, header, path)
        if header.body(Kind.LAYOUT):
            return self._opened.dataset(header, path)
        body = header.body(Kind.DATATYPE)
        if body is None:
            message = f"{path[:200]!r} is neither a group nor a dataset nor a datatype"
            raise CorruptError(message, where=self._opened.file.where(address))
        return CommittedType(path, address, read_datatype(body, limits))


class Members(Mapping[str, "Group | Dataset | CommittedType"]):
    """What is in a group, by name."""

    def __init__(self, group: Group) -> None:
        self._group = group

    def __getitem__(self, name: str) -> Group | Dataset | CommittedType:
        return self._group.open(self._group.links[name])

    def __iter__(self) -> Iterator[str]:
        return iter(self._group.links)

    def __len__(self) -> int:
        return len(self._group.links)

    def __contains__(self, name: object) -> bool:
        return name in self._group.links


def _follow(group: Group, path: str, left: list[int]) -> Group | Dataset | CommittedType:
    """Walk along a path; `left` counts the soft links that may still be passed."""
    root = group._opened.root
    place: Group | Dataset | CommittedType = root if root is not None and path.startswith("/") else group
    for part in path.split("/"):
        if part in ("", "."):
            continue
        if not isinstance(place, Group):
            raise KeyError(path)
        place = _open(place, place.links[part], left)
    return place


def _open(group: Group, link: Link, left: list[int]) -> Group | Dataset | CommittedType:
    name = f"{group.name.rstrip('/')}/{link.name}"
    if link.address is not None:
        return group._child(link.name, link.address)
    if link.kind == "external":
        message = f"{name!r} is a link to {link.path!r} in another file, {link.file!r}"
        raise UnsafeError(message, where=group.where, hint="nothing outside the file is read")
    if link.kind != "soft":
        raise UnsupportedError(f"{name!r} is a link of a kind that only its writer knows", where=group.where)
    left[0] -= 1
    if left[0] < 0:
        message = f"{name!r} passes more than {_MOST_SOFT_LINKS} soft links, or leads in a circle"
        raise CorruptError(message, where=group.where)
    try:
        found = _follow(group, link.path, left)
    except KeyError:
        raise CorruptError(f"{name!r} is a soft link to {link.path!r}, where nothing is", where=group.where) from None
    return found
