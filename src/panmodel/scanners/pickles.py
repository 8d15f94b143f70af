"""Pickles, wherever they lie: every name that unpickling would import, held against an allow-list.

The stream runs on a machine that executes nothing, opcode by opcode as CPython would; what it named before it broke
was executed before it broke.
"""

from __future__ import annotations

import re
import string
from collections.abc import Iterator, Mapping, Sequence

from panmodel import dtypes
from panmodel.errors import CorruptError, PanmodelError, TruncatedError, UnsafeError
from panmodel.io.source import MemorySource, Source
from panmodel.model.finding import Level, Rule
from panmodel.model.scanner import UNFINISHED, UNREADABLE, Scanner, Subject
from panmodel.model.torch.classes import FUNCTIONS_OF_TORCH, is_of_settings, refers_to_known
from panmodel.scanners.pickle_bytes import FileBytes, bytes_in, content_of
from panmodel.scanners.pickle_names import (
    is_allowed,
    is_layer,
    is_tensor_function,
    makes_member,
    may_be_users,
    may_be_users_function,
    takes_plain_state,
)
from panmodel.scanners.pickle_watcher import Stream, run
from panmodel.wire.pickle import Global, Object, describe, is_reference
from panmodel.wire.torch_container import load
from panmodel.wire.torch_legacy import is_legacy
from panmodel.wire.zip import is_zip

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
    "An object was pickled, a module or settings: loading it imports a class or function that is not in the file.",
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
_SEARCHED = 4 << 20  # bytes that are searched at a time
#: Opcodes that name an entry of the extension registry → their bytes; and what could stand in their place.
_EXTENSION_SIZES = {0x82: 2, 0x83: 3, 0x84: 5}
_ENTRY = b"cextension\nentry\n"
_MOST_ENTRIES = 4  # that are looked behind
_STREAMS, _NESTED = 10_000, 20
_PROBE = 1 << 16  # bytes that tell whether what is marked as a pickle goes on as one
_BEGIN = re.compile(rb"\x80[\x00-\x05]")
#: By which protocols 0 and 1 make any object.
_RECONSTRUCTORS = frozenset({Global("copyreg", "_reconstructor"), Global("copy_reg", "_reconstructor")})
#: How storages are pickled that no container has: as a file of torch.save, loaded with all that it names.
_LOAD = Global("torch.storage", "_load_from_bytes")
#: Functions that are allowed, and call what they are given: the first of their arguments, or any.
_CALLERS: dict[Global, int | None] = {
    Global("torch._tensor", "_rebuild_from_type_v2"): 1,
    Global("numpy.random._pickle", "__generator_ctor"): None,
    Global("numpy.random._pickle", "__randomstate_ctor"): None,
    Global("numpy.random._pickle", "__bit_generator_ctor"): None,
}


def recognises(subject: Subject) -> bool:
    """Whether it runs as a pickle: to its end, or until it has imported or called something.

    The mark that younger pickles begin with proves nothing, since other formats have it by chance as the length of
    their headers; older pickles have none and may be read as text.
    """
    head = subject.head(2)
    if len(head) < 2:
        return False
    if head[0] == 0x80 and head[1] <= _HIGHEST:
        stream = run(subject, subject.head(_PROBE), 0)
        return stream.acts() or bool(stream.names) or type(stream.error) is not CorruptError
    data, stream = subject.once(_first)
    if isinstance(stream.error, UnsafeError) and not stream.acts():
        return _goes_on_extended(subject, data, stream)
    if stream.acts() or stream.may_go_on():
        return True
    return stream.error is None and not _follows(subject.source, stream.end, string.whitespace.encode())


def _goes_on_extended(subject: Subject, whole: bytes | FileBytes, stream: Stream) -> bool:
    """Whether it runs on behind an entry of the extension registry: raw numbers may begin like one."""
    data = subject.head(_SEARCHED)
    for _ in range(_MOST_ENTRIES):
        at = stream.end - 1
        if not 0 <= at < len(data) or data[at] not in _EXTENSION_SIZES:
            return True
        data = data[:at] + _ENTRY + data[at + _EXTENSION_SIZES[data[at]] :]
        stream = run(subject, data, 0)
        if not isinstance(stream.error, UnsafeError):
            is_cut = len(data) < len(whole) and isinstance(stream.error, TruncatedError)
            return stream.acts() or stream.may_go_on() or stream.error is None or is_cut
    return True


