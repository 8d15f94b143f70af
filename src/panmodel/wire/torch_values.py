"""Plain Python values in pickles: made of their arguments by our own constructors, after a look at each argument."""

from __future__ import annotations

import datetime
from typing import TypeGuard

from panmodel.errors import CorruptError, LimitError, UnsupportedError
from panmodel.limits import Limits
from panmodel.wire.pickle import Constructor, Dictionary, Global, Object, describe, stored_bytes
from panmodel.wire.torch_records import Listed, PlainValue, TorchValue

_OBJECT = {Global(module, "object") for module in ("builtins", "__builtin__")}
_LATIN = ("latin1", "latin-1")


class Making:
    """Where values are made: the file, for messages, and how much may be made.

    Args:
        where: The file.
        nbytes: Size of the pickle: containers are copied out of it only in proportion to that.
        limits: Caps on what it asks for.

    Attributes:
        passed: Names of functions that it was told to call, and classes to make something of, and does not know.
    """

    def __init__(self, where: str, nbytes: int, limits: Limits) -> None:
        self.where, self.limits = where, limits
        self.passed: set[Global] = set()
        # What is copied came out of the pickle, most of it once: copying one list over and over is an attack.
        self._left = 4 * nbytes + limits.message_bytes

    def corrupt(self, message: str) -> CorruptError:
        """The error for arguments that are none of their kind."""
        return CorruptError(message, where=self.where)

    def unsupported(self, message: str) -> UnsupportedError:
        """The error for what is well-formed and not read."""
        return UnsupportedError(message, where=self.where)

    def copying(self, count: int) -> None:
        """Allow for a copy of that many elements."""
        self._left -= count
        if self._left < 0:
            raise LimitError("the pickle copies its own contents without end", where=self.where)


def is_count(value: object) -> TypeGuard[int]:
    """Whether it is a number of things: an integer, no bool, not negative, of 63 bits."""
    return type(value) is int and 0 <= value < 1 << 63


def are_counts(value: object) -> TypeGuard[tuple[int, ...]]:
    """Whether it is a tuple of numbers of things."""
    return isinstance(value, tuple) and all(map(is_count, value))


