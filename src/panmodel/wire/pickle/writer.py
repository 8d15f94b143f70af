"""Writes pickles of protocol 2 with the opcodes that every reader of them allows, torch's restricted one included.

Source: Lib/pickletools.py of CPython 3.13; torch/_weights_only_unpickler.py for what is allowed.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from panmodel.wire.pickle.records import Global, Object

_BATCH = 1000  # items between a MARK and its SETITEMS, as CPython writes them


@dataclass(frozen=True, slots=True)
class PersistentId:
    """A value that the reader fetches from elsewhere by this identity."""

    identity: object


def dump(value: object) -> bytes:
    """Pickle a value.

    Args:
        value: None, bool, int, float, str, tuple, list, dict, `Global`, `Object` (a call: cls, args, then items and one
            state), `PersistentId`, and nothing else. It must not contain itself.

    Raises:
        TypeError: Anything else.
    """
    writer = _Writer()
    writer.save(value)
    return b"\x80\x02" + bytes(writer.out) + b"."


class _Writer:
    def __init__(self) -> None:
        self.out = bytearray()
        self._memo: dict[object, int] = {}

    def save(self, value: object) -> None:
        if value is None or isinstance(value, bool):
            self.out += {None: b"N", True: b"\x88", False: b"\x89"}[value]
        elif isinstance(value, int):
            self._save_integer(value)
        elif isinstance(value, float):
            self.out += b"G" + struct.pack(">d", value)
        elif isinstance(value, str):
            data = value.encode("utf-8", "surrogatepass")
            self._remembered(value, b"X" + struct.pack("<I", len(data)) + data)
        elif isinstance(value, Global):
            self._remembered(value, f"c{value.module}\n{value.name}\n".encode())
        else:
            self._save_composite(value)

    def _save_composite(self, value: object) -> None:
        if isinstance(value, tuple):
            self.out += b"("
            for item in value:
                self.save(item)
            self.out += b"t"
        elif isinstance(value, list):
            self.out += b"]("
            for item in value:
                self.save(item)
            self.out += b"e"
        elif isinstance(value, dict):
            self.out += b"}"
            self._save_items(list(value.items()))
        elif isinstance(value, PersistentId):
            self.save(value.identity)
            self.out += b"Q"
        elif isinstance(value, Object):
            self._save_object(value)
        else:
            raise TypeError(f"a {type(value).__name__} is not written into pickles")

    def _save_object(self, value: Object) -> None:
        self.save(value.cls)
        self.save(value.args)
        self.out += b"R"
        self._save_items(value.items)
        for state in value.states:
            self.save(state)
            self.out += b"b"

    def _save_items(self, items: list[tuple[object, object]]) -> None:
        for start in range(0, len(items), _BATCH):
            self.out += b"("
            for key, item in items[start : start + _BATCH]:
                self.save(key)
                self.save(item)
            self.out += b"u"

    def _save_integer(self, value: int) -> None:
        if 0 <= value < 1 << 8:
            self.out += b"K" + bytes([value])
        elif 0 <= value < 1 << 16:
            self.out += b"M" + value.to_bytes(2, "little")
        elif -(1 << 31) <= value < 1 << 31:
            self.out += b"J" + value.to_bytes(4, "little", signed=True)
        else:
            size = value.bit_length() // 8 + 1
            if size > 255:
                raise TypeError(f"an integer of {value.bit_length()} bits is not written into pickles")
            self.out += b"\x8a" + bytes([size]) + value.to_bytes(size, "little", signed=True)

    def _remembered(self, value: object, code: bytes) -> None:
        """Write a string or name once, and refer to it afterwards."""
        if value in self._memo:
            index = self._memo[value]
            self.out += b"h" + bytes([index]) if index < 256 else b"j" + struct.pack("<I", index)
            return
        index = self._memo[value] = len(self._memo)
        self.out += code + (b"q" + bytes([index]) if index < 256 else b"r" + struct.pack("<I", index))
