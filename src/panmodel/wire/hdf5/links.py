"""Links: the names in a group and where they lead.

Source: HDF5 File Format Specification 3.0, III.B and III.C (symbol tables), IV.A.2.c, g and r (link messages).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import NamedTuple

from panmodel.errors import LimitError
from panmodel.wire.hdf5 import btree_v1, btree_v2
from panmodel.wire.hdf5.cursor import UNDEFINED, Cursor
from panmodel.wire.hdf5.file import File, Visit
from panmodel.wire.hdf5.fractal_heap import FractalHeap
from panmodel.wire.hdf5.heaps import LocalHeap
from panmodel.wire.hdf5.object_header import Header, Kind

_HARD, _SOFT, _EXTERNAL = 0, 1, 64
_NAME_RECORDS = 5  # type of the tree of links in the order of their names' hashes
_SYMBOLIC = 2  # cache type of a symbol table entry that is a soft link
#: Entries of a symbol table, by the bytes that an address has: name, address, cache type, path of a soft link.
_ENTRIES = {width: struct.Struct(f"<{code}{code}I4xI12x") for width, code in ((2, "H"), (4, "I"), (8, "Q"))}


class Link(NamedTuple):
    """One name in a group.

    Attributes:
        name: The name.
        kind: "hard" (an object of this file), "soft" (a path in this file), "external" (a path in another file) or
            "user" (a kind that only some program knows).
        address: Of a hard link: the object's header.
        path: Of a soft or external link: the path that it leads to.
        file: Of an external link: the file that it leads to.
        order: When it was created among the links of its group; None if the file does not say.
    """

    name: str
    kind: str
    address: int | None = None
    path: str = ""
    file: str = ""
    order: int | None = None


def text_of(raw: bytes) -> str:
    """A name as text; bytes that are no UTF-8 come back when it is encoded by "surrogateescape"."""
    return raw.decode("utf-8", "surrogateescape")


def read_links(header: Header) -> dict[str, Link]:
    """The links of a group by name: in the order of creation if the file tracks it, else of names.

    Raises:
        CorruptError: The group's structures contradict the format or a checksum, or a name is there twice.
        LimitError: There are too many links, or a name is too long.
    """
    visit = Visit(header.file, header.address)
    found: dict[str, Link] = {}
    nbytes = 0
    for link in _links(header, visit):
        nbytes += len(link.name) + len(link.path) + len(link.file)
        if nbytes > header.file.size:
            header.messages[0].body.fail("is of a group whose names overlap: together they are longer than the file")
        if link.name in found:
            table = header.messages[0].body
            table.fail(f"is of a group that has the name {link.name[:80]!r} twice")
        _check(header.file, link, len(found), header.address)
        found[link.name] = link
    tracked = bool(found) and all(link.order is not None for link in found.values())
    in_order = sorted(found.values(), key=lambda link: link.order or 0) if tracked else _by_name(found)
    return {link.name: link for link in in_order}


def _by_name(found: dict[str, Link]) -> list[Link]:
    return [found[name] for name in sorted(found, key=lambda name: name.encode("utf-8", "surrogateescape"))]


def _check(file: File, link: Link, count: int, address: int) -> None:
    if count >= file.limits.tensors:
        raise LimitError(f"a group has more than {file.limits.tensors} links", where=file.where(address))
    if len(link.name) > file.limits.name_bytes:
        raise LimitError(f"a link's name has {len(link.name)} characters", where=file.where(address))


def _links(header: Header, visit: Visit) -> Iterator[Link]:
    table = header.body(Kind.SYMBOL_TABLE)
    if table is not None:
        yield from _symbol_table(visit, table)
    for message in header.all(Kind.LINK):
        yield read_link(message.body)
    info = header.body(Kind.LINK_INFO)
    if info is not None:
        yield from _dense(visit, info)


def _symbol_table(visit: Visit, table: Cursor) -> Iterator[Link]:
    tree, names = table.defined(), table.defined()
    heap = LocalHeap(visit, names)
    size = visit.file.offset_size
    for _, leaf in btree_v1.leaves(visit, tree, btree_v1.GROUP, visit.file.length_size):
        head = visit.read(leaf, 8, "a symbol table node")
        head.expect(b"SNOD")
        head.version(1)
        head.skip(1)
        body = visit.read(leaf + 8, head.u16() * (2 * size + 24), "a symbol table node")
        for place, address, kind, path in _ENTRIES[size].iter_unpack(body.data):
            name = text_of(heap.text(place))
            if kind == _SYMBOLIC:
                yield Link(name, "soft", path=text_of(heap.text(path)))
                continue
            if address == UNDEFINED[size]:
                body.fail(f"has an entry {name[:80]!r} that leads nowhere")
            yield Link(name, "hard", address)


def read_link(body: Cursor) -> Link:
    """Read a link message.

    Raises:
        CorruptError: It contradicts the format.
    """
    body.version(1)
    flags = body.u8()
    kind = body.u8() if flags & 8 else _HARD
    order = body.u64() if flags & 4 else None
    if flags & 16:
        body.skip(1)  # character set: ASCII is UTF-8 too
    name = text_of(body.take(body.uint(1 << (flags & 3))))
    if kind == _HARD:
        return Link(name, "hard", body.defined(), order=order)
    value = body.part(body.u16())
    if kind == _SOFT:
        return Link(name, "soft", path=text_of(value.data), order=order)
    if kind == _EXTERNAL:
        value.skip(1)  # version and flags
        file, path = text_of(value.text()), text_of(value.text())
        return Link(name, "external", path=path, file=file, order=order)
    return Link(name, "user", order=order)


def _dense(visit: Visit, info: Cursor) -> Iterator[Link]:
    info.version(0)
    if info.u8() & 1:
        info.skip(8)  # the next number in the order of creation
    heap_address, tree = info.address(), info.address()
    if heap_address is None or tree is None:
        return
    heap = FractalHeap(visit, heap_address)
    for record in btree_v2.records(visit, tree, _NAME_RECORDS):
        record.skip(4)  # hash of the name
        yield read_link(heap.read(record))
