"""Zip archives: .pt, .keras, .npz, .pt2, TorchScript and whatever else is packed so. Every member is looked at.

Source: PKWARE APPNOTE.TXT 6.3.10; torch/serialization.py; torch/export/pt2_archive/constants.py
"""

from __future__ import annotations

import re

from panmodel.errors import LimitError, PanmodelError, UnsafeError, UnsupportedError
from panmodel.io.source import MemorySource, PartSource, Source
from panmodel.model.finding import Level, Rule
from panmodel.model.scanner import UNREADABLE, Scanner, Subject
from panmodel.scanners.pickle_watcher import run
from panmodel.scanners.torch_distributed import parts_of
from panmodel.scanners.torchscript import RULES as TORCHSCRIPT_RULES
from panmodel.scanners.torchscript import is_torchscript, scan_code
from panmodel.scanners.zip_salvage import Salvage
from panmodel.wire.zip import Archive
from panmodel.wire.zip_directory import END, LOCAL

ESCAPE = Rule(
    "PM-ZIP-ESCAPE",
    Level.DANGEROUS,
    "A member's name, or a link, leads out of the folder that the archive is unpacked to.",
    "Do not unpack or load it.",
)
AMBIGUOUS = Rule(
    "PM-ZIP-AMBIGUOUS",
    Level.DANGEROUS,
    "Two readers of the archive see different things in it, so what was checked need not be what is loaded.",
    "Do not load it; no framework writes such archives.",
)
EXPANDS = Rule(
    "PM-ZIP-EXPANDS",
    Level.UNDECIDED,
    "The archive has more members than is sensible, or a member that unpacks to a great many times its size.",
    "Unpack it only where memory is bounded.",
)
OPAQUE = Rule(
    "PM-ZIP-OPAQUE",
    Level.UNDECIDED,
    "The archive is encrypted, in volumes, or packed in a way that is not read.",
    "Unpack it in a safe place and scan the files.",
)
_MAGIC = (b"PK\x03\x04", b"\x7fELF", b"\x93NUMPY")
_PICKLES = (b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05")
_PROBE = 1 << 16
_TAIL = 22 + 0xFFFF
#: Bytes of a member that is held in memory; of one that lies in the file as it is, and of one that is verified.
_HELD, _VERIFIED = 4 << 20, 64 << 20
_INFLATED = 256 << 20
#: Raw numbers: storages of torch.save, tensors of TorchScript and of exported programs.
_TORCH_RAW = re.compile(r"(data|constants)/\d+")
_OLD_RAW = re.compile(r"tensors/\d+")
_EXPORTED_RAW = re.compile(r"(.*/)?data/(weights|constants)/(.*_)?(weight|tensor|param|buffer)_\d+")


def recognises(subject: Subject) -> bool:
    """Whether an archive begins or ends here, and not several of them, each a file by itself."""
    if parts_of(subject):
        return False
    if subject.head(4) in (LOCAL, END):
        return True
    tail = min(subject.source.size, _TAIL)
    return END in subject.source.read(subject.source.size - tail, tail)


def scan(subject: Subject) -> None:
    """Hold the archive against itself and look at every member."""
    try:
        archive = Archive(subject.source, zero_crc_is_absent=True)
    except PanmodelError as error:
        _salvage(subject, error)
        return
    names = frozenset(archive.members)
    script = is_torchscript(names)
    for name in archive.members:
        if not name.endswith("/"):
            _look_at(subject, archive, name, script=script, raw=_is_storage(name, names))
    if script:
        scan_code(subject, archive)


def _look_at(subject: Subject, archive: Archive, name: str, *, script: bool, raw: bool) -> None:
    if raw and not _is_something(archive, name):
        return
    try:
        content = _content(subject, archive, name)
    except PanmodelError as error:
        subject.report(EXPANDS if isinstance(error, LimitError) else UNREADABLE, error.message, member=name)
        extent = archive.extent(name)
        if extent is None:
            return
        content = PartSource(extent, f"{subject.source.name}, {name}")
    if _EXPORTED_RAW.fullmatch(name) and not _may_be_code(subject, content):
        return
    subject.inside(content, name, torchscript=script)


def _content(subject: Subject, archive: Archive, name: str) -> Source:
    """A member's bytes, its checksum verified unless it is large and lies in the file as it is."""
    extent, title = archive.extent(name), f"{subject.source.name}, {name}"
    if extent is None:
        subject.spend(archive.members[name].size)
    elif extent.nbytes > _HELD:
        if extent.nbytes <= _VERIFIED:
            for _ in archive.chunks(name):
                pass
        return PartSource(extent, title)
    return MemorySource(archive.read(name, limit=_INFLATED), title)


def _may_be_code(subject: Subject, content: Source) -> bool:
    """Whether what should be raw numbers begins as a pickle, an archive or a program does.

    Loaders of exported programs unpickle such a member when a description beside it says so.
    """
    head = content.read(0, min(content.size, _PROBE))
    stream = run(subject, head, 0)
    return head.startswith(_MAGIC) or head[:2] in _PICKLES or stream.acts() or stream.may_go_on()


def _is_something(archive: Archive, name: str) -> bool:
    """Whether what should be a storage begins as an array, an archive or a program: the same file may be an .npz."""
    try:
        head = next(iter(archive.chunks(name)), b"")
    except PanmodelError:
        return True
    return bytes(head[:8]).startswith(_MAGIC)


def _is_storage(name: str, names: frozenset[str]) -> bool:
    """Whether a member holds a storage, by its place beside a data.pkl; no loader takes it for anything else."""
    for match in (_TORCH_RAW, _OLD_RAW):
        root, slash, rest = name.partition("/")
        if slash and match.fullmatch(rest):
            beside = ("data.pkl", "constants.pkl", "model.json", "byteorder")
            return any(f"{root}/{each}" in names for each in beside)
    return False


def _salvage(subject: Subject, error: PanmodelError) -> None:
    """Say what is wrong with the archive, and look at whatever some reader could find in it."""
    salvage = Salvage(subject.source)
    contradictions = salvage.contradictions()
    rule = UNREADABLE
    if isinstance(error, UnsafeError):
        rule = ESCAPE
    elif isinstance(error, LimitError):
        rule = EXPANDS
    elif isinstance(error, UnsupportedError):
        rule = OPAQUE
    subject.report(rule, error.message)
    for text in contradictions:
        subject.report(AMBIGUOUS, text)
    for name, content in salvage.members():
        if content and not name.endswith("/"):
            subject.spend(len(content))
            subject.inside(MemorySource(content, f"{subject.source.name}, {name}"), name)


SCANNER = Scanner("zip archive", recognises, scan, (ESCAPE, AMBIGUOUS, EXPANDS, OPAQUE, *TORCHSCRIPT_RULES))
