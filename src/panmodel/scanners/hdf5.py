"""HDF5: what leads out of the file, filters that are loaded as plugins, and the Keras models in its attributes.

Source: HDF5 File Format Specification 3.0; keras/src/legacy/saving/legacy_h5_format.py
"""

from __future__ import annotations

from collections.abc import Iterator

from panmodel.errors import PanmodelError
from panmodel.io.source import MemorySource
from panmodel.model.finding import Level, Rule
from panmodel.model.scanner import UNFINISHED, Scanner, Subject
from panmodel.scanners import pickles
from panmodel.scanners.keras_config import RULES, scan_text
from panmodel.wire.hdf5 import Dataset, Group, is_hdf5, read_file

EXTERNAL = Rule(
    "PM-HDF5-EXTERNAL",
    Level.DANGEROUS,
    "The file shows contents of other files of the computer that reads it as its own.",
    "Do not load it; ask its author for one file that holds everything.",
)
FILTER = Rule(
    "PM-HDF5-FILTER",
    Level.DANGEROUS,
    "Elements passed a filter that is no part of HDF5: reading them loads a native plugin.",
    "Repack the file with gzip where you trust it.",
)
SOFT = Rule(
    "PM-HDF5-SOFT-LINK",
    Level.NOTE,
    "A soft link: a second name for something in the same file.",
    "Nothing, as long as no external link is in its way.",
)
OBJECTS = Rule(
    "PM-HDF5-OBJECTS",
    Level.UNDECIDED,
    "Objects of Python are pickled in a dataset, which is not looked into.",
    "Do not load it with PyTables, pandas or hickle, which unpickle them; h5py does not.",
)
_GROUPS = 200_000
#: Attributes by which PyTables (and pandas) and hickle mark datasets that they unpickle.
_PICKLED = frozenset({("PSEUDOATOM", b"object"), ("base_type", b"pickle")})


def recognises(subject: Subject) -> bool:
    """Whether a signature of HDF5 is at the start, or at one of the places where it may be behind foreign bytes."""
    return is_hdf5(subject.source)


def scan(subject: Subject) -> None:
    """Look at every link, dataset and attribute; of what is damaged, the rest is still looked at."""
    for group in _groups(subject, read_file(subject.source)):
        _judge_attributes(subject, group)


def _groups(subject: Subject, root: Group) -> Iterator[Group]:
    """Every group that hard links lead to, each once; links and datasets are judged on the way."""
    entered, waiting = {root.address}, [root]
    while waiting and len(entered) < _GROUPS:
        group = waiting.pop()
        yield group
        try:
            links = list(group.links.values())
        except PanmodelError as error:
            subject.report_error(error)
            continue
        for link in links:
            name = f"{group.name.rstrip('/')}/{link.name}"[:300]
            if link.kind in ("external", "user"):
                subject.report(EXTERNAL, f"{name!r} is a link to {link.path[:200]!r} in the file {link.file[:200]!r}")
            elif link.kind == "soft":
                subject.report(SOFT, f"{name!r} leads to {link.path[:200]!r}")
            else:
                _open(subject, group, link.name, (entered, waiting))
    if waiting:
        subject.report(UNFINISHED, f"it has over {_GROUPS} groups and datasets")


def _open(subject: Subject, group: Group, name: str, met: tuple[set[int], list[Group]]) -> None:
    entered, waiting = met
    try:
        item = group.open(group.links[name])
        if isinstance(item, Group) and item.address not in entered:
            entered.add(item.address)
            waiting.append(item)
        elif isinstance(item, Dataset) and item.address not in entered:
            entered.add(item.address)
            _judge_dataset(subject, item)
            _judge_attributes(subject, item)
    except PanmodelError as error:
        subject.report_error(error)


def _judge_dataset(subject: Subject, item: Dataset) -> None:
    named = f"dataset {item.name[:200]!r}"
    for file in item.external_files:
        subject.report(EXTERNAL, f"{named} is stored in the file {file[:200]!r}")
    if item.is_virtual:
        files = sorted({file for file in item.virtual_files if file != "."})
        if files or not item.virtual_files:
            subject.report(
                EXTERNAL, f"{named} shows parts of {', '.join(files)[:200] or 'files that it does not name'}"
            )
    for step in item.filters:
        if step.is_foreign:
            subject.report(FILTER, f"{named} passed the filter {step.name[:80]!r} ({step.number})")


def _judge_attributes(subject: Subject, item: Group | Dataset) -> None:
    """Look at texts that describe models, and at bytes that may be pickles."""
    names = list(item.attributes)
    for name in names:
        try:
            value = item.attributes[name]
        except PanmodelError as error:
            subject.report_error(error)
            continue
        data = value.encode("utf-8", "surrogatepass") if isinstance(value, str) else value
        if not isinstance(data, (bytes, bytearray)):
            continue
        if (name, bytes(data)) in _PICKLED:
            subject.report(OBJECTS, f"dataset {item.name[:200]!r}")
        title = f"attribute {name[:100]!r} of {item.name[:200]!r}"
        if data.lstrip()[:1] == b"{":
            scan_text(subject, bytes(data))
        elif data[:1] == b"\x80" or _is_pickle(subject, bytes(data)):
            subject.inside(MemorySource(bytes(data), f"{subject.source.name}, {title}"), title)


def _is_pickle(subject: Subject, data: bytes) -> bool:
    """Whether text or bytes run as a pickle of protocol 0 or 1, which PyTables unpickles wherever it finds it."""
    part = Subject(MemorySource(data, subject.source.name), subject.name, [], subject.look, budget=subject.budget)
    return pickles.recognises(part)


SCANNER = Scanner("HDF5", recognises, scan, (EXTERNAL, FILTER, SOFT, OBJECTS, *RULES))
