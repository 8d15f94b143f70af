r"""numpy's .npy: a magic, a version, a header in the form of a Python dictionary, and the elements.

    \x93NUMPY  u8 major, u8 minor, u16 or (from version 2) u32 length of the header, little-endian
    header      {'descr': '<f4', 'fortran_order': False, 'shape': (3, 4), }, padded, '\n'; Latin-1, in version 3 UTF-8
    …           the elements

The dictionary is parsed here and never evaluated. numpy has no name for bfloat16, float8 and the like and stores them
as `<V2` or `<V1`, elements that are nothing but bytes. What is written here says behind the dictionary, in a comment
that numpy passes over, what they are: `# panmodel {"dtype": "bfloat16"}`.

Source: numpy/lib/format.py, https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html
"""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass, field
from typing import Any

from panmodel.dtypes import ALL, STRING, DType
from panmodel.errors import CorruptError, LimitError, TruncatedError, UnsafeError, UnsupportedError
from panmodel.limits import DEFAULT

MAGIC = b"\x93NUMPY"
#: The longest header that is read, and bytes of a file that surely hold it with what stands before.
LONGEST = 64 << 10
AHEAD = LONGEST + 12

_ALIGNMENT = 64
_COMMENT = "# panmodel "
_ENTRY = re.compile(
    r"""\s*(?P<quote>['"])(?P<key>descr|fortran_order|shape)(?P=quote)\s*:\s*"""
    r"""(?P<value>'[^'\\]*'|"[^"\\]*"|True|False|\([\dL,\s]*\)|\[)\s*(?P<end>,?)"""
)
_END = re.compile(r"\s*\}\s*(?:# panmodel (?P<comment>\{[ -~]*\})\s*)?")
_DESCR = re.compile(r"(?P<order>[<>=|]?)(?P<kind>[a-zA-Z?])(?P<width>\d{0,12})(?:(?<=[mM]8)\[\w{1,9}\])?")
_DIMENSION = re.compile(r"\s*(\d{1,19})L?\s*")

#: Kind and bytes of numpy's descriptors → our types.
_TYPES = {
    **{f"{dtype.kind}{dtype.itemsize}": dtype for dtype in ALL.values() if dtype.name.startswith(("int", "uint"))},
    **{f"c{ALL[name].itemsize}": ALL[name] for name in ("complex64", "complex128")},
    **{f"f{ALL[name].itemsize}": ALL[name] for name in ("float16", "float32", "float64")},
    "i1": ALL["int8"],
    "u1": ALL["uint8"],
    "b1": ALL["bool"],
    "?": ALL["bool"],
}
_SUB_BYTE = frozenset(dtype.name for dtype in ALL.values() if 0 < dtype.bits < 8)


@dataclass(frozen=True, slots=True)
class Header:
    """A header, checked.

    Attributes:
        descr: numpy's descriptor of the elements.
        dtype: Element type; STRING for `S`, `U` and strings kept as `V`.
        shape: Dimensions.
        width: Bytes that one element takes here; types of less than a byte take a whole one.
        big_endian: Whether elements are big-endian.
        fortran_order: Whether the first axis varies fastest.
        begin: Offset of the elements, in bytes.
        assumed: Whether the header leaves the element type open: elements of two bytes are taken as bfloat16, others
            as bytes.
        extra: What the comment says.
    """

    descr: str
    dtype: DType
    shape: tuple[int, ...]
    width: int
    big_endian: bool
    fortran_order: bool
    begin: int
    assumed: bool = False
    extra: dict[str, Any] = field(default_factory=dict)

    @property
    def nbytes(self) -> int:
        """Bytes of all elements as they are stored."""
        return math.prod(self.shape) * self.width

    @property
    def is_widened(self) -> bool:
        """Whether elements of less than a byte are stored in a byte each."""
        return self.dtype.name in _SUB_BYTE


