"""Numbers of variable length, the wire types, and what each kind of scalar is on the wire."""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from panmodel.errors import CorruptError

if TYPE_CHECKING:
    import numpy as np

VARINT, FIXED64, BYTES, _GROUP_START, _GROUP_END, FIXED32 = range(6)

#: Scalar kinds: wire type and the value that an absent field has.
SCALARS: dict[str, tuple[int, Any]] = {
    "int32": (VARINT, 0),
    "int64": (VARINT, 0),
    "uint32": (VARINT, 0),
    "uint64": (VARINT, 0),
    "enum": (VARINT, 0),
    "bool": (VARINT, False),
    "fixed32": (FIXED32, 0),
    "fixed64": (FIXED64, 0),
    "float": (FIXED32, 0.0),
    "double": (FIXED64, 0.0),
    "string": (BYTES, ""),
    "bytes": (BYTES, b""),
    "blob": (BYTES, None),
}
PACKING = {"fixed32": "<I", "fixed64": "<Q", "float": "<f", "double": "<d"}
ARRAY_TYPES = {"fixed32": "<u4", "fixed64": "<u8", "float": "<f4", "double": "<f8"}

_MASK = 0xFFFFFFFFFFFFFFFF


def varint(number: int) -> bytes:
    """A number as it is on the wire, seven bits in each byte, lowest first; negative ones take ten bytes."""
    number &= _MASK
    if number < 0x80:
        return bytes((number,))
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def scalar_bytes(kind: str, value: Any) -> bytes:
    """A number of that kind as it is on the wire."""
    return struct.pack(PACKING[kind], value) if kind in PACKING else varint(int(value))


def _int64(number: int) -> int:
    return number - (1 << 64) if number >> 63 else number


def _int32(number: int) -> int:
    number &= 0xFFFFFFFF
    return number - (1 << 32) if number >> 31 else number


def _uint32(number: int) -> int:
    return number & 0xFFFFFFFF


#: What 64 bits mean for each kind of varint: 32-bit kinds take the lower half, as every implementation does.
MEANINGS: dict[str, Callable[[int], int]] = {
    "int32": _int32,
    "int64": _int64,
    "uint32": _uint32,
    "uint64": int,
    "enum": _int32,
    "bool": bool,
}


def unpack_varints(data: bytes, kind: str) -> np.ndarray:
    """Packed varints → int64 (uint64 for that kind), all at once.

    Raises:
        CorruptError: They end in the middle of one, or one has more than ten bytes.
    """
    import numpy as np

    raw = np.frombuffer(data, np.uint8)
    if not len(raw):
        return np.zeros(0, np.uint64 if kind == "uint64" else np.int64)
    ends = np.flatnonzero(raw < 0x80)
    if not len(ends) or ends[-1] != len(raw) - 1:
        raise CorruptError("packed numbers end in the middle of one")
    starts = np.concatenate([[0], ends[:-1] + 1])
    if int((ends - starts).max()) > 9:
        raise CorruptError("a packed number of more than ten bytes")
    if len(ends) == len(raw):  # every one of a single byte
        total = raw.astype(np.uint64)
    else:
        place = np.arange(len(raw)) - np.repeat(starts, ends - starts + 1)
        total = np.add.reduceat((raw & 0x7F).astype(np.uint64) << (place * 7).astype(np.uint64), starts)
    if kind == "uint64":
        return total
    if kind == "int64":
        return total.view(np.int64)
    if kind == "bool":
        return np.minimum(total, 1).astype(np.int64)
    low = total.astype(np.uint32)
    return low.astype(np.int64) if kind == "uint32" else low.view(np.int32).astype(np.int64)
