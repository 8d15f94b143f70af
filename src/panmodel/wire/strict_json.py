"""JSON that every reader takes in the same way: a name twice in one object, or half a character, is refused.

Source: RFC 8259; section 4 leaves open what a repeated name means, and readers differ.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass

from panmodel.errors import CorruptError, LimitError
from panmodel.limits import DEFAULT, Limits

_DAMAGED = "the file is damaged or cut short: fetch it again"
_NUMBER = re.compile(r"[0-9]{1,18}")
_COMMAS = 8  # per tensor, in a text that describes tensors: type, dimensions, offsets


def parse(data: bytes, where: str, what: str, *, limits: Limits = DEFAULT) -> dict[str, object]:
    """An object of JSON as plain values.

    Args:
        data: The text, no larger than is held in memory.
        where: The file, for messages.
        what: What the text is, for messages: "the header".
        limits: Caps on the number of tensors that it can describe.

    Raises:
        CorruptError: It is no JSON object, or one that readers would take in different ways.
        LimitError: It has more parts than any model needs.
    """
    if not data.startswith(b"{"):
        raise CorruptError(f"{what} does not begin with '{{'", where=where, hint=_DAMAGED)
    parts = max(data.count(b"{"), data.count(b"["), data.count(b",") // _COMMAS)
    if parts > 2 * limits.tensors:  # before they become objects in memory
        raise LimitError(f"{what} describes more than {limits.tensors} tensors", where=where)

    def distinct(pairs: list[tuple[str, object]]) -> dict[str, object]:
        made = dict(pairs)
        if len(made) != len(pairs):
            seen: set[str] = set()
            name = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
            raise CorruptError(f"the name {name[:200]!r} appears twice in {what}", where=where, hint=_DAMAGED)
        return made

    try:
        text = data.decode("utf-8")
        fields = json.loads(text, object_pairs_hook=distinct)
        if "\\ud" in text.lower():  # lone surrogates: JSON can spell them, UTF-8 and other readers cannot
            json.dumps(fields, ensure_ascii=False).encode()
    except UnicodeError:
        raise CorruptError(f"{what} is not UTF-8", where=where, hint=_DAMAGED) from None
    except (ValueError, RecursionError) as error:
        raise CorruptError(f"{what} is not JSON: {str(error)[:200]}", where=where, hint=_DAMAGED) from None
    assert isinstance(fields, dict)
    return fields


@dataclass(frozen=True, slots=True)
class Fields:
    """Values of JSON, each of the type that it should be, or refused.

    Attributes:
        where: The file, for messages. What a value is to its reader, each method is told as `what`.
    """

    where: str

    def corrupt(self, message: str) -> CorruptError:
        """The error for a value that is none of its kind."""
        return CorruptError(message, where=self.where, hint=_DAMAGED)

    def mapping(self, value: object, what: str) -> Mapping[str, object]:
        """An object."""
        if not isinstance(value, dict):
            raise self._other(value, what, "an object")
        return value

    def listed(self, value: object, what: str) -> list[object]:
        """A list; one that is not there is empty."""
        if value is None:
            return []
        if not isinstance(value, list):
            raise self._other(value, what, "a list")
        return value

    def number(self, value: object, what: str) -> int:
        """A number that is not negative; protobuf writes those of 64 bits as text."""
        if type(value) is int and value >= 0:
            return value
        if isinstance(value, str) and _NUMBER.fullmatch(value):
            return int(value)
        raise self._other(value, what, "a number")

    def text(self, value: object, what: str) -> str:
        """A text that is not empty."""
        if not isinstance(value, str) or not value:
            raise self._other(value, what, "a name")
        return value

    def _other(self, value: object, what: str, expected: str) -> CorruptError:
        from panmodel.wire.pickle import describe  # needed where something is wrong alone

        return self.corrupt(f"{what} is {describe(value)}, not {expected}")
