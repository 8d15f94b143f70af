"""The tensors of pickled PyTorch files: views of storages, wherever the bytes of those lie."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING

from panmodel.dtypes import DType
from panmodel.errors import CorruptError, LimitError
from panmodel.io.source import Extent
from panmodel.limits import DEFAULT, Limits
from panmodel.model.tensor import DeferredTensor, StoredTensor, Tensor, unpack
from panmodel.wire.byte_order import turned_around
from panmodel.wire.torch_records import ArrayRecord, TensorRecord

if TYPE_CHECKING:
    import numpy as np


def from_record(name: str, record: TensorRecord, *, limits: Limits = DEFAULT) -> Tensor:
    """The lazy tensor of a view that a pickle describes.

    Args:
        name: What the tensor is called.
        record: The view; it lies inside its storage.
        limits: Caps on what a view with repeated elements may expand to.

    Returns:
        A `StoredTensor` if the elements lie in one row, else one that is put in order when it is read. Either
        verifies the checksum of its storage on reading, if the container has one. Of a quantized type, the elements
        are the stored integers.
    """
    content, bits = record.storage.content, record.dtype.bits
    first = 8 * record.storage.begin + (record.offset * bits if record.span else 0)
    is_plain = record.is_contiguous and first % 8 == 0 and not (record.conjugated or record.negated)
    if is_plain and content.extent is not None:
        part = Extent(content.extent.source, content.extent.offset + first // 8, record.dtype.nbytes(record.span))
        proof = content.checksum(whole=part.nbytes == content.nbytes)
        return StoredTensor(name, record.dtype, record.shape, part, checksum=proof, big_endian=content.big_endian)
    tensor = DeferredTensor(name, record.dtype, record.shape, partial(_gathered, name, record))
    if tensor.nbytes > max(record.storage.nbytes * limits.member_ratio, limits.block_bytes):
        message = f"tensor {name!r} repeats the {record.storage.nbytes} bytes of its storage up to {tensor.nbytes}"
        raise LimitError(message, where=content.name)
    return tensor


def tied_tensors(records: Mapping[str, TensorRecord | ArrayRecord]) -> dict[str, Tensor]:
    """The lazy tensors of views and arrays. Two names of one view, which torch ties, get one and the same.

    Args:
        records: Name → view, or array with elements that a tensor can have.
    """
    made: dict[object, Tensor] = {}
    result: dict[str, Tensor] = {}
    for name, record in records.items():
        identity = id(record) if isinstance(record, ArrayRecord) else record.identity
        if identity not in made:
            made[identity] = from_array(name, record) if isinstance(record, ArrayRecord) else from_record(name, record)
        result[name] = made[identity]
    return result


def from_array(name: str, record: ArrayRecord) -> Tensor:
    """The tensor of a numpy array in a pickle.

    Args:
        name: What the tensor is called.
        record: The array; its elements are none that a tensor cannot have (dates, records, objects).
    """
    dtype = record.dtype
    assert dtype is not None
    if not (record.fortran and len(record.shape) > 1) and dtype.bits >= 8:
        return StoredTensor(name, dtype, record.shape, record.data, big_endian=record.big_endian)
    return DeferredTensor(name, dtype, record.shape, partial(_loaded, record, dtype))


def _loaded(record: ArrayRecord, dtype: DType) -> np.ndarray:
    import numpy as np

    stored = dtype.numpy.newbyteorder(">") if record.big_endian else dtype.numpy
    array = np.frombuffer(record.data.read(), stored).reshape(record.shape, order="F" if record.fortran else "C")
    return np.ascontiguousarray(array, dtype.numpy).reshape(record.shape)


def _gathered(name: str, record: TensorRecord) -> np.ndarray:
    import numpy as np

    dtype, shape = record.dtype, record.shape
    if not record.span:
        return np.empty(shape, dtype.numpy)
    first = 8 * record.storage.begin + record.offset * dtype.bits
    last = first + record.span * dtype.bits
    flat = np.frombuffer(_spanned(name, record, first // 8, (last + 7) // 8), np.uint8)
    if record.storage.content.big_endian:
        flat = turned_around(flat, dtype.number_bytes)
    skipped = first % 8 // dtype.bits  # elements of less than a byte that share the first one
    elements = unpack(np.ascontiguousarray(flat), dtype, (skipped + record.span,))[skipped:]
    strides = [stride * dtype.itemsize for stride in record.strides]
    array = np.array(np.ndarray(shape, elements.dtype, elements, strides=strides), order="C")
    if record.conjugated:
        array = array.conj()
    return -array if record.negated else array


def _spanned(name: str, record: TensorRecord, begin: int, end: int) -> bytes:
    """Bytes of a storage, after the whole of it met its checksum."""
    content = record.storage.content
    if content.extent is None:
        return content.read()[begin:end]
    proof = content.checksum(whole=False)
    if proof and (said := proof().verify()):
        hint = "the stored bytes are damaged: fetch the file again"
        where = f"{content.name} at offset {content.extent.offset}"
        raise CorruptError(f"tensor {name!r} does not meet its checksum: {said}", where=where, hint=hint)
    return content.extent.source.read(content.extent.offset + begin, end - begin)
