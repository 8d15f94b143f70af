"""keras_metadata.pb: the layers of a Keras model that was saved as a SavedModel, as JSON texts in a protobuf message.

Beside it lies fingerprint.pb, numbers by which two SavedModels are told apart.

Source: keras/protobuf/saved_metadata.proto, tensorflow/core/protobuf/fingerprint.proto
"""

from __future__ import annotations

from collections.abc import Iterator

from panmodel.errors import PanmodelError
from panmodel.model.scanner import Scanner, Subject
from panmodel.scanners.keras_config import RULES, scan_text
from panmodel.wire.protobuf import BYTES, VARINT, walk

_NODE, _IDENTIFIER, _METADATA = 1 << 3 | BYTES, 4 << 3 | BYTES, 5 << 3 | BYTES
_HASHES = {number << 3 | wire for number in range(1, 6) for wire in (VARINT, 1)}
_FINGERPRINT = 1000  # bytes, and more than one takes


def recognises(subject: Subject) -> bool:
    """Whether it is a list of nodes whose identifiers are those of Keras, or a fingerprint."""
    if not subject.source.size:
        return False
    if _is_fingerprint(subject):
        return True
    return any(identifier.startswith(b"_tf_keras") for identifier in _values(subject, _IDENTIFIER))


def _is_fingerprint(subject: Subject) -> bool:
    source = subject.source
    if source.size > _FINGERPRINT:
        return False
    tags = [tag for tag, *_ in walk(source, (0, source.size, None))]
    return len(_HASHES & set(tags)) >= 4 and set(tags) <= _HASHES | {6 << 3 | BYTES, 7 << 3 | BYTES}


def _values(subject: Subject, wanted: int) -> Iterator[bytes]:
    source = subject.source
    for tag, _, offset, size, data in walk(source, (0, source.size, None)):
        if tag != _NODE:
            return
        for inner, _, begin, length, value in walk(source, (offset, size, data)):
            if inner == wanted:
                yield source.read(begin, length) if value is None else value


def scan(subject: Subject) -> None:
    """Judge the description of every layer."""
    if _looks_like_fingerprint(subject):
        return
    for text in _values(subject, _METADATA):
        if text.strip():
            scan_text(subject, text)


def _looks_like_fingerprint(subject: Subject) -> bool:
    try:
        return _is_fingerprint(subject)
    except PanmodelError:
        return False


SCANNER = Scanner("Keras metadata of a SavedModel", recognises, scan, RULES)
