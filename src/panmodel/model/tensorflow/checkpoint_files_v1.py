"""Which files make up a checkpoint of TensorFlow's first format, from any one of them.

It is one file under the name of the checkpoint itself, or shards `NAME-00000-of-00003`; `NAME.meta` lies beside it.

Source: tensorflow/python/training/checkpoint_management.py, tensorflow/core/util/tensor_slice_reader.cc
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from panmodel.errors import MissingFileError, PanmodelError, UsageError
from panmodel.io.source import FileSource, Location
from panmodel.model.notice import Notice
from panmodel.model.tensorflow.checkpoint_files import (
    INDEX,
    META,
    STATE_FILE,
    V1_SHARD,
    find_checkpoint,
    read_state_file,
    v1_files,
)
from panmodel.wire.saved_tensor_slices import is_slices_table
from panmodel.wire.sstable import is_table
from panmodel.wire.tensor_bundle import CheckpointState, is_checkpoint_state


@dataclass(frozen=True)
class CheckpointFilesV1:
    """The files of one checkpoint.

    Attributes:
        files: Those with tensors.
        state: What the state file says, if the checkpoint was found through one.
        notices: What was taken for what a file left open.
    """

    files: tuple[Location, ...]
    state: CheckpointState | None = None
    notices: list[Notice] = field(default_factory=list)

    @property
    def prefix(self) -> str:
        """What the names of all its files begin with."""
        name = self.files[0].path.name
        shard = V1_SHARD.fullmatch(name)
        return shard["prefix"] if shard else name

    @property
    def meta(self) -> Location | None:
        """The file with the meta graph, if there is one."""
        found = self.files[0].beside(self.prefix + META)
        return found if found.is_file else None

    def open(self) -> list[FileSource]:
        """Open the files with tensors.

        Raises:
            MissingFileError: A shard is not there.
        """
        shard = V1_SHARD.fullmatch(self.files[0].path.name)
        if shard:
            digits = len(shard["shards"])
            names = [f"{self.prefix}-{n:0{digits}d}-of-{shard['shards']}" for n in range(int(shard["shards"]))]
            there = {location.path.name for location in self.files}
            if missing := [name for name in names if name not in there]:
                where = str(self.files[0].beside(missing[0]))
                message = f"this file of the checkpoint is missing, one of {len(missing)}"
                raise MissingFileError(message, where=where, hint="fetch it too; it belongs beside the others")
        return [location.open() for location in self.files]


def find_checkpoint_v1(location: Location) -> CheckpointFilesV1 | None:
    """Find the checkpoint of the first format that a path means.

    Args:
        location: Its name, any one of its files, the state file `checkpoint`, or the folder.

    Returns:
        Its files; None if the path means something else, one of the second format included.

    Raises:
        UsageError: A folder holds several, and no state file says which.
        MissingFileError: The state file names a checkpoint that is not there.
        UnsafeError: The state file names one outside of its folder.
    """
    if find_checkpoint(location) is not None:
        return None
    if location.is_folder:
        return _in_folder(location) or _of_prefix(location)
    if not location.is_file:
        return _of_prefix(location)
    if location.path.name.endswith(META):
        return _of_prefix(Location(location.path.with_name(location.path.name.removesuffix(META))))
    if is_checkpoint_state(location.head(4096)):
        return _of_state_file(location)
    if not _is_v1(location):
        return None
    shard = V1_SHARD.fullmatch(location.path.name)
    return _of_prefix(Location(location.path.with_name(shard["prefix"]))) if shard else CheckpointFilesV1((location,))


def _of_prefix(prefix: Location) -> CheckpointFilesV1 | None:
    """The checkpoint of this name."""
    if prefix.path.name in ("", ".", ".."):
        return None
    folder = Location(prefix.path.parent)
    found = tuple(Location(folder.path / name) for name in v1_files(prefix))
    found = tuple(location for location in found if _is_v1(location))
    return CheckpointFilesV1(found) if found else None


def _of_state_file(location: Location) -> CheckpointFilesV1 | None:
    stated = read_state_file(location)
    found = _of_prefix(stated.prefix)
    return CheckpointFilesV1(found.files, stated.state, stated.notices) if found else None


def _in_folder(folder: Location) -> CheckpointFilesV1 | None:
    state = folder.beside(STATE_FILE)
    if is_checkpoint_state(state.head(4096)):
        return _of_state_file(state)
    there = [name for name in folder.names() if _is_v1(folder.beside(name))]
    prefixes = sorted({re.sub(r"-\d{5,}-of-\d{5,}$", "", name) for name in there})
    if len(prefixes) > 1:
        hint = f"say which: {folder.path / prefixes[-1]}"
        message = f"holds several checkpoints and no state file: {', '.join(prefixes)}"
        raise UsageError(message, where=str(folder), hint=hint)
    return _of_prefix(folder.beside(prefixes[0])) if prefixes else None


def _is_v1(location: Location) -> bool:
    """Whether a file is a table of slices, or one that is damaged."""
    if not location.is_file or location.path.name.endswith(INDEX):
        return False
    try:
        source = location.open()
    except (PanmodelError, OSError):  # not to be opened; in a folder, another file may be what is meant
        return False
    if not is_table(source):
        return False
    try:
        return is_slices_table(source)
    except PanmodelError:
        return True