class Values(Making):
    """Constructors of containers, bytes, numbers and the like."""

    def dictionary(self, args: tuple[object, ...]) -> Dictionary:
        """OrderedDict([items])."""
        made = Dictionary()
        if len(args) > 1:
            raise self.corrupt(f"a dictionary is made of {len(args)} values")
        items = args[0] if args else ()
        pairs = list(items.items()) if isinstance(items, dict) else items
        if not isinstance(pairs, (list, tuple)):
            raise self.corrupt(f"a dictionary is made of {describe(pairs)}")
        self.copying(len(pairs))
        for pair in pairs:
            if not isinstance(pair, (list, tuple)) or len(pair) != 2 or not _is_key(pair[0]):
                raise self.corrupt("a dictionary is made of other things than pairs")
            made[pair[0]] = pair[1]
        return made

    def counter(self, args: tuple[object, ...]) -> Dictionary:
        """Counter([items])."""
        made = self.dictionary(args)
        made.kind = "Counter"
        return made

    def default_dictionary(self, args: tuple[object, ...]) -> Dictionary:
        """defaultdict(factory[, items]); the factory is forgotten."""
        made = self.dictionary(args[1:])
        made.kind = "defaultdict"
        return made

    def listed(self, kind: str) -> Constructor:
        """set([…]), deque([…][, maxlen]) with its elements in the order of the file."""

        def make(args: tuple[object, ...]) -> Listed:
            if not all(isinstance(arg, (list, tuple)) for arg in args[:1]) or len(args) > 2:
                raise self.corrupt("a set or deque is made of something else than a list")
            if not all(arg is None or is_count(arg) for arg in args[1:]):
                raise self.corrupt("the length of a deque is no number")
            items: tuple[object, ...] | list[object] = args[0] if args else ()  # type: ignore[assignment]
            self.copying(len(items))
            return Listed(kind, items)

        return make

    def encoded(self, args: tuple[object, ...]) -> bytes:
        """_codecs.encode(text, "latin1"), by which protocol 2 writes bytes."""
        if len(args) != 2 or not isinstance(args[0], str) or args[1] not in _LATIN:
            raise self.corrupt("bytes are encoded in other ways than latin1 text")
        self.copying(len(args[0]))
        try:
            return args[0].encode("latin-1")
        except UnicodeEncodeError:
            raise self.corrupt("bytes are encoded as text that is not latin1") from None

    def empty_bytes(self, args: tuple[object, ...]) -> bytes:
        """bytes(), by which protocol 2 writes empty ones; a number, which would ask for that many, is refused."""
        if args:
            raise self.corrupt("bytes are made of something")
        return b""

    def byte_array(self, args: tuple[object, ...]) -> bytearray:
        """bytearray(content) or bytearray(text, "latin1"); a number, which would ask for that many, is refused."""
        if len(args) == 2:
            args = (self.encoded(args),)
        if len(args) > 1 or not all(isinstance(arg, (bytes, bytearray)) for arg in args):
            raise self.corrupt("a bytearray is made of something else than bytes")
        content = b"".join(args)  # type: ignore[arg-type]
        self.copying(len(content))
        return bytearray(content)

    def complex_number(self, args: tuple[object, ...]) -> complex:
        """complex(real, imaginary)."""
        real, imaginary = args if len(args) == 2 else (None, None)
        if not isinstance(real, float) or not isinstance(imaginary, float):
            raise self.corrupt("a complex number is made of other things than two floats")
        return complex(real, imaginary)

    def reconstructed(self, args: tuple[object, ...]) -> Object:
        """copyreg._reconstructor(cls, base, state): what protocols 0 and 1 do for NEWOBJ."""
        if len(args) != 3 or not isinstance(args[0], Global) or not isinstance(args[1], Global):
            raise self.corrupt("an object is reconstructed from other things than a class, its base and a state")
        if args[1] in _OBJECT:
            return Object(args[0], (), called=False)
        self.passed.add(args[1])
        return Object(args[0], (args[2],), called=False)

    def instance(self, args: tuple[object, ...]) -> Object:
        """copyreg.__newobj__(cls, …), by which protocols 0 and 1 write NEWOBJ."""
        if not args or not isinstance(args[0], Global):
            raise self.corrupt("an object is made of something else than a class")
        return Object(args[0], args[1:], called=False)

    def path(self, args: tuple[object, ...]) -> PlainValue:
        """PosixPath("runs", "1")."""
        parts = [part for part in args if isinstance(part, str)]
        if len(parts) != len(args):
            raise self.corrupt("a path is made of other things than strings")
        self.copying(sum(map(len, parts)) + len(parts))
        head, tail = (parts[0], parts[1:]) if parts[:1] == ["/"] else ("", parts)
        return PlainValue("pathlib.Path", head + "/".join(tail))

    def steps(self, name: str) -> Constructor:
        """range(1, 5), slice(None, 3, 1), which Python 2 calls xrange."""

        def make(args: tuple[object, ...]) -> PlainValue:
            if not 1 <= len(args) <= 3 or not all(arg is None or type(arg) is int for arg in args):
                raise self.corrupt(f"a {name} is made of other things than numbers")
            kind = name.removeprefix("x")
            return PlainValue(f"builtins.{kind}", f"{kind}({', '.join(map(describe, args))})")

        return make

    def number_in_words(self, kind: str) -> Constructor:
        """Decimal("1.5"), Fraction("1/3"), Fraction(1, 3)."""

        def make(args: tuple[object, ...]) -> PlainValue:
            if len(args) == 1 and isinstance(args[0], str):
                return PlainValue(kind, args[0][:200])
            if len(args) == 2 and all(type(arg) is int for arg in args):
                return PlainValue(kind, "/".join(map(describe, args)))
            raise self.corrupt(f"a {kind} is made of other things than a number")

        return make

    def duration(self, args: tuple[object, ...]) -> PlainValue:
        """timedelta(days, seconds, microseconds)."""
        if len(args) != 3 or not all(type(arg) is int for arg in args):
            raise self.corrupt("a timedelta is made of other things than three numbers")
        try:
            return PlainValue("datetime.timedelta", str(datetime.timedelta(*args)))  # type: ignore[arg-type]
        except (OverflowError, ValueError):
            raise self.corrupt("a timedelta beyond all time") from None

    def moment(self, kind: str) -> Constructor:
        """date, time and datetime of their bytes."""

        def make(args: tuple[object, ...]) -> PlainValue:
            stored = args[0] if len(args) in (1, 2) else None
            packed = stored_bytes(stored)
            zone = args[1] if len(args) == 2 else None
            if packed is None or not isinstance(zone, (PlainValue, Object, type(None))):
                raise self.corrupt(f"a {kind} is made of other things than its bytes and a time zone")
            text = _moment(kind, packed)
            if text is None:
                raise self.corrupt(f"a {kind} of bytes that mean none")
            return PlainValue(f"datetime.{kind}", f"{text} {zone}" if isinstance(zone, PlainValue) else text)

        return make

    def zone(self, args: tuple[object, ...]) -> PlainValue:
        """timezone(offset[, name])."""
        if len(args) not in (1, 2) or not isinstance(args[0], PlainValue):
            raise self.corrupt("a timezone is made of other things than an offset")
        return PlainValue(
            "datetime.timezone", args[1][:200] if len(args) == 2 and isinstance(args[1], str) else f"UTC+{args[0]}"
        )


def _is_key(value: object) -> bool:
    """Whether a dictionary takes it for a key: a plain value, or a tuple of some."""
    parts = value if isinstance(value, tuple) else (value,)
    return all(part is None or isinstance(part, (str, bytes, int, float, Global, TorchValue)) for part in parts)


def _moment(kind: str, packed: bytes) -> str | None:
    """The text of a date (4 bytes), time (6) or datetime (10), None if the bytes are none; Source: datetime.py."""
    if len(packed) != {"date": 4, "time": 6, "datetime": 10}[kind]:
        return None
    try:
        day = datetime.date(packed[0] * 256 + packed[1], packed[2] & 0x7F, packed[3]) if kind != "time" else None
        if kind == "date" and day:
            return day.isoformat()
        hour, minute, second, *micro = packed[-6:]
        time = datetime.time(hour & 0x7F, minute, second, int.from_bytes(bytes(micro), "big"))
        return f"{day.isoformat()}T{time.isoformat()}" if day else time.isoformat()
    except ValueError:
        return None
