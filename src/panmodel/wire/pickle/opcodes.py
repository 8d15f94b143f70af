"""The opcodes of pickle protocols 0 to 5, each as an operation on the machine.

Source: Lib/pickletools.py of CPython 3.13, which names and numbers them.
"""

from __future__ import annotations

import codecs
import re
import struct
from collections.abc import Callable
from typing import TYPE_CHECKING, NoReturn

from panmodel.errors import LimitError, UnsafeError
from panmodel.io.source import Extent
from panmodel.wire.pickle.records import ByteString, Object, describe

if TYPE_CHECKING:
    from panmodel.wire.pickle.machine import Machine

Operation = Callable[["Machine"], object]

STOP = ord(".")
#: What strtol, by which CPython reads integers of protocol 0, takes for octal, and Python's int() refuses.
_OCTAL = re.compile(rb"\s*[-+]?0[0-7]+")
#: A backslash before what it gives no meaning, and an octal number of more than a byte: Python warns of them.
_ODD_ESCAPE = re.compile(rb"""\\(?:(?P<octal>[4-7])(?=[0-7]{2})|[^\n\\'"abfnrtvx0-7])""")
HIGHEST_PROTOCOL = 5
TABLE: list[Operation | None] = [None] * 256


def _opcode(code: str) -> Callable[[Operation], Operation]:
    def register(operation: Operation) -> Operation:
        TABLE[ord(code)] = operation
        return operation

    return register


# Framing.


@_opcode("\x80")
def _proto(machine: Machine) -> None:
    protocol = machine.byte()
    if protocol > HIGHEST_PROTOCOL:
        raise machine.corrupt(f"there is no pickle protocol {protocol}")


@_opcode("\x95")
def _frame(machine: Machine) -> None:
    machine.begin_frame(machine.unsigned(8))


# Numbers and constants.


def _signed(machine: Machine, width: int) -> int:
    return int.from_bytes(machine.take(width), "little", signed=True)


def _integer(machine: Machine, text: bytes, base: int = 0) -> int:
    try:
        return int(text, base)
    except ValueError:
        raise machine.corrupt(f"{text[:80]!r} is no integer") from None


@_opcode("I")
def _int(machine: Machine) -> None:
    text = machine.line()
    if text in (b"00", b"01"):
        machine.push(text == b"01")
    else:
        machine.push(_integer(machine, text, 8 if b"0" in text and _OCTAL.fullmatch(text) else 0))


@_opcode("L")
def _long(machine: Machine) -> None:
    machine.push(_integer(machine, machine.line().removesuffix(b"L")))


@_opcode("F")
def _float(machine: Machine) -> None:
    text = machine.line()
    try:
        if machine.is_exact and (b"_" in text or text != text.strip()):  # which float() takes, the unpickler in C not
            raise ValueError
        machine.push(float(text))
    except ValueError:
        raise machine.corrupt(f"{text[:80]!r} is no number") from None


_opcode("J")(lambda machine: machine.push(_signed(machine, 4)))
_opcode("K")(lambda machine: machine.push(machine.byte()))
_opcode("M")(lambda machine: machine.push(machine.unsigned(2)))
_opcode("\x8a")(lambda machine: machine.push(_signed(machine, machine.byte())))
_opcode("\x8b")(lambda machine: machine.push(_signed(machine, _signed(machine, 4))))
_opcode("G")(lambda machine: machine.push(struct.unpack(">d", machine.take(8))[0]))
_opcode("N")(lambda machine: machine.push(None))
_opcode("\x88")(lambda machine: machine.push(True))
_opcode("\x89")(lambda machine: machine.push(False))


# Strings and bytes.


def _decoded(machine: Machine, data: bytes, encoding: str, errors: str = "strict") -> str:
    try:
        return data.decode(encoding, errors)
    except UnicodeDecodeError:
        raise machine.corrupt(f"{data[:80]!r} is no {encoding} text") from None


def _text(machine: Machine, size: int) -> None:
    machine.push(_decoded(machine, machine.take_text(size), "utf-8", "surrogatepass"))


def _bytes(machine: Machine, size: int) -> None:
    data = machine.take_bytes(size)
    machine.push(data) if isinstance(data, Extent) else machine.push_bytes(data)


def _byte_array(machine: Machine, size: int) -> None:
    data = machine.take_bytes(size)
    machine.push(data) if isinstance(data, Extent) else machine.push_bytes(bytearray(data))


