"""What a scanner is to the rest of the house, and the run of bytes that it is handed."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar, cast

from panmodel.errors import LimitError, PanmodelError
from panmodel.io.source import Source
from panmodel.model.finding import Finding, Level, Rule

#: Archives within archives, and everything taken together that is looked at in one file: members and unpacked bytes,
#: of which a large file may have more.
_DEPTH, _MEMBERS, _UNPACKED, _TIMES = 6, 100_000, 1 << 30, 4
#: Opcodes of pickles that are run in one file: some seconds.
_OPCODES = 6_000_000
#: Findings of one rule in one file that are listed one by one.
_LISTED = 50
#: Bytes of a part that is not looked at again where the same bytes come again: versions, byte orders, small pickles.
_SHORT = 1 << 14

UNREADABLE = Rule(
    "PM-UNREADABLE",
    Level.UNDECIDED,
    "The file could not be read to its end: it is damaged, cut short, or made to stop its reader.",
    "Fetch it again from where it comes from; if it stays so, do not load it.",
)
UNKNOWN = Rule(
    "PM-UNKNOWN-CONTENT",
    Level.UNDECIDED,
    "The content is of no kind that is known, so nothing can be said about it.",
    "Find out what it is before you load it; ask its author for a format that is listed by `panmodel formats`.",
)
UNFINISHED = Rule(
    "PM-UNFINISHED",
    Level.UNDECIDED,
    "There is more than a scan looks at: archives in archives, members or bytes beyond its bounds.",
    "Unpack it in a place where it can do no harm, and scan the parts.",
)
RULES = (UNREADABLE, UNKNOWN, UNFINISHED)

Made = TypeVar("Made")


@dataclass
class Budget:
    """What is left to be looked at in one file, however it is packed.

    Attributes:
        members: Parts.
        unpacked: Bytes.
        opcodes: Of pickles.
        counts: Rule → how often it was reported.
        clean: Digests of the parts in which nothing was found.
    """

    members: int = _MEMBERS
    unpacked: int = _UNPACKED
    opcodes: int = _OPCODES
    counts: dict[str, int] = field(default_factory=dict)
    clean: set[bytes] = field(default_factory=set)

    @classmethod
    def of(cls, nbytes: int) -> Budget:
        """That of a file of so many bytes."""
        return cls(unpacked=max(_UNPACKED, _TIMES * nbytes))


@dataclass
class Subject:
    """A run of bytes to look at, and where the findings go.

    Attributes:
        source: The bytes.
        name: The plain name of the file or member; a hint for messages, never believed.
        member: Where inside of the scanned file; "" for the file itself.
        path: The file, if these bytes are all of one on disk.
        findings: What was found so far.
        kinds: What the bytes were recognised as.
        claimed: Files beside this one that it names as holding its raw numbers.
        torchscript: The bytes belong to a TorchScript archive.
        raw_between: Raw numbers stand between and behind the pickles of this member.
        made: What `once` has made.
    """

    source: Source
    name: str
    findings: list[Finding]
    look: Callable[[Subject], None]
    member: str = ""
    path: Path | None = None
    depth: int = 0
    budget: Budget = field(default_factory=Budget)
    kinds: list[str] = field(default_factory=list)
    claimed: set[Path] = field(default_factory=set)
    torchscript: bool = False
    raw_between: bool = False
    made: dict[object, object] = field(default_factory=dict, repr=False)

    def once(self, make: Callable[[Subject], Made]) -> Made:
        """What a function makes of the bytes, made once: what recognises them has read most of what is to be judged."""
        if make not in self.made:
            self.made[make] = make(self)
        return cast("Made", self.made[make])

    def head(self, nbytes: int = 64) -> bytes:
        """Up to `nbytes` bytes from the start."""
        return self.source.read(0, min(nbytes, self.source.size))

    def report(self, rule: Rule, message: str, *, offset: int | None = None, member: str = "") -> None:
        """Note a finding; a great many of one kind are cut off with a word."""
        count = self.budget.counts.get(rule.id, 0) + 1
        self.budget.counts[rule.id] = count
        if count > _LISTED + 1:
            return
        if count == _LISTED + 1:
            message = "… and more of this kind"
        inside = " » ".join(part for part in (self.member, member) if part)
        self.findings.append(Finding(rule, message, inside, offset))

    def report_error(self, error: PanmodelError, rule: Rule = UNREADABLE) -> None:
        """Note that reading stopped, and why."""
        self.report(UNFINISHED if isinstance(error, LimitError) and rule is UNREADABLE else rule, str(error.message))

    def spend(self, nbytes: int) -> None:
        """Allow for bytes that are unpacked into memory.

        Raises:
            LimitError: There are too many in one file.
        """
        self.budget.unpacked -= nbytes
        if self.budget.unpacked < 0:
            message = f"unpacks to over {_UNPACKED} bytes, and over {_TIMES} times the size of the file"
            raise LimitError(message, where=self.source.name)

    def inside(self, source: Source, name: str, *, torchscript: bool = False, raw_between: bool = False) -> None:
        """Look at a part: a member of an archive, a pickled array. The same few clean bytes are looked at once."""
        same = _digest(source, torchscript, raw_between) if source.size <= _SHORT else b""
        if same in self.budget.clean:
            return
        self.budget.members -= 1
        if self.depth >= _DEPTH or self.budget.members < 0:
            self.report(UNFINISHED, "archives lie deeper within each other, or have more members, than is looked at")
            return
        member = f"{self.member} » {name}" if self.member else name
        plain, depth = name.rsplit("/", 1)[-1], self.depth + 1
        part = Subject(source, plain, self.findings, self.look, member, depth=depth, budget=self.budget)
        part.torchscript, part.raw_between = torchscript, raw_between
        before = sum(self.budget.counts.values())
        self.look(part)
        if same and sum(self.budget.counts.values()) == before:
            self.budget.clean.add(same)


@dataclass(frozen=True, slots=True)
class Scanner:
    """One kind of file; modules of `panmodel.scanners` have one each as `SCANNER`.

    Attributes:
        name: What files of this kind are called in answers.
        recognises: Whether the bytes may be of this kind, by content; may raise PanmodelError, which counts as no.
        scan: Looks at them and reports; a PanmodelError that leaves it makes the file undecided.
        rules: What it may report.
    """

    name: str
    recognises: Callable[[Subject], bool]
    scan: Callable[[Subject], None]
    rules: tuple[Rule, ...] = ()


def _digest(source: Source, torchscript: bool, raw_between: bool) -> bytes:
    """What two parts have in common that mean the same: their bytes, and what they are taken for."""
    return hashlib.blake2b(bytes((torchscript, raw_between)) + source.read(0, source.size), digest_size=32).digest()


def climbs_out(name: str) -> bool:
    """Whether a file name leads out of the folder that it is meant relative to."""
    plain = name.replace("\\", "/")
    drive = len(plain) > 1 and plain[1] == ":"
    return plain.startswith(("/", "~")) or drive or "\0" in name or "://" in plain or ".." in plain.split("/")
