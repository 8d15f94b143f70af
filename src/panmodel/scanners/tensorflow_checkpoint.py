"""TensorFlow checkpoints: sorted tables of names and numbers, and the data files that belong to them.

Nothing in them is executed; a table that contradicts itself leaves the file undecided.
"""

from __future__ import annotations

import re
from pathlib import Path

from panmodel.errors import PanmodelError
from panmodel.io.source import FileSource
from panmodel.model.scanner import Scanner, Subject
from panmodel.wire.sstable import is_table, read_table
from panmodel.wire.tensor_bundle import is_bundle_index

_DATA = re.compile(r"(?P<prefix>.+)\.data-\d{5,}-of-\d{5,}")


def recognises(subject: Subject) -> bool:
    """Whether it is a table, or lies as a data file beside the index of a checkpoint."""
    return is_table(subject.source) or _index_of(subject) is not None


def _index_of(subject: Subject) -> Path | None:
    """The index that a data file belongs to: only together with it do its bytes mean anything."""
    match = _DATA.fullmatch(subject.path.name) if subject.path else None
    if match is None or subject.path is None:
        return None
    index = subject.path.with_name(match["prefix"] + ".index")
    try:
        return index if index.is_file() and is_bundle_index(FileSource(index)) else None
    except (PanmodelError, OSError):
        return None


def scan(subject: Subject) -> None:
    """Read the table to its end."""
    if is_table(subject.source):
        for _ in read_table(subject.source):
            pass


SCANNER = Scanner("TensorFlow checkpoint", recognises, scan)
