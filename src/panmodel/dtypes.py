"""The one table of element types and of how each format spells them.

Sources: tensorflow/core/framework/types.proto, onnx.proto (TensorProto.DataType), the safetensors README,
torch/storage.py (typed storages).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np


@dataclass(frozen=True, slots=True)
class DType:
    """An element type. Two are the same if they are the same object of this table.

    Attributes:
        name: numpy's (or ml_dtypes') name; the name shown to users and torch's own where torch has it.
        bits: Width of one element; 0 for strings and other elements without a fixed width.
        kind: "f" float, "i" signed, "u" unsigned, "b" bool, "c" complex, "s" string, "o" opaque.
        tensorflow: Enum value in TensorFlow's DataType, None where it has none. Likewise the next.
        onnx: Enum value in TensorProto.DataType.
        safetensors: Its dtype string.
        torch: Name in the `torch` module.
        torch_storage: Name of its typed storage class in `torch`.
    """

    name: str
    bits: int
    kind: str
    tensorflow: int | None = None
    onnx: int | None = None
    safetensors: str | None = None
    torch: str | None = None
    torch_storage: str | None = None

    @property
    def itemsize(self) -> int:
        """Bytes of one element in memory (sub-byte types take one byte each there)."""
        return (self.bits + 7) // 8

    @property
    def numpy(self) -> np.dtype[np.generic]:
        """The numpy type that holds one element in memory."""
        return _numpy_dtype(self.name)

    @property
    def number_bytes(self) -> int:
        """Bytes of one number, whose order may be the other way around; a complex element is two numbers."""
        return self.itemsize // 2 if self.kind == "c" else self.itemsize

    @property
    def stored(self) -> DType:
        """The type of the integers that a quantized type, or one of mere bits, consists of; itself for any other."""
        return ALL[_STORED.get(self.name, self.name)]

    @property
    def is_float(self) -> bool:
        """Whether this is a real floating-point type."""
        return self.kind == "f"

    @property
    def is_integer(self) -> bool:
        """Whether this is a signed or unsigned integer type."""
        return self.kind in "iu"

    def nbytes(self, elements: int) -> int:
        """Stored size of that many elements in bytes, sub-byte types packed."""
        return (elements * self.bits + 7) // 8

    def __repr__(self) -> str:
        return self.name

    def __reduce__(self) -> str:  # identity survives copies between processes
        return self.name.upper()


#        name             bits kind  TF onnx  safetensors  torch           storage
_TABLE = (
    DType("float32", 32, "f", 1, 1, "F32", "float32", "FloatStorage"),
    DType("float64", 64, "f", 2, 11, "F64", "float64", "DoubleStorage"),
    DType("int32", 32, "i", 3, 6, "I32", "int32", "IntStorage"),
    DType("uint8", 8, "u", 4, 2, "U8", "uint8", "ByteStorage"),
    DType("int16", 16, "i", 5, 5, "I16", "int16", "ShortStorage"),
    DType("int8", 8, "i", 6, 3, "I8", "int8", "CharStorage"),
    DType("string", 0, "s", 7, 8),
    DType("complex64", 64, "c", 8, 14, "C64", "complex64", "ComplexFloatStorage"),
    DType("int64", 64, "i", 9, 7, "I64", "int64", "LongStorage"),
    DType("bool", 8, "b", 10, 9, "BOOL", "bool", "BoolStorage"),
    DType("qint8", 8, "i", 11, None, None, "qint8", "QInt8Storage"),
    DType("quint8", 8, "u", 12, None, None, "quint8", "QUInt8Storage"),
    DType("qint32", 32, "i", 13, None, None, "qint32", "QInt32Storage"),
    DType("bfloat16", 16, "f", 14, 16, "BF16", "bfloat16", "BFloat16Storage"),
    DType("qint16", 16, "i", 15),
    DType("quint16", 16, "u", 16),
    DType("uint16", 16, "u", 17, 4, "U16", "uint16"),
    DType("complex128", 128, "c", 18, 15, None, "complex128", "ComplexDoubleStorage"),
    DType("float16", 16, "f", 19, 10, "F16", "float16", "HalfStorage"),
    DType("resource", 0, "o", 20),
    DType("variant", 0, "o", 21),
    DType("uint32", 32, "u", 22, 12, "U32", "uint32"),
    DType("uint64", 64, "u", 23, 13, "U64", "uint64"),
    DType("float8_e5m2", 8, "f", 24, 19, "F8_E5M2", "float8_e5m2"),
    DType("float8_e4m3fn", 8, "f", 25, 17, "F8_E4M3", "float8_e4m3fn"),
    DType("float8_e4m3fnuz", 8, "f", 26, 18, "F8_E4M3FNUZ", "float8_e4m3fnuz"),
    DType("float8_e4m3b11fnuz", 8, "f", 27),
    DType("float8_e5m2fnuz", 8, "f", 28, 20, "F8_E5M2FNUZ", "float8_e5m2fnuz"),
    DType("float8_e8m0fnu", 8, "f", None, 24, "F8_E8M0", "float8_e8m0fnu"),
    DType("int4", 4, "i", 29, 22),
    DType("uint4", 4, "u", 30, 21),
    DType("int2", 2, "i", 31, 26),
    DType("uint2", 2, "u", 32, 25),
    DType("float4_e2m1fn", 4, "f", 33, 23, "F4"),
    DType("float6_e2m3fn", 6, "f", None, 27, "F6_E2M3"),
    DType("float6_e3m2fn", 6, "f", None, 28, "F6_E3M2"),
    DType("complex32", 32, "c", None, None, None, "complex32"),
    DType("quint4x2", 4, "u", None, None, None, "quint4x2", "QUInt4x2Storage"),
    DType("quint2x4", 2, "u", None, None, None, "quint2x4", "QUInt2x4Storage"),
    DType("bits8", 8, "u", None, None, None, "bits8"),
    DType("bits16", 16, "u", None, None, None, "bits16"),
    DType("bits1x8", 8, "u", None, None, None, "bits1x8"),
    DType("bits2x4", 8, "u", None, None, None, "bits2x4"),
    DType("bits4x2", 8, "u", None, None, None, "bits4x2"),
)

ALL = {dtype.name: dtype for dtype in _TABLE}
BY_TENSORFLOW = {d.tensorflow: d for d in _TABLE if d.tensorflow is not None}
BY_ONNX = {d.onnx: d for d in _TABLE if d.onnx is not None}
BY_SAFETENSORS = {d.safetensors: d for d in _TABLE if d.safetensors is not None}
BY_TORCH = {d.torch: d for d in _TABLE if d.torch is not None}
BY_TORCH_STORAGE = {d.torch_storage: d for d in _TABLE if d.torch_storage is not None}

#: Types of torch whose elements are bytes with several of ours each, side by side in the last dimension.
TORCH_PACKED = {"float4_e2m1fn_x2": ALL["float4_e2m1fn"]}
_NARROW = tuple(f"{sign}int{bits}" for sign in ("", "u") for bits in range(1, 8))
#: What torch calls its types: no file has tensors of the integers of less than a byte, but settings name them.
TORCH_NAMES = frozenset((*BY_TORCH, *TORCH_PACKED, *_NARROW))

FLOAT32, FLOAT64, FLOAT16, BFLOAT16 = ALL["float32"], ALL["float64"], ALL["float16"], ALL["bfloat16"]
INT8, INT16, INT32, INT64 = ALL["int8"], ALL["int16"], ALL["int32"], ALL["int64"]
UINT8, UINT16, UINT32, UINT64 = ALL["uint8"], ALL["uint16"], ALL["uint32"], ALL["uint64"]
BOOL, STRING, RESOURCE, VARIANT = ALL["bool"], ALL["string"], ALL["resource"], ALL["variant"]
COMPLEX64, COMPLEX128 = ALL["complex64"], ALL["complex128"]

#: Elements that numpy has no name for, and the integers that it has for their bits.
_STORED = {"qint8": "int8", "quint8": "uint8", "qint16": "int16", "quint16": "uint16", "qint32": "int32"}
_STORED |= {"quint4x2": "uint4", "quint2x4": "uint2", "bits8": "uint8", "bits16": "uint16"}
_STORED |= dict.fromkeys(("bits1x8", "bits2x4", "bits4x2"), "uint8")  # torch counts the bytes


@cache
def _numpy_dtype(name: str) -> np.dtype[np.generic]:
    import numpy as np

    name = _STORED.get(name, name)
    if name in ("string", "resource", "variant"):
        return np.dtype(object)
    try:
        found: np.dtype[np.generic] = np.dtype(name)
    except TypeError:
        import ml_dtypes  # bfloat16, float8, complex32 and the sub-byte types

        found = np.dtype(getattr(ml_dtypes, name))
    return found


def from_numpy(dtype: np.dtype[np.generic]) -> DType:
    """The element type of a numpy array.

    Raises:
        KeyError: numpy types without a counterpart (datetime, structured, object that holds no strings).
    """
    return STRING if dtype.kind in "OSU" else ALL[_name_of(dtype)]


@lru_cache(256)
def _name_of(dtype: np.dtype[np.generic]) -> str:
    """The name that numpy has for an element type, which it makes anew whenever it is asked."""
    return dtype.name
