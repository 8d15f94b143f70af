"""What a file format is to the rest of the house: a record with `sniff`, `read` and `write`."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from enum import Flag, auto
from pathlib import Path, PurePath

from panmodel.errors import UsageError
from panmodel.io.sink import Sink
from panmodel.io.source import Location
from panmodel.model.model import Model
from panmodel.model.notice import Notice
from panmodel.model.sizes import bytes_in


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
        writes: What it keeps when it is written, where this is less than what its files can hold.
        files: Names of the files that a target of this name is sure to become, the main one last; None if that is the
            one file of this name.
        shards: The same for a target that is split into files of a certain size; None if it cannot be split.
        structures: Families of the structures that `write` keeps.
        keeps_strings: Whether `write` keeps `Model.strings`.
        unread: What its files hold that is not read, in words, so that no conversion carries it; empty if nothing.
        keeps_ties: Whether `write` stores a tensor of several names once, so that it comes back as one.
        keeps_parts: Whether `write` takes tensors that are stored in slices, of which some are missing.
        any_weights: Whether `write` takes whatever tensors there are, from any format, where they come without a graph.
        loses: What `write` does not keep of a model beyond what the fields above say; told whether it writes shards.
        remarks: What the software that reads such files makes of a model in a file of this name: what was assumed so
            that it loads, and what does not load as it is.
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
    writes: Holds | None = None
    files: Callable[[str], tuple[str, ...]] | None = None
    shards: Callable[[str], tuple[str, ...]] | None = None
    structures: frozenset[str] = frozenset()
    keeps_strings: bool = False
    unread: str = ""
    keeps_ties: bool = True
    keeps_parts: bool = False
    any_weights: bool = True
    loses: Callable[[Model, bool], list[Notice]] | None = None
    remarks: Callable[[Model, str], list[Notice]] | None = None

    @property
    def keeps(self) -> Holds:
        """What is kept of a model that is written in this format."""
        return self.holds if self.writes is None else self.writes

    @property
    def target_dialect(self) -> str | None:
        """The dialect of the graph that `write` takes; None if it takes weights alone."""
        return self.dialect if self.writes is None or self.writes & Holds.GRAPH else None

    def is_name(self, path: PurePath) -> bool:
        """Whether files of this format are called so; the number of a training step may follow (`model.ckpt-7`).

        Capitals do not matter: disks that do not keep them apart, and who wrote them, may have put them there.
        """
        return re.sub(r"-\d+$", "", path.suffix.lower()) in self.extensions

    def sink(
        self,
        target: Path,
        *,
        force: bool = False,
        shard_size: int | str | None = None,
        progress: Callable[[int], None] | None = None,
    ) -> Sink:
        """Where a model goes that is written to this target.

        Args:
            target: What the user named.
            force: Replace files that are there.
            shard_size: Bytes of tensors that one file may have, as a number or as "5GB"; None for all of them in one.
            progress: Told the number of bytes of every piece that is written.

        Raises:
            UsageError: The format cannot be split, or this is no size.
        """
        nbytes = bytes_in(shard_size) if shard_size is not None else None
        names = self.files if nbytes is None else self.shards
        if nbytes is not None and names is None:
            raise UsageError(f"{self.name} is not written in shards", where=str(target), hint="leave out --shard-size")
        certain = names(target.name) if names else ()
        return Sink(target, names=certain, force=force, shard_size=nbytes, progress=progress)
