"""Pickles as Python 2 wrote them: byte strings where Python 3 has text or bytes, in protocols 0, 1 and 2."""

from __future__ import annotations

import struct

import numpy as np


def dumps(value: object, protocol: int) -> bytes:
    """What `cPickle.dumps` of Python 2 makes of a value, but for the memo.

    Args:
        value: Bytes for a `str` of Python 2, text for a `unicode`; None, integers, floats, tuples, lists,
            dictionaries, arrays and scalars of numpy.
        protocol: 0, 1 or 2.
    """
    return (b"\x80\x02" if protocol == 2 else b"") + _Writer(protocol).value(value) + b"."


class _Writer:
    def __init__(self, protocol: int) -> None:
        self.binary, self.count = protocol > 0, 0

    def value(self, value: object) -> bytes:
        match value:
            case None:
                return b"N"
            case np.ndarray() | np.generic():
                return self._of_numpy(value)
            case bytes():
                return self._bytes(value)
            case str():
                return b"V" + value.encode("raw-unicode-escape") + b"\n" if not self.binary else _unicode(value)
            case bool() | int():
                return b"I%s\n" % (b"0%d" % value if isinstance(value, bool) else b"%d" % value)
            case float():
                return b"G" + struct.pack(">d", value) if self.binary else b"F%r\n" % value
            case tuple():
                return b"(" + b"".join(map(self.value, value)) + b"t"
            case list():
                return self._remembered(b"(l") + b"".join(self.value(item) + b"a" for item in value)
            case dict():
                pairs = (self.value(key) + self.value(item) + b"s" for key, item in value.items())
                return self._remembered(b"(d") + b"".join(pairs)
        raise TypeError(type(value))

    def _remembered(self, code: bytes) -> bytes:
        self.count += 1
        return code + (b"r" + struct.pack("<I", self.count) if self.binary else b"p%d\n" % self.count)

    def _bytes(self, value: bytes) -> bytes:
        if self.binary:
            return (b"U%c" % len(value) if len(value) < 256 else b"T" + struct.pack("<i", len(value))) + value
        return b"S" + repr(value)[1:].encode() + b"\n"

    def _of_numpy(self, value: np.ndarray | np.generic) -> bytes:
        dtype = self._dtype(value.dtype)
        if isinstance(value, np.generic):
            return b"cnumpy.core.multiarray\nscalar\n(" + dtype + self._bytes(value.tobytes()) + b"tR"
        fortran = value.flags.f_contiguous and not value.flags.c_contiguous
        content = self.value(value.ravel().tolist()) if value.dtype == object else self._bytes(value.tobytes("A"))
        made = b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(I0\nt" + self._bytes(b"b") + b"tR"
        return (
            self._remembered(made) + b"(I1\n" + self.value(value.shape) + dtype + b"I0%d\n" % fortran + content + b"tb"
        )

    def _dtype(self, dtype: np.dtype) -> bytes:
        order = {"=": b"<"}.get(dtype.byteorder, dtype.byteorder.encode())
        state = (3, order, None, None, None, -1, -1, 63 if dtype.kind == "O" else 0)
        made = b"cnumpy\ndtype\n" + self.value((dtype.str[1:].encode(), 0, 1)) + b"R"
        return made + self.value(state) + b"b"


def _unicode(text: str) -> bytes:
    data = text.encode("utf-8")
    return b"X" + struct.pack("<I", len(data)) + data
