"""HDF5 files of Keras 1 to 3, whole models and weights alone, and any other HDF5 file of arrays.

Source: keras/src/legacy/saving/legacy_h5_format.py and keras/src/saving/saving_lib.py (3.15), keras/engine/saving.py
(2.3.1); HDF5 itself: https://support.hdfgroup.org/documentation/hdf5/latest/_f_m_t3.html.
"""

from __future__ import annotations

from panmodel.io.sink import Sink
from panmodel.io.source import Location
from panmodel.model.format import Format, Holds
from panmodel.model.model import Model
from panmodel.wire.hdf5_signature import is_hdf5
from panmodel.wire.zip import is_zip


def sniff(location: Location) -> bool:
    """Whether it is an HDF5 file; one that is stored in an archive may lie where a file's own would."""
    return location.is_file and not is_zip(location.head(4)) and is_hdf5(location.open())


def read(location: Location) -> Model:
    """Open a file; only what describes its tensors is read.

    Weights are called as their layers list them, in that order; `panmodel.model.keras.names` says the rule.

    Raises:
        CorruptError: The file contradicts HDF5, or lists layers and weights that are not there.
        UnsafeError: Something in it is a link to another file.
    """
    from panmodel.model.keras.opening import model_of
    from panmodel.wire.hdf5 import read_file

    return model_of(FORMAT.name, read_file(location.open()), str(location))


def write(model: Model, sink: Sink) -> None:
    """Write a file that Keras loads: arranged as the model came from Keras, else one layer for each prefix of names.

    Raises:
        UnsupportedError: A tensor that HDF5 has no type for.
    """
    from panmodel.model.keras.placing import arranged, file_of
    from panmodel.model.keras.structure import LayerGroups
    from panmodel.wire.hdf5.writing import save

    structure = model.structure if isinstance(model.structure, LayerGroups) else arranged(model.tensors)
    save(file_of(model.tensors, structure), sink.open())


FORMAT = Format(
    name="keras_hdf5",
    summary="HDF5 of Keras: whole models (weights alone are read) and weights files",
    extensions=(".h5", ".hdf5"),
    spec="https://keras.io/api/models/model_saving_apis/weights_saving_and_loading/",
    holds=Holds.WEIGHTS | Holds.TRAINING | Holds.METADATA,
    sniff=sniff,
    read=read,
    write=write,
    structures=frozenset({"keras"}),
)
