"""The heap of a group's names, and the heaps of elements of variable length.

Source: HDF5 File Format Specification 3.0, III.D (local heaps), III.E (global heaps).
"""

from __future__ import annotations

from panmodel.errors import CorruptError
from panmodel.wire.hdf5.cursor import Cursor
from panmodel.wire.hdf5.file import File, Visit


class LocalHeap:
    """The names of a group's links.

    Args:
        visit: The walk over the group's structures.
        address: Where the heap is.

    Raises:
        CorruptError: It contradicts the format.
    """

    def __init__(self, visit: Visit, address: int) -> None:
        size = visit.file.length_size
        head = visit.read(address, 8 + 2 * size + visit.file.offset_size, "a local heap")
        head.expect(b"HEAP")
        head.version(0)
        head.skip(3)
        nbytes = head.length()
        head.skip(size)  # free list
        self._segment = visit.read(head.defined(), nbytes, "a local heap's data")

    def text(self, offset: int) -> bytes:
        """The NUL-terminated text at an offset."""
        if offset >= len(self._segment.data):
            self._segment.fail(f"has {len(self._segment.data)} bytes, a name is expected at its byte {offset}")
        self._segment.position = offset
        return self._segment.text()


class GlobalHeap:
    """All collections of elements of variable length of a file; each is read when an element of it is.

    Args:
        file: The file.
    """

    def __init__(self, file: File) -> None:
        self._file = file
        self._collections: dict[int, dict[int, tuple[int, int]]] = {}

    def read(self, address: int, index: int, nbytes: int | None = None) -> bytes:
        """An object of a collection.

        Args:
            address: Where the collection is.
            index: Number of the object in it.
            nbytes: Bytes that are wanted of it; all if None.

        Raises:
            CorruptError: There is no such object, or it is shorter.
        """
        if address not in self._collections:
            self._collections[address] = self._read_collection(address)
        found = self._collections[address].get(index)
        if found is None or (nbytes is not None and nbytes > found[1]):
            said = f"has {found[1]} bytes" if found else "is not there"
            message = f"object {index} of a global heap collection {said}, {nbytes} bytes are expected"
            raise CorruptError(message, where=self._file.where(address))
        place, size = found
        return self._file.read(place, size if nbytes is None else nbytes)

    def _read_collection(self, address: int) -> dict[int, tuple[int, int]]:
        file = self._file
        head_size = _aligned(8 + file.length_size)
        # a collection belongs to no object but itself
        visit = Visit(file, address)
        head = visit.read(address, head_size, "a global heap collection")
        head.expect(b"GCOL")
        head.version(1)
        head.skip(3)
        nbytes = head.length()
        if nbytes < head_size:
            head.fail(f"has {nbytes} bytes")
        body = visit.read(address + head_size, nbytes - head_size, "a global heap collection")
        return _objects(body, address + head_size)


def _objects(body: Cursor, begin: int) -> dict[int, tuple[int, int]]:
    """Place and size of each object of a collection by its number."""
    found: dict[int, tuple[int, int]] = {}
    head_size = _aligned(8 + body.length_size)
    while body.left >= head_size:
        head = body.part(head_size)
        index = head.u16()
        head.skip(6)  # reference count, which nobody keeps
        size = head.length()
        if index == 0:  # the rest is free
            break
        if size > body.left:
            body.fail(f"has object {index} of {size} bytes, {body.left} are left")
        found[index] = (begin + body.position, size)
        body.skip(min(_aligned(size), body.left))
    return found


def _aligned(nbytes: int) -> int:
    """Sizes in a global heap are multiples of 8."""
    return nbytes + -nbytes % 8
