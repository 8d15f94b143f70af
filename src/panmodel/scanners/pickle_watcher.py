"""A pickle machine that forgives: whatever some unpickler would run on to, it runs on to.

There are several unpicklers: CPython's in C, the one in Python that joblib uses, those of older versions. A scan must
see what any of them would execute, so nothing stops this machine but what stops each of them: an opcode that is none,
an empty stack, bytes that are missing.

Source: Modules/_pickle.c and Lib/pickle.py of CPython 3.7 to 3.13.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import Enum, auto

from panmodel.errors import CorruptError, LimitError, PanmodelError, TruncatedError, UnsafeError
from panmodel.io.source import Extent, Source
from panmodel.limits import DEFAULT
from panmodel.model.scanner import Subject
from panmodel.scanners.pickle_bytes import ENCODE, FileBytes, LeftBytes, LeftText
from panmodel.scanners.pickle_names import is_stdlib
from panmodel.wire.pickle import Global, Machine, Object

_HIGHEST = 5
_EMBEDDED = 20_000  # inner pickles of one pickle that are looked at
_STORAGE = Global("torch.storage", "UntypedStorage")
_PER_OPCODE = 1 << 10  # bytes that are copied or searched at the cost of one more opcode


class Crossing(Enum):
    """What unpicklers read where an opcode reaches over the end of a frame, which no pickler writes."""

    IGNORES = auto()  # from memory: frames mean nothing
    COPIES = auto()  # in C, from what it cannot look ahead in: it drops the rest of the frame, but for bytes
    DROPS = auto()  # the same before Python 3.8, for bytes too


class Watcher(Machine):
    """A machine that keeps the objects it made, and the bytes that could be pickles again.

    Args:
        data: The bytes.
        where: The file, for messages.
        opcodes: How many may be executed.
        whole: More bytes follow nowhere.
        crossing: What is read where an opcode reaches over the end of a frame.

    Attributes:
        made: The objects that were made.
        packed: Bytes that begin as pickles do.
        changed: Imported things that were given a state, entries or elements.
        left_out: Further bytes that begin as pickles do, beyond what is kept.
        looked_at: Bytes that were copied or searched.
        overreached: Where a frame begins that reaches beyond the end; -1 if none does.
        crossed: An opcode reaches over the end of a frame.
    """

    is_exact = False

    def __init__(self, data: bytes | FileBytes, where: str, opcodes: int, *, whole: bool, crossing: Crossing) -> None:
        limits = replace(DEFAULT, pickle_opcodes=opcodes)
        super().__init__(data, where=where, persistent=_stored, string_encoding="latin-1", limits=limits)
        self.made: list[Object] = []
        self.packed: list[bytes | Source] = []
        self.changed: set[Global] = set()
        self.left_out = self.looked_at = 0
        self.overreached = -1
        self.crossed = False
        self._whole, self._crossing = whole, crossing
        self._framed = 0  # where the current frame ends
        self._kept: dict[int, object] = {}  # by identity: the same bytes come back from the memo

    def begin_frame(self, size: int) -> None:
        """See `Machine.begin_frame`; some unpicklers pass over the ends of frames, and the one in Python over any."""
        if size > len(self.data) - self.position and self.overreached < 0:
            self.overreached = self.position
        self._reach(size)
        self._framed = max(self._framed, self.position + size)

    def _reach(self, count: int, *, copied: bool = False) -> None:
        """Note that so many bytes are read at once."""
        if self.position < self._framed < self.position + count:
            self.crossed = True
            if self._crossing is Crossing.DROPS or (self._crossing is Crossing.COPIES and not copied):
                self.position = self._framed
            self._framed = 0

    def unsigned(self, width: int) -> int:
        """See `Machine.unsigned`."""
        self._reach(width)
        return super().unsigned(width)

    def take(self, count: int) -> bytes:
        """See `Machine.take`."""
        self._reach(count)
        piece = super().take(count)
        self.looked_at += count
        return piece

    def take_string(self, count: int) -> bytes:
        """See `Machine.take_string`."""
        self._reach(count)
        data = super().take_string(count)
        if not isinstance(data, Extent):
            return data
        left = LeftBytes.of(data)
        self._keep(left)  # here, since an array of bytes that is made of it knows nothing of where it lies
        return left

    def take_bytes(self, count: int) -> bytes:
        """See `Machine.take_bytes`."""
        self._reach(count, copied=True)
        return self.take_string(count)

    def take_text(self, count: int) -> bytes:
        """See `Machine.take_text`; what is long stays in the file, too."""
        self._reach(count)
        data = super().take_string(count)
        return LeftBytes.of(data) if isinstance(data, Extent) else data

    def line(self) -> bytes:
        """See `Machine.line`; where the last one does not end, the unpickler in Python takes all but its last byte."""
        end = len(self.data)
        if self.position < self._framed:
            newline = self.data.find(b"\n", self.position)
            self._reach((newline if newline >= 0 else end) + 1 - self.position)
        begin = self.position
        try:
            piece = super().line()
        except TruncatedError:
            self.looked_at += end - begin
            if not self._whole or begin >= end - 1:
                raise
            piece = self.data[begin : end - 1]
            self.position = end
        self.looked_at += len(piece)
        return piece

    def call(self, callee: object, args: object, kwargs: object = None, *, called: bool) -> object:
        """See `Machine.call`; the unpickler in Python takes arguments out of anything that has elements."""
        if not isinstance(args, tuple):
            args = tuple(args) if isinstance(args, (list, str, bytes, bytearray, dict, set, frozenset)) else (args,)
        made = super().call(callee, args, kwargs, called=called)
        if isinstance(made, Object):
            self.made.append(made)
            if callee == ENCODE and made.args:
                self._keep(made.args[0])
        return made

    def push_bytes(self, value: bytes | bytearray) -> None:
        """See `Machine.push_bytes`."""
        super().push_bytes(value)
        self._keep(value)

    def _keep(self, value: object) -> None:
        if id(value) in self._kept or not _begins_as_pickle(value):
            return
        self._kept[id(value)] = value
        if len(self.packed) >= _EMBEDDED:
            self.left_out += 1
        elif isinstance(value, (LeftBytes, LeftText)):
            self.packed.append(value.content())
        elif isinstance(value, str):
            self.packed.append(value.encode("latin-1", "replace"))
        elif isinstance(value, (bytes, bytearray)):
            self.packed.append(bytes(value))

    def checked_key(self, key: object) -> object:
        """See `Machine.checked_key`; of a key that it refuses, something else stands in the dictionary."""
        try:
            return super().checked_key(key)
        except CorruptError:
            return Object(key)

    def set_items(self, target: object, flat: list[object]) -> None:
        """See `Machine.set_items`; lists take items too, by their index."""
        if isinstance(target, (Object, dict)):
            super().set_items(target, flat)
        elif isinstance(target, Global):
            self.changed.add(target)

    def extend(self, target: object, items: list[object]) -> None:
        """See `Machine.extend`; whatever has `extend` or `append` takes elements."""
        if isinstance(target, (Object, list)):
            super().extend(target, items)
        elif isinstance(target, Global):
            self.changed.add(target)

    def include(self, target: object, items: list[object]) -> None:
        """See `Machine.include`."""
        if isinstance(target, (Object, set)):
            super().include(target, items)
        elif isinstance(target, Global):
            self.changed.add(target)

    def build(self, target: object, state: object) -> None:
        """See `Machine.build`; a state of None passes anywhere, and modules take any."""
        if isinstance(target, Object):
            super().build(target, state)
        elif isinstance(target, Global):
            self.changed.add(target)


def _begins_as_pickle(value: object) -> bool:
    """Whether bytes, or text that may become bytes, begin with the mark and the number of a protocol."""
    if isinstance(value, str):
        return len(value) > 3 and value[0] == "\x80" and ord(value[1]) <= _HIGHEST
    return isinstance(value, (bytes, bytearray)) and len(value) > 3 and value[0] == 0x80 and value[1] <= _HIGHEST


def _stored(identity: object) -> object:
    """What a persistent id stands for: the class, in the oldest files of whole modules, else a storage."""
    if isinstance(identity, tuple) and len(identity) == 4 and identity[0] == "module":
        return identity[1]
    return Object(_STORAGE, (identity,))


@dataclass
class Stream:
    """One pickle that was run.

    Attributes:
        begin: Where it begins.
        value: What it makes, if it came to its end.
        error: Why it did not.
        names: Every name in it, with where it is mentioned.
        called: The names that are called as functions.
        referring: Those of them that are called for a reference alone, and in no other way.
        recalled: Those of them whose results are called.
        changed: The names whose own attributes or entries are set.
        made: The objects in it.
        packed: Bytes in it that may be pickles.
        left_out: How many more of them there are.
        end: Where it ends, or stopped.
    """

    begin: int
    value: object = None
    error: PanmodelError | None = None
    names: dict[Global, int] = field(default_factory=dict)
    called: set[Global] = field(default_factory=set)
    referring: set[Global] = field(default_factory=set)
    recalled: set[Global] = field(default_factory=set)
    changed: set[Global] = field(default_factory=set)
    made: list[Object] = field(default_factory=list)
    packed: list[bytes | Source] = field(default_factory=list)
    left_out: int = 0
    end: int = 0

    def acts(self) -> bool:
        """Whether an unpickler would have imported from the standard library, called or changed, before it stopped."""
        return bool(self.called or self.made or self.changed) or any(is_stdlib(name) for name in self.names)

    def may_go_on(self) -> bool:
        """Whether it was a bound of the scan that stopped it, or something that the file does not decide."""
        return isinstance(self.error, (LimitError, UnsafeError))

    def add(self, other: Stream) -> None:
        """Take in what another unpickler would do with the same bytes."""
        self.names = other.names | self.names
        self.referring = (
            (self.referring | other.referring) - (self.called - self.referring) - (other.called - other.referring)
        )
        self.called |= other.called
        self.recalled |= other.recalled
        self.changed |= other.changed
        self.made += other.made
        self.packed += other.packed
        self.left_out += other.left_out


def run(subject: Subject, data: bytes | FileBytes, begin: int) -> Stream:
    """Run the pickle that begins at a place, as far as it goes and the budget of the file allows."""
    stream, crossed = _run(subject, data, begin, Crossing.IGNORES)
    if crossed:
        for crossing in (Crossing.COPIES, Crossing.DROPS):
            stream.add(_run(subject, data, begin, crossing)[0])
        message = "an opcode reaches over the end of its frame, where unpicklers go on differently"
        stream.error = stream.error or CorruptError(message, where=subject.source.name)
    return stream


def _run(subject: Subject, data: bytes | FileBytes, begin: int, crossing: Crossing) -> tuple[Stream, bool]:
    """Run it as some unpicklers do; and whether others would see something else."""
    stream, where = Stream(begin), subject.source.name
    if subject.budget.opcodes <= 0:
        stream.error = LimitError("more pickled content than a scan runs", where=where)
        return stream, False
    if isinstance(data, FileBytes):
        data.renew()
    opcodes = min(DEFAULT.pickle_opcodes, subject.budget.opcodes)
    machine = Watcher(data, where, opcodes, whole=len(data) >= subject.source.size, crossing=crossing)
    machine.position = begin
    try:
        stream.value = machine.run()
        if machine.overreached >= 0:
            raise TruncatedError(f"the frame at {machine.overreached} reaches beyond the end", where=where)
    except PanmodelError as error:
        stream.error = error.with_traceback(None)  # which would keep the bytes in memory
    # making a machine costs as much as some opcodes
    subject.budget.opcodes -= machine.executed + 10 + machine.looked_at // _PER_OPCODE
    stream.names, stream.end = dict(machine.globals), machine.position
    stream.called, stream.recalled = machine.called | machine.referring, set(machine.recalled)
    stream.referring = machine.referring - machine.called
    stream.made, stream.packed, stream.changed = machine.made, machine.packed, machine.changed
    stream.left_out = machine.left_out
    return stream, machine.crossed
