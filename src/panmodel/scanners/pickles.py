"""Pickles, wherever they lie: every name that unpickling would import, held against an allow-list.

The stream runs on a machine that executes nothing, opcode by opcode as CPython would; what it named before it broke
was executed before it broke.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from panmodel import dtypes
from panmodel.errors import PanmodelError, TruncatedError, UnsafeError
from panmodel.io.source import MemorySource, Source
from panmodel.limits import DEFAULT
from panmodel.model.finding import Level, Rule
from panmodel.model.scanner import UNREADABLE, Scanner, Subject
from panmodel.scanners.pickle_names import (
    is_allowed,
    is_layer,
    is_stdlib,
    is_tensor_function,
    may_be_users,
    takes_plain_state,
)
from panmodel.wire.pickle import Global, Machine, Object, describe

GLOBAL = Rule(
    "PM-PICKLE-GLOBAL",
    Level.DANGEROUS,
    "Unpickling imports, and may call, something that is no part of weights.",
    "Do not load it with torch.load, pickle, joblib or numpy; ask its author for safetensors or a plain state dict.",
)
NESTED = Rule(
    "PM-PICKLE-NESTED",
    Level.DANGEROUS,
    "Bytes inside of the pickle are a pickle again, and that one names something that is no part of weights.",
    "Do not load it; whatever unpacks the inner bytes executes them.",
)
EXTENSION = Rule(
    "PM-PICKLE-EXTENSION",
    Level.DANGEROUS,
    "The pickle calls whatever the reading process has registered under a number.",
    "Do not load it; no framework writes such pickles.",
)
CLASS = Rule(
    "PM-PICKLE-CLASS",
    Level.UNDECIDED,
    "A whole module was pickled: loading it imports a class that is not in the file.",
    "It is as safe as the code of that class on your machine; ask for a state dict instead.",
)
TRAILING = Rule(
    "PM-PICKLE-TRAILING",
    Level.UNDECIDED,
    "Bytes follow the pickle that belong to nothing known.",
    "Find out what wrote the file.",
)
_TORCH_MAGIC, _TORCH_PICKLES = 0x1950A86A20F9469CFC6C, 5
_HIGHEST = 5
_FIRST_WINDOW = 4 << 20
_STREAMS, _EMBEDDED = 10_000, 20_000
_BEGIN = re.compile(rb"\x80[\x00-\x05]")
_STORAGE = Global("torch.storage", "UntypedStorage")
_ENCODE = Global("_codecs", "encode")
_REBUILD_ANY = Global("torch._tensor", "_rebuild_from_type_v2")


class _Watcher(Machine):
    """A machine that keeps the objects it made, and the bytes that could be pickles again."""

    def __init__(self, data: bytes, where: str) -> None:
        super().__init__(data, where=where, persistent=_stored, string_encoding="latin-1")
        self.made: list[Object] = []
        self.packed: list[bytes] = []

    def call(self, callee: object, args: object, kwargs: object = None, *, called: bool) -> object:
        """See `Machine.call`."""
        made = super().call(callee, args, kwargs, called=called)
        if isinstance(made, Object):
            self.made.append(made)
            text = made.args[0] if callee == _ENCODE and made.args else None
            if isinstance(text, str) and text.startswith("\x80"):
                self._keep(text[: DEFAULT.pickle_bytes].encode("latin-1", "replace"))
        return made

    def push(self, value: object) -> None:
        """See `Machine.push`."""
        super().push(value)
        if isinstance(value, (bytes, bytearray)):
            self._keep(value)

    def _keep(self, value: bytes | bytearray) -> None:
        if len(value) > 3 and value[0] == 0x80 and value[1] <= _HIGHEST and len(self.packed) < _EMBEDDED:
            self.packed.append(bytes(value))


def _stored(identity: object) -> object:
    """What a persistent id stands for: the class, in the oldest files of whole modules, else a storage."""
    if isinstance(identity, tuple) and len(identity) == 4 and identity[0] == "module":
        return identity[1]
    return Object(_STORAGE, (identity,))


@dataclass
class _Stream:
    """One pickle that was run.

    Attributes:
        begin: Where it begins.
        value: What it makes, if it came to its end.
        error: Why it did not.
        names: Every name in it, with where it is mentioned.
        called: The names that are called as functions.
        made: The objects in it.
        packed: Bytes in it that may be pickles.
    """

    begin: int
    value: object = None
    error: PanmodelError | None = None
    names: dict[Global, int] = field(default_factory=dict)
    called: set[Global] = field(default_factory=set)
    made: list[Object] = field(default_factory=list)
    packed: list[bytes] = field(default_factory=list)
    end: int = 0

    def acts(self) -> bool:
        """Whether CPython would have imported from the standard library, or called, before it stopped."""
        return bool(self.called or self.made) or any(is_stdlib(name) for name in self.names)


def _run(data: bytes, begin: int, where: str) -> _Stream:
    machine, stream = _Watcher(data, where), _Stream(begin)
    machine.position = begin
    try:
        stream.value = machine.run()
    except PanmodelError as error:
        stream.error = error
    stream.names, stream.called, stream.end = dict(machine.globals), set(machine.called), machine.position
    stream.made, stream.packed = machine.made, machine.packed
    return stream


def _loaded(source: Source, nbytes: int) -> bytes:
    return source.read(0, min(source.size, nbytes))


def recognises(subject: Subject) -> bool:
    """Whether it begins as a pickle does; of the older protocols, which have no mark, the opcodes must make sense."""
    head = subject.head(2)
    if len(head) < 2:
        return False
    if head[0] == 0x80 and head[1] <= _HIGHEST:
        return True
    data = _loaded(subject.source, _FIRST_WINDOW)
    stream = _run(data, 0, subject.source.name)
    if stream.acts():
        return True
    return stream.error is None and not data[stream.end :].strip() and subject.source.size == len(data)


def scan(subject: Subject) -> None:
    """Run every pickle of the file, one behind the other, and what lies embedded in the rest."""
    data, first = _first(subject)
    _judge(subject, first)
    if first.error is not None:
        _complain(subject, first.error)
        _search(subject, data, first.end)
        return
    is_torch = first.value == _TORCH_MAGIC
    count, end = 1, first.end + _raw_behind(subject, data, first)
    while end < len(data) and count < _STREAMS and not (is_torch and count == _TORCH_PICKLES):
        stream = _run(data, end, subject.source.name)
        if stream.error is not None and not stream.acts() and not is_torch:
            break
        _judge(subject, stream)
        if stream.error is not None:
            _complain(subject, stream.error)
            break
        count, end = count + 1, stream.end + _raw_behind(subject, data, stream)
    if is_torch and count == _TORCH_PICKLES:
        return  # storages follow, which nothing unpickles
    _search(subject, data, end)
    if subject.source.size > len(data) or data[end:].strip(b"\0\n\r "):
        subject.report(TRAILING, f"{subject.source.size - end} bytes follow the pickle", offset=end)
    if is_torch:
        subject.report(UNREADABLE, f"a file of torch.save has {_TORCH_PICKLES} pickles, this one {count}")


def _raw_behind(subject: Subject, data: bytes, stream: _Stream) -> int:
    """How many raw bytes stand behind a pickle in torch's oldest files, whose pickles say what follows each."""
    value = stream.value
    if not subject.raw_between or not isinstance(value, tuple) or len(value) != 3 or not isinstance(value[2], Global):
        return 0
    at, kind = stream.end, dtypes.BY_TORCH_STORAGE.get(value[2].name)
    if kind is not None:
        return 8 + int.from_bytes(data[at : at + 8], "little") * kind.itemsize
    if value[2].name.endswith("Tensor"):
        return 16 + int.from_bytes(data[at : at + 4], "little") * 16
    return 0


