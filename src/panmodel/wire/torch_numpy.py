"""numpy arrays and scalars in pickles, as inert records.

Source: numpy/_core/src/multiarray/methods.c (`array_setstate`), descriptor.c (`arraydescr_setstate`).
"""

from __future__ import annotations

import math
import struct

from panmodel import dtypes
from panmodel.dtypes import DType
from panmodel.errors import LimitError
from panmodel.io.source import Extent, MemorySource
from panmodel.wire.pickle import Constructor, Global, Object, describe, stored_bytes
from panmodel.wire.torch_records import ArrayRecord
from panmodel.wire.torch_values import Making, are_counts

DTYPE, NDARRAY = Global("numpy", "dtype"), Global("numpy", "ndarray")
SCALAR = Global("numpy.core.multiarray", "scalar")
_SCALARS = {"f2": "e", "f4": "f", "f8": "d", "b1": "?", "i1": "b", "i2": "h", "i4": "i", "i8": "q"}
_SCALARS |= {"c8": "ff", "c16": "dd", "u1": "B", "u2": "H", "u4": "I", "u8": "Q"}
#: Types of numpy's scalars, which settings name.
SCALAR_TYPES: tuple[str, ...] = ("bool", "bool_", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32")
SCALAR_TYPES += ("uint64", "float16", "float32", "float64", "complex64", "complex128", "str_", "bytes_")
#: Types that the package of this name adds to numpy; one element takes at least a byte there.
OF_ML_DTYPES = frozenset(name for name in dtypes.ALL if name.startswith(("bfloat", "float8", "float6", "float4")))
OF_ML_DTYPES |= {"int4", "uint4", "int2", "uint2"}
_KINDS = {"f": "float", "i": "int", "u": "uint", "c": "complex"}


def _element(code: str) -> DType | None:
    """The element type of numpy's code without byte order ("f4"), None if it is no tensor's."""
    if code == "b1":
        return dtypes.BOOL
    if code in OF_ML_DTYPES:
        return dtypes.ALL[code]
    kind, width = _KINDS.get(code[:1], ""), code[1:]
    return dtypes.ALL.get(f"{kind}{int(width) * 8}") if kind and width in ("1", "2", "4", "8", "16") else None


class Arrays(Making):
    """Constructors of numpy's values."""

    def scalar(self, args: tuple[object, ...]) -> object:
        """numpy.core.multiarray.scalar(dtype, bytes): the metrics in many a training checkpoint."""
        kind, stored = args if len(args) == 2 else (None, None)
        code, order = self._described(kind, "scalar")
        layout, data = _SCALARS.get(code), stored_bytes(stored)
        if data is not None and code[:1] in ("S", "U"):
            return self._strings(code, order, data, 1)[0]
        if data is not None and code in OF_ML_DTYPES and len(data) == dtypes.ALL[code].itemsize:
            import numpy as np

            return float(np.frombuffer(data, dtypes.ALL[code].numpy)[0])
        if layout is None or data is None:  # a date, a record, an object
            return Object(SCALAR, args)
        if len(data) != struct.calcsize("<" + layout):
            raise self.corrupt(f"a numpy scalar of type {code} has {len(data)} bytes")
        numbers = struct.unpack(order + layout, data)
        return complex(*numbers) if len(numbers) == 2 else numbers[0]

    def _strings(self, code: str, order: str, data: bytes, count: int) -> list[object]:
        """The elements of type "S3" (bytes) or "U3" (text), each padded with zeros to its width."""
        size = int(code[1:]) if code[1:].isascii() and code[1:].isdecimal() and len(code) < 12 else -1
        width = size * (4 if code[0] == "U" else 1)
        if width * count != len(data):
            raise self.corrupt(f"{count} strings of numpy's type {code[:20]} have {len(data)} bytes")
        self.copying(count)
        pieces = [data[at * width : (at + 1) * width] for at in range(count)]
        if code[0] == "S":
            return [piece.rstrip(b"\0") for piece in pieces]
        encoding = "utf-32-be" if order == ">" else "utf-32-le"
        try:
            return [piece.decode(encoding).rstrip("\0") for piece in pieces]
        except UnicodeDecodeError:
            raise self.corrupt(f"strings of numpy's type {code[:20]} are no text") from None

    def generator(self, name: str) -> Constructor:
        """numpy.random._pickle.__generator_ctor("PCG64", …): it calls what it is given."""

        def make(args: tuple[object, ...]) -> Object:
            roots = (item.root if isinstance(item, Object) else item for item in args)
            self.passed |= {root for root in roots if isinstance(root, Global)}
            return Object(Global("numpy.random._pickle", name), args)

        return make

    def reconstructed(self, args: tuple[object, ...]) -> object:
        """numpy.core.multiarray._reconstruct(ndarray, (0,), b"b"), which gets its content as its state."""
        if len(args) != 3 or not isinstance(args[0], Global):
            raise self.corrupt("a numpy array is reconstructed from other things than its class, shape and type")
        return ArrayRecord() if args[0] == NDARRAY else Object(args[0], args[1:], called=False)

    def buffered(self, args: tuple[object, ...]) -> ArrayRecord:
        """numpy.core.numeric._frombuffer(bytes, dtype, shape, order), as protocol 5 writes arrays."""
        data, kind, shape, order = args if len(args) == 4 else (None,) * 4
        if order not in ("C", "F"):
            raise self.corrupt("a numpy array is neither in C nor in Fortran order")
        made = ArrayRecord()
        self._fill(made, shape, kind, order == "F", bytes(data) if isinstance(data, bytearray) else data)
        return made

    def set_state(self, array: ArrayRecord, state: object) -> None:
        """What BUILD does to an array: (version, shape, dtype, is_fortran, data)."""
        fields = state[1:] if isinstance(state, tuple) and len(state) == 5 else state
        if not isinstance(fields, tuple) or len(fields) != 4:
            raise self.corrupt(f"{describe(state)} as state of a numpy array")
        self._fill(array, *fields)

    def _fill(self, array: ArrayRecord, shape: object, kind: object, fortran: object, data: object) -> None:
        code, order = self._described(kind, "array")
        if not are_counts(shape) or type(fortran) not in (bool, int):
            raise self.corrupt("a numpy array has no proper shape and order")
        if len(shape) > self.limits.rank:
            raise LimitError(f"a numpy array with {len(shape)} dimensions", where=self.where)
        if isinstance(data, str):
            self.copying(len(data))
            data = stored_bytes(data)
        count = math.prod(shape)
        if isinstance(data, list):
            if len(data) != count:
                raise self.corrupt(f"a numpy array of shape {shape} has {len(data)} objects")
            array.items = data
        elif isinstance(data, (bytes, Extent)):
            array.dtype, size = _element(code), len(data) if isinstance(data, bytes) else data.nbytes
            if array.dtype is not None and array.dtype.itemsize * count != size:
                raise self.corrupt(f"a numpy array of {code} and shape {shape} has {size} bytes")
            array.data = data if isinstance(data, Extent) else Extent(MemorySource(data, self.where), 0, size)
            if isinstance(data, bytes) and code[:1] in ("S", "U") and not (fortran and len(shape) > 1):
                array.items = self._strings(code, order, data, count)
        else:
            raise self.corrupt(f"a numpy array has {describe(data)} as its bytes")
        array.code, array.shape, array.fortran, array.big_endian = code, shape, bool(fortran), order == ">"

    def _described(self, kind: object, what: str) -> tuple[str, str]:
        """Numpy's code of the type that a pickled dtype describes, and "<" or ">"."""
        named = kind.args[0] if isinstance(kind, Object) and kind.cls == DTYPE and kind.args else None
        if isinstance(named, Global) and named.module == "ml_dtypes":
            return named.name, "<"
        if not isinstance(kind, Object) or not isinstance(named, str):
            raise self.corrupt(f"a numpy {what} without a dtype")
        code, order = named, "<"
        if code[:1] in ("<", ">", "|", "="):
            code, order = code[1:], ">" if code[:1] == ">" else "<"
        if any(isinstance(state, tuple) and ">" in state[1:2] for state in kind.states):
            order = ">"
        return code, order
