"""How HDF5 spells element types and the values of attributes, in the encodings that every HDF5 since 1.6 reads.

Source: HDF5 File Format Specification 3.0, IV.A.2.d (datatype message) and IV.A.2.m (attribute message),
https://support.hdfgroup.org/documentation/hdf5/latest/_f_m_t3.html; what has no type there is spelt as h5py and Keras
do: bool as an enumeration, complex as a compound of r and i, bfloat16 as opaque bytes with an attribute "dtype".
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from panmodel.dtypes import ALL, BOOL, FLOAT64, INT64, STRING, UINT64, DType
from panmodel.errors import UnsupportedError

if TYPE_CHECKING:
    import numpy as np

#: The attribute that names the element type where HDF5's own type does not.
DTYPE_ATTRIBUTE = "dtype"
#: Bytes that one message of an object header can have.
MOST_MESSAGE = 65_528
#: Dimensions that a dataspace can have.
MOST_RANK = 32

_FIXED, _FLOAT, _STRING, _OPAQUE, _COMPOUND, _ENUM, _VLEN = 0x10, 0x11, 0x13, 0x15, 0x16, 0x18, 0x19
_UTF8, _NULL_PADDED = 0x10, 0x01
#: Precision and sign bit, then place and width of exponent and mantissa, then bias.
_IEEE = {
    "float16": (15, 16, 10, 5, 0, 10, 15),
    "float32": (31, 32, 23, 8, 0, 23, 127),
    "float64": (63, 64, 52, 11, 0, 52, 1023),
}
_PARTS = {"complex64": ALL["float32"], "complex128": ALL["float64"]}


def datatype(dtype: DType) -> bytes:
    """The datatype message of an element type.

    Raises:
        KeyError: There is none: strings have one by their content, resources and variants none at all.
    """
    if dtype is BOOL:
        return _head(_ENUM, 1, 2) + datatype(ALL["int8"]) + b"FALSE\0\0\0TRUE\0\0\0\0\x00\x01"
    if dtype.is_integer and (dtype.bits in (8, 16, 32, 64)):
        signed = 0x08 if dtype.kind == "i" else 0
        return _head(_FIXED, dtype.itemsize, signed) + struct.pack("<HH", 0, dtype.bits)
    if dtype.name in _IEEE:
        sign, *rest = _IEEE[dtype.name]
        return _head(_FLOAT, dtype.itemsize, 0x20 | sign << 8) + struct.pack("<HHBBBBI", 0, *rest)
    if dtype.name in _PARTS:
        part = _PARTS[dtype.name]
        members = (_member(name, place * part.itemsize, part) for place, name in enumerate((b"r", b"i")))
        return _head(_COMPOUND, dtype.itemsize, 2) + b"".join(members)
    if not dtype.bits:
        raise KeyError(dtype.name)
    return _head(_OPAQUE, dtype.itemsize, 0)


def needs_name(dtype: DType) -> bool:
    """Whether HDF5's type does not tell what the elements are, so that `DTYPE_ATTRIBUTE` has to."""
    return dtype is not STRING and (dtype.stored is not dtype or datatype(dtype)[0] == _OPAQUE)


def widened(dtype: DType, pieces: Iterable[memoryview]) -> Iterator[memoryview]:
    """Packed elements of a sub-byte type → one byte each, as ml_dtypes has them in memory (the sign extended)."""
    import numpy as np

    bits, held = dtype.bits, b""
    for piece in pieces:
        joined = held + bytes(piece)
        whole = len(joined) - len(joined) % bits  # that many bytes are a whole number of elements
        held = joined[whole:]
        yield _widen(np.frombuffer(joined, np.uint8, whole), dtype)
    if held:
        yield _widen(np.frombuffer(held, np.uint8), dtype)


def _widen(packed: np.ndarray, dtype: DType) -> memoryview:
    import numpy as np

    bits = dtype.bits
    count = len(packed) * 8 // bits
    lanes = np.unpackbits(packed, bitorder="little")[: count * bits].reshape(count, bits)
    codes = (lanes << np.arange(bits, dtype=np.uint8)).sum(axis=1, dtype=np.uint8)
    if dtype.kind == "i":
        codes = np.where(codes >> (bits - 1), codes | (0xFF << bits & 0xFF), codes).astype(np.uint8)
    widened: memoryview = codes.data
    return widened


