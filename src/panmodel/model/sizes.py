"""Sizes of shards as people write them."""

from __future__ import annotations

import re
from fractions import Fraction

from panmodel.errors import UsageError

_SIZE = re.compile(r"\s*(?P<number>\d+(?:\.\d+)?)\s*(?:(?P<unit>[kmgt])(?P<binary>i?))?b?\s*", re.ASCII | re.IGNORECASE)
_WHERE = "shard size"


def bytes_in(size: int | str) -> int:
    """The bytes in a size, at least one.

    Args:
        size: A number of them, or a text: 5GB and 5G are decimal, 5GiB is binary.

    Raises:
        UsageError: It is no such number or text, or less than one byte.
    """
    if isinstance(size, bool) or not isinstance(size, (int, str)):  # True is the number one, and hardly meant
        raise UsageError(f"{size!r} is no size", where=_WHERE, hint="give a whole number of bytes, or a text like 5GB")
    found = size if isinstance(size, int) else _parsed(size)
    if found < 1:
        raise UsageError(f"files of {size} bytes hold no tensors", where=_WHERE)
    return found


def _parsed(text: str) -> int:
    parts = _SIZE.fullmatch(text)
    if parts is None:
        raise UsageError(f"{text!r} is no size", where=_WHERE, hint="write 5GB, 500MB or 2GiB")
    power = " kmgt".index((parts["unit"] or " ").lower())
    return int(Fraction(parts["number"]) * (1024 if parts["binary"] else 1000) ** power)
