"""JSON texts: descriptions of Keras models, indexes of shards, and settings that lie beside models."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from panmodel.errors import LimitError
from panmodel.model.finding import Level, Rule
from panmodel.model.scanner import Scanner, Subject, climbs_out
from panmodel.scanners.keras_config import LARGEST, RULES, scan_text

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
_WINDOW = 1 << 16
_WRAPPED = 4  # strings of JSON within each other
_IMPORTED = ("auto_map", "_target_", "custom_pipelines")


def recognises(subject: Subject) -> bool:
    """Whether it is text that begins as an object or a list of JSON, or is one string of JSON."""
    head = _beginning(subject)
    if head[:1] == b'"':
        return _text_within(subject) is not None
    return head[:1] in (b"{", b"[") and head[1:].lstrip()[:1] in tuple(bytes([byte]) for byte in b'"}{[]-0123456789tfn')


def _beginning(subject: Subject) -> bytes:
    """The first bytes behind the white space that JSON may begin with."""
    source, position = subject.source, 3 if subject.head(3) == b"\xef\xbb\xbf" else 0
    while position < source.size:
        piece = source.read(position, min(_WINDOW, source.size - position))
        if head := piece.lstrip():
            return head + source.read(position + len(piece), min(_WINDOW, source.size - position - len(piece)))
        position += len(piece)
    return b""


def _text_within(subject: Subject) -> str | None:
    """The text in a file that is one string of JSON, as the first versions of Keras wrote descriptions."""
    if subject.source.size > LARGEST:
        return None
    try:
        value = json.loads(subject.source.read(0, subject.source.size).removeprefix(b"\xef\xbb\xbf"))
    except (ValueError, RecursionError):
        return None
    for _ in range(_WRAPPED):
        if not isinstance(value, str) or value.lstrip()[:1] != '"':
            break
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            break
    return value if isinstance(value, str) else None


def scan(subject: Subject) -> None:
    """Judge every object in it."""
    if subject.source.size > LARGEST:
        raise LimitError(f"{subject.source.size} bytes of JSON exceed {LARGEST}", where=subject.source.name)
    text = subject.source.read(0, subject.source.size).removeprefix(b"\xef\xbb\xbf")
    if _beginning(subject)[:1] == b'"':
        inner = _text_within(subject) or ""
        if inner.lstrip()[:1] not in ("{", "["):
            return
        text = inner.encode("utf-8", "surrogatepass")
    value = scan_text(subject, text)
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
