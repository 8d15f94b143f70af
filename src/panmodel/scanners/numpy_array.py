"""NumPy's .npy: an array of objects is a pickle behind the header.

Source: https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html
"""

from __future__ import annotations

import ast
import math
import re
from typing import Any

import numpy as np

from panmodel.errors import CorruptError, LimitError
from panmodel.io.source import Extent, PartSource
from panmodel.model.finding import Level, Rule
from panmodel.model.scanner import Scanner, Subject

OBJECTS = Rule(
    "PM-NUMPY-OBJECTS",
    Level.NOTE,
    "An array of Python objects, which is a pickle; NumPy reads it only with allow_pickle=True.",
    "Leave allow_pickle off.",
)
_MAGIC, _LONGEST = b"\x93NUMPY", 1 << 20
_PLAIN = re.compile(r"[<>|=]?[?biufcmMSUVaB]\d{0,9}(\[[\w/]*\])?")


def recognises(subject: Subject) -> bool:
    """Whether it begins with the magic string of .npy."""
    return subject.head(6) == _MAGIC


def scan(subject: Subject) -> None:
    """Look at the pickle of an array of objects."""
    source = subject.source
    version = source.read(6, 1)[0]
    width = 2 if version == 1 else 4
    length = int.from_bytes(source.read(8, width), "little")
    if length > _LONGEST or version not in (1, 2, 3):
        raise LimitError(f"a header of version {version} with {length} bytes", where=source.name)
    header = _header(source.read(8 + width, length), source.name)
    begin, descr = 8 + width + length, header["descr"]
    if not _is_plain(descr):
        subject.report(OBJECTS, "an array of objects", offset=begin)
        subject.inside(PartSource(Extent(source, begin, source.size - begin), source.name), "objects")
        return
    end = begin + _nbytes(descr, header["shape"], source.name)
    source.check(begin, end - begin)
    if end < source.size:  # a further array, which NumPy reads from the same file when it is asked again
        subject.inside(PartSource(Extent(source, end, source.size - end), source.name), "behind the array")


def _header(text: bytes, where: str) -> dict[str, Any]:
    try:
        header = ast.literal_eval(text.decode("utf-8").strip())
    except (ValueError, SyntaxError, TypeError, RecursionError, MemoryError):
        header = None
    if not isinstance(header, dict) or not {"descr", "shape"} <= header.keys():
        raise CorruptError("the header is no dictionary with a descr and a shape", where=where)
    return header


def _is_plain(descr: Any) -> bool:
    """Whether an element type is one of numbers, texts or bytes; NumPy takes many other spellings for objects."""
    if isinstance(descr, str):
        return _PLAIN.fullmatch(descr) is not None
    if isinstance(descr, tuple):
        return len(descr) == 2 and _is_plain(descr[0])
    fields = isinstance(descr, list) and all(isinstance(each, tuple) and len(each) in (2, 3) for each in descr)
    return fields and all(_is_plain(each[1]) for each in descr)


def _nbytes(descr: Any, shape: Any, where: str) -> int:
    dims = shape if isinstance(shape, tuple) else ()
    try:
        if dims is shape and all(type(dim) is int and dim >= 0 for dim in dims):
            nbytes: int = math.prod(dims) * np.lib.format.descr_to_dtype(descr).itemsize
            return nbytes
    except (ValueError, TypeError, RecursionError, OverflowError):
        pass
    raise CorruptError("the header has no element type or shape of an array", where=where)


SCANNER = Scanner("NumPy array", recognises, scan, (OBJECTS,))
