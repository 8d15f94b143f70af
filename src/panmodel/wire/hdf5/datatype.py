"""Datatypes: what one element is.

Source: HDF5 File Format Specification 3.0, IV.A.2.d (versions 1 to 5, classes 0 to 11).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from enum import IntEnum

from panmodel import dtypes
from panmodel.dtypes import DType
from panmodel.errors import LimitError
from panmodel.limits import Limits
from panmodel.wire.hdf5.cursor import Cursor


class Class(IntEnum):
    """Classes of datatypes."""

    INTEGER = 0
    FLOAT = 1
    TIME = 2
    STRING = 3
    BITFIELD = 4
    OPAQUE = 5
    COMPOUND = 6
    REFERENCE = 7
    ENUM = 8
    VARIABLE = 9
    ARRAY = 10
    COMPLEX = 11


class Padding(IntEnum):
    """How a string of fixed length ends."""

    NUL_TERMINATED = 0
    NUL_PADDED = 1
    SPACE_PADDED = 2


@dataclass(frozen=True, slots=True)
class Datatype:
    """What one element is, as the file says.

    Attributes:
        kind: Its class.
        size: Bytes of one element as stored (of a reference into a heap for elements of variable length).
        big_endian: The order of the bytes of a number, or of the parts that it consists of.
        signed: Whether an integer has a sign.
        padding: How a string ends.
        utf8: Whether a string is UTF-8 rather than ASCII.
        tag: What an opaque type says of itself.
        base: Element of an array, an enumeration, a complex number or a sequence of variable length.
        dims: Shape of an array type; () for all others.
        members: Name and value of each member of an enumeration, its bytes as stored.
        fields: Name, offset and type of each field of a compound type.
        dtype: The element type of panmodel's table (of one element of an array type); None if there is none.
        ends_at_nul: A string of variable length ends at its first zero byte; a sequence of bytes does not.
    """

    kind: Class
    size: int
    big_endian: bool = False
    signed: bool = False
    padding: Padding = Padding.NUL_PADDED
    utf8: bool = False
    tag: str = ""
    base: Datatype | None = None
    dims: tuple[int, ...] = ()
    members: tuple[tuple[str, bytes], ...] = ()
    fields: tuple[tuple[str, int, Datatype], ...] = ()
    dtype: DType | None = field(default=None)
    ends_at_nul: bool = True

    @property
    def is_string(self) -> bool:
        """Whether elements are strings, of fixed or variable length."""
        return self.dtype is dtypes.STRING

    @property
    def is_variable_string(self) -> bool:
        """Whether elements are strings of variable length."""
        return self.kind is Class.VARIABLE and self.is_string

    def __str__(self) -> str:
        if self.base and self.kind in (Class.ARRAY, Class.VARIABLE, Class.ENUM) and not self.is_string:
            return f"{self.kind.name.lower()} of {self.base}"
        return f"{self.dtype}" if self.dtype else f"{self.kind.name.lower()} of {self.size} bytes"


#: (bytes, exponent's place and width, mantissa's place and width, bias) → element type; the sign is the highest bit.
_FLOATS = {
    (1, 2, 5, 0, 2, 15): "float8_e5m2",
    (1, 3, 4, 0, 3, 7): "float8_e4m3fn",
    (2, 10, 5, 0, 10, 15): "float16",
    (2, 7, 8, 0, 7, 127): "bfloat16",
    (4, 23, 8, 0, 23, 127): "float32",
    (8, 52, 11, 0, 52, 1023): "float64",
}
_COMPLEX = {dtypes.FLOAT32: dtypes.COMPLEX64, dtypes.FLOAT64: dtypes.COMPLEX128}
_VAX = 0x41
_IMPLIED = 2  # the highest bit of the mantissa is not stored


def read_datatype(cursor: Cursor, limits: Limits, depth: int = 0) -> Datatype:
    """Read a datatype message, or a datatype within another.

    Raises:
        CorruptError: It contradicts the format.
        LimitError: Types within types are deeper than `Limits.nesting`.
    """
    if depth > limits.nesting:
        raise LimitError(f"datatypes are nested deeper than {limits.nesting}", where=cursor.where)
    first = cursor.u8()
    version, number = first >> 4, first & 15
    if not 1 <= version <= 5 or number > Class.COMPLEX:
        cursor.fail(f"is of version {version} and class {number}")
    bits, size = cursor.uint(3), cursor.u32()
    if not size:
        cursor.fail("has elements of no bytes")
    return _READERS[Class(number)](_Reading(cursor, limits, depth, version, bits, size))


@dataclass(frozen=True, slots=True)
class _Reading:
    """A datatype whose first eight bytes are read."""

    cursor: Cursor
    limits: Limits
    depth: int
    version: int
    bits: int
    size: int

    def inner(self) -> Datatype:
        """The datatype that comes next in it."""
        return read_datatype(self.cursor, self.limits, self.depth + 1)

    def name(self) -> str:
        """A name, padded to a multiple of 8 before version 3."""
        begin = self.cursor.position
        text = self.cursor.text()
        if self.version < 3:
            self.cursor.skip(-(self.cursor.position - begin) % 8)
        return text.decode("utf-8", "surrogateescape")


def _integer(read: _Reading) -> Datatype:
    offset, precision = read.cursor.u16(), read.cursor.u16()
    signed = bool(read.bits & 8)
    whole = offset == 0 and precision == 8 * read.size
    name = f"{'' if signed else 'u'}int{precision}"
    dtype = dtypes.ALL.get(name) if whole else None
    return Datatype(Class.INTEGER, read.size, _big(read), signed, dtype=dtype)


def _bitfield(read: _Reading) -> Datatype:
    return replace(_integer(read), kind=Class.BITFIELD)


def _float(read: _Reading) -> Datatype:
    offset, precision = read.cursor.u16(), read.cursor.u16()
    exponent, exponent_bits, mantissa, mantissa_bits = (read.cursor.u8() for _ in range(4))
    bias = read.cursor.u32()
    key = (read.size, exponent, exponent_bits, mantissa, mantissa_bits, bias)
    usual = offset == 0 and precision == 8 * read.size and read.bits >> 8 & 0xFF == precision - 1
    usual = usual and read.bits >> 4 & 3 == _IMPLIED and read.bits & _VAX != _VAX
    name = _FLOATS.get(key) if usual else None
    return Datatype(Class.FLOAT, read.size, _big(read), True, dtype=dtypes.ALL[name] if name else None)


def _big(read: _Reading) -> bool:
    return bool(read.bits & 1) and read.size > 1


def _time(read: _Reading) -> Datatype:
    read.cursor.skip(2)
    return Datatype(Class.TIME, read.size, _big(read))


def _string(read: _Reading) -> Datatype:
    padding, charset = read.bits & 15, read.bits >> 4 & 15
    if padding > Padding.SPACE_PADDED or charset > 1:
        read.cursor.fail(f"is a string with padding {padding} and character set {charset}")
    return Datatype(Class.STRING, read.size, padding=Padding(padding), utf8=charset == 1, dtype=dtypes.STRING)


def _opaque(read: _Reading) -> Datatype:
    tag = read.cursor.take(read.bits & 0xFF).partition(b"\0")[0]
    return Datatype(Class.OPAQUE, read.size, tag=tag.decode("utf-8", "replace"))


def _reference(read: _Reading) -> Datatype:
    return Datatype(Class.REFERENCE, read.size)


def _compound(read: _Reading) -> Datatype:
    fields = []
    for _ in range(read.bits & 0xFFFF):
        name = read.name()
        dims: tuple[int, ...] = ()
        offset = read.cursor.uint(4 if read.version < 3 else (read.size.bit_length() + 7) // 8)
        if read.version == 1:
            rank = read.cursor.u8()
            read.cursor.skip(3 + 4 + 4)
            extents = [read.cursor.u32() for _ in range(4)]
            dims = tuple(extents[: min(rank, 4)])
        inner = read.inner()
        if offset + inner.size * math.prod(dims) > read.size:
            read.cursor.fail(f"has a field {name!r} that does not lie inside its {read.size} bytes")
        fields.append((name, offset, _array_of(inner, dims) if dims else inner))
    found = Datatype(Class.COMPOUND, read.size, fields=tuple(fields))
    return _as_complex(found)


def _as_complex(found: Datatype) -> Datatype:
    """A compound of a real and an imaginary part is a complex number, which is how h5py stores them."""
    if [(name, offset) for name, offset, _ in found.fields] != [("r", 0), ("i", found.size // 2)]:
        return found
    real, imaginary = found.fields[0][2], found.fields[1][2]
    if real != imaginary or real.dims or real.dtype not in _COMPLEX or 2 * real.size != found.size:
        return found
    return replace(found, big_endian=real.big_endian, base=real, dtype=_COMPLEX[real.dtype])


def _complex(read: _Reading) -> Datatype:
    base = read.inner()
    known = _COMPLEX.get(base.dtype) if base.dtype and 2 * base.size == read.size else None
    return Datatype(Class.COMPLEX, read.size, base.big_endian, base=base, dtype=known)


def _enum(read: _Reading) -> Datatype:
    base = read.inner()
    if base.kind is not Class.INTEGER or base.size != read.size:
        read.cursor.fail(f"is an enumeration of {base}")
    names = [read.name() for _ in range(read.bits & 0xFFFF)]
    values = [read.cursor.take(base.size) for _ in names]
    members = tuple(zip(names, values, strict=True))
    # this is how h5py stores bool
    is_bool = base.size == 1 and dict(members) == {"FALSE": b"\0", "TRUE": b"\1"}
    dtype = dtypes.BOOL if is_bool else base.dtype
    return Datatype(Class.ENUM, read.size, base.big_endian, base.signed, base=base, members=members, dtype=dtype)


def _variable(read: _Reading) -> Datatype:
    kind, charset = read.bits & 15, read.bits >> 8 & 15
    base = read.inner()
    if kind > 1 or read.size != 4 + read.cursor.offset_size + 4:
        read.cursor.fail(f"is of variable length, of kind {kind} in {read.size} bytes")
    are_bytes = kind == 0 and base.dtype is dtypes.UINT8  # bytes to their end, where a string would end at a zero
    dtype = dtypes.STRING if kind == 1 or are_bytes else None
    return Datatype(Class.VARIABLE, read.size, utf8=charset == 1, base=base, dtype=dtype, ends_at_nul=kind == 1)


def _array(read: _Reading) -> Datatype:
    rank = read.cursor.u8()
    if rank > read.limits.rank:
        raise LimitError(f"an array type of {rank} dimensions, more than {read.limits.rank}", where=read.cursor.where)
    if read.version < 3:
        read.cursor.skip(3)
    dims = tuple(read.cursor.u32() for _ in range(rank))
    if read.version < 3:
        read.cursor.skip(4 * rank)  # a permutation that was never used
    found = _array_of(read.inner(), dims)
    if found.size != read.size:
        read.cursor.fail(f"is an array of {found.size} bytes, and says {read.size}")
    return found


def _array_of(base: Datatype, dims: tuple[int, ...]) -> Datatype:
    size = base.size * math.prod(dims)
    # strings of variable length and arrays of arrays have no counterpart among tensors
    dtype = None if base.kind in (Class.ARRAY, Class.VARIABLE) else base.dtype
    return Datatype(Class.ARRAY, size, base.big_endian, base.signed, base=base, dims=dims, dtype=dtype)


_READERS = {
    Class.INTEGER: _integer,
    Class.FLOAT: _float,
    Class.TIME: _time,
    Class.STRING: _string,
    Class.BITFIELD: _bitfield,
    Class.OPAQUE: _opaque,
    Class.COMPOUND: _compound,
    Class.REFERENCE: _reference,
    Class.ENUM: _enum,
    Class.VARIABLE: _variable,
    Class.ARRAY: _array,
    Class.COMPLEX: _complex,
}
