"""HDF5 files of Keras 1 to 3, whole models and weights alone, and any other HDF5 file of arrays.

Source: keras/src/legacy/saving/legacy_h5_format.py and keras/src/saving/saving_lib.py (3.15), keras/engine/saving.py
(2.3.1); HDF5 itself: https://support.hdfgroup.org/documentation/hdf5/latest/_f_m_t3.html.
"""

from __future__ import annotations

from panmodel.errors import UnsupportedError
from panmodel.io.sink import Sink
from panmodel.io.source import Location
from panmodel.model.format import Format, Holds
from panmodel.model.model import Model
from panmodel.model.notice import MetadataLost, Notice
from panmodel.wire.hdf5_signature import is_hdf5
from panmodel.wire.zip import is_zip


def sniff(location: Location) -> bool:
    """Whether it is an HDF5 file, or an index of several; one in an archive may lie where a file's own would."""
    if not location.is_file or is_zip(location.head(4)):
        return False
    if is_hdf5(location.open()):
        return True
    if not location.head(1).startswith(b"{"):
        return False
    from panmodel.model.keras.shards import is_index

    return is_index(location)


def read(location: Location) -> Model:
    """Open a file; only what describes its tensors is read.

    Weights are called as their layers list them, in that order; `panmodel.model.keras.names` says the rule.

    Args:
        location: The file; or the index of a model in several files, or any one of these.

    Raises:
        CorruptError: The file contradicts HDF5, or lists layers and weights that are not there.
        MissingFileError: A file of several is not there.
        UnsafeError: Something in it is a link to another file.
    """
    from panmodel.model.keras.opening import model_of
    from panmodel.model.keras.shards import index_of
    from panmodel.wire.hdf5 import read_file

    index = index_of(location)
    if index is None:
        return model_of(FORMAT.name, read_file(location.open()), str(location))
    roots = {shard: read_file(index.open(shard)) for shard in index.shards}
    for shard, root in roots.items():
        index.compare(shard, root)
    first, *more = roots.values()
    model = model_of(FORMAT.name, first, str(index.location), more=more)
    model.metadata = {**model.metadata, "shards": len(roots)}
    return model


def write(model: Model, sink: Sink) -> None:
    """Write a file that Keras loads: arranged as the model came from Keras, else in layers by the names, in its order.

    Raises:
        UnsupportedError: A tensor that HDF5 has no type for; or shards of what is no file of variables.
    """
    from panmodel.model.keras.placing import file_of
    from panmodel.model.keras.structure import Layout
    from panmodel.model.keras.targets import BY_VARIABLES, structure_for, with_layers
    from panmodel.wire.hdf5.writing import save

    structure = structure_for(model)
    if sink.shard_size is not None:
        from panmodel.model.keras.shards import write_shards

        if structure.layout is not Layout.VARIABLES:
            message = "Keras keeps only the variables of Keras 3 in shards, which this model was not read from"
            raise UnsupportedError(message, where=str(sink.target), hint="leave out --shard-size")
        write_shards(model.tensors, structure, sink)
        return
    if structure.layout is Layout.VARIABLES and not sink.target.name.endswith(BY_VARIABLES):
        structure = with_layers(structure, model.tensors) or structure
    save(file_of(model.tensors, structure), sink.open())


def _loses(model: Model, _: bool) -> list[Notice]:
    from panmodel.model.keras.placing import unkept_documents
    from panmodel.model.keras.structure import LayerGroups

    unkept = unkept_documents(model.structure) if isinstance(model.structure, LayerGroups) else ()
    return [MetadataLost("files of layers that are no text", unkept)] if unkept else []


def _remarks(model: Model, name: str) -> list[Notice]:
    from panmodel.model.keras.targets import opaque, remarks

    return [*remarks(model, name), *opaque(model)]


def _shards(target: str) -> tuple[str, ...]:
    from panmodel.model.keras.shards import index_names

    return index_names(target)


FORMAT = Format(
    name="keras_hdf5",
    summary="HDF5 of Keras: whole models (weights alone are read), weights files, and those in shards (.weights.json)",
    extensions=(".h5", ".hdf5"),
    spec="https://keras.io/api/models/model_saving_apis/weights_saving_and_loading/",
    holds=Holds.WEIGHTS | Holds.TRAINING | Holds.METADATA,
    sniff=sniff,
    read=read,
    write=write,
    shards=_shards,
    loses=_loses,
    remarks=_remarks,
    structures=frozenset({"keras"}),
)
