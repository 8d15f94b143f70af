"""The tensors of TensorFlow's first checkpoint format, listed from its first entry, each read when asked for.

Source: tensorflow/core/util/tensor_slice_{writer,reader}.cc, tensorflow/core/util/saved_tensor_slice.proto
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from panmodel.dtypes import STRING, DType
from panmodel.errors import CorruptError, LimitError, UnsupportedError
from panmodel.io.source import CHUNK, Source
from panmodel.limits import DEFAULT
from panmodel.model.partitioned import Part, PartitionedTensor
from panmodel.model.tensor import Tensor, gathered, pack
from panmodel.model.tensorflow.checkpoint_tensor import box_of, dtype_of, opaque, shape_of
from panmodel.wire.protobuf import Numbers, decode
from panmodel.wire.protobuf.varint import unpack_varints
from panmodel.wire.saved_tensor_slices import SavedSliceMeta, SavedTensorSlices
from panmodel.wire.sstable import Table
from panmodel.wire.tensor_bundle import TensorSliceProto, slice_key, slice_name
from panmodel.wire.tensorflow_messages import TensorProto, VersionDef

if TYPE_CHECKING:
    import numpy as np

_VERSION = 1  # what TensorFlow writes; min_consumer of a file that we read is at most this
_WIDEST = 10  # bytes of a number on the wire
_MOST_SHOWN = 6  # keys of a damaged block, the first of which is that of the list of tensors
#: Element type → the list of a TensorProto that has its elements.
_LISTS = {
    "float32": "float_val", "float64": "double_val", "complex64": "scomplex_val", "complex128": "dcomplex_val",
    "int64": "int64_val", "bool": "bool_val", "float16": "half_val", "bfloat16": "half_val",
    "uint32": "uint32_val", "uint64": "uint64_val", "string": "string_val",
} | dict.fromkeys(
    ("int32", "int16", "int8", "uint16", "uint8", "qint32", "qint16", "qint8", "quint16", "quint8"), "int_val"
)  # fmt: skip


class SlicedTensor(Tensor):
    """A tensor, or a slice of one, whose elements are a list of numbers in a table.

    Args:
        name: Its name in the file.
        dtype: Element type.
        shape: Of the slice.
        table: Where it lies.
        key: Under which key.
    """

    def __init__(self, name: str, dtype: DType, shape: tuple[int, ...], table: Table, key: bytes) -> None:
        self.name, self.dtype, self.shape = name, dtype, shape
        self._table, self._key = table, key

    def numpy(self) -> np.ndarray:
        """See `Tensor.numpy`."""
        return self._strings() if self.dtype is STRING else gathered(self)

    def chunks(self, nbytes: int = CHUNK) -> Iterator[memoryview]:
        """See `Tensor.chunks`."""
        if self.dtype is STRING:
            yield from super().chunks(nbytes)
            return
        listed = getattr(self._values(), _LISTS[self.dtype.name])
        if not isinstance(listed, Numbers):  # an empty one
            listed = Numbers("int32")
        pieces = _fixed(listed, nbytes) if self.dtype.name in _FIXED else _decoded(listed, self.dtype, nbytes)
        done = 0
        for piece in pieces:
            done += len(piece)
            if done > self.nbytes:
                break
            yield piece
        if done != self.nbytes:
            raise self._fault(f"its list has {done} bytes or more, {self.dtype}{list(self.shape)} needs {self.nbytes}")

    def _strings(self) -> np.ndarray:
        import numpy as np

        if self.size > DEFAULT.string_elements:
            raise LimitError(f"tensor {self.name!r} has {self.size} strings, the cap is {DEFAULT.string_elements}")
        found = list(self._values().string_val)
        if len(found) != self.size:
            raise self._fault(f"its list has {len(found)} strings, its shape {list(self.shape)} needs {self.size}")
        array = np.empty(len(found), object)
        array[:] = found
        return array.reshape(self.shape)

    def _values(self) -> TensorProto:
        """The lists of elements; their block has met its checksum."""
        try:
            extent = self._table.find(self._key)
            if extent is None:
                raise CorruptError("is announced and not there", where=self._table.source.name)
            message = decode(SavedTensorSlices, extent.source, extent.offset, extent.nbytes)
            if message.data is None or message.data.data is None:
                raise CorruptError("has no elements", where=extent.source.name)
            return message.data.data
        except CorruptError as error:
            text = f"tensor {self.name!r}: {error.message}"
            raise type(error)(text, where=error.where, hint=error.hint) from None

    def _fault(self, message: str) -> CorruptError:
        return CorruptError(f"tensor {self.name!r}: {message}", where=self._table.source.name)


_FIXED = frozenset(["float32", "float64", "complex64", "complex128"])


def _fixed(listed: Numbers, nbytes: int) -> Iterator[memoryview]:
    """Numbers of fixed width, which lie on the wire as they do in memory."""
    nbytes = max(nbytes - nbytes % 16, 16)  # whole elements in every piece
    for piece in listed.chunks():
        for start in range(0, len(piece), nbytes):
            yield piece[start : start + nbytes]


def _decoded(listed: Numbers, dtype: DType, nbytes: int) -> Iterator[memoryview]:
    """Numbers of variable width, decoded piece by piece."""
    import numpy as np

    rest = b""
    step = max(nbytes // dtype.itemsize, _WIDEST)  # as many numbers as there can be bytes
    for run in listed.chunks():
        for start in range(0, len(run), step):
            data = rest + bytes(run[start : start + step])
            whole = int(np.flatnonzero(np.frombuffer(data, np.uint8) < 0x80)[-1:].sum() + 1) if _ends(data) else 0
            data, rest = data[:whole], data[whole:]
            if len(rest) > _WIDEST:
                raise CorruptError("a packed number of more than ten bytes")
            numbers = unpack_varints(data, listed.kind)
            if dtype.kind == "f":  # the bits of a half, or of a bfloat16
                yield pack(numbers.astype(np.uint16).view(dtype.numpy), dtype)
            else:
                yield pack(numbers.astype(dtype.numpy), dtype)
    if rest:
        raise CorruptError("packed numbers end in the middle of one")


def _ends(data: bytes) -> bool:
    """Whether a number ends in these bytes."""
    return any(byte < 0x80 for byte in data[-_WIDEST:])


def read_v1_tensors(sources: Sequence[Source]) -> dict[str, Tensor]:
    """List the tensors of a checkpoint.

    Args:
        sources: Its files; more than one if it was saved in shards.

    Raises:
        CorruptError: A list of tensors is damaged or contradicts another one.
        LimitError: A number in it exceeds `panmodel.limits`.
        UnsupportedError: A file was written for newer readers.
    """
    found: dict[str, _Slices] = {}
    for source in sources:
        table = Table(source)
        for meta in _listed(table):
            shape = shape_of(meta.name, meta.shape, source.name)
            if not meta.name or len(found) > DEFAULT.tensors:
                raise LimitError("has a tensor without a name, or too many", where=source.name)
            known = found.setdefault(meta.name, _Slices(meta.name, dtype_of(meta.type), shape))
            known.add(table, meta.slice, dtype_of(meta.type), shape)
    return {name: slices.tensor() for name, slices in found.items()}


def _listed(table: Table) -> Sequence[SavedSliceMeta]:
    """The tensors of one file, as its first entry says."""
    where = table.source.name
    try:
        extent = table.find(b"")
    except CorruptError as error:
        keys = table.beside(b"", _MOST_SHOWN)[1:]
        held = ", ".join(repr(slice_name(key)[:200]) for key in keys) + ", …" * (len(keys) == _MOST_SHOWN - 1)
        text = f"{error.message}; it has the list of all tensors" + (f", and elements of {held}" if held else "")
        raise type(error)(text, where=error.where, hint=error.hint) from None
    message = decode(SavedTensorSlices, extent.source, extent.offset, extent.nbytes) if extent else None
    if message is None or message.meta is None:
        raise CorruptError("the first entry does not list the tensors of a checkpoint", where=where)
    version = message.meta.versions or VersionDef()
    if version.min_consumer > _VERSION or _VERSION in version.bad_consumers:
        text = f"is to be read by version {version.min_consumer} or later of the format, not by {_VERSION}"
        raise UnsupportedError(text, where=where)
    return message.meta.tensor


class _Slices:
    """What the files of a checkpoint have of one tensor."""

    def __init__(self, name: str, dtype: DType, shape: tuple[int, ...]) -> None:
        self._name, self._dtype, self._shape = name, dtype, shape
        self._parts: dict[tuple[tuple[int, ...], tuple[int, ...]], tuple[Table, bytes]] = {}

    def add(self, table: Table, boxes: Sequence[TensorSliceProto], dtype: DType, shape: tuple[int, ...]) -> None:
        """Take the slices that a file has."""
        where = table.source.name
        if dtype != self._dtype or shape != self._shape:
            found = f"{dtype}{list(shape)} here and {self._dtype}{list(self._shape)} elsewhere"
            raise CorruptError(f"tensor {self._name!r}: is {found}", where=where)
        for box in boxes:
            place = box_of(self._name, shape, box, where)
            if place in self._parts:
                raise CorruptError(f"tensor {self._name!r}: the slice at {list(place[0])} is there twice", where=where)
            self._parts[place] = table, slice_key(self._name, box)

    def tensor(self) -> Tensor:
        """The tensor, whole or put together."""
        name, dtype, shape = self._name, self._dtype, self._shape
        if dtype.name not in _LISTS:
            return opaque(name, dtype, shape)
        parts = [Part(start, SlicedTensor(name, dtype, sizes, *place)) for (start, sizes), place in self._parts.items()]
        if len(parts) == 1 and parts[0].tensor.shape == shape:
            return parts[0].tensor
        return PartitionedTensor(name, dtype, shape, parts)
