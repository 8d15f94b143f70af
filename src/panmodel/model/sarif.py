"""A scan as SARIF, the format in which code hosts and editors take the findings of tools.

Source: https://docs.oasis-open.org/sarif/sarif/v2.1.0/sarif-v2.1.0.html
"""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import quote

from panmodel.model.finding import Finding, Level, Scan
from panmodel.version import VERSION

_SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"
_LEVELS = {Level.DANGEROUS: "error", Level.UNDECIDED: "warning", Level.NOTE: "note"}


def log(scan: Scan) -> dict[str, Any]:
    """A scan as a SARIF 2.1.0 log with one run, as plain values."""
    index = {rule.id: number for number, rule in enumerate(scan.rules)}
    rules = [
        {
            "id": rule.id,
            "shortDescription": {"text": rule.summary},
            "help": {"text": rule.help},
            "defaultConfiguration": {"level": _LEVELS[rule.level]},
        }
        for rule in scan.rules
    ]
    results = [_result(file.path, finding, index) for file in scan.files for finding in file.findings]
    driver = {"name": "panmodel", "version": VERSION, "rules": rules}
    artifacts = [{"location": {"uri": _uri(file.path)}} for file in scan.files]
    run = {"tool": {"driver": driver}, "artifacts": artifacts, "results": results, "columnKind": "unicodeCodePoints"}
    return {"$schema": _SCHEMA, "version": "2.1.0", "runs": [run]}


def _result(path: str, finding: Finding, index: dict[str, int]) -> dict[str, Any]:
    physical: dict[str, Any] = {"artifactLocation": {"uri": _uri(path)}}
    if finding.offset is not None and not finding.member:
        physical["region"] = {"byteOffset": finding.offset, "byteLength": 0}
    location: dict[str, Any] = {"physicalLocation": physical}
    if finding.member:
        location["logicalLocations"] = [{"fullyQualifiedName": finding.member, "kind": "member"}]
    result: dict[str, Any] = {
        "ruleId": finding.rule.id,
        "level": _LEVELS[finding.level],
        "message": {"text": finding.message},
    }
    if finding.rule.id in index:
        result["ruleIndex"] = index[finding.rule.id]
    return result | {"locations": [location]}


def _uri(path: str) -> str:
    absolute = Path(path).is_absolute()
    return ("file://" if absolute else "") + quote(path.encode("utf-8", "surrogateescape"))
