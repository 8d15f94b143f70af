"""A pickle machine that forgives: whatever some unpickler would run on to, it runs on to.

There are several unpicklers: CPython's in C, the one in Python that joblib uses, those of older versions. A scan must
see what any of them would execute, so nothing stops this machine but what stops each of them: an opcode that is none,
an empty stack, bytes that are missing.

Source: Modules/_pickle.c and Lib/pickle.py of CPython 3.7 to 3.13.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from panmodel.errors import CorruptError, LimitError, PanmodelError, TruncatedError, UnsafeError
from panmodel.limits import DEFAULT
from panmodel.model.scanner import Subject
from panmodel.scanners.pickle_names import is_stdlib
from panmodel.wire.pickle import Global, Machine, Object

_HIGHEST = 5
_EMBEDDED = 20_000  # inner pickles of one pickle that are looked at
_STORAGE = Global("torch.storage", "UntypedStorage")
_ENCODE = Global("_codecs", "encode")


class Watcher(Machine):
    """A machine that keeps the objects it made, and the bytes that could be pickles again.

    Args:
        data: The bytes.
        where: The file, for messages.
        opcodes: How many may be executed.
        whole: More bytes follow nowhere.

    Attributes:
        made: The objects that were made.
        packed: Bytes that begin as pickles do.
        changed: Imported things that were given a state, entries or elements.
        left_out: Further bytes that begin as pickles do, beyond what is kept.
    """

    def __init__(self, data: bytes, where: str, opcodes: int, *, whole: bool) -> None:
        limits = replace(DEFAULT, pickle_opcodes=opcodes)
        super().__init__(data, where=where, persistent=_stored, string_encoding="latin-1", limits=limits)
        self.made: list[Object] = []
        self.packed: list[bytes] = []
        self.changed: set[Global] = set()
        self.left_out = 0
        self._whole = whole
        self._kept: dict[int, object] = {}  # by identity: the same bytes come back from the memo

    def begin_frame(self, size: int) -> None:
        """See `Machine.begin_frame`; unpicklers that read from memory pass over the ends of frames."""
        super().begin_frame(size)
        self.frame = 0

    def line(self) -> bytes:
        """See `Machine.line`; where the last one does not end, the unpickler in Python takes all but its last byte."""
        try:
            return super().line()
        except TruncatedError:
            if not self._whole or self.position >= len(self.data) - 1:
                raise
        piece: bytes = self.data[self.position : -1]
        self.position = len(self.data)
        return piece

    def call(self, callee: object, args: object, kwargs: object = None, *, called: bool) -> object:
        """See `Machine.call`; the unpickler in Python takes arguments out of anything that has elements."""
        if not isinstance(args, tuple):
            args = tuple(args) if isinstance(args, (list, str, bytes, bytearray, dict, set, frozenset)) else (args,)
        made = super().call(callee, args, kwargs, called=called)
        if isinstance(made, Object):
            self.made.append(made)
            if callee == _ENCODE and made.args:
                self._keep(made.args[0])
        return made

    def push_bytes(self, value: bytes | bytearray) -> None:
        """See `Machine.push_bytes`."""
        super().push_bytes(value)
        self._keep(value)

    def _keep(self, value: object) -> None:
        if id(value) in self._kept:
            return
        if isinstance(value, str) and value.startswith("\x80"):
            self._kept[id(value)] = value
            value = value[: DEFAULT.pickle_bytes].encode("latin-1", "replace")
        if isinstance(value, (bytes, bytearray)) and len(value) > 3 and value[0] == 0x80 and value[1] <= _HIGHEST:
            self._kept.setdefault(id(value), value)
            if len(self.packed) < _EMBEDDED:
                self.packed.append(bytes(value))
            else:
                self.left_out += 1

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
    packed: list[bytes] = field(default_factory=list)
    left_out: int = 0
    end: int = 0

    def acts(self) -> bool:
        """Whether an unpickler would have imported from the standard library, called or changed, before it stopped."""
        return bool(self.called or self.made or self.changed) or any(is_stdlib(name) for name in self.names)

    def may_go_on(self) -> bool:
        """Whether it was a bound of the scan that stopped it, or something that the file does not decide."""
        return isinstance(self.error, (LimitError, UnsafeError))


def run(subject: Subject, data: bytes, begin: int) -> Stream:
    """Run the pickle that begins at a place, as far as it goes and the budget of the file allows."""
    stream = Stream(begin)
    if len(data) > DEFAULT.pickle_bytes or subject.budget.opcodes <= 0:
        stream.error = LimitError("more pickled content than a scan runs", where=subject.source.name)
        return stream
    opcodes, whole = min(DEFAULT.pickle_opcodes, subject.budget.opcodes), len(data) >= subject.source.size
    machine = Watcher(data, subject.source.name, opcodes, whole=whole)
    machine.position = begin
    try:
        stream.value = machine.run()
    except PanmodelError as error:
        stream.error = error.with_traceback(None)  # which would keep the bytes in memory
    subject.budget.opcodes -= machine.executed + 10  # making a machine costs as much as some opcodes
    stream.names, stream.end = dict(machine.globals), machine.position
    stream.called, stream.recalled = machine.called | machine.referring, set(machine.recalled)
    stream.referring = machine.referring - machine.called
    stream.made, stream.packed, stream.changed = machine.made, machine.packed, machine.changed
    stream.left_out = machine.left_out
    return stream
