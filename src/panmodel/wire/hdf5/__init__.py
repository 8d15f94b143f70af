"""HDF5 files, read without the HDF5 library: lazily, in bounded memory, and never outside the file.

    root = read_file(source)             # reads headers alone
    root.attributes["layer_names"]       # str, bytes, numbers, numpy arrays
    root.members["dense"].members        # groups and datasets by name
    root["dense/kernel:0"].numpy()       # or .chunks(), or .extent: where the bytes lie

Source: HDF5 File Format Specification 3.0, https://docs.hdfgroup.org/documentation/hdf5/latest/_f_m_t3.html
"""

from panmodel.wire.hdf5.attributes import Attribute, Attributes, Empty
from panmodel.wire.hdf5.dataset import Dataset
from panmodel.wire.hdf5.datatype import Datatype
from panmodel.wire.hdf5.foreign import Foreign, foreign, walk
from panmodel.wire.hdf5.group import CommittedType, Group, read_file
from panmodel.wire.hdf5.links import Link
from panmodel.wire.hdf5_signature import is_hdf5

__all__ = [
    "Attribute",
    "Attributes",
    "CommittedType",
    "Dataset",
    "Datatype",
    "Empty",
    "Foreign",
    "Group",
    "Link",
    "foreign",
    "is_hdf5",
    "read_file",
    "walk",
]
