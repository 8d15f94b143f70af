"""NumPy's .npy: an array of objects is a pickle behind the header.

Source: https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html
"""

from __future__ import annotations

import ast
from typing import Any

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
    text = source.read(8 + width, length)
    begin = 8 + width + length
    if not _has_objects(_descr(text, source.name)):
        return
    subject.report(OBJECTS, "an array of objects", offset=begin)
    subject.inside(PartSource(Extent(source, begin, source.size - begin), source.name), "objects")


def _descr(text: bytes, where: str) -> Any:
    try:
        header = ast.literal_eval(text.decode("utf-8").strip())
        return header["descr"]
    except (ValueError, SyntaxError, KeyError, TypeError, RecursionError, MemoryError):
        raise CorruptError("the header is no dictionary with a descr", where=where) from None


def _has_objects(descr: Any) -> bool:
    """Whether some field of an element type is a Python object."""
    if isinstance(descr, str):
        return "O" in descr
    return isinstance(descr, (list, tuple)) and any(map(_has_objects, descr))


SCANNER = Scanner("NumPy array", recognises, scan, (OBJECTS,))