def string_datatype(items: Sequence[object]) -> bytes:
    """The datatype of strings of any length, which lie in a heap: UTF-8 if all are text, else bytes as they are.

    A string of HDF5 ends at a zero byte: where one has such, all are sequences of bytes.
    """
    if any("\0" in item if isinstance(item, str) else isinstance(item, bytes) and b"\0" in item for item in items):
        return _head(_VLEN, 16, 0) + _head(_FIXED, 1, 0) + struct.pack("<HH", 0, 8)
    utf8 = 0 if any(isinstance(item, bytes) for item in items) else 1
    return _head(_VLEN, 16, utf8 << 8 | 1) + _head(_FIXED, 1, 0) + struct.pack("<HH", 0, 8)


def dataspace(shape: tuple[int, ...]) -> bytes:
    """The dataspace message of an array; () is a scalar."""
    return struct.pack(f"<BBB5x{len(shape)}Q", 1, len(shape), 0, *shape)


def attribute(name: str, value: object, put: Callable[[bytes], bytes]) -> bytes:
    """The attribute message of a value.

    Args:
        name: Its name.
        value: Text, a number, or an array of numbers, of bytes of one width (`S`) or of strings.
        put: Takes the bytes of a string of any length and returns the reference to them.

    Raises:
        UnsupportedError: HDF5 has no type for it, or it is larger than an object header takes.
    """
    import numpy as np

    kind, shape, data = _encoded(name, np.asarray(_typed(value)), put)
    label, space = name.encode() + b"\0", dataspace(shape)
    message = struct.pack("<BBHHHB", 3, 0, len(label), len(kind), len(space), 1) + label + kind + space + data
    if len(message) > MOST_MESSAGE:
        raise UnsupportedError(f"attribute {name!r} has {len(message)} bytes, HDF5 takes up to {MOST_MESSAGE} in one")
    return message


def _typed(value: object) -> object:
    """Python's own numbers as arrays of the types that h5py gives them; text as arrays of objects."""
    import numpy as np

    if isinstance(value, str | bytes):
        text = np.empty((), object)
        text[()] = value
        return text
    if isinstance(value, bool):
        return np.array(value, BOOL.numpy)
    if isinstance(value, int):
        return np.array(value, INT64.numpy if -(1 << 63) <= value < 1 << 63 else UINT64.numpy)
    return np.array(value, FLOAT64.numpy) if isinstance(value, float) else value


def _encoded(
    name: str, array: np.ndarray, put: Callable[[bytes], bytes]
) -> tuple[bytes, tuple[int, ...], bytes | memoryview]:
    """Datatype, shape and bytes of an attribute."""
    import numpy as np

    if array.ndim > MOST_RANK:
        raise UnsupportedError(f"attribute {name!r} has {array.ndim} dimensions, HDF5 has up to {MOST_RANK}")
    if array.dtype.kind in "OU":
        items = array.reshape(-1).tolist()
        texts = [text_bytes(item, f"attribute {name!r}") for item in items]
        if any(b"\0" in text for text in texts):
            raise UnsupportedError(f"attribute {name!r} has a zero byte in it, where a string of HDF5 ends")
        return string_datatype(items), array.shape, b"".join(map(put, texts))
    if array.dtype.kind == "S":
        kind = _head(_STRING, max(array.dtype.itemsize, 1), _NULL_PADDED)
        return kind, array.shape, array.tobytes() if array.dtype.itemsize else bytes(array.size)
    dtype = ALL.get(array.dtype.name)
    if dtype is None or array.dtype.kind not in "biufc":
        raise UnsupportedError(f"attribute {name!r}: HDF5 has no type for {array.dtype}")
    little = np.ascontiguousarray(array, array.dtype.newbyteorder("<"))
    return datatype(dtype), array.shape, little.tobytes()


def text_bytes(item: object, owner: str) -> bytes:
    """The bytes of one string.

    Raises:
        UnsupportedError: It is no string, or no Unicode.
    """
    if isinstance(item, str):
        item = _encoded_text(item, owner)
    if not isinstance(item, bytes):
        raise UnsupportedError(f"{owner} has elements of {type(item).__name__}, for which HDF5 has no type")
    return item


def _encoded_text(item: str, owner: str) -> bytes:
    try:
        return item.encode()
    except UnicodeEncodeError as error:
        raise UnsupportedError(f"{owner} has text that is not Unicode: {error}") from None


def _head(kind: int, size: int, bits: int) -> bytes:
    return struct.pack("<B3sI", kind, bits.to_bytes(3, "little"), size)


def _member(name: bytes, offset: int, dtype: DType) -> bytes:
    return struct.pack("<8sIB3xII4I", name, offset, 0, 0, 0, 0, 0, 0, 0) + datatype(dtype)
