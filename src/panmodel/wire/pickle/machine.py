"""A pickle machine that executes nothing.

Each opcode does what CPython's C unpickler does, except where that would import, call or look something up: there an
inert record stands for the result, or what the caller's table makes of it. The table is an allow-list of names, each
mapped to a constructor of our own.

Source: Modules/_pickle.c and Lib/pickletools.py of CPython 3.13.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from panmodel.errors import CorruptError, LimitError, TruncatedError
from panmodel.io.source import Extent
from panmodel.limits import DEFAULT, Limits
from panmodel.wire.pickle import opcodes
from panmodel.wire.pickle.records import Constructor, Dictionary, Global, Object, describe
from panmodel.wire.pickle.references import CALLEES, only_refers
from panmodel.wire.pickle.window import Window

_LARGE = 1 << 16  # bytes of a string that is left in its file
_KEY_PARTS = 200  # parts of a dictionary key, tuples within it counted in: hashing is recursive in C
_WITHOUT_STATE = (
    type(None),
    bool,
    int,
    float,
    complex,
    str,
    bytes,
    bytearray,
    list,
    tuple,
    dict,
    set,
    frozenset,
    Global,
)
_DAMAGED = "the file is damaged or was made to deceive: fetch it again from where it comes from"


class Machine:
    """Runs one pickle after another out of one run of bytes.

    Args:
        data: The bytes; or a window to those of a file, of which large strings are left there, as extents.
        where: The file, for messages.
        known: What to make of a call of these names; None marks a name that may be mentioned and not called.
        persistent: Makes a value of a persistent id; without it such ids are refused.
        building: Gives a value that `known` or `persistent` made its state (BUILD); without it that is refused.
        string_encoding: How Python 2's byte strings are decoded; those that are no such text stay bytes.
        limits: Caps on opcodes and objects.

    Attributes:
        position: Where the next opcode is; after `run`, the byte behind STOP.
        globals: Every name that was mentioned, with the position of its first mention.
        called: The names that CPython would have called as functions and that are not in `known`.
        given: Those of them that it would have given arguments, or whose results it would have called.
        recalled: Those of them whose results it would have called.
        referring: The names of Python's library that it would have called for a reference alone (`only_refers`).
        executed: How many opcodes were run so far.
        is_exact: Numbers are those that the unpickler in C takes, rather than all that any takes.
    """

    is_exact = True

    def __init__(
        self,
        data: bytes | Window,
        *,
        where: str,
        known: Mapping[Global, Constructor | None] = MappingProxyType({}),
        persistent: Callable[[object], object] | None = None,
        building: Callable[[object, object], None] | None = None,
        string_encoding: str = "utf-8",
        limits: Limits = DEFAULT,
    ) -> None:
        if isinstance(data, bytes) and len(data) > limits.pickle_bytes:
            raise LimitError(f"a pickle of {len(data)} bytes exceeds {limits.pickle_bytes}", where=where)
        self.data: Any = data  # a window behaves as bytes do
        self.position, self.where, self.limits = 0, where, limits
        self.string_encoding = string_encoding
        self.globals: dict[Global, int] = {}
        self.called: set[Global] = set()
        self.given: set[Global] = set()
        self.recalled: set[Global] = set()
        self.referring: set[Global] = set()
        self.executed = 0
        self._most = limits.pickle_objects
        self._known, self._persistent, self._building = known, persistent, building
        self._reset()

    def _reset(self) -> None:
        self.stack: list[object] = []
        self.marked: list[list[object]] = []  # the stacks below each mark, as in pickle.py
        self.memo: dict[int, object] = {}
        self._room = self.limits.pickle_objects  # for values above the last mark; the others take the rest
        self._made = 0
        self.frame = 0  # where the current frame ends

    def run(self) -> object:
        """Run the pickle at `position` up to its STOP.

        Returns:
            The pickled value: plain Python containers and scalars, records, and what `known` and `persistent` made.

        Raises:
            CorruptError: The pickle is one that CPython would refuse.
            LimitError: It exceeds a cap.
            UnsafeError: It uses the extension registry of the process that reads it.
        """
        self._reset()
        table, begin, number = opcodes.TABLE, self.position, 0
        data, size = self.data, len(self.data)
        try:
            for number in range(self.limits.pickle_opcodes):  # noqa: B007 - it is used in the end
                at, frame = self.position, self.frame
                if at >= size:
                    self.take(1)
                opcode = data[at]
                self.position = at + 1
                operate = table[opcode]
                if operate is None:
                    if opcode == opcodes.STOP:
                        return self.pop()
                    raise self.corrupt(f"{bytes([opcode])!r} is no opcode")
                operate(self)
                if at < frame < self.position:
                    raise self.corrupt("an opcode reaches over the end of its frame")
        finally:
            self.executed += number
        message = f"the pickle at {begin} has over {self.limits.pickle_opcodes} opcodes"
        raise LimitError(message, where=self.where)

    def corrupt(self, message: str) -> CorruptError:
        """The error to raise for a broken pickle."""
        return CorruptError(f"pickle, before byte {self.position}: {message}", where=self.where, hint=_DAMAGED)

    # The bytes.

    def take(self, count: int) -> bytes:
        """The next bytes."""
        end = self.position + count
        if count < 0:
            raise self.corrupt(f"a negative length, {count}")
        if end > len(self.data):
            message = f"the pickle ends at {len(self.data)}, but {count} bytes are expected at {self.position}"
            raise TruncatedError(message, where=self.where, hint=_DAMAGED)
        piece: bytes = self.data[self.position : end]
        self.position = end
        return piece

    def take_string(self, count: int) -> bytes | Extent:
        """The next bytes, or where they are if they are many and lie in a file."""
        if count < _LARGE or not isinstance(self.data, Window) or count > len(self.data) - self.position:
            return self.take(count)
        self.position += count
        return Extent(self.data.source, self.position - count, count)

    def take_bytes(self, count: int) -> bytes | Extent:
        """The next bytes, which are pickled as bytes; see `take_string`."""
        return self.take_string(count)

    def take_text(self, count: int) -> bytes:
        """The next bytes, which are text."""
        return self.take(count)

    def unsigned(self, width: int) -> int:
        """The next bytes as a number, the lowest first."""
        begin = self.position
        end = begin + width
        if end > len(self.data):
            self.take(width)
        self.position = end
        return int.from_bytes(self.data[begin:end], "little")

    def byte(self) -> int:
        """The next byte."""
        at = self.position
        if at >= len(self.data):
            return self.take(1)[0]
        self.position = at + 1
        value: int = self.data[at]
        return value

    def line(self) -> bytes:
        """The bytes up to the next newline, which is skipped."""
        end = self.data.find(b"\n", self.position)
        if end < 0:
            raise TruncatedError(f"a line at {self.position} does not end", where=self.where, hint=_DAMAGED)
        piece: bytes = self.data[self.position : end]
        self.position = end + 1
        return piece

    def begin_frame(self, size: int) -> None:
        """Begin a frame: what lies across its end, readers of files and of memory take differently."""
        if self.position < self.frame:
            raise self.corrupt("a frame begins within another")
        self.take(size)  # it must be there as a whole
        self.position -= size
        self.frame = self.position + size

    # The stack.

    def push(self, value: object) -> None:
        """Put a value on the stack."""
        stack = self.stack
        stack.append(value)
        if len(stack) > self._room:
            raise self._too_large("stack")

    def push_bytes(self, value: bytes | bytearray) -> None:
        """Put bytes of the pickle on the stack."""
        self.push(value)

    def _too_large(self, what: str) -> LimitError:
        return LimitError(f"the pickle's {what} exceeds {self.limits.pickle_objects} values", where=self.where)

    def push_new(self, value: object) -> None:
        """Put a new container on the stack: an opcode of one byte costs some hundred bytes of memory."""
        self._made += 1
        if self._made > self.limits.pickle_objects:
            raise LimitError(f"the pickle makes over {self.limits.pickle_objects} containers", where=self.where)
        self.push(value)

    def pop(self) -> object:
        """Take the topmost value, which must lie above the last mark."""
        if not self.stack:
            raise self.corrupt("stack underflow")
        return self.stack.pop()

    def top(self) -> object:
        """The topmost value."""
        if not self.stack:
            raise self.corrupt("stack underflow")
        return self.stack[-1]

    def mark(self) -> None:
        """Begin a new stack above this one."""
        self._room -= len(self.stack) + 1
        if self._room < 0:
            raise self._too_large("stack")
        self.marked.append(self.stack)
        self.stack = []

    def pop_mark(self) -> list[object]:
        """Everything above the last mark, which goes too."""
        if not self.marked:
            raise self.corrupt("no mark is on the stack")
        items, self.stack = self.stack, self.marked.pop()
        self._room += len(self.stack) + 1
        return items

    def remember(self, index: int) -> None:
        """Keep the topmost value in the memo."""
        memo, stack = self.memo, self.stack
        if not stack:
            raise self.corrupt("stack underflow")
        memo[index] = stack[-1]
        if len(memo) > self._most:
            raise self._too_large("memo")

    def recall(self, index: int) -> None:
        """Push a value of the memo."""
        memo = self.memo
        if index not in memo:
            raise self.corrupt(f"there is no memo entry {index}")
        self.push(memo[index])

    # Names and calls: records, or what the table makes of them.

    def named(self, module: str, name: str) -> Global:
        """The record of a class or function."""
        found = Global(module, name)
        self.globals.setdefault(found, self.position)
        return found

    def call(self, callee: object, args: object, kwargs: object = None, *, called: bool) -> object:
        """The result of calling (or instantiating) something."""
        if not isinstance(args, tuple):
            raise self.corrupt(f"arguments of a call are {describe(args)}, not a tuple")
        if not isinstance(callee, (Global, Object)):
            raise self.corrupt(f"{describe(callee)} cannot be called")
        if kwargs is not None and not isinstance(kwargs, dict):
            raise self.corrupt(f"keyword arguments of a call are {describe(kwargs)}, not a dictionary")
        constructor = self._known.get(callee) if isinstance(callee, Global) else None
        if constructor is None or kwargs:
            self._account(callee, bool(args or kwargs), called, called and not kwargs and only_refers(callee, args))
            return Object(callee, args, kwargs or {}, called)
        return constructor(args)

    def _account(self, callee: Global | Object, given: bool, called: bool, refers: bool) -> None:
        """Note what a call of a name that is not known, or of what such a call returned, would have done."""
        root = callee.root if isinstance(callee, Object) else callee
        if root is None:
            return
        if refers:
            self.referring.add(root)
        elif called or root in CALLEES:
            self.called.add(root)
            if given or isinstance(callee, Object):
                self.given.add(root)
            if isinstance(callee, Object):
                self.recalled.add(root)

    def persistent(self, identity: object) -> object:
        """The value of a persistent id."""
        if self._persistent is None:
            raise self.corrupt("a persistent id, for which this format has no meaning")
        return self._persistent(identity)

    # Filling containers.

    def checked_key(self, key: object) -> object:
        """The key itself, if it can be hashed in bounded time and stack."""
        if type(key) is str:
            return key
        pending, parts = [key], 0
        while pending:
            part = pending.pop()
            parts += 1
            if parts > _KEY_PARTS:
                raise self.corrupt(f"a key with over {_KEY_PARTS} parts")
            if isinstance(part, (tuple, frozenset)):
                pending.extend(part)
            elif isinstance(part, (list, dict, set, bytearray)):
                raise self.corrupt(f"{describe(part)} as a key")
        return key

    def set_items(self, target: object, flat: list[object]) -> None:
        """Put keys and values, in turn, into a dictionary."""
        if len(flat) % 2:
            raise self.corrupt("a key without a value")
        pairs = zip(flat[::2], flat[1::2], strict=True)
        if isinstance(target, Object):
            target.items.extend(pairs)
        elif isinstance(target, dict):
            for key, value in pairs:
                target[key if type(key) is str else self.checked_key(key)] = value
        elif flat:
            raise self.corrupt(f"{describe(target)} takes no keys")

    def extend(self, target: object, items: list[object]) -> None:
        """Append to a list, or bytes to an array of them."""
        if isinstance(target, Object):
            target.elements.extend(items)
        elif isinstance(target, list):
            target.extend(items)
        elif isinstance(target, bytearray) and all(isinstance(item, int) and 0 <= item < 256 for item in items):
            target.extend(items)  # type: ignore[arg-type]
        elif items:
            raise self.corrupt(f"nothing can be appended to {describe(target)}")

    def include(self, target: object, items: list[object]) -> None:
        """Add to a set."""
        if isinstance(target, Object):
            target.elements.extend(items)
        elif isinstance(target, set):
            target.update(self.checked_key(item) for item in items)
        elif items:
            raise self.corrupt(f"{describe(target)} is no set")

    def build(self, target: object, state: object) -> None:
        """Give an object its state."""
        if state is None and isinstance(target, _WITHOUT_STATE):
            return
        if isinstance(target, Object):
            target.states.append(state)
        elif isinstance(target, Dictionary):
            if not isinstance(state, dict):
                raise self.corrupt(f"the attributes of a dictionary are {describe(state)}")
            target.attributes.update(state)
        elif self._building is not None and not isinstance(target, _WITHOUT_STATE):
            self._building(target, state)
        else:
            raise self.corrupt(f"{describe(target)} takes no state")
