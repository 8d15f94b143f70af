"""The text form of protocol buffers, read by the same declarations as the binary one.

All of the language: comments, strings with every escape and in several pieces, numbers in every base, enum values by
name or number, `{}` and `<>`, short lists, fields in any order, maps. Unknown fields are skipped, extensions and Any
included.

Source: https://protobuf.dev/reference/protobuf/textformat-spec/
"""

from __future__ import annotations

import re
from typing import Any, NoReturn, TypeVar

from panmodel.errors import CorruptError, LimitError
from panmodel.io.source import Extent, MemorySource, Source
from panmodel.limits import DEFAULT
from panmodel.wire.protobuf import Field, Message, decode

M = TypeVar("M", bound=Message)

_SPACE = re.compile(rb"(?:[ \t\r\n\f\v]++|#[^\n]*+)*+")
_TOKEN = re.compile(
    rb"""(?P<name>[A-Za-z_][A-Za-z0-9_]*+)
    |(?P<number>(?:0[xX][0-9a-fA-F]++|(?:[0-9]++\.?[0-9]*+|\.[0-9]++)(?:[eE][-+]?[0-9]++)?)[fF]?)
    |(?P<string>"[^"\\\n]*+(?:\\[^\n][^"\\\n]*+)*+"|'[^'\\\n]*+(?:\\[^\n][^'\\\n]*+)*+')
    |(?P<sign>[{}<>\[\]:;,/.-])""",
    re.VERBOSE,
)
_EXTENSION = re.compile(rb"[A-Za-z0-9_./ \t\r\n-]++\]")
#: Escapes that mean the same in Python, which is fast at them: by far the most, since payloads are written so.
_PYTHON_ESCAPES = re.compile(rb"""[^\\]*+(?:\\(?:[abfnrtv\\'"]|[0-3][0-7]{2}|x[0-9a-fA-F]{2})[^\\]*+)*+""")
_ESCAPE = re.compile(
    rb"""\\(?:(?P<char>[abfnrtv\\'"?])|(?P<octal>[0-7]{1,3})|[xX](?P<hex>[0-9a-fA-F]{1,2})
    |(?:u(?P<short>[0-9a-fA-F]{4})|U(?P<long>[0-9a-fA-F]{8}))|(?P<bad>.))""",
    re.VERBOSE | re.DOTALL,
)
_CHARACTERS = {b"a": b"\a", b"b": b"\b", b"f": b"\f", b"n": b"\n", b"r": b"\r", b"t": b"\t", b"v": b"\v"}
_TRUTH = {"true": True, "True": True, "t": True, "1": True, "false": False, "False": False, "f": False, "0": False}
_NOT_NUMBERS = {"inf": "inf", "infinity": "inf", "nan": "nan"}
_RANGES = {
    "int32": (-(1 << 31), (1 << 31) - 1),
    "enum": (-(1 << 31), (1 << 31) - 1),
    "int64": (-(1 << 63), (1 << 63) - 1),
    "uint32": (0, (1 << 32) - 1),
    "fixed32": (0, (1 << 32) - 1),
    "uint64": (0, (1 << 64) - 1),
    "fixed64": (0, (1 << 64) - 1),
}
_CLOSING = {"{": "}", "<": ">"}


def _is_binary(head: bytes) -> bool:
    return any(byte < 9 or 13 < byte < 32 for byte in head)


def looks_like_text(cls: type[Message], head: bytes) -> bool:
    """Whether these first bytes of a file are the text form of a message: a field that it has, and what follows one."""
    if _is_binary(head):
        return False
    space = _SPACE.match(head)
    name = _TOKEN.match(head, space.end() if space else 0)
    if name is None or name.lastgroup != "name" or name["name"].decode() not in cls.by_name:
        return False
    after = _SPACE.match(head, name.end())
    return head[after.end() if after else name.end() :][:1] in (b"{", b"<", b":")


def text_head(source: Source, nbytes: int = 4096) -> bytes:
    """The first bytes of a file behind the comments and white space that it begins with, if it is not huge."""
    head = source.read(0, min(source.size, nbytes))
    space = _SPACE.match(head)
    if (
        space is None
        or not space.end()
        or source.size > DEFAULT.text_bytes
        or any(byte < 9 or 13 < byte < 32 for byte in head)
    ):
        return head
    data = source.read(0, source.size)
    behind = _SPACE.match(data)
    begin = behind.end() if behind else 0
    return data[begin : begin + nbytes]


