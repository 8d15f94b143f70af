"""What a scan finds: rules, findings, and the verdict that follows from them.

A file is clean only if something recognised it, looked at all of it, and found neither danger nor doubt. Whatever could
not be read, understood or finished leaves it undecided; what was found before stays found.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any


class Level(Enum):
    """How much a finding weighs.

    Attributes:
        DANGEROUS: Loading the file with the framework that it is made for would execute something that the file
            chooses, or reach outside of it.
        UNDECIDED: The file could not be read, or needs code or files that are not in it.
        NOTE: Worth knowing; no reason not to load the file.
    """

    DANGEROUS = "dangerous"
    UNDECIDED = "undecided"
    NOTE = "note"


class Verdict(Enum):
    """What a scan says about a file, or about several: the worst of them decides."""

    CLEAN = "clean"
    DANGEROUS = "dangerous"
    UNDECIDED = "undecided"

    @property
    def exit_code(self) -> int:
        """0 clean, 1 dangerous, 2 could not decide."""
        return {Verdict.CLEAN: 0, Verdict.DANGEROUS: 1, Verdict.UNDECIDED: 2}[self]


@dataclass(frozen=True, slots=True)
class Rule:
    """One kind of thing that a scan finds.

    Attributes:
        id: Its stable name.
        level: How much a finding of it weighs.
        summary: What it is, in a sentence.
        help: What to do about it.
    """

    id: str
    level: Level
    summary: str
    help: str


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was found.

    Attributes:
        rule: Which kind of thing it is.
        message: What is there, by name.
        member: Where inside of the file: members of archives, one in another, joined by " » "; "" for the file itself.
        offset: The byte in that member, where known.
    """

    rule: Rule
    message: str
    member: str = ""
    offset: int | None = None

    @property
    def level(self) -> Level:
        """How much it weighs."""
        return self.rule.level

    def to_json(self) -> dict[str, Any]:
        """The finding for `--json`."""
        plain = {"rule": self.rule.id, "level": self.level.value, "message": self.message, "member": self.member}
        return plain | {"offset": self.offset, "help": self.rule.help}


def verdict_of(levels: Iterable[Level]) -> Verdict:
    """Dangerous if anything is, else undecided if anything is, else clean."""
    seen = set(levels)
    if Level.DANGEROUS in seen:
        return Verdict.DANGEROUS
    return Verdict.UNDECIDED if Level.UNDECIDED in seen else Verdict.CLEAN


@dataclass
class ScannedFile:
    """One file, and what is to be said about it.

    Attributes:
        path: The file.
        kinds: What its content was recognised as; a file may be several things at once.
        findings: What was found, in order.
    """

    path: str
    kinds: tuple[str, ...] = ()
    findings: list[Finding] = field(default_factory=list)

    @property
    def verdict(self) -> Verdict:
        """What follows from the findings."""
        return verdict_of(finding.level for finding in self.findings)

    def to_json(self) -> dict[str, Any]:
        """The file for `--json`."""
        found = [finding.to_json() for finding in self.findings]
        return {"path": self.path, "verdict": self.verdict.value, "kinds": list(self.kinds), "findings": found}


@dataclass
class Scan:
    """The answer to a scan.

    Attributes:
        files: Every file that was met, none left out.
        rules: Every rule that was looked for.
    """

    files: list[ScannedFile]
    rules: Sequence[Rule] = ()

    @property
    def verdict(self) -> Verdict:
        """The worst over all files; without any file there is nothing to be clean."""
        if not self.files:
            return Verdict.UNDECIDED
        return verdict_of(finding.level for file in self.files for finding in file.findings)

    @property
    def exit_code(self) -> int:
        """0 clean, 1 dangerous, 2 could not decide."""
        return self.verdict.exit_code

    def to_json(self) -> dict[str, Any]:
        """The scan for `--json`."""
        return {"verdict": self.verdict.value, "files": [file.to_json() for file in self.files]}

    def to_sarif(self) -> dict[str, Any]:
        """The scan for `--sarif`: a SARIF 2.1.0 log with one run."""
        from panmodel.model.sarif import log  # which knows scans

        return log(self)
