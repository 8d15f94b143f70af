"""The formats, found by directory: each module here has one `FORMAT`. Nothing is listed by hand."""

from __future__ import annotations

import importlib
import os
import pkgutil
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from types import MappingProxyType

from panmodel.errors import (
    MissingFileError,
    PanmodelError,
    ReadError,
    UnknownFormatError,
    UnknownNameError,
    UnsupportedError,
    UsageError,
)
from panmodel.io.replacement import recover
from panmodel.io.source import Location, watched
from panmodel.model.format import Format
from panmodel.model.model import Model

PathLike = str | os.PathLike[str]

#: How often a model is read that is replaced meanwhile, and the seconds to wait for a replacement under way.
_ATTEMPTS, _PATIENCE = 8, 10.0
#: What is found of files whose names are gone for a moment: of none that was opened can be said that it was replaced.
_MISSED = (MissingFileError, UnknownFormatError, FileNotFoundError)


@cache
def registry() -> Mapping[str, Format]:
    """Every format by its name, sorted."""
    found: dict[str, Format] = {}
    for module in sorted(info.name for info in pkgutil.iter_modules(__path__)):
        record: Format = importlib.import_module(f"{__name__}.{module}").FORMAT
        found[record.name] = record
    return MappingProxyType(found)


def by_name(name: str) -> Format:
    """The format of that name.

    Raises:
        UnknownNameError: There is none.
    """
    try:
        return registry()[name]
    except KeyError:
        raise UnknownNameError("format", name, registry()) from None


def read(path: PathLike) -> Model:
    """Open a model file, whatever it is; weights stay on disk until they are asked for.

    A model that a conversion replaces in this moment is read as it was before or as it is after: its files are opened
    once more if one of them is another by then. What has been opened stays readable, whatever becomes of its name. The
    files of a distributed checkpoint are opened when they are needed, and refused if they are others by then.

    Args:
        path: A file, a folder, or the prefix of a checkpoint; any one file of several will do.

    Raises:
        ReadError: Nothing readable is there.
        UnsafeError: Reading it would execute something or leave its folder.
    """
    if not os.fspath(path):
        raise MissingFileError("the path is empty")
    missed: Exception | None = None
    for _ in range(_ATTEMPTS):
        location = Location(path)  # a new one each time: it remembers what was in the file
        began = _version(location.folder)
        _put_right(location.folder)
        try:
            with watched() as looked_at:
                record = detect(location)
                with watched() as opened:
                    model = _open(record, location)
        except (PanmodelError, FileNotFoundError) as error:
            is_replaced = _put_right(location.folder) or looked_at.are_replaced()
            if not is_replaced and (not isinstance(error, _MISSED) or _version(location.folder) == began):
                raise
            missed = None if is_replaced else error
            continue
        missed = None
        if not opened.are_replaced():
            return model
    raise missed or ReadError("is replaced again and again while it is read", where=str(path), hint="try again later")


def _put_right(folder: Path) -> bool:
    """Put right what a conversion that died left half done, or wait for one to end; whether there was any."""
    try:
        return recover(folder, patience=_PATIENCE)
    except OSError:  # a folder that is not ours to write; what is missing is said as it is
        return False


def _version(folder: Path) -> int:
    """Changes whenever a name in the folder does."""
    try:
        return folder.stat().st_mtime_ns
    except OSError:
        return 0


def _open(record: Format, location: Location) -> Model:
    if record.read is None:
        raise UnsupportedError(f"{record.name} files are written, not read", where=str(location))
    model = record.read(location)
    model.source = str(location)
    return model


def detect(location: Location) -> Format:
    """The format of what lies at a location, told by its content.

    Raises:
        MissingFileError: Nothing is there.
        UnknownFormatError: No format recognises it.
    """
    accepted = [record for record in registry().values() if record.sniff(location)]
    if len(accepted) == 1:
        return accepted[0]
    where = str(location)
    if accepted:
        names = ", ".join(record.name for record in accepted)
        hint = "name one file of the model, not the folder" if location.is_folder else ""
        raise UnknownFormatError(f"could be any of {names}", where=where, hint=hint)
    if not location.path.exists():
        raise MissingFileError("there is no such file, folder or checkpoint", where=where)
    if not location.is_file and not location.is_folder:
        hint = "write what comes from there to a file: models are not read from beginning to end"
        raise UnknownFormatError("is a pipe or device, and no file", where=where, hint=hint)
    _refuse_packed(location)
    hint = "`panmodel formats` lists what can be read"
    looks = [record.name for record in registry().values() if record.is_name(location.path)]
    if looks:
        hint = f"by its name it should be {' or '.join(looks)}, but its content is not; is it complete? {hint}"
    if location.is_folder:
        hint = f"name one file if it has several models; {hint}"
    raise UnknownFormatError("is of no format that panmodel reads", where=where, hint=hint)


def _refuse_packed(location: Location) -> None:
    """Say of a file that gzip or the like packed what it is, and how to unpack it."""
    from panmodel.wire.compression import packing_of

    if packing := packing_of(location.head()):
        message = f"is packed with {packing.name}, and nothing is read from there"
        hint = f"unpack it, and name what comes out: {packing.command(location.path)}"
        raise UnknownFormatError(message, where=str(location), hint=hint)


def for_target(path: Path) -> Format:
    """The format that a target of this name is written in.

    Raises:
        UsageError: The name does not tell.
        UnsupportedError: It tells a format that is only read.
    """
    able = [record for record in registry().values() if record.write and record.is_name(path)]
    if len(able) == 1:
        return able[0]
    if able:
        names = " or ".join(record.name for record in able)
        raise UsageError(
            f"a name ending in {path.suffix!r} may be {names}", where=str(path), hint="say which with --to"
        )
    hint = "`panmodel formats` lists what can be written"
    for record in registry().values():
        if record.is_name(path):
            raise UnsupportedError(f"{record.name} is read, not written", where=str(path), hint=hint)
    known = sorted(ext for record in registry().values() if record.write for ext in record.extensions)
    hint = f"give it one of {', '.join(known)}, or say the format with --to"
    if path.name.endswith(".index.json"):
        hint = "an index is written beside shards: give the name of the whole model, and --shard-size"
    if path.is_dir():
        message = "is a folder, and not the name of a file"
    elif path.suffix:
        message = f"no format is written under a name ending in {path.suffix!r}"
    else:
        message = "the name has no ending that tells a format"
    raise UsageError(message, where=str(path), hint=hint)
