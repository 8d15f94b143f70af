"""TorchScript archives: a program in a language of its own, which torch.jit.load compiles and runs.

The language knows tensors and little else; what reaches beyond them does so by an operator's name, which is in the
text of the program.

Source: torch/csrc/jit/docs/serialization.md; PyTorch's SECURITY.md
"""

from __future__ import annotations

import re
from collections.abc import Iterable

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
RULES = (CODE, FILE, CUSTOM)
_FILE_OPERATORS = re.compile(r"\b(?:torch|aten|ops\.aten)\.(save|from_file|load|_?cudnn_init_file|fork_process)\b")
_OPERATORS = re.compile(r"\bops\.(\w+)\.(\w+)")
_CLASSES = re.compile(r"__torch__\.torch\.classes\.(?!quantized\.|sparse\.|xnnpack\.|rnn\.)([\w.]+)")
_OWN = frozenset(
    {"aten", "prim", "prims", "quantized", "_quantized", "sparse", "inductor", "profiler", "c10d_functional"}
)
_LARGEST = 64 << 20


def is_torchscript(names: Iterable[str]) -> bool:
    """Whether members of these names make up a TorchScript archive."""
    return any(re.fullmatch(r"[^/]+/(constants\.pkl|code/.+\.py|model\.json)", name) for name in names)


def scan_code(subject: Subject, archive: Archive) -> None:
    """Look for operators in the program that do more than compute."""
    called: set[str] = set()
    programs = [name for name in archive.members if name.endswith(".py")]
    for name in programs:
        try:
            text = archive.read(name, limit=_LARGEST).decode("utf-8", "replace")
        except PanmodelError as error:
            subject.report(UNREADABLE, error.message, member=name)
            continue
        called |= {f"{library}::{operator}" for library, operator in _OPERATORS.findall(text)}
        for operator in sorted(set(_FILE_OPERATORS.findall(text))):
            subject.report(FILE, f"calls aten::{operator}", member=name)
        for foreign in sorted(set(_CLASSES.findall(text))):
            subject.report(CUSTOM, f"makes objects of torch.classes.{foreign[:200]}", member=name)
    for operator in sorted(each for each in called if each.partition("::")[0] not in _OWN):
        subject.report(CUSTOM, f"calls {operator[:200]}")
    subject.report(CODE, f"a program of {len(programs)} files")
