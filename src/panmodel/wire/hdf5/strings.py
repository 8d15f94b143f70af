"""Strings of fixed and of variable length.

Source: HDF5 File Format Specification 3.0, IV.A.2.d (strings), III.E (references to global heap objects).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from panmodel.errors import LimitError
from panmodel.wire.hdf5.cursor import Cursor
from panmodel.wire.hdf5.datatype import Class, Datatype, Padding
from panmodel.wire.hdf5.file import File
from panmodel.wire.hdf5.heaps import GlobalHeap

if TYPE_CHECKING:
    import numpy as np


def decode_strings(file: File, heap: GlobalHeap, kind: Datatype, data: bytes, count: int) -> np.ndarray:
    """Elements as stored → an array of `bytes` objects, padding removed.

    Args:
        file: The file.
        heap: Its heaps of elements of variable length.
        kind: A datatype of strings.
        data: The elements as stored.
        count: How many there are.

    Raises:
        CorruptError: An element is not where it should be.
        LimitError: There are more than `Limits.string_elements`.
    """
    import numpy as np

    if count > file.limits.string_elements:
        raise LimitError(f"{count} strings, more than {file.limits.string_elements}", where=file.source.name)
    found = np.empty(count, object)
    if kind.kind is Class.VARIABLE:
        cursor = Cursor(data, file.source.name, "strings of variable length", file.offset_size, file.length_size)
        seen: dict[tuple[int, int, int], bytes] = {}  # a file may point at one long string again and again
        nbytes = 0
        for place in range(count):
            many = len(seen)
            found[place] = _variable(heap, cursor, seen, ends_at_nul=kind.ends_at_nul)
            nbytes += len(found[place]) if len(seen) > many else 0
            if nbytes > file.size:
                cursor.fail("overlap: together they are longer than the file")
    else:
        for place in range(count):
            found[place] = _without_padding(data[place * kind.size : (place + 1) * kind.size], kind.padding)
    return found


def _variable(heap: GlobalHeap, cursor: Cursor, seen: dict[tuple[int, int, int], bytes], *, ends_at_nul: bool) -> bytes:
    nbytes, address, index = cursor.u32(), cursor.address(), cursor.u32()
    if not nbytes or not address:  # the library writes zeros for an empty string and for one that was never written
        return b""
    key = nbytes, address, index
    if key not in seen:
        stored = heap.read(address, index, nbytes)
        seen[key] = stored.partition(b"\0")[0] if ends_at_nul else stored  # some writers count the NUL at the end in
    return seen[key]


def _without_padding(raw: bytes, padding: Padding) -> bytes:
    if padding is Padding.NUL_TERMINATED:
        return raw.partition(b"\0")[0]
    return raw.rstrip(b" " if padding is Padding.SPACE_PADDED else b"\0")
