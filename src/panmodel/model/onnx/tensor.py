"""ONNX's TensorProto ↔ lazy tensors, with the elements in the message or in another file.

Source: https://github.com/onnx/onnx/blob/main/onnx/onnx.proto and docs/ExternalData.md
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator
from typing import TYPE_CHECKING

from panmodel.dtypes import BY_ONNX, STRING, DType
from panmodel.errors import CorruptError, LimitError, UnsupportedError
from panmodel.io.pieces import whole
from panmodel.io.source import Extent, FileSource, Location
from panmodel.limits import DEFAULT
from panmodel.model.streamed import StreamedTensor
from panmodel.model.tensor import ArrayTensor, StoredTensor, Tensor, pack
from panmodel.wire.onnx_messages import EXTERNAL, TensorProto
from panmodel.wire.protobuf import Numbers

if TYPE_CHECKING:
    import numpy as np

#: Element type → the list of a TensorProto that holds its elements; all others are in `int32_data`.
_LISTS = {
    "float32": "float_data",
    "complex64": "float_data",
    "float64": "double_data",
    "complex128": "double_data",
    "int64": "int64_data",
    "uint32": "uint64_data",
    "uint64": "uint64_data",
}
#: Types whose lists are on the wire what raw bytes would be.
_AS_STORED = frozenset({"float32", "float64", "complex64", "complex128"})


class TensorReader:
    """Makes lazy tensors of the messages of one model.

    Args:
        location: The model file; external data lies in its folder.
    """

    def __init__(self, location: Location) -> None:
        self._location = location
        self._files: dict[str, FileSource] = {}
        self._digests: dict[str, _FileDigest] = {}

    def read(self, proto: TensorProto, name: str = "") -> Tensor:
        """The lazy tensor of a message.

        Args:
            proto: The message.
            name: What to call it, if not by its own name.

        Raises:
            CorruptError: The bytes do not fit the type and shape.
            UnsafeError: The external data lies outside the model's folder.
            UnsupportedError: A tensor in segments.
        """
        name = name or proto.name
        where = f"tensor {name!r}"
        dtype, shape = _type(proto, where)
        if proto.has("segment"):
            raise UnsupportedError(f"{where} is stored in segments, which ONNX itself gave up")
        if proto.data_location == EXTERNAL:
            return self._external(proto, name, dtype, shape)
        if proto.has("raw_data"):
            assert isinstance(proto.raw_data, Extent)
            if dtype is STRING:
                raise CorruptError(f"{where}: strings cannot be raw bytes", where=str(self._location))
            return StoredTensor(name, dtype, shape, proto.raw_data)
        return _listed(proto, name, dtype, shape)

    def _external(self, proto: TensorProto, name: str, dtype: DType, shape: tuple[int, ...]) -> Tensor:
        entries = {entry.key: entry.value for entry in proto.external_data}
        where = f"{self._location}, tensor {name!r}"
        if not entries.get("location"):
            raise CorruptError("external data without a location", where=where)
        if dtype is STRING:
            raise CorruptError("strings cannot be external data", where=where)
        base = entries.get("basepath", "")
        file = self._file(f"{base}/{entries['location']}" if base else entries["location"])
        nbytes = dtype.nbytes(math.prod(shape))
        length = _number(entries, "length", nbytes, where)
        if length != nbytes:
            found = f"{length} bytes of external data, {dtype}{list(shape)} needs {nbytes}"
            raise CorruptError(found, where=where)
        extent = Extent(file, _number(entries, "offset", 0, where), nbytes)
        digest = entries.get("checksum", "").lower()
        if not digest:
            return StoredTensor(name, dtype, shape, extent)
        running = self._digests.setdefault(f"{file.name} {digest}", _FileDigest(file, digest))
        return StoredTensor(name, dtype, shape, extent, checksum=lambda: running)

    def _file(self, relative: str) -> FileSource:
        if relative not in self._files:
            self._files[relative] = self._location.contained(relative)
        return self._files[relative]


class _FileDigest:
    """The SHA-1 of a whole file of external data, taken when the first of its tensors is read."""

    def __init__(self, file: FileSource, expected: str) -> None:
        self._file, self._expected = file, expected
        self._said: list[str | None] = []

    def update(self, _: memoryview) -> None:
        """See `Checksum.update`: the sum is over the file, not over the tensor."""

    def verify(self) -> str | None:
        """See `Checksum.verify`."""
        if not self._said:
            running = hashlib.sha1(usedforsecurity=False)
            for piece in self._file.chunks(0, self._file.size):
                running.update(piece)
            found = running.hexdigest()
            differ = f"SHA-1 of {self._file.name} is {found}, expected {self._expected}"
            self._said.append(None if found == self._expected else differ)
        return self._said[0]


def proto_from_tensor(tensor: Tensor, name: str = "") -> TensorProto:
    """The message of a tensor; its bytes are read when the message is encoded.

    Args:
        tensor: The tensor.
        name: Its name in the model; empty for one in an attribute.

    Raises:
        UnsupportedError: ONNX has no such element type.
    """
    if tensor.dtype.onnx is None:
        hint = "cast it to a type that ONNX has"
        raise UnsupportedError(f"tensor {name or tensor.name!r}: ONNX stores no {tensor.dtype} elements", hint=hint)
    proto = TensorProto(dims=list(tensor.shape), data_type=tensor.dtype.onnx)
    if name:
        proto.name = name
    if tensor.dtype is STRING:
        flat = tensor.numpy().reshape(-1).tolist()
        proto.string_data = [text.encode() if isinstance(text, str) else bytes(text) for text in flat]
    else:
        proto.raw_data = tensor
    return proto


def _type(proto: TensorProto, where: str) -> tuple[DType, tuple[int, ...]]:
    dtype = BY_ONNX.get(proto.data_type)
    if dtype is None:
        raise CorruptError(f"{where}: element type number {proto.data_type}, which ONNX does not have")
    shape = tuple(proto.dims)
    if len(shape) > DEFAULT.rank:
        raise LimitError(f"{where}: rank {len(shape)} exceeds {DEFAULT.rank}")
    if any(size < 0 for size in shape) or math.prod(shape) >= 1 << 62:
        raise CorruptError(f"{where}: a tensor cannot have the shape {list(shape)}")
    return dtype, shape


def _number(entries: dict[str, str], key: str, default: int, where: str) -> int:
    text = entries.get(key, "")
    if not text:
        return default
    if not (text.isascii() and text.isdigit() and len(text) < 20):
        raise CorruptError(f"external data with {key} {text[:40]!r}, which is no number of bytes", where=where)
    return int(text)


def _listed(proto: TensorProto, name: str, dtype: DType, shape: tuple[int, ...]) -> Tensor:
    """A tensor whose elements are a list of numbers or strings in the message."""
    size = math.prod(shape)
    where = f"tensor {name!r}"
    if dtype is STRING:
        if len(proto.string_data) != size:
            raise CorruptError(f"{where}: {len(proto.string_data)} strings stored, {list(shape)} needs {size}")
        return ArrayTensor(_objects(list(proto.string_data), shape), name, dtype=dtype)
    numbers = getattr(proto, _LISTS.get(dtype.name, "int32_data"))
    stored = numbers.nbytes if isinstance(numbers, Numbers) else 0
    if _count(dtype, size) > stored:  # a number takes a byte at least
        raise CorruptError(f"{where}: {stored} bytes of numbers stored, {dtype}{list(shape)} needs more")
    if not isinstance(numbers, Numbers):
        numbers = Numbers("int32")
    extent = numbers.extent if dtype.name in _AS_STORED else None
    if extent is not None and extent.nbytes == dtype.nbytes(size):
        return StoredTensor(name, dtype, shape, extent)
    return StreamedTensor(name, dtype, shape, lambda: _elements(numbers, dtype, shape, where))


def _count(dtype: DType, size: int) -> int:
    """Numbers in the list for that many elements: complex ones take two; of less than a byte, they share one.

    Those of six bits do not: they would share it with parts of each other.
    """
    return 2 * size if dtype.kind == "c" else dtype.nbytes(size) if dtype.bits < 8 and dtype.bits != 6 else size


def _elements(numbers: Numbers, dtype: DType, shape: tuple[int, ...], where: str) -> Iterator[memoryview]:
    """The elements of a list of numbers as bytes."""
    import numpy as np

    expected, found = _count(dtype, math.prod(shape)), 0

    def pieces() -> Iterator[memoryview]:
        nonlocal found
        for array in numbers.arrays():
            found += len(array)
            if found <= expected:  # the rest is counted for the message alone
                yield _stored(array, dtype)

    if dtype.bits == 6:
        for codes in whole(pieces(), 4):  # four elements always end with a byte
            yield pack(np.frombuffer(codes, np.uint8).view(dtype.numpy), dtype)
    else:
        yield from pieces()
    if found != expected:
        raise CorruptError(f"{where}: {found} numbers stored, {dtype}{list(shape)} needs {expected}")


def _stored(array: np.ndarray, dtype: DType) -> memoryview:
    """Listed numbers as the bytes of elements; those of six bits in a byte each."""
    import numpy as np

    if dtype.kind == "c" or dtype.name in ("float32", "float64"):
        return array.view(np.uint8).data
    if dtype.bits < 8 or (dtype.kind == "f" and dtype.bits < 32):  # their bits as integers
        return array.astype(f"u{dtype.itemsize}").view(np.uint8).data
    return array.astype(dtype.numpy).view(np.uint8).data


def _objects(strings: list[bytes], shape: tuple[int, ...]) -> np.ndarray:
    import numpy as np

    array = np.empty(len(strings), object)
    array[:] = strings
    return array.reshape(shape)
