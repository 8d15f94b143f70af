"""JSON texts: descriptions of Keras models, indexes of shards, and settings that lie beside models."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Iterator, Mapping
from typing import Any

from panmodel.errors import LimitError
from panmodel.io.source import MemorySource
from panmodel.model.finding import Level, Rule
from panmodel.model.scanner import UNREADABLE, Scanner, Subject, climbs_out
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
#: Under which Stable-Baselines3 keeps what has no form in JSON: base64 text of a pickle, which loading unpickles.
_PICKLED = ":serialized:"
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
            head += source.read(position + len(piece), min(_WINDOW, source.size - position - len(piece)))
            return head if b"\0" not in head[:4] else _recoded(head)
        position += len(piece)
    return b""


def _recoded(head: bytes) -> bytes:
    """The beginning of a text in UTF-16 or UTF-32, which Python's reader of JSON takes too, as UTF-8."""
    text = head.decode(json.detect_encoding(head), "ignore")
    return text.lstrip().encode("utf-8", "ignore")


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
    for path, pickled in _pickled(value):
        try:
            content = base64.b64decode(pickled.encode("utf-8", "replace"))  # what is no base64 is passed over
        except binascii.Error as error:
            subject.report(UNREADABLE, f"{path[:200]!r} is said to be a pickle in base64 text: {error}")
        else:
            subject.inside(MemorySource(content, subject.source.name), path)
    if isinstance(value, dict):
        _judge_index(subject, value)
        for key in _IMPORTED:
            if key in value:
                subject.report(REMOTE, f"{key!r} names {str(value[key])[:200]}")


def _pickled(value: Any) -> Iterator[tuple[str, str]]:
    """Every text in a JSON value that is a pickle, with the keys that lead to it."""
    pending = [("", value)]
    while pending:
        path, item = pending.pop()
        if isinstance(item, dict):
            if isinstance(text := item.get(_PICKLED), str):
                yield path.lstrip("."), text
            pending += [(f"{path}.{key}"[-200:], part) for key, part in item.items() if isinstance(part, (dict, list))]
        elif isinstance(item, list):
            pending += [(path, part) for part in item if isinstance(part, (dict, list))]


def _judge_index(subject: Subject, value: Mapping[str, Any]) -> None:
    weight_map = value.get("weight_map")
    if not isinstance(weight_map, dict):
        return
    for name in sorted({str(name) for name in weight_map.values()}):
        if climbs_out(name):
            subject.report(SHARD, f"names the shard {name[:200]!r}")


SCANNER = Scanner("JSON", recognises, scan, (SHARD, REMOTE, *RULES))
