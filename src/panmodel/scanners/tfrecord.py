"""TFRecord files: examples of data sets, and the events that training writes beside its checkpoints.

Records are data to whoever reads them; a file whose checksums are not met is left undecided.
"""

from __future__ import annotations

from panmodel.model.scanner import Scanner, Subject
from panmodel.wire.tfrecord import HEADER, is_tfrecord, read_records


def recognises(subject: Subject) -> bool:
    """Whether it begins with a record's length that meets its checksum."""
    return is_tfrecord(subject.head(HEADER.size))


def scan(subject: Subject) -> None:
    """Read all records to the end."""
    for _ in read_records(subject.source):
        pass


SCANNER = Scanner("TFRecord", recognises, scan)
