"""Which files make up a TensorFlow checkpoint, from any one of them: index, data, meta graph, state file, or folder.

Source: tensorflow/python/training/checkpoint_management.py
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import PurePosixPath, PureWindowsPath

from panmodel.errors import MissingFileError, PanmodelError, UsageError
from panmodel.io.source import FileSource, Location
from panmodel.model.notice import Assumed, Notice
from panmodel.wire.tensor_bundle import (
    CheckpointState,
    is_bundle_index,
    is_checkpoint_state,
    read_checkpoint_state,
    shard_name,
)

STATE_FILE = "checkpoint"
INDEX = ".index"
META = ".meta"
#: A shard of the older format.
V1_SHARD = re.compile(r"(?P<prefix>.+)-\d{5,}-of-(?P<shards>\d{5,})")
_DATA = re.compile(r"(?P<prefix>.+)\.data-\d{5,}-of-\d{5,}")


@dataclass(frozen=True)
class CheckpointFiles:
    """The files of one checkpoint.

    Attributes:
        index: The index file; it may be missing.
        state: What the state file says, if the checkpoint was found through one.
        notices: What was taken for what a file left open.
    """

    index: Location
    state: CheckpointState | None = None
    notices: list[Notice] = field(default_factory=list)

    @property
    def prefix(self) -> str:
        """What the names of all its files begin with."""
        return self.index.path.name.removesuffix(INDEX)

    @property
    def meta(self) -> Location | None:
        """The file with the meta graph, if there is one."""
        found = self.index.beside(self.prefix + META)
        return found if found.is_file else None

    def open_index(self) -> FileSource:
        """Open the index.

        Raises:
            MissingFileError: It is not there.
        """
        if not self.index.is_file:
            message = "the index of this checkpoint is missing; the data files do not say what is in them"
            raise MissingFileError(message, where=str(self.index), hint="fetch it too; it belongs beside the data")
        return self.index.open()

    def open_shard(self, shard: int, num_shards: int) -> FileSource:
        """Open a data file by its number.

        Raises:
            MissingFileError: It is not there.
        """
        return self.index.beside(shard_name(self.prefix, shard, num_shards)).open()


def find_checkpoint(location: Location) -> CheckpointFiles | None:
    """Find the V2 checkpoint that a path means.

    Args:
        location: The common prefix, any one of its files, the state file `checkpoint`, or the folder.

    Returns:
        Its files; None if the path means something else.

    Raises:
        UsageError: A folder holds several, and no state file says which.
        MissingFileError: The state file names a checkpoint that is not there.
        UnsafeError: The state file names one outside of its folder.
    """
    if location.is_folder:
        return _in_folder(location) or _of_prefix(location)
    return _of_file(location) if location.is_file else _of_prefix(location)


def _of_prefix(location: Location) -> CheckpointFiles | None:
    """The checkpoint whose files begin with this name, which is no file itself."""
    prefix = location.path.name
    if not prefix or prefix in (".", ".."):
        return None
    index = Location(location.path.with_name(prefix + INDEX))
    return CheckpointFiles(index) if index.is_file or _has_data(index, prefix) else None


def _of_file(location: Location) -> CheckpointFiles | None:
    name = location.path.name
    if data := _DATA.fullmatch(name):
        return CheckpointFiles(location.beside(data["prefix"] + INDEX))
    if name.endswith(META):
        index = location.beside(name.removesuffix(META) + INDEX)
        return CheckpointFiles(index) if index.is_file else None
    if name.endswith(INDEX) and _has_data(location, name.removesuffix(INDEX)):
        return CheckpointFiles(location)
    if _is_index(location):
        if not name.endswith(INDEX):
            message = f"is the index of a checkpoint under a name that does not end in {INDEX!r}"
            hint = f"rename it to the prefix of the data files and {INDEX}"
            raise MissingFileError(message, where=str(location), hint=hint)
        return CheckpointFiles(location)
    return _of_state_file(location) if is_checkpoint_state(location.head(4096)) else None


def _in_folder(folder: Location) -> CheckpointFiles | None:
    state = folder.beside(STATE_FILE)
    if is_checkpoint_state(state.head(4096)):
        return _of_state_file(state)
    found = _indexes(folder)
    if len(found) > 1:
        names = ", ".join(name.removesuffix(INDEX) for name in found)
        hint = f"say which: {folder.path / found[-1].removesuffix(INDEX)}"
        raise UsageError(f"holds several checkpoints and no state file: {names}", where=str(folder), hint=hint)
    return CheckpointFiles(folder.beside(found[0])) if found else None


def _of_state_file(location: Location) -> CheckpointFiles | None:
    """The checkpoint that a state file names as the latest."""
    stated = read_state_file(location)
    index = Location(stated.prefix.path.with_name(stated.prefix.path.name + INDEX))
    if index.is_file or _has_data(index, stated.prefix.path.name):
        return CheckpointFiles(index, stated.state, stated.notices)
    if v1_files(stated.prefix):
        return None  # a checkpoint of the older format
    there = ", ".join(_indexes(location)) or "none"
    message = f"names the checkpoint {stated.state.latest!r}, of which nothing is in this folder"
    hint = f"indexes that are here: {there}; give the path of the checkpoint itself if it lies elsewhere"
    raise MissingFileError(message, where=str(location), hint=hint)


@dataclass(frozen=True)
class StatedCheckpoint:
    """What a state file leads to.

    Attributes:
        prefix: Of the latest checkpoint; never outside of the state file's folder.
        state: All that it says.
        notices: What its path was taken for.
    """

    prefix: Location
    state: CheckpointState
    notices: list[Notice]


def read_state_file(location: Location) -> StatedCheckpoint:
    """Follow a state file to the checkpoint that it names as the latest.

    A relative path counts from the state file's folder. An absolute one is stale as soon as the folder moves: the name
    at its end is looked for beside the state file.

    Raises:
        CorruptError: It is no state file.
        MissingFileError: It names a folder.
        UnsafeError: The path leads out of the state file's folder.
    """
    state = read_checkpoint_state(location.open())
    latest, notices = state.latest, list[Notice]()
    if latest.startswith("/") or PureWindowsPath(latest).drive:
        name = re.split(r"[\\/]", latest)[-1]
        if not _is_here(latest, location):
            notices.append(Assumed(f"the state file names {latest!r}; taken for {name!r} in the same folder"))
    else:
        name = latest.replace("\\", "/").removeprefix("./")
    if not name:
        raise MissingFileError(f"names no checkpoint, but the folder {latest!r}", where=str(location))
    if PurePosixPath(name).name == name:
        return StatedCheckpoint(location.beside(name), state, notices)
    return StatedCheckpoint(_below(location, name), state, notices)


def _below(location: Location, name: str) -> Location:
    """A prefix in a folder below, which no link leads to; `Location.contained` holds one of its files to that."""
    folder = Location(location.folder / PurePosixPath(name).parent)
    prefix = PurePosixPath(name).name
    known = [prefix + INDEX, *v1_files(Location(folder.path / prefix))] if folder.is_folder else []
    first = next((known_name for known_name in known if (folder.path / known_name).is_file()), prefix + INDEX)
    opened = location.contained(str(PurePosixPath(name).parent / first))
    return Location(opened.path.with_name(prefix))


def v1_files(prefix: Location) -> list[str]:
    """Names of the files of a checkpoint of the older format: the prefix itself, or the shards that begin with it."""
    name = re.sub(r"-[?]+-of-(\d+)$", "", prefix.path.name)
    if prefix.is_file:
        return [prefix.path.name]
    folder = Location(prefix.path.parent)
    shards = ((found, V1_SHARD.fullmatch(found)) for found in folder.names())
    return [found for found, match in shards if match and match["prefix"] == name]


def _is_here(path: str, location: Location) -> bool:
    return PurePosixPath(path).parent == PurePosixPath(location.folder.resolve())


def _indexes(folder: Location) -> list[str]:
    names = (name for name in folder.names() if name.endswith(INDEX))
    return [name for name in names if _is_index(folder.beside(name))]


def _is_index(location: Location) -> bool:
    try:
        return location.is_file and is_bundle_index(location.open())
    except PanmodelError:  # damaged beyond telling
        return False


def _has_data(index: Location, prefix: str) -> bool:
    return any((found := _DATA.fullmatch(name)) and found["prefix"] == prefix for name in index.names())
