"""Attributes: small named values of a group or a dataset.

Source: HDF5 File Format Specification 3.0, IV.A.2.m (attributes, versions 1 to 3), IV.A.2.v (attribute info).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from panmodel.errors import CorruptError, LimitError, UnsupportedError
from panmodel.wire.hdf5 import btree_v2
from panmodel.wire.hdf5.cursor import Cursor
from panmodel.wire.hdf5.dataspace import Dataspace, read_dataspace
from panmodel.wire.hdf5.datatype import Datatype, read_datatype
from panmodel.wire.hdf5.elements import decode
from panmodel.wire.hdf5.file import File, Visit
from panmodel.wire.hdf5.fractal_heap import FractalHeap
from panmodel.wire.hdf5.heaps import GlobalHeap
from panmodel.wire.hdf5.links import text_of
from panmodel.wire.hdf5.object_header import Header, Kind, resolve

_NAME_RECORDS = 8  # type of the tree of attributes in the order of their names' hashes
_SHARED_TYPE, _SHARED_SPACE = 1, 2
_SHARED = 0x02


@dataclass(frozen=True, slots=True)
class Empty:
    """The value of an attribute that has a type and no elements at all (a null dataspace)."""

    datatype: Datatype


@dataclass(frozen=True, slots=True)
class Attribute:
    """An attribute as stored.

    Attributes:
        name: Its name.
        datatype: What one element is.
        dataspace: Its shape.
        data: Its elements as stored.
        order: When it was created among its object's attributes; None if the file does not say.
    """

    name: str
    datatype: Datatype
    dataspace: Dataspace
    data: bytes
    order: int | None = None


class Attributes(Mapping[str, object]):
    """The attributes of an object: in the order of creation if the file tracks it, else of names.

    Values are decoded when asked for:

    - numbers are `int`, `float`, `complex` or `bool`, arrays of them numpy arrays;
    - strings of variable length are `str` (UTF-8, other bytes by "surrogateescape"), those of fixed length are
      `bytes` without their padding; arrays of strings are numpy arrays of such objects;
    - opaque elements are `bytes`, arrays of them numpy arrays of void;
    - an attribute without elements is `Empty`.

    Asking for a value of another type (references, compounds) raises UnsupportedError; `record` gives it undecoded.

    Args:
        header: The object's header.
        heap: The file's elements of variable length.
        owner: The object's path, for messages.

    Raises:
        CorruptError: An attribute contradicts the format or a checksum.
    """

    def __init__(self, header: Header, heap: GlobalHeap, owner: str) -> None:
        self._file, self._heap, self._owner = header.file, heap, owner
        found: list[Attribute] = []
        nbytes = 0
        for attribute in _read(header):
            found.append(attribute)
            nbytes += len(attribute.name) + len(attribute.data)
            if nbytes > header.file.size:
                message = f"{owner} has attributes that overlap: together they are longer than the file"
                raise CorruptError(message, where=header.file.where(header.address))
        if found and all(attribute.order is not None for attribute in found):
            found.sort(key=lambda attribute: attribute.order or 0)
        else:
            found.sort(key=lambda attribute: attribute.name.encode("utf-8", "surrogateescape"))
        self._records = {attribute.name: attribute for attribute in found}
        if len(self._records) != len(found):
            raise CorruptError(f"{owner} has an attribute twice", where=header.file.where(header.address))

    def record(self, name: str) -> Attribute:
        """The attribute as stored."""
        return self._records[name]

    def __getitem__(self, name: str) -> object:
        record = self._records[name]
        try:
            return self._value(record)
        except UnsupportedError as error:
            raise UnsupportedError(f"attribute {name!r} of {self._owner}: {error.message}", where=error.where) from None
        except CorruptError as error:
            raise CorruptError(f"attribute {name!r} of {self._owner}: {error.message}", where=error.where) from None

    def __contains__(self, name: object) -> bool:
        return name in self._records

    def __iter__(self) -> Iterator[str]:
        return iter(self._records)

    def __len__(self) -> int:
        return len(self._records)

    def __repr__(self) -> str:
        return f"<attributes of {self._owner}: {', '.join(self._records) or 'none'}>"

    def _value(self, record: Attribute) -> object:
        kind, space = record.datatype, record.dataspace
        if space.null:
            return Empty(kind)
        array = decode(self._file, self._heap, kind, record.data, space.shape)
        if kind.is_variable_string:
            flat = array.reshape(-1)
            texts = {raw: text_of(raw) for raw in set(flat)}  # many elements may be one long string
            for place in range(flat.size):
                flat[place] = texts[flat[place]]
        return array if array.ndim else array.item()


def _read(header: Header) -> Iterator[Attribute]:
    file = header.file
    for message in header.all(Kind.ATTRIBUTE):
        yield _attribute(file, message.body, message.flags, message.order)
    info = header.body(Kind.ATTRIBUTE_INFO)
    if info is None:
        return
    info.version(0)
    ordered = bool(info.u8() & 1)
    if ordered:
        info.skip(2)  # the next number in the order of creation
    heap_address, tree = info.address(), info.address()
    if heap_address is None or tree is None:
        return
    visit = Visit(file, header.address)
    heap = FractalHeap(visit, heap_address)
    for record in btree_v2.records(visit, tree, _NAME_RECORDS):
        body = heap.read(record.part(8))
        flags, order = record.u8(), record.u32()
        yield _attribute(file, body, flags, order if ordered else None)


def _attribute(file: File, body: Cursor, message_flags: int, order: int | None) -> Attribute:
    if message_flags & _SHARED:
        body = resolve(file, body, Kind.ATTRIBUTE)
    version = body.version(1, 2, 3)
    flags = body.u8()
    sizes = body.u16(), body.u16(), body.u16()
    if version == 3:
        body.skip(1)  # character set of the name: ASCII is UTF-8 too
    parts = []
    for size in sizes:
        parts.append(body.part(size))
        if version == 1:
            body.skip(min(-size % 8, body.left))
    name = text_of(parts[0].data.partition(b"\0")[0])
    parts[1].what, parts[2].what = f"the datatype of attribute {name[:80]!r}", f"the shape of attribute {name[:80]!r}"
    flags = flags if version > 1 else 0
    kind = resolve(file, parts[1], Kind.DATATYPE) if flags & _SHARED_TYPE else parts[1]
    space = resolve(file, parts[2], Kind.DATASPACE) if flags & _SHARED_SPACE else parts[2]
    datatype, dataspace = file.meaning(read_datatype, kind), file.meaning(read_dataspace, space)
    nbytes = dataspace.size * datatype.size
    if nbytes > file.limits.text_bytes:
        raise LimitError(f"attribute {name[:80]!r} has {nbytes} bytes", where=body.where)
    return Attribute(name, datatype, dataspace, body.take(nbytes), order)