def decode_text(cls: type[M], source: Source) -> M:
    """Read a message in text form.

    Args:
        cls: Its class.
        source: The file.

    Raises:
        CorruptError: The text is no such message; the message says the line.
        LimitError: The file is too large, or messages lie too deep within each other.
    """
    if source.size > DEFAULT.text_bytes:
        hint = "the same graph in binary form is read at any size"
        raise LimitError(f"{source.size} bytes of text exceed {DEFAULT.text_bytes}", where=source.name, hint=hint)
    reader = _Reader(source.read(0, source.size), source.name)
    message = cls()
    reader.fields(message, "", DEFAULT.nesting)
    return message


def decode_either(cls: type[M], source: Source) -> M:
    """Read a message in text or binary form, told by its first bytes; see `decode_text` and `protobuf.decode`."""
    head = text_head(source)
    return decode_text(cls, source) if looks_like_text(cls, head) else decode(cls, source)


class _Reader:
    """A cursor over the text: one token ahead."""

    def __init__(self, data: bytes, where: str) -> None:
        self._data, self._where = data, where
        self._end = 0
        self.kind = self.word = ""
        self.advance()

    def advance(self) -> None:
        """Go to the next token; kind "" is the end of the text."""
        space = _SPACE.match(self._data, self._end)
        self._start = space.end() if space else self._end
        match = _TOKEN.match(self._data, self._start)
        if match is not None:
            self._end = match.end()
            self.kind = match.lastgroup or ""
            self.word = "" if self.kind == "string" else match.group().decode("ascii")
        elif self._start == len(self._data):
            self.kind = self.word = ""
        else:
            found = self._data[self._start : self._start + 12].decode("utf-8", "replace")
            self.fail(f"{found!r} is no word, number, string or sign")

    def fail(self, message: str) -> NoReturn:
        message = message if len(message) <= 300 else f"{message[:200]} … {message[-90:]}"
        line = self._data.count(b"\n", 0, self._start) + 1
        raise CorruptError(message, where=f"{self._where} line {line}")

    def expected(self, what: str) -> NoReturn:
        found = repr(self.word) if self.word else {"string": "a string"}.get(self.kind, "the end of the text")
        self.fail(f"expected {what}, found {found}")

    def accept(self, sign: str) -> bool:
        """Pass a sign if it is next."""
        if self.kind == "sign" and self.word == sign:
            self.advance()
            return True
        return False

    def fields(self, message: Message, closing: str, depth: int) -> None:
        """Read fields into a message, up to the closing bracket or the end of the text."""
        if depth < 0:
            where = f"{self._where} line {self._data.count(bytes([10]), 0, self._start) + 1}"
            raise LimitError(f"messages lie more than {DEFAULT.nesting} deep within each other", where=where)
        while self.word != closing or self.kind == "string":
            known = self.field_name(message, closing)
            colon = self.accept(":")
            if known is None:
                self.skip_value(depth)
            elif known.nested:
                self.nested(message, known, depth)
            else:
                self.scalars(message, known, colon)
            self.accept(",") or self.accept(";")
        self.advance()

    def field_name(self, message: Message, closing: str) -> Field | None:
        """The field whose name is next; None for one that is not known."""
        if self.kind == "sign" and self.word == "[":  # an extension, or the type of an Any
            match = _EXTENSION.match(self._data, self._end)
            if match is None:
                self.fail("'[' begins the name of an extension, which ends in ']'")
            self._end = match.end()
            self.advance()
            return None
        if self.kind != "name":
            self.expected(f"a field name or {closing!r}" if closing else "a field name")
        known = message.by_name.get(self.word)
        self.advance()
        return known

    def nested(self, message: Message, known: Field, depth: int) -> None:
        """A message, or several in a list."""
        if self.accept("["):
            if self.accept("]"):
                return
            self.one_nested(message, known, depth)
            while self.accept(","):
                self.one_nested(message, known, depth)
            if not self.accept("]"):
                self.expected("',' or ']'")
        else:
            self.one_nested(message, known, depth)

    def one_nested(self, message: Message, known: Field, depth: int) -> None:
        closing = _CLOSING.get(self.word) if self.kind == "sign" else None
        if closing is None:
            self.expected(f"'{{' after {known.name!r}")
        self.advance()
        inner: Any = known.message()
        self.fields(inner, closing, depth - 1)
        values = message.__dict__
        if known.kind == "map":
            of_value = known.message.by_name["value"]
            missing = inner.value is None and of_value.nested
            values.setdefault(known.name, {})[inner.key] = of_value.message() if missing else inner.value
        elif known.repeated:
            values.setdefault(known.name, []).append(inner)
        else:
            self.once(message, known)
            values[known.name] = inner

    def scalars(self, message: Message, known: Field, colon: bool) -> None:
        """A value, or several in a list."""
        if known.kind == "blob" and self.kind == "sign" and self.word in _CLOSING:
            self.skip_value(DEFAULT.nesting)  # a message that nobody looks at, kept only in binary form
            return
        if not colon:
            self.expected(f"':' after {known.name!r}")
        if known.repeated and self.accept("["):
            found = message.__dict__.setdefault(known.name, [])
            if self.accept("]"):
                return
            found.append(self.scalar(known))
            while self.accept(","):
                found.append(self.scalar(known))
            if not self.accept("]"):
                self.expected("',' or ']'")
        elif known.repeated:
            message.__dict__.setdefault(known.name, []).append(self.scalar(known))
        else:
            self.once(message, known)
            message.__dict__[known.name] = self.scalar(known)

    def once(self, message: Message, known: Field) -> None:
        if known.name in message.__dict__:
            self.fail(f"field {known.name!r} is there twice")

    def scalar(self, known: Field) -> Any:
        """One value of a field."""
        if known.kind in ("string", "bytes", "blob"):
            return self.string(known)
        negative = self.accept("-")
        kind, token = self.kind, self.word
        if kind not in ("name", "number"):
            self.expected(f"a value of {known.name!r} ({known.kind})")
        if known.kind in ("float", "double"):
            value: Any = self.real(token)
        elif known.kind == "bool":
            value = _TRUTH.get(token)
        elif kind == "name":
            value = (known.enum or {}).get(token)
        else:
            value = self.integer(token)
        if value is None or (negative and (kind == "name" and known.kind not in ("float", "double"))):
            self.fail(f"{token!r} is no value of {known.name!r} ({known.kind})")
        value = -value if negative else value
        low, high = _RANGES.get(known.kind, (value, value))
        if not low <= value <= high and value == value:
            self.fail(f"{value} is out of the range of {known.name!r} ({known.kind})")
        self.advance()
        return value

    def integer(self, token: str) -> int | None:
        try:
            return int(token, 8 if re.fullmatch("0[0-7]+", token) else 0)
        except ValueError:  # 1.5, or more digits than any number of 64 bits has
            return None

    def real(self, token: str) -> float | None:
        try:
            if token[:2] in ("0x", "0X"):
                return float(int(token, 16))
            return float(_NOT_NUMBERS.get(token.lower()) or token.rstrip("fF"))
        except (ValueError, OverflowError):
            return None

    def string(self, known: Field) -> Any:
        """A string in one or more pieces."""
        pieces = []
        while self.kind == "string":
            pieces.append(self.unescaped(self._data[self._start + 1 : self._end - 1]))
            self.advance()
        if not pieces:
            self.expected(f"a string for {known.name!r}")
        data = b"".join(pieces)
        if known.kind == "blob":
            return Extent(MemorySource(data, self._where), 0, len(data))
        if known.kind == "bytes":
            return data
        try:
            return data.decode()
        except UnicodeDecodeError:
            self.fail(f"field {known.name!r} is no UTF-8 text")

    def unescaped(self, raw: bytes) -> bytes:
        if b"\\" not in raw:
            return raw
        if _PYTHON_ESCAPES.fullmatch(raw):
            return raw.decode("unicode_escape").encode("latin-1")
        return _ESCAPE.sub(self.escape, raw)

    def escape(self, match: re.Match[bytes]) -> bytes:
        if match["char"]:
            return _CHARACTERS.get(match["char"], match["char"])
        octal, code = match["octal"], match["short"] or match["long"]
        number = int(octal, 8) if octal else int(match["hex"] or code or b"-1", 16)
        if 0 <= number < 256 and not code:
            return bytes([number])
        if code and number < 0x110000 and not 0xD800 <= number < 0xE000:
            return chr(number).encode()
        return self.fail(f"{match.group().decode('utf-8', 'replace')!r} is no escape")

    def skip_value(self, depth: int) -> None:
        """Pass the value of a field that is not known, and all that is in it."""
        open_brackets = ""
        while True:
            if self.kind == "sign" and self.word in "{<[":
                open_brackets += {"{": "}", "<": ">", "[": "]"}[self.word]
                if len(open_brackets) > depth:
                    raise LimitError(
                        f"messages lie more than {DEFAULT.nesting} deep within each other", where=self._where
                    )
            elif self.kind == "sign" and self.word in "}>]":
                if self.word != open_brackets[-1:]:
                    self.expected(repr(open_brackets[-1:] or "a value"))
                open_brackets = open_brackets[:-1]
            elif not self.kind:
                self.expected("a value")
            string, negative = self.kind == "string", self.kind == "sign" and self.word == "-"
            self.advance()
            more = negative or (string and self.kind == "string")  # a sign before, a further piece of a string
            if not open_brackets and not more:
                return