def _first(subject: Subject) -> tuple[bytes, _Stream]:
    """The first pickle, and the bytes it was read from: as few of a large file as it takes."""
    source, window = subject.source, DEFAULT.pickle_bytes if subject.raw_between else _FIRST_WINDOW
    while True:
        data = _loaded(source, window)
        stream = last = _run(data, 0, source.name)
        for _ in range(_TORCH_PICKLES - 1 if stream.value == _TORCH_MAGIC else 0):
            if last.error is None:
                last = _run(data, last.end, source.name)
        more = len(data) < source.size and window < DEFAULT.pickle_bytes
        if not (more and isinstance(last.error, TruncatedError)):
            return data, stream
        window = min(window * 8, DEFAULT.pickle_bytes)


def _search(subject: Subject, data: bytes, begin: int) -> None:
    """Pickles between raw bytes, as joblib and the oldest files of torch have them: only those that act count."""
    reached = begin
    for number, match in enumerate(_BEGIN.finditer(data, begin)):
        if number > _EMBEDDED:
            return
        if match.start() < reached:
            continue
        stream = _run(data, match.start(), subject.source.name)
        plausible = all(_is_dotted(name) for name in stream.names)
        if stream.names and plausible and (stream.error is None or stream.called):
            _judge(subject, stream)
            reached = stream.end


