"""What a file format is to the rest of the house: a record with `sniff`, `read` and `write`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Flag, auto

from panmodel.io.sink import Sink
from panmodel.io.source import Location
from panmodel.model.model import Model


class Holds(Flag):
    """What a format can keep."""

    WEIGHTS = auto()
    GRAPH = auto()
    TRAINING = auto()
    METADATA = auto()


@dataclass(frozen=True, slots=True)
class Format:
    """One format on disk; every module of `panmodel.formats` has exactly one as `FORMAT`.

    Attributes:
        name: Its name in `--to` and in messages, which is the module's name.
        summary: One line for the format table.
        extensions: What its files are usually called; a hint for targets and messages, never believed of a source.
        spec: Where it is described.
        holds: What it can keep.
        dialect: The dialect of the graph that it stores, None if it stores weights alone.
        sniff: Whether the content at a location is of this format; reads little, raises nothing but OSError.
        read: Opens it. Lazy: time and memory of the header, whatever the size.
        write: Writes a model of the right dialect through a sink; None if it is only read.
    """

    name: str
    summary: str
    extensions: tuple[str, ...]
    spec: str
    holds: Holds
    sniff: Callable[[Location], bool]
    read: Callable[[Location], Model] | None
    write: Callable[[Model, Sink], None] | None = None
    dialect: str | None = None