def read_header(data: bytes, where: str) -> Header:
    """Read the header of a file.

    Args:
        data: The first `AHEAD` bytes of the file, or all of a shorter one.
        where: What to call the file in messages.

    Raises:
        CorruptError: It is no such header.
        LimitError: It is too long, or of too many dimensions.
        UnsafeError: The elements are pickled Python objects.
        UnsupportedError: Elements of a type that no model has.
    """
    text, begin = _text(data, where)
    values, end = _entries(text, where)
    said = _END.fullmatch(text, end)
    if said is None:
        raise CorruptError(f"the .npy header ends unexpectedly: {text[end : end + 60]!r}", where=where)
    extra = _extra(said["comment"], where)
    descr, shape = _string(values["descr"], where), _shape(values["shape"], where)
    if values["fortran_order"] not in ("True", "False"):
        raise CorruptError("fortran_order in the .npy header must be True or False", where=where)
    dtype, width, assumed = _element_type(descr, extra, where)
    if math.prod(max(size, 1) for size in shape) * max(width, 1) >= 1 << 63:
        raise CorruptError(f"an array of shape {list(shape)} is larger than can be addressed", where=where)
    fortran = values["fortran_order"] == "True" and sum(size != 1 for size in shape) > 1
    return Header(descr, dtype, shape, width, descr.startswith(">"), fortran, begin, assumed, extra)


def _text(data: bytes, where: str) -> tuple[str, int]:
    """The header's text, and where it ends."""
    if not data.startswith(MAGIC):
        raise CorruptError(f"no .npy file: it begins with {data[:6]!r}, not {MAGIC!r}", where=where)
    if len(data) < 12:
        raise TruncatedError("the file ends within its .npy header", where=where)
    version = (data[6], data[7])
    if version not in ((1, 0), (2, 0), (3, 0)):
        raise UnsupportedError(f"version {version[0]}.{version[1]} of .npy; 1.0, 2.0 and 3.0 are known", where=where)
    begin = 10 if version == (1, 0) else 12
    length = int.from_bytes(data[8:begin], "little")
    if length > LONGEST:
        raise LimitError(f"a .npy header of {length} bytes exceeds {LONGEST}", where=where)
    if begin + length > len(data):
        raise TruncatedError(f"the file ends within its .npy header of {length} bytes", where=where)
    try:
        return data[begin : begin + length].decode("utf-8" if version == (3, 0) else "latin-1"), begin + length
    except UnicodeDecodeError:
        raise CorruptError("the .npy header is no UTF-8", where=where) from None


def _entries(text: str, where: str) -> tuple[dict[str, str], int]:
    """The three entries of the dictionary as text, and where the last one ends."""
    start = text.find("{")
    if start < 0 or text[:start].strip():
        raise CorruptError(f"the .npy header is no dictionary: {text[:60]!r}", where=where)
    values: dict[str, str] = {}
    position = start + 1
    for _ in range(3):
        match = _ENTRY.match(text, position)
        if match is None:
            raise CorruptError(
                f"the .npy header has no entry where one is expected: {text[position:][:60]!r}", where=where
            )
        if match["value"] == "[":
            hint = "save each field as an array of its own"
            raise UnsupportedError("records of several fields, which no model has", where=where, hint=hint)
        if match["key"] in values:
            raise CorruptError(f"{match['key']!r} comes twice in the .npy header", where=where)
        values[match["key"]] = match["value"]
        position = match.end()
        if not match["end"]:
            break
    if len(values) != 3:
        raise CorruptError(f"the .npy header says {sorted(values)}, not descr, fortran_order and shape", where=where)
    return values, position


def _extra(comment: str | None, where: str) -> dict[str, Any]:
    if comment is None:
        return {}
    try:
        found = json.loads(comment)
    except (ValueError, RecursionError):
        raise CorruptError("the comment in the .npy header is no JSON", where=where) from None
    if not all(isinstance(value, str) for value in found.values()):
        raise CorruptError("the comment in the .npy header must give strings", where=where)
    return dict(found)


def _string(value: str, where: str) -> str:
    if value[0] not in "'\"":
        raise CorruptError(f"descr in the .npy header must be text, not {value[:40]}", where=where)
    return value[1:-1]