def _is_dotted(name: Global) -> bool:
    return all(part.isidentifier() for part in f"{name.module}.{name.name}".split("."))


def _complain(subject: Subject, error: PanmodelError) -> None:
    subject.report_error(error, EXTENSION if isinstance(error, UnsafeError) else UNREADABLE)


def _judge(subject: Subject, stream: _Stream, rule: Rule = GLOBAL) -> None:
    """Report every name that is not allowed."""
    shapes: dict[Global, list[Object]] = {}
    for made in stream.made:
        if isinstance(made.cls, Global):
            shapes.setdefault(made.cls, []).append(made)
    for name, position in stream.names.items():
        if is_allowed(name, torchscript=subject.torchscript):
            continue
        layers = is_layer(name) or may_be_users(name)
        objects = shapes.get(name, [])
        if layers and name not in stream.called and objects and all(takes_plain_state(made) for made in objects):
            if not is_layer(name):
                subject.report(CLASS, f"needs the class {describe(name)}", offset=position)
        elif is_tensor_function(name) and not _is_used(name, objects, stream):
            continue
        elif not (name.module == "copy_reg" or name.module == "copyreg") or not _only_makes_layers(name, stream):
            how = "calls" if name in stream.called else "imports"
            subject.report(rule, f"{how} {describe(name)}", offset=position)
    for inner in stream.packed:
        _judge_nested(subject, inner)


def _is_used(function: Global, made: list[Object], stream: _Stream) -> bool:
    """Whether more becomes of a function than that an attribute holds it."""
    return bool(made) or function in stream.called or _REBUILD_ANY in stream.names


def _only_makes_layers(name: Global, stream: _Stream) -> bool:
    """Whether `copyreg._reconstructor`, by which protocols 0 and 1 make any object, makes plain ones alone."""
    made = [each for each in stream.made if each.cls == name]
    base = {Global("builtins", "object"), Global("__builtin__", "object")}
    plain = all(len(each.args) == 3 and each.args[1] in base and each.args[2] is None for each in made)
    return name.name == "_reconstructor" and plain and bool(made)


def _judge_nested(subject: Subject, inner: bytes) -> None:
    part = Subject(
        MemorySource(inner, subject.source.name), subject.name, subject.findings, subject.look, subject.member
    )
    part.budget, part.depth = subject.budget, subject.depth + 1
    if part.depth > 20:
        return
    stream = _run(inner, 0, subject.source.name)
    if stream.error is None or stream.called:
        _judge(part, stream, NESTED)


SCANNER = Scanner("pickle", recognises, scan, (GLOBAL, NESTED, EXTENSION, CLASS, TRAILING))
