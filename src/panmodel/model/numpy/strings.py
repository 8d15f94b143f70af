"""Strings as numpy stores them: of one width, the shorter ones padded with zeros.

Text is `U`, bytes are `S`. Neither can say that a string ends in zeros itself; where one does, the strings are stored
as `V`, plain bytes, each ended by a byte of 1 before the padding.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

_END = b"\x01"
_PIECE = 1 << 20


@dataclass(frozen=True, slots=True)
class Strings:
    """How the strings of a tensor are stored.

    Attributes:
        descr: numpy's descriptor.
        width: Bytes that each takes.
        content: Bytes of all together, without padding.
    """

    descr: str
    width: int
    content: int

    def pieces(self, array: np.ndarray) -> Iterator[memoryview]:
        """The strings as they are stored."""
        batch, size = [], 0
        for item in array.reshape(-1).tolist():
            batch.append(_encoded(item, self.descr[1]).ljust(self.width, b"\0"))
            size += self.width
            if size >= _PIECE:
                yield memoryview(b"".join(batch))
                batch, size = [], 0
        if batch:
            yield memoryview(b"".join(batch))


def plan(array: np.ndarray) -> Strings:
    """How to store an array of strings so that every one comes back."""
    items = array.reshape(-1).tolist()
    are_text = bool(items) and all(isinstance(item, str) for item in items)
    ended = any(item[-1:] in ("\0", b"\0") for item in items)
    kind = "V" if ended else "U" if are_text else "S"
    sizes = [len(_encoded(item, kind)) for item in items]
    width = max([*sizes, 4 if kind == "U" else 1])
    descr = f"<U{width // 4}" if kind == "U" else f"|{kind}{width}"
    return Strings(descr, width, sum(sizes))


def decoded(data: bytes, descr: str, width: int, shape: tuple[int, ...]) -> np.ndarray:
    """Stored strings → an array of objects, text as str and all else as bytes.

    Raises:
        ValueError: They are no text, or not ended.
    """
    import numpy as np

    array = np.empty(math.prod(shape), object)
    if width == 0:
        array[:] = [""] * len(array) if "U" in descr else [b""] * len(array)
    elif "V" in descr:
        array[:] = [_unended(data[at : at + width]) for at in range(0, len(data), width)]
    else:
        if "U" in descr and (np.frombuffer(data, f"{descr[: descr.index('U')]}u4") > sys.maxunicode).any():
            raise ValueError("a letter has a number beyond those of Unicode")
        array[:] = np.frombuffer(data, descr.replace("a", "S")).tolist()
    return array.reshape(shape)


def _encoded(item: Any, kind: str) -> bytes:
    if kind == "U":
        return str(item).encode("utf-32-le", "surrogatepass")
    data = item.encode("utf-8", "surrogatepass") if isinstance(item, str) else bytes(item)
    return data + _END if kind == "V" else data


def _unended(data: bytes) -> bytes:
    content = data.rstrip(b"\0")
    if not content.endswith(_END):
        raise ValueError("a string has no end")
    return content[:-1]
