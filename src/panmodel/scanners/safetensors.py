"""safetensors: a header and numbers. Nothing in it is executed; a header that is not exact leaves the file undecided.

Source: https://github.com/huggingface/safetensors#format
"""

from __future__ import annotations

from panmodel.model.scanner import Scanner, Subject
from panmodel.wire.safetensors import looks_like, read_header


def recognises(subject: Subject) -> bool:
    """Whether it begins with the length of a JSON header that fits into it."""
    return looks_like(subject.head(16), subject.source.size)


def scan(subject: Subject) -> None:
    """Hold the header against the whole file: no gaps, no overlaps, nothing behind."""
    read_header(subject.source)


SCANNER = Scanner("safetensors", recognises, scan)
