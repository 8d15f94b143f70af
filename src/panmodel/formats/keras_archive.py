"""Keras 3's .keras: a zip archive, or a folder, of the configuration in JSON, weights in HDF5, and files of layers.

Source: keras/src/saving/saving_lib.py (3.15), https://keras.io/guides/serialization_and_saving/.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from itertools import islice
from pathlib import Path

from panmodel.errors import CorruptError, LimitError, MissingFileError, PanmodelError, UnsupportedError
from panmodel.io.sink import Sink
from panmodel.io.source import Location, MemorySource, PartSource, Source
from panmodel.limits import DEFAULT
from panmodel.model.format import Format, Holds
from panmodel.model.model import Model
from panmodel.model.notice import MetadataLost, Notice
from panmodel.wire.zip import Archive, first_name, is_zip

_CONFIG, _METADATA, _WEIGHTS = "config.json", "metadata.json", "model.weights.h5"
_DOCUMENTS = (_METADATA, _CONFIG)
#: Files of layers in all, which are held in memory as well.
_MOST_ASSETS = 16 << 20
#: Weights that are deflated, which Keras does not do, are held in memory.
_MOST_INFLATED = 1 << 30
#: Weights that are summed when the archive is opened, if it has a step or a rate to be told. Of larger ones these few
#: numbers are believed at first; whoever then reads any tensor, as each conversion does, learns of damage.
_SUMMED_AT_ONCE = 64 << 20


def sniff(location: Location) -> bool:
    """Whether it is an archive or a folder with a model's configuration; of a damaged one the first member tells."""
    if location.is_folder:
        return all(location.beside(name).is_file for name in (*_DOCUMENTS, _WEIGHTS))
    if not is_zip(location.head(4)):
        return False
    source = location.open()
    try:
        members = location.once(Archive).members
    except PanmodelError:
        return first_name(source) in _DOCUMENTS
    return _CONFIG in members and (_METADATA in members or _WEIGHTS in members)


def read(location: Location) -> Model:
    """Open an archive or a folder; of the weights only what describes them is read.

    Raises:
        CorruptError: The archive, a text in it or the weights contradict themselves.
        MissingFileError: There are no weights in it.
        UnsafeError: A file of the folder is a link.
        UnsupportedError: The weights are not in one HDF5 file.
    """
    from panmodel.model.keras.opening import model_of
    from panmodel.wire.hdf5 import read_file

    if location.is_folder:
        return _read_folder(location)
    archive, where = Archive(location.open()), str(location)
    documents = {name: _text(archive, name, where) for name in _DOCUMENTS if name in archive.members}
    sizes = {name: member.size for name, member in archive.members.items()}
    assets, left = _assets(sizes, partial(archive.read, limit=_MOST_ASSETS))
    model = model_of(
        FORMAT.name,
        read_file(_weights(archive, where)),
        where,
        documents=documents | assets,
        checksum=lambda: archive.standing(_WEIGHTS),
        at_once=archive.members[_WEIGHTS].size <= _SUMMED_AT_ONCE,
    )
    if not model.tensors and (said := archive.standing(_WEIGHTS).verify()):  # else each tensor is held against it
        message = f"{_WEIGHTS} lists no weights and does not meet its checksum: {said}"
        raise CorruptError(message, where=where, hint="the stored bytes are damaged: fetch the file again")
    model.metadata = {"framework": "keras", **model.metadata}
    model.notices += left
    return model


def _read_folder(folder: Location) -> Model:
    from panmodel.model.keras.opening import model_of
    from panmodel.model.keras.structure import ASSETS
    from panmodel.wire.hdf5 import read_file

    where, below = str(folder), folder.path / ASSETS.rstrip("/")
    paths = (Path(parent, name) for parent, _, names in os.walk(below) for name in names)
    files = sorted(path.relative_to(folder.path).as_posix() for path in islice(paths, DEFAULT.members))
    sources = {name: folder.contained(name) for name in (*_DOCUMENTS, *files)}
    documents = {name: _decoded(_all(sources[name]), name, where) for name in _DOCUMENTS}
    assets, left = _assets({name: sources[name].size for name in files}, lambda name: _all(sources[name]))
    model = model_of(FORMAT.name, read_file(folder.contained(_WEIGHTS)), where, documents=documents | assets)
    model.metadata = {"framework": "keras", **model.metadata}
    model.notices += left
    return model


