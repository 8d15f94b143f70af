"""Checkpoints of TensorFlow's first format for tests, wrong ones as well."""

from pathlib import Path

import numpy as np
from tests.checkpoints import single_block_table

from panmodel.dtypes import from_numpy
from panmodel.wire.protobuf import Numbers, encode_bytes
from panmodel.wire.saved_tensor_slices import SavedSlice, SavedSliceMeta, SavedTensorSliceMeta, SavedTensorSlices
from panmodel.wire.sstable import encode_block, encode_table
from panmodel.wire.tensor_bundle import SliceExtent, TensorSliceProto, slice_key
from panmodel.wire.tensorflow_messages import Dim, TensorProto, TensorShapeProto, VersionDef

LISTS = {
    "float32": ("float_val", "float"), "float64": ("double_val", "double"), "complex64": ("scomplex_val", "float"),
    "complex128": ("dcomplex_val", "double"), "int64": ("int64_val", "int64"), "bool": ("bool_val", "bool"),
    "float16": ("half_val", "int32"), "bfloat16": ("half_val", "int32"), "uint32": ("uint32_val", "uint32"),
    "uint64": ("uint64_val", "uint64"),
}  # fmt: skip


def values(array):
    """The elements of an array in the list of their type."""
    if array.dtype == object:
        return TensorProto(string_val=array.reshape(-1).tolist())
    field, kind = LISTS.get(array.dtype.name, ("int_val", "int32"))
    flat = array.reshape(-1)
    if field == "half_val":
        flat = flat.view(np.uint16)
    elif array.dtype.kind == "c":
        flat = flat.view(array.real.dtype)
    return TensorProto(**{field: Numbers.of(kind, flat)})


class SliceTable:
    """Writes a file entry by entry."""

    def __init__(self, **versions):
        self.metas = []
        self.entries = {}
        self.versions = VersionDef(**{"producer": 1} | versions)

    def add(self, name, array, *, shape=None, box=None, stored=None):
        """A tensor, or the slice of one of this shape that a box tells; `stored` replaces the values."""
        number = from_numpy(array.dtype).tensorflow
        where = box or TensorSliceProto(extent=[SliceExtent() for _ in array.shape])
        known = next((meta for meta in self.metas if meta.name == name), None)
        if known is None:
            dims = [Dim(size=size) for size in (array.shape if shape is None else shape)]
            known = SavedSliceMeta(name=name, shape=TensorShapeProto(dim=dims), type=number, slice=[])
            self.metas.append(known)
        known.slice.append(where)
        data = SavedSlice(name=name, slice=where, data=values(array) if stored is None else stored)
        self.entries[slice_key(name, where)] = encode_bytes(SavedTensorSlices(data=data))
        return self

    def encoded(self):
        """Keys and values in order."""
        meta = SavedTensorSliceMeta(tensor=self.metas, versions=self.versions)
        return sorted({b"": encode_bytes(SavedTensorSlices(meta=meta)), **self.entries}.items())

    def write(self, path, *, snappy=False, block_bytes=262_144):
        """Write the file."""
        if snappy:
            data = single_block_table(encode_block(self.encoded()), snappy=True)
        else:
            data = b"".join(encode_table(self.encoded(), block_bytes=block_bytes))
        Path(path).write_bytes(data)
        return Path(path)