def _push_byte_string(machine: Machine, data: bytes | Extent) -> None:
    """What Python 2 called a string: text, if it is some, else bytes, such as those of numpy's arrays."""
    if isinstance(data, Extent):
        machine.push(data)
        return
    try:
        text = data.decode(machine.string_encoding)
    except UnicodeDecodeError:
        machine.push(data)
    else:
        machine.push(text if data.isascii() or machine.string_encoding != "utf-8" else ByteString(text))


def _usual_escapes(text: bytes) -> bytes:
    """A string in which odd escapes are written in the way that every Python reads alike, and without a warning."""

    def usual(odd: re.Match[bytes]) -> bytes:
        return b"\\%d" % (int(odd["octal"]) - 4) if odd["octal"] else b"\\" + odd[0]

    return rb"\\".join(_ODD_ESCAPE.sub(usual, part) for part in text.split(rb"\\"))


@_opcode("S")
def _string(machine: Machine) -> None:
    text = machine.line().rstrip()  # as the unpicklers of older Pythons do
    if len(text) < 2 or text[:1] != text[-1:] or text[:1] not in (b"'", b'"'):
        raise machine.corrupt("a string without quotes")
    try:
        content, _ = codecs.escape_decode(_usual_escapes(text[1:-1]))
    except ValueError:
        raise machine.corrupt(f"a string with a broken escape, {text[:80]!r}") from None
    _push_byte_string(machine, content)


_opcode("T")(lambda machine: _push_byte_string(machine, machine.take_string(_signed(machine, 4))))
_opcode("U")(lambda machine: _push_byte_string(machine, machine.take(machine.byte())))
_opcode("B")(lambda machine: _bytes(machine, machine.unsigned(4)))
_opcode("C")(lambda machine: _bytes(machine, machine.byte()))
_opcode("\x8e")(lambda machine: _bytes(machine, machine.unsigned(8)))
_opcode("\x96")(lambda machine: _byte_array(machine, machine.unsigned(8)))
_opcode("V")(lambda machine: machine.push(_decoded(machine, machine.line(), "raw-unicode-escape")))
_opcode("X")(lambda machine: _text(machine, machine.unsigned(4)))
_opcode("\x8c")(lambda machine: _text(machine, machine.byte()))
_opcode("\x8d")(lambda machine: _text(machine, machine.unsigned(8)))


# Containers.


_opcode("]")(lambda machine: machine.push_new([]))
_opcode("}")(lambda machine: machine.push_new({}))
_opcode(")")(lambda machine: machine.push(()))
_opcode("\x8f")(lambda machine: machine.push_new(set()))
_opcode("l")(lambda machine: machine.push_new(machine.pop_mark()))
_opcode("t")(lambda machine: machine.push(tuple(machine.pop_mark())))


def _tuple(machine: Machine, size: int) -> None:
    stack = machine.stack
    if len(stack) < size:
        raise machine.corrupt("stack underflow")
    stack[-size:] = [tuple(stack[-size:])]


_opcode("\x85")(lambda machine: _tuple(machine, 1))
_opcode("\x86")(lambda machine: _tuple(machine, 2))
_opcode("\x87")(lambda machine: _tuple(machine, 3))


@_opcode("d")
def _dict(machine: Machine) -> None:
    made: dict[object, object] = {}
    machine.set_items(made, machine.pop_mark())
    machine.push_new(made)


@_opcode("\x91")
def _frozenset(machine: Machine) -> None:
    machine.push_new(frozenset(machine.checked_key(item) for item in machine.pop_mark()))


@_opcode("a")
def _append(machine: Machine) -> None:
    item = machine.pop()
    machine.extend(machine.top(), [item])


@_opcode("e")
def _appends(machine: Machine) -> None:
    items = machine.pop_mark()
    machine.extend(machine.top(), items)


@_opcode("s")
def _set_item(machine: Machine) -> None:
    value, key = machine.pop(), machine.pop()
    machine.set_items(machine.top(), [key, value])


@_opcode("u")
def _set_items(machine: Machine) -> None:
    items = machine.pop_mark()
    machine.set_items(machine.top(), items)


@_opcode("\x90")
def _add_items(machine: Machine) -> None:
    items = machine.pop_mark()
    machine.include(machine.top(), items)