def write(model: Model, sink: Sink) -> None:
    """Write a model that came from such an archive: its configuration as it was, and the weights.

    Raises:
        UnsupportedError: The model has no configuration of Keras 3, or a tensor that HDF5 has no type for.
    """
    from panmodel.model.keras.placing import file_of
    from panmodel.model.keras.structure import LayerGroups, is_asset
    from panmodel.wire.hdf5.writing import check, save
    from panmodel.wire.zip_writer import ArchiveWriter

    structure = model.structure
    if not isinstance(structure, LayerGroups) or not all(name in structure.documents for name in _DOCUMENTS):
        hint = "write a weights file (.h5), and load it into the model in Keras"
        raise UnsupportedError("a .keras archive needs the configuration of a Keras 3 model", hint=hint)
    root = file_of(model.tensors, replace(structure, documents={}))
    check(root)
    writer = ArchiveWriter(sink.open())
    for name in (*_DOCUMENTS, *filter(is_asset, structure.documents)):
        data = _encoded(structure.documents[name])
        writer.add(name, [data], len(data))
    writer.add_file(_WEIGHTS, lambda member: save(root, member))
    writer.close()


def _text(archive: Archive, name: str, where: str) -> str:
    return _decoded(archive.read(name, limit=DEFAULT.text_bytes), name, where)


def _decoded(data: bytes, name: str, where: str) -> str:
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise CorruptError(f"{name} is not UTF-8: {error}", where=where) from None


def _encoded(text: str) -> bytes:
    """A text as it came, bytes that were none included; of a half character, which JSON can spell, the nearest."""
    try:
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return text.encode("utf-8", "surrogatepass")


def _assets(sizes: Mapping[str, int], read_file: Callable[[str], bytes]) -> tuple[dict[str, str], list[Notice]]:
    """The files of layers among all files; what is said if some are too large."""
    from panmodel.model.keras.structure import is_asset

    found: dict[str, str] = {}
    left: list[str] = []
    room = _MOST_ASSETS
    for name, size in sizes.items():
        if not is_asset(name):
            continue
        if size > room:
            left.append(name)
            continue
        room -= size
        found[name] = read_file(name).decode("utf-8", "surrogateescape")
    return found, [MetadataLost("files of layers that are too large to be kept", tuple(left))] if left else []


def _all(source: Source) -> bytes:
    if source.size > DEFAULT.text_bytes:
        raise LimitError(f"has {source.size} bytes, the cap is {DEFAULT.text_bytes}", where=source.name)
    return source.read(0, source.size)


def _weights(archive: Archive, where: str) -> Source:
    if _WEIGHTS not in archive.members:
        others = [name for name in archive.members if name.startswith("model.weights.")]
        if others:
            hint = "save the model with weights in one HDF5 file"
            raise UnsupportedError(f"has its weights in {', '.join(others)[:200]}", where=where, hint=hint)
        raise MissingFileError(f"has no {_WEIGHTS} in it", where=where)
    extent = archive.extent(_WEIGHTS)
    label = f"{where}: {_WEIGHTS}"
    if extent is not None:
        return PartSource(extent, label)
    return MemorySource(archive.read(_WEIGHTS, limit=_MOST_INFLATED), label)


FORMAT = Format(
    name="keras_archive",
    summary="Keras 3 model archives (.keras) and folders: weights, and the configuration and vocabularies as they came",
    extensions=(".keras",),
    spec="https://keras.io/guides/serialization_and_saving/",
    holds=Holds.WEIGHTS | Holds.TRAINING | Holds.METADATA,
    sniff=sniff,
    read=read,
    write=write,
    structures=frozenset({"keras"}),
    any_weights=False,
)
