"""Dataspaces: the shape of a dataset or an attribute.

Source: HDF5 File Format Specification 3.0, IV.A.2.b (versions 1 and 2).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from panmodel.errors import LimitError
from panmodel.limits import Limits
from panmodel.wire.hdf5.cursor import Cursor

_NULL = 2


@dataclass(frozen=True, slots=True)
class Dataspace:
    """A shape.

    Attributes:
        shape: Extent of each dimension; () for a scalar.
        largest: What each may grow to, None where there is no end; equal to `shape` if it cannot grow.
        null: There are no elements at all, and no shape.
    """

    shape: tuple[int, ...]
    largest: tuple[int | None, ...] = ()
    null: bool = False

    @property
    def size(self) -> int:
        """Number of elements."""
        return 0 if self.null else math.prod(self.shape)


def read_dataspace(cursor: Cursor, limits: Limits) -> Dataspace:
    """Read a dataspace message.

    Raises:
        CorruptError: It contradicts the format.
        LimitError: It has more dimensions than `Limits.rank`, or more elements than 64 bits can count.
    """
    version = cursor.version(1, 2)
    rank, flags, null = cursor.u8(), cursor.u8(), False
    if version == 1:
        cursor.skip(5)
    else:
        kind = cursor.u8()
        if kind > _NULL or (rank and kind != 1):
            cursor.fail(f"is of kind {kind} with {rank} dimensions")
        null = kind == _NULL
    if rank > limits.rank:
        raise LimitError(f"{rank} dimensions, more than {limits.rank}", where=cursor.where)
    shape = tuple(cursor.length() for _ in range(rank))
    endless = (1 << 8 * cursor.length_size) - 1
    largest: tuple[int | None, ...] = shape
    if flags & 1:
        found = [cursor.length() for _ in range(rank)]
        if any(most < extent for most, extent in zip(found, shape, strict=True)):
            cursor.fail(f"has the shape {shape}, but may only be as large as {tuple(found)}")
        largest = tuple(None if most == endless else most for most in found)
    if math.prod(extent for extent in shape if extent) >= 1 << 63:
        raise LimitError(f"the shape {shape} has too many elements", where=cursor.where)
    return Dataspace(shape, largest, null)
