"""Pictures that lie beside models: PNG, JPEG, GIF. They hold nothing that loading a model could execute."""

from __future__ import annotations

from panmodel.model.scanner import Scanner, Subject

_MAGIC = (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"GIF87a", b"GIF89a")
_END = {b"\x89": b"IEND\xaeB`\x82", b"\xff": b"\xff\xd9", b"G": b";"}


def recognises(subject: Subject) -> bool:
    """Whether it begins and ends as a picture does: nothing is hidden behind it."""
    head = subject.head(8)
    if not head.startswith(_MAGIC):
        return False
    end = _END[head[:1]]
    return subject.source.size > 8 and subject.source.read(subject.source.size - len(end), len(end)) == end


def scan(_: Subject) -> None:
    """Nothing to look for."""


SCANNER = Scanner("picture, not a model file", recognises, scan)
