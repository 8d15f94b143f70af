"""Keras 3's .keras: a zip archive of the configuration in JSON and the weights in HDF5.

Source: keras/src/saving/saving_lib.py (3.15), https://keras.io/guides/serialization_and_saving/.
"""

from __future__ import annotations

from dataclasses import replace

from panmodel.errors import CorruptError, MissingFileError, PanmodelError, UnsupportedError
from panmodel.io.sink import Sink
from panmodel.io.source import Location, MemorySource, PartSource, Source
from panmodel.limits import DEFAULT
from panmodel.model.format import Format, Holds
from panmodel.model.model import Model
from panmodel.wire.zip import Archive, first_name, is_zip

_CONFIG, _METADATA, _WEIGHTS = "config.json", "metadata.json", "model.weights.h5"
_DOCUMENTS = (_METADATA, _CONFIG)
#: Weights that are deflated, which Keras does not do, are held in memory.
_MOST_INFLATED = 1 << 30
#: Weights that are summed when the archive is opened, if it has a step or a rate to be told. Of larger ones these few
#: numbers are believed at first; whoever then reads any tensor, as each conversion does, learns of damage.
_SUMMED_AT_ONCE = 64 << 20


def sniff(location: Location) -> bool:
    """Whether it is a zip archive with the configuration of a model. Of a damaged archive the first member tells."""
    if not is_zip(location.head(4)):
        return False
    source = location.open()
    try:
        members = location.once(Archive).members
    except PanmodelError:
        return first_name(source) in _DOCUMENTS
    return _CONFIG in members and (_METADATA in members or _WEIGHTS in members)


def read(location: Location) -> Model:
    """Open an archive; of the weights only what describes them is read.

    Raises:
        CorruptError: The archive, a text in it or the weights contradict themselves.
        MissingFileError: There are no weights in it.
        UnsupportedError: The weights are not in one HDF5 file.
    """
    from panmodel.model.keras.opening import model_of
    from panmodel.wire.hdf5 import read_file

    archive, where = Archive(location.open()), str(location)
    documents = {name: _text(archive, name, where) for name in _DOCUMENTS if name in archive.members}
    model = model_of(
        FORMAT.name,
        read_file(_weights(archive, where)),
        where,
        documents=documents,
        checksum=lambda: archive.standing(_WEIGHTS),
        at_once=archive.members[_WEIGHTS].size <= _SUMMED_AT_ONCE,
    )
    if not model.tensors and (said := archive.standing(_WEIGHTS).verify()):  # else each tensor is held against it
        message = f"{_WEIGHTS} lists no weights and does not meet its checksum: {said}"
        raise CorruptError(message, where=where, hint="the stored bytes are damaged: fetch the file again")
    model.metadata = {"framework": "keras", **model.metadata}
    return model


def write(model: Model, sink: Sink) -> None:
    """Write a model that came from such an archive: its configuration as it was, and the weights.

    Raises:
        UnsupportedError: The model has no configuration of Keras 3, or a tensor that HDF5 has no type for.
    """
    from panmodel.model.keras.placing import file_of
    from panmodel.model.keras.structure import LayerGroups
    from panmodel.wire.hdf5.writing import check, save
    from panmodel.wire.zip_writer import ArchiveWriter

    structure = model.structure
    if not isinstance(structure, LayerGroups) or not all(name in structure.documents for name in _DOCUMENTS):
        hint = "write a weights file (.h5), and load it into the model in Keras"
        raise UnsupportedError("a .keras archive needs the configuration of a Keras 3 model", hint=hint)
    root = file_of(model.tensors, replace(structure, documents={}))
    check(root)
    writer = ArchiveWriter(sink.open())
    for name in _DOCUMENTS:
        text = structure.documents[name].encode("utf-8", "surrogatepass")
        writer.add(name, [text], len(text))
    writer.add_file(_WEIGHTS, lambda member: save(root, member))
    writer.close()


def _text(archive: Archive, name: str, where: str) -> str:
    data = archive.read(name, limit=DEFAULT.text_bytes)
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise CorruptError(f"{name} is not UTF-8: {error}", where=where) from None


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
    summary="Keras 3 model archives (.keras): weights, and the configuration as it came",
    extensions=(".keras",),
    spec="https://keras.io/guides/serialization_and_saving/",
    holds=Holds.WEIGHTS | Holds.TRAINING | Holds.METADATA,
    sniff=sniff,
    read=read,
    write=write,
    structures=frozenset({"keras"}),
    any_weights=False,
)
