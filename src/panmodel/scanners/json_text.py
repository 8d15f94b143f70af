"""JSON texts: descriptions of Keras models, indexes of shards, and settings that lie beside models."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from panmodel.errors import LimitError
from panmodel.limits import DEFAULT
from panmodel.model.finding import Level, Rule
from panmodel.model.scanner import Scanner, Subject, climbs_out
from panmodel.scanners.keras_config import RULES, scan_text

SHARD = Rule(
    "PM-SHARD-ESCAPE",
    Level.DANGEROUS,
    "The index of a model in shards names a file outside of the model's folder.",
    "Do not load it.",
)
REMOTE = Rule(
    "PM-REMOTE-CODE",
    Level.NOTE,
    "The settings name Python code that a loader may import, if it is told to trust it.",
    "Leave trust_remote_code and the like off, or read that code first.",
)
_IMPORTED = ("auto_map", "_target_", "custom_pipelines")


def recognises(subject: Subject) -> bool:
    """Whether it is text that begins as an object, a list or a string of JSON."""
    head = subject.head(4096).removeprefix(b"\xef\xbb\xbf").lstrip()
    if head[:1] == b'"':
        return head[1:2] in (b"{", b"\\") and subject.source.size < DEFAULT.text_bytes
    return head[:1] in (b"{", b"[") and head[1:].lstrip()[:1] in tuple(bytes([byte]) for byte in b'"}{[]-0123456789tfn')


def scan(subject: Subject) -> None:
    """Judge every object in it."""
    if subject.source.size > DEFAULT.text_bytes:
        message = f"{subject.source.size} bytes of JSON exceed {DEFAULT.text_bytes}"
        raise LimitError(message, where=subject.source.name)
    text = subject.source.read(0, subject.source.size).removeprefix(b"\xef\xbb\xbf")
    value = scan_text(subject, text)
    if isinstance(value, str) and value.lstrip()[:1] == "{":
        value = scan_text(subject, value.encode("utf-8", "surrogatepass"))
    if isinstance(value, dict):
        _judge_index(subject, value)
        for key in _IMPORTED:
            if key in value:
                subject.report(REMOTE, f"{key!r} names {str(value[key])[:200]}")


def _judge_index(subject: Subject, value: Mapping[str, Any]) -> None:
    weight_map = value.get("weight_map")
    if not isinstance(weight_map, dict):
        return
    for name in sorted({str(name) for name in weight_map.values()}):
        if climbs_out(name):
            subject.report(SHARD, f"names the shard {name[:200]!r}")


SCANNER = Scanner("JSON", recognises, scan, (SHARD, REMOTE, *RULES))