def _follows(source: Source, begin: int, blank: bytes) -> bool:
    """Whether anything but blank bytes stands behind a place."""
    return any(bytes(piece).strip(blank) for piece in source.chunks(begin, source.size - begin))


def scan(subject: Subject) -> None:
    """Run every pickle of the file, one behind the other, and what lies embedded in the rest."""
    data, first = subject.once(_first)
    _judge(subject, first)
    if first.error is not None:
        _complain(subject, first.error)
        _search(subject, data, first.end)
        return
    is_torch = first.value == _TORCH_MAGIC
    count, end = 1, first.end + _raw_behind(subject, first)
    while end < len(data) and count < _STREAMS and not (is_torch and count == _TORCH_PICKLES):
        stream = run(subject, data, end)
        if stream.error is not None and not stream.acts() and not is_torch:
            break
        _judge(subject, stream)
        if stream.error is not None:
            _complain(subject, stream.error)
            break
        count, end = count + 1, stream.end + _raw_behind(subject, stream)
    if is_torch and count == _TORCH_PICKLES:  # storages follow, which nothing unpickles
        _look_behind_storages(subject)
        return
    _search(subject, data, end)
    if _follows(subject.source, end, b"\0\n\r "):
        subject.report(TRAILING, f"{subject.source.size - end} bytes follow the pickle", offset=end)
    if is_torch:
        subject.report(UNREADABLE, f"a file of torch.save has {_TORCH_PICKLES} pickles, this one {count}")


def _look_behind_storages(subject: Subject) -> None:
    """Report what follows the storages of a file: whoever saved there twice loads twice, too."""
    try:
        behind = load(subject.source).behind
    except PanmodelError:  # torch does not load it either, or it is of a kind that is not read
        return
    if behind is not None:
        message = f"{subject.source.size - behind} bytes follow the storages, which a second torch.load may unpickle"
        subject.report(TRAILING, message, offset=behind)


def _raw_behind(subject: Subject, stream: Stream) -> int:
    """How many raw bytes stand behind a pickle in torch's oldest files, whose pickles say what follows each."""
    value = stream.value
    if not subject.raw_between or not isinstance(value, tuple) or len(value) != 3 or not isinstance(value[2], Global):
        return 0
    kind, source = dtypes.BY_TORCH_STORAGE.get(value[2].name), subject.source
    behind = source.read(stream.end, min(8, source.size - stream.end))
    if kind is not None:
        return 8 + int.from_bytes(behind, "little") * kind.itemsize
    if value[2].name.endswith("Tensor"):
        return 16 + int.from_bytes(behind[:4], "little") * 16
    return 0


def _first(subject: Subject) -> tuple[bytes | FileBytes, Stream]:
    """The bytes, and the first pickle of them."""
    data = bytes_in(subject.source)
    return data, run(subject, data, 0)


def _search(subject: Subject, data: bytes | FileBytes, begin: int) -> None:
    """Pickles between raw bytes, as joblib and the oldest files of torch have them: only those that act count."""
    reached = begin
    for at in _marks(subject.source, begin):
        if subject.budget.opcodes <= 0:
            subject.report(UNFINISHED, "more of it may be pickles than a scan runs", offset=at)
            return
        if at < reached:
            continue
        stream = run(subject, data, at)
        plausible = all(_is_dotted(name) for name in stream.names)
        if stream.names and plausible and (stream.error is None or stream.called):
            _judge(subject, stream)
            reached = stream.end


def _marks(source: Source, begin: int) -> Iterator[int]:
    """Where bytes behind a place are such as pickles begin with."""
    while begin < source.size:
        piece = source.read(begin, min(_SEARCHED, source.size - begin))
        yield from (begin + match.start() for match in _BEGIN.finditer(piece))
        begin += max(len(piece) - 1, 1)  # a mark may lie across the end of a piece


def _is_dotted(name: Global) -> bool:
    return all(part.isidentifier() for part in f"{name.module}.{name.name}".split("."))


def _complain(subject: Subject, error: PanmodelError) -> None:
    subject.report_error(error, EXTENSION if isinstance(error, UnsafeError) else UNREADABLE)