@_opcode("b")
def _build(machine: Machine) -> None:
    state = machine.pop()
    machine.build(machine.top(), state)


@_opcode("\x98")
def _read_only(machine: Machine) -> None:
    """A buffer that is in the file remains what it is; whether it can be changed concerns nobody here."""
    if not isinstance(machine.top(), (bytes, bytearray, Extent, Object)):
        raise machine.corrupt(f"{describe(machine.top())} is no buffer")


# The stack and the memo.


@_opcode("0")
def _pop(machine: Machine) -> None:
    if machine.stack or not machine.marked:
        machine.pop()
    else:
        machine.pop_mark()


@_opcode("p")
def _put(machine: Machine) -> None:
    index = _integer(machine, machine.line(), 10)
    if index < 0:
        raise machine.corrupt("a negative memo index")
    machine.remember(index)


_opcode("(")(lambda machine: machine.mark())
_opcode("1")(lambda machine: machine.pop_mark())
_opcode("2")(lambda machine: machine.push(machine.top()))
_opcode("g")(lambda machine: machine.recall(_integer(machine, machine.line(), 10)))
_opcode("h")(lambda machine: machine.recall(machine.byte()))
_opcode("j")(lambda machine: machine.recall(machine.unsigned(4)))
_opcode("q")(lambda machine: machine.remember(machine.byte()))
_opcode("r")(lambda machine: machine.remember(machine.unsigned(4)))
_opcode("\x94")(lambda machine: machine.remember(len(machine.memo)))


# Names and calls.


def _module_line(machine: Machine, encoding: str) -> str:
    """The name of a module, which is found as a file; so a long line is none."""
    line = machine.line()
    if len(line) > machine.limits.name_bytes:
        raise machine.corrupt(f"no module has a name of {len(line)} bytes")
    return _decoded(machine, line, encoding)


def _name_line(machine: Machine, encoding: str) -> str:
    """A name in a module, which may be a long way over attributes."""
    line = machine.line()
    if len(line) > machine.limits.name_bytes:
        raise LimitError(f"a name of {len(line)} bytes in a pickle", where=machine.where)
    return _decoded(machine, line, encoding)


@_opcode("c")
def _global(machine: Machine) -> None:
    module = _module_line(machine, "utf-8")
    machine.push(machine.named(module, _name_line(machine, "utf-8")))


@_opcode("\x93")
def _stack_global(machine: Machine) -> None:
    name, module = machine.pop(), machine.pop()
    if not isinstance(name, str) or not isinstance(module, str):
        raise machine.corrupt("the name of a global is no string")
    machine.push(machine.named(module, name))


@_opcode("i")
def _inst(machine: Machine) -> None:
    args = tuple(machine.pop_mark())
    module = _module_line(machine, "ascii")
    machine.push_new(machine.call(machine.named(module, _name_line(machine, "ascii")), args, called=True))


@_opcode("o")
def _obj(machine: Machine) -> None:
    items = machine.pop_mark()
    if not items:
        raise machine.corrupt("stack underflow")
    machine.push_new(machine.call(items[0], tuple(items[1:]), called=True))


@_opcode("R")
def _reduce(machine: Machine) -> None:
    args = machine.pop()
    machine.push_new(machine.call(machine.pop(), args, called=True))


@_opcode("\x81")
def _newobj(machine: Machine) -> None:
    args = machine.pop()
    machine.push_new(machine.call(machine.pop(), args, called=False))


@_opcode("\x92")
def _newobj_ex(machine: Machine) -> None:
    kwargs, args = machine.pop(), machine.pop()
    machine.push_new(machine.call(machine.pop(), args, kwargs, called=False))


_opcode("P")(lambda machine: machine.push(machine.persistent(_decoded(machine, machine.line(), "ascii"))))
_opcode("Q")(lambda machine: machine.push(machine.persistent(machine.pop())))


# Refused: they reach into the process that reads.


def _extension(machine: Machine) -> NoReturn:
    message = f"pickle, before byte {machine.position}: names an entry of the reading process's extension registry"
    raise UnsafeError(message, where=machine.where)


def _out_of_band(machine: Machine) -> NoReturn:
    raise machine.corrupt("uses a buffer that is not in the file")


for _code in "\x82\x83\x84":
    _opcode(_code)(_extension)
_opcode("\x97")(_out_of_band)
