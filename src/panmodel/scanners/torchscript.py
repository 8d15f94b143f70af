"""TorchScript archives: a program in a language of its own, which torch.jit.load compiles and runs.

The language knows tensors and little else; what reaches beyond them does so by an operator's name, which is in the
text of the program.

Source: torch/csrc/jit/docs/serialization.md; PyTorch's SECURITY.md
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from panmodel.errors import PanmodelError
from panmodel.model.finding import Level, Rule
from panmodel.model.scanner import UNREADABLE, Subject
from panmodel.wire.zip import Archive

CODE = Rule(
    "PM-TORCHSCRIPT",
    Level.NOTE,
    "A TorchScript program: loading compiles it, calling it runs it. It calls operators on tensors alone.",
    "Nothing, if you meant to load a program.",
)
FILE = Rule(
    "PM-TORCHSCRIPT-FILE",
    Level.DANGEROUS,
    "The TorchScript program reads or writes files.",
    "Do not load it.",
)
CUSTOM = Rule(
    "PM-TORCHSCRIPT-CUSTOM-OP",
    Level.UNDECIDED,
    "The TorchScript program calls operators or classes of a native library, which is not in the file.",
    "It is as safe as that library.",
)
HIDDEN = Rule(
    "PM-TORCHSCRIPT-HIDDEN",
    Level.DANGEROUS,
    "The TorchScript program keeps a library of operators as a value: what it calls of it does not show.",
    "Do not load it; PyTorch writes no such programs.",
)
RULES = (CODE, FILE, CUSTOM, HIDDEN)
_FILE_OPERATORS = ("save", "from_file", "load", "_cudnn_init_file", "cudnn_init_file", "fork_process")
#: What may stand between two words of a program.
_GAP = r"(?:\s|\\\r?\n|\#[^\n]*)*+"
_DOT = rf"{_GAP}\.{_GAP}"
_TRIPLE = r"(?P<three>\"{3}|'{3})(?:[^\\]|\\.)*?(?P=three)"
_SINGLE = r"(?P<one>[\"'])(?:(?!(?P=one))[^\\\n]|\\.)*+(?P=one)"
#: Strings and comments, which are passed over; names of libraries, those that are not given a meaning of their own.
_NAME = rf"(?<![\w.])(?P<library>torch|aten|ops)\b(?!{_GAP}(?::|=[^=]))"
_LIBRARIES = re.compile(rf"{_TRIPLE}|{_SINGLE}|\#[^\n]*|{_NAME}", re.DOTALL)
_OPERATOR = re.compile(rf"{_DOT}(\w+){_GAP}\(")
_OPERATOR_OF = re.compile(rf"{_DOT}(\w+){_DOT}(\w+){_GAP}\(")
#: Operators in the byte code for telephones, which is run in place of the text.
_BYTECODE = re.compile(rb"(?:X(?P<size>.{4}))?(?P<library>\w+)::(?P<operator>\w+)", re.DOTALL)
_CLASSES = re.compile(r"__torch__\.torch\.classes\.(?!quantized\.|sparse\.|xnnpack\.|rnn\.)([\w.]+)")
_OWN = frozenset(
    {"aten", "prim", "prims", "quantized", "_quantized", "sparse", "inductor", "profiler", "c10d_functional"}
)
_OWN |= {"prepacked", "mkldnn", "mkldnn_prepacked", "xnnpack", "metal", "metal_prepack", "vulkan", "vulkan_prepack"}
_OF_FILES = frozenset(("aten", operator) for operator in _FILE_OPERATORS)
_LARGEST = 64 << 20


def is_torchscript(names: Iterable[str]) -> bool:
    """Whether members of these names make up a TorchScript archive."""
    return any(re.fullmatch(r"[^/]+/(constants\.pkl|code/.+\.py|model\.json)", name) for name in names)


def scan_code(subject: Subject, archive: Archive) -> None:
    """Look for operators in the program that do more than compute."""
    called: set[tuple[str, str]] = set()
    programs = [name for name in archive.members if _is_program(name, archive)]
    for name in programs:
        try:
            data = archive.read(name, limit=_LARGEST)
        except PanmodelError as error:
            subject.report(UNREADABLE, error.message, member=name)
            continue
        if name.endswith("/bytecode.pkl"):
            found = set(_operators_of_bytecode(data))
        else:
            found = set(_operators(subject, data.decode("utf-8", "replace"), name))
        for library, operator in sorted(found & _OF_FILES):
            subject.report(FILE, f"calls {library}::{operator}", member=name)
        called |= found
    for library, operator in sorted(each for each in called if each[0] not in _OWN):
        subject.report(CUSTOM, f"calls {library}::{operator}"[:200])
    subject.report(CODE, f"a program of {len(programs)} files")


def _is_program(name: str, archive: Archive) -> bool:
    """Whether a member may be text of the program, which in the oldest archives may have any name, or its byte code."""
    if name.endswith((".py", "/bytecode.pkl")):
        return True
    root = name.partition("/")[0]
    return f"{root}/model.json" in archive.members and archive.members[name].size <= _LARGEST


def _operators_of_bytecode(data: bytes) -> Iterator[tuple[str, str]]:
    """Library and name of every operator in a pickle of byte code, which says of each text how long it is."""
    for match in _BYTECODE.finditer(data):
        text = f"{match['library'].decode('latin-1')}::{match['operator'].decode('latin-1')}"
        size = int.from_bytes(match["size"] or b"", "little")
        library, _, operator = text[: size or len(text)].partition("::")
        yield library, operator


def _operators(subject: Subject, text: str, name: str) -> Iterator[tuple[str, str]]:
    """Library and name of every operator that a program calls; what it makes or hides besides is reported."""
    for foreign in sorted(set(_CLASSES.findall(text))):
        subject.report(CUSTOM, f"makes objects of torch.classes.{foreign[:200]}", member=name)
    for match in _LIBRARIES.finditer(text):
        library = match["library"]
        call = (_OPERATOR_OF if library == "ops" else _OPERATOR).match(text, match.end()) if library else None
        if call is not None:
            yield (call[1], call[2]) if library == "ops" else ("aten", call[1])
        elif library:
            subject.report(HIDDEN, f"{text[match.start() : match.start() + 80]!r}", member=name)