def _judge(subject: Subject, stream: Stream, rule: Rule = GLOBAL) -> None:
    """Report every name that is not allowed."""
    shapes: dict[Global, list[Object]] = {}
    for made in stream.made:
        if isinstance(made.cls, Global):
            shapes.setdefault(made.cls, []).append(made)
    stream.recalled |= _passed(shapes)
    for name, position in stream.names.items():
        found = _user_needs(name, shapes.get(name, []), stream)
        if name in stream.changed:
            subject.report(rule, f"changes {describe(name)}", offset=position)
        elif is_allowed(name, torchscript=subject.torchscript):
            continue
        elif name == _LOAD:
            if not _looked_into(subject, shapes.get(name, [])):
                subject.report(rule, f"calls {describe(name)} with what is no file of torch.save", offset=position)
        elif found:
            subject.report(CLASS, found, offset=position)
        elif stream.value == name or not _only_makes_layers(name, shapes, stream):  # by itself it is no part of a model
            how = "calls" if name in stream.called else "imports"
            subject.report(rule, f"{how} {describe(name)}", offset=position)
    for inner in stream.packed:
        _judge_nested(subject, inner)
    if stream.left_out:
        subject.report(UNFINISHED, f"{stream.left_out} more pieces of it may be pickles again", offset=stream.begin)


def _passed(shapes: Mapping[Global, list[Object]]) -> set[Global]:
    """The names that allowed functions are given to be called."""
    found: set[Global] = set()
    for caller, count in _CALLERS.items():
        for made in shapes.get(caller, []):
            roots = (item.root if isinstance(item, Object) else item for item in made.args[:count])
            found |= {root for root in roots if isinstance(root, Global)}
    return found


def _looked_into(subject: Subject, loads: list[Object]) -> bool:
    """Look into the files that a pickle loads out of its own bytes; False if something else is loaded."""
    given = {id(made.args[0]): made.args[0] for made in loads if len(made.args) == 1 and not made.kwargs}
    if not loads or any(len(made.args) != 1 or made.kwargs for made in loads):
        return False
    contents = [content_of(value) for value in given.values()]
    files = [content for content in contents if content is not None and _is_of_torch(content)]
    if len(files) < len(contents):
        return False  # what torch.load does with other bytes need not be what any scanner takes them for
    for count, content in enumerate(files):
        subject.inside(content, f"storage {count}")
    return True


def _is_of_torch(content: Source) -> bool:
    head = content.read(0, min(content.size, _PROBE))
    return is_zip(head) or is_legacy(head)


def _user_needs(name: Global, made: Sequence[Object], stream: Stream) -> str:
    """What is needed of the code of the model's author, if nothing of it is called with more than a plain value."""
    if name in stream.recalled:
        return ""
    if may_be_users(name) and all(map(makes_member, made)):
        return f"needs the class {describe(name)}"
    if may_be_users_function(name) and name not in stream.called and not made:
        return f"needs the function {describe(name)}"
    if name in stream.referring and all(map(_refers, made)):
        return f"calls {describe(name)}, which here does nothing by itself"
    return ""


def _refers(made: Object) -> bool:
    """Whether a call makes a reference that nothing is done to, and none to what torch can do besides tensors."""
    return is_reference(made) and refers_to_known(made)


def _only_makes_layers(name: Global, shapes: Mapping[Global, list[Object]], stream: Stream) -> bool:
    """Whether nothing becomes of a name but layers of PyTorch, and the functions that they hold."""
    made, is_called = shapes.get(name, []), name in stream.called | stream.recalled
    if is_layer(name):
        return not is_called and all(map(takes_plain_state, made))
    if is_tensor_function(name) or is_of_settings(name):  # which an attribute may hold, and nothing may call
        return not is_called and not made
    if name == FUNCTIONS_OF_TORCH:  # what `getattr` gets from it is looked at where that is judged
        return not is_called and not made
    base = {Global("builtins", "object"), Global("__builtin__", "object")}
    plain = all(len(each.args) == 3 and each.args[1] in base and each.args[2] is None for each in made)
    return name in _RECONSTRUCTORS and plain and bool(made)


def _judge_nested(subject: Subject, inner: bytes | Source) -> None:
    source = MemorySource(inner, subject.source.name) if isinstance(inner, bytes) else inner
    part = Subject(source, subject.name, subject.findings, subject.look, subject.member)
    part.budget, part.depth = subject.budget, subject.depth + 1
    if part.depth > _NESTED:
        subject.report(UNFINISHED, f"pickles lie over {_NESTED} deep within each other")
        return
    stream = run(part, bytes_in(source), 0)
    if stream.error is not None and stream.may_go_on():
        _complain(subject, stream.error)
    if stream.error is None or stream.called or stream.changed:
        _judge(part, stream, NESTED)


SCANNER = Scanner("pickle", recognises, scan, (GLOBAL, NESTED, EXTENSION, CLASS, TRAILING))
