"""Scans of bytes: what the tests of scanners ask."""

from __future__ import annotations

from pathlib import Path

from panmodel.model.finding import Scan, Verdict
from panmodel.scan import scan

CLEAN, DANGEROUS, UNDECIDED = Verdict.CLEAN, Verdict.DANGEROUS, Verdict.UNDECIDED


def scan_bytes(folder: Path, data: bytes, name: str = "model") -> Scan:
    """The scan of a file with these bytes; the scan itself must not have failed."""
    path = folder / name
    path.write_bytes(data)
    found = scan(path)
    assert "PM-SCAN-FAILED" not in rules_of(found)
    return found


def rules_of(found: Scan) -> set[str]:
    """The ids of all findings."""
    return {finding.rule.id for file in found.files for finding in file.findings}
