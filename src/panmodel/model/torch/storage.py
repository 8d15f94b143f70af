"""The tensors of pickled PyTorch files: views of storages that are members of an archive."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from panmodel.errors import CorruptError, LimitError
from panmodel.io.source import Extent
from panmodel.limits import DEFAULT, Limits
from panmodel.model.tensor import DeferredTensor, StoredTensor, Tensor
from panmodel.wire.torch_records import TensorRecord
from panmodel.wire.zip import Archive

if TYPE_CHECKING:
    import numpy as np


def from_record(
    name: str, record: TensorRecord, archive: Archive, *, big_endian: bool = False, limits: Limits = DEFAULT
) -> Tensor:
    """The lazy tensor of a view that a pickle describes.

    Args:
        name: What the tensor is called.
        record: The view; it lies inside its storage.
        archive: Where the storage is a member.
        big_endian: The storage's elements are big-endian.
        limits: Caps on what a view with repeated elements may expand to.

    Returns:
        A `StoredTensor` if the elements lie in one row, else one that is put in order when it is read. Either
        verifies the CRC-32 of its storage on reading.
    """
    width, storage = record.dtype.itemsize, record.storage
    extent = archive.extent(storage.member)
    if record.is_contiguous and extent is not None and not (record.conjugated or record.negated):
        begin, nbytes = (record.offset * width if record.span else 0), record.span * width
        part = Extent(extent.source, extent.offset + begin, nbytes)
        checksum = archive.running if nbytes == extent.nbytes else archive.standing
        proof = partial(checksum, storage.member)
        return StoredTensor(name, record.dtype, record.shape, part, checksum=proof, big_endian=big_endian)
    load = partial(_gathered, name, record, archive, big_endian)
    tensor = DeferredTensor(name, record.dtype, record.shape, load)
    if tensor.nbytes > max(storage.nbytes * limits.member_ratio, limits.block_bytes):
        message = f"tensor {name!r} repeats the {storage.nbytes} bytes of its storage up to {tensor.nbytes}"
        raise LimitError(message, where=archive.source.name)
    return tensor


def _gathered(name: str, record: TensorRecord, archive: Archive, big_endian: bool) -> np.ndarray:
    import numpy as np

    width = record.dtype.itemsize
    if not record.span:
        return np.empty(record.shape, record.dtype.numpy)
    flat = np.frombuffer(_spanned(name, record, archive), np.uint8)
    if big_endian:
        element = width // 2 if record.dtype.kind == "c" else width
        flat = flat.reshape(-1, element)[:, ::-1].reshape(-1)
    strides = [stride * width for stride in record.strides]
    elements = np.ascontiguousarray(flat).view(record.dtype.numpy)
    array = np.lib.stride_tricks.as_strided(elements, record.shape, strides, writeable=False)
    array = np.array(array, order="C")
    if record.conjugated:
        array = array.conj()
    return -array if record.negated else array


def _spanned(name: str, record: TensorRecord, archive: Archive) -> bytes:
    """The bytes from a view's first element to its last, after the whole storage met its CRC-32."""
    width, member = record.dtype.itemsize, record.storage.member
    begin, nbytes = record.offset * width, record.span * width
    extent = archive.extent(member)
    if extent is None:
        return archive.read(member, limit=record.storage.nbytes)[begin : begin + nbytes]
    if said := archive.standing(member).verify():
        hint = "the stored bytes are damaged: fetch the file again"
        where = f"{archive.source.name} at offset {extent.offset}"
        raise CorruptError(f"tensor {name!r} does not meet its checksum: {said}", where=where, hint=hint)
    return extent.source.read(extent.offset + begin, nbytes)