def _shape(value: str, where: str) -> tuple[int, ...]:
    items = value[1:-1].split(",") if value.startswith("(") else [""]
    if items[-1].strip():  # "(3)" is a number in parentheses
        plural = len(items) > 1
    else:
        items, plural = items[:-1], True
    found = [_DIMENSION.fullmatch(item) for item in items]
    if not value.startswith("(") or not plural or not all(found) or (not items and value.strip("() \t\n")):
        raise CorruptError(f"shape in the .npy header must be a tuple of numbers, not {value[:60]}", where=where)
    if len(found) > DEFAULT.rank:
        raise LimitError(f"{len(found)} dimensions exceed {DEFAULT.rank}", where=where)
    return tuple(int(match[1]) for match in found if match)


def _element_type(descr: str, extra: dict[str, Any], where: str) -> tuple[DType, int, bool]:
    """Element type, bytes of one element, and whether the type had to be assumed."""
    match = _DESCR.fullmatch(descr)
    if match is None:
        raise CorruptError(f"descr {descr[:60]!r} in the .npy header is no type of numpy", where=where)
    kind, width = match["kind"], int(match["width"] or 0)
    if kind == "O":
        hint = "load it where you trust it and save plain arrays"
        raise UnsafeError(
            "the array is made of pickled Python objects, which reading would run", where=where, hint=hint
        )
    named = extra.get("dtype")
    if named is not None:
        return *_named_type(descr, kind, width, named, where), False
    if kind in "SaU":
        return STRING, width * (4 if kind == "U" else 1), False
    if kind == "V" and width in (1, 2):  # what numpy makes of the types of ml_dtypes
        return ALL["bfloat16" if width == 2 else "uint8"], width, True
    if (kind, width) == ("f", 1):  # float8_e5m2 as ml_dtypes spells it, which numpy writes and does not read
        return ALL["float8_e5m2"], 1, False
    dtype = _TYPES.get(f"{kind}{width}" if width else kind)
    if dtype is None or (match["width"].startswith("0")):
        raise UnsupportedError(f"elements of numpy's type {descr!r}, which no model has", where=where)
    return dtype, dtype.itemsize, False


def _named_type(descr: str, kind: str, width: int, name: str, where: str) -> tuple[DType, int]:
    dtype = ALL.get(name)
    if dtype is STRING and kind == "V" and width:
        return dtype, width
    if dtype is None or not dtype.bits or _descr(dtype)[1:] != f"{kind}{width}" or descr.startswith(">"):
        raise CorruptError(f"the comment in the .npy header says {name[:40]!r} of elements {descr!r}", where=where)
    return dtype, dtype.itemsize


def _descr(dtype: DType) -> str:
    """The descriptor of numpy for a type with a fixed width."""
    import numpy as np

    own = np.dtype(dtype.numpy)
    if own.type.__module__ == "numpy":
        return own.newbyteorder("<").str
    return f"<V{dtype.itemsize}"


def is_known(dtype: DType) -> bool:
    """Whether numpy itself reads elements of a type as what they are; of others a comment in the header tells it."""
    return dtype is STRING or _TYPES.get(_descr(dtype)[1:]) is dtype


def make_header(dtype: DType, shape: tuple[int, ...], *, descr: str = "", extra: dict[str, str] | None = None) -> bytes:
    """A header, its end at a multiple of 64 bytes.

    Args:
        dtype: Element type.
        shape: Dimensions.
        descr: numpy's descriptor, for strings.
        extra: Said in a comment.
    """
    descr = descr or _descr(dtype)
    said = dict(extra or {})
    if _TYPES.get(descr[1:]) is not dtype and descr[1] not in "SU":
        said["dtype"] = dtype.name
    text = f"{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape!r}, }}"
    if said:
        text += f" {_COMMENT}{json.dumps(said, separators=(',', ':'))}"
    data = text.encode("latin-1")
    version, size = (b"\x01\x00", 2) if len(data) + _ALIGNMENT < 1 << 16 else (b"\x02\x00", 4)
    before = len(MAGIC) + 2 + size
    data += b" " * (-(before + len(data) + 1) % _ALIGNMENT) + b"\n"
    return MAGIC + version + len(data).to_bytes(size, "little") + data
