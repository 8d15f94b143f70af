"""Lazy tensors: dtype, shape, and where the bytes are. Reading is explicit, bounded and checked.

Every format's reader returns these, every writer takes them; a conversion that only moves weights passes their bytes
through in pieces. `transposed` and `reshaped` give new lazy tensors which remember the tensor they came from, so that a
converted parameter can always be traced back to the variable that it was (`names.json`).
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from panmodel.dtypes import DType, from_numpy
from panmodel.errors import CorruptError, UnsupportedError
from panmodel.io.source import CHUNK, Extent
from panmodel.wire.byte_order import turned_around

if TYPE_CHECKING:
    import numpy as np

#: Element types that `struct` knows as well.
_STRUCT_CODES = {"float16": "e", "float32": "f", "float64": "d", "bool": "?"}
_STRUCT_CODES |= {"int8": "b", "int16": "h", "int32": "i", "int64": "q"}
_STRUCT_CODES |= {"uint8": "B", "uint16": "H", "uint32": "I", "uint64": "Q"}

#: One step from a tensor to another: ("transpose", perm) or ("reshape", shape).
Step = tuple[str, tuple[int, ...]]


class Checksum(Protocol):
    """A running checksum: feed pieces in order, then ask whether it is the stored one."""

    def update(self, piece: memoryview) -> None:
        """Take the next piece."""

    def verify(self) -> str | None:
        """None if the stored sum is met, else what was expected and found, in words."""


class Tensor:
    """A named array that is read only when asked for.

    Attributes:
        name: Its name in the file that it comes from; empty for one that was computed.
        dtype: Element type.
        shape: Extent of each dimension; () for a scalar.
        extent: Where the bytes lie if they are contiguous, little-endian and row-major on disk, else None.
    """

    name: str
    dtype: DType
    shape: tuple[int, ...]
    extent: Extent | None = None

    @property
    def size(self) -> int:
        """Number of elements."""
        return math.prod(self.shape)

    @property
    def nbytes(self) -> int:
        """Stored size in bytes (0 for strings, whose elements have no fixed width)."""
        return self.dtype.nbytes(self.size)

    @property
    def base(self) -> Tensor:
        """The stored tensor that this one is a view of; itself for any other."""
        return self

    @property
    def steps(self) -> tuple[Step, ...]:
        """What leads from `base` to this tensor, in order; each step can be undone."""
        return ()

    @property
    def origins(self) -> tuple[str, ...]:
        """Names of the stored tensors that this one was made from."""
        return (self.name,) if self.name else ()

    @property
    def is_complete(self) -> bool:
        """Whether the file holds every element; what is not complete is listed and cannot be read."""
        return True

    def numpy(self) -> np.ndarray:
        """The elements, read and checked now.

        Raises:
            CorruptError: The bytes do not meet their checksum; the message names the tensor.
        """
        raise NotImplementedError

    def item(self) -> Any:
        """The one element of a tensor of one, as a number, bool or string of Python.

        Raises:
            CorruptError: As `numpy`.
            ValueError: There are more elements, or none.
        """
        code = _STRUCT_CODES.get(self.dtype.name) if self.size == 1 and type(self).chunks is not Tensor.chunks else None
        if code is None:
            return self.numpy().reshape(()).item()
        (element,) = struct.unpack("<" + code, b"".join(self.chunks()))  # numpy is not worth loading for this
        return element

    def chunks(self, nbytes: int = CHUNK) -> Iterator[memoryview]:
        """Yield the bytes, little-endian and row-major, in pieces of at most `nbytes`; each is valid until the next.

        A piece need not end with an element: `io.pieces.whole` sees to that.

        Raises:
            CorruptError: After the last piece, if the bytes do not meet their checksum.
            UnsupportedError: The elements have no fixed width.
        """
        if not self.dtype.bits:
            raise UnsupportedError(f"tensor {self.name!r}: {self.dtype} elements have no fixed width")
        array = self.numpy()
        if array.ndim and array.size > 1 and not any(array.strides) and self.dtype.bits >= 8:
            yield from _repeated(pack(array[(slice(0, 1),) * array.ndim], self.dtype), array.size, nbytes)
        else:
            yield from _pieces(pack(array, self.dtype), nbytes)

    def transposed(self, perm: Sequence[int]) -> Tensor:
        """The lazy tensor whose axis i is this one's axis perm[i]."""
        order = tuple(perm)
        if sorted(order) != list(range(len(self.shape))):
            raise CorruptError(f"tensor {self.name!r} of shape {self.shape} cannot be permuted by {order}, its axes")
        return self if order == tuple(range(len(order))) else ViewTensor(self, ("transpose", order))

    def reshaped(self, shape: Sequence[int]) -> Tensor:
        """The lazy tensor with the same elements in another shape."""
        new = tuple(shape)
        return self if new == self.shape else ViewTensor(self, ("reshape", new))

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name or 'unnamed'} {self.dtype}{list(self.shape)}>"


class StoredTensor(Tensor):
    """A tensor whose bytes lie in a file, row-major.

    Args:
        name: Its name in the file.
        dtype: Element type with a fixed width.
        shape: Its dimensions.
        extent: Where the bytes are; their number must be that of the dtype and shape.
        checksum: Makes the running checksum to hold the bytes (as on disk) against.
        big_endian: The bytes on disk are big-endian.
    """

    def __init__(
        self,
        name: str,
        dtype: DType,
        shape: tuple[int, ...],
        extent: Extent,
        *,
        checksum: Callable[[], Checksum] | None = None,
        big_endian: bool = False,
    ) -> None:
        self.name, self.dtype, self.shape = name, dtype, shape
        self._stored, self._checksum = extent, checksum
        self._swap = dtype.number_bytes if big_endian else 1
        if extent.nbytes != self.nbytes:
            found = f"{extent.nbytes} bytes stored, {dtype}{list(shape)} needs {self.nbytes}"
            raise CorruptError(f"tensor {name!r}: {found}", where=extent.source.name)
        extent.source.check(extent.offset, extent.nbytes)
        self.extent = extent if self._swap == 1 else None

    def numpy(self) -> np.ndarray:
        """See `Tensor.numpy`."""
        return gathered(self)

    def chunks(self, nbytes: int = CHUNK) -> Iterator[memoryview]:
        """See `Tensor.chunks`."""
        running = self._checksum() if self._checksum else None
        nbytes -= nbytes % 16  # whole elements in every piece
        for piece in self._stored.source.chunks(self._stored.offset, self._stored.nbytes, max(nbytes, 16)):
            if running:
                running.update(piece)
            yield _swapped(piece, self._swap) if self._swap > 1 else piece
        if running and (said := running.verify()):
            where = f"{self._stored.source.name} at offset {self._stored.offset}"
            hint = "the stored bytes are damaged: fetch the file again"
            raise CorruptError(f"tensor {self.name!r} does not meet its checksum: {said}", where=where, hint=hint)


class ArrayTensor(Tensor):
    """A tensor in memory: computed, or too irregular on disk to stay there.

    Args:
        array: The elements.
        name: Its name, if it is a stored one.
        dtype: Element type, where numpy's own does not tell (quantized types).
        origins: Names of the stored tensors that it was computed from.
    """

    def __init__(
        self, array: np.ndarray, name: str = "", *, dtype: DType | None = None, origins: Sequence[str] = ()
    ) -> None:
        self._array = array
        self.name = name
        self.dtype = dtype or from_numpy(array.dtype)
        self.shape = tuple(array.shape)
        self._origins = tuple(dict.fromkeys(origins))

    @property
    def origins(self) -> tuple[str, ...]:
        """See `Tensor.origins`."""
        return self._origins or super().origins

    def numpy(self) -> np.ndarray:
        """See `Tensor.numpy`; do not write into it."""
        return self._array


class DeferredTensor(Tensor):
    """A tensor that a function assembles when it is read: slices of a partitioned variable, strings, strided views.

    Args:
        name: Its name in the file.
        dtype: Element type.
        shape: Its dimensions.
        load: Returns the elements; raises CorruptError with the tensor's name.
    """

    def __init__(self, name: str, dtype: DType, shape: tuple[int, ...], load: Callable[[], np.ndarray]) -> None:
        self.name, self.dtype, self.shape, self._load = name, dtype, shape, load

    def numpy(self) -> np.ndarray:
        """See `Tensor.numpy`."""
        return self._load()


class ViewTensor(Tensor):
    """A transposed or reshaped tensor, made when it is read."""

    def __init__(self, parent: Tensor, step: Step) -> None:
        self._parent, self._step = parent, step
        self.dtype = parent.dtype
        kind, numbers = step
        if kind == "reshape":
            if math.prod(numbers) != parent.size:
                raise CorruptError(f"tensor {parent.name!r} of shape {parent.shape} cannot take the shape {numbers}")
            self.shape, self.extent = numbers, parent.extent
        else:
            self.shape = tuple(parent.shape[axis] for axis in numbers)

    @property
    def name(self) -> str:  # type: ignore[override]
        """The name of its base."""
        return self._parent.name

    @property
    def base(self) -> Tensor:
        """See `Tensor.base`."""
        return self._parent.base

    @property
    def steps(self) -> tuple[Step, ...]:
        """See `Tensor.steps`."""
        return (*self._parent.steps, self._step)

    @property
    def origins(self) -> tuple[str, ...]:
        """See `Tensor.origins`."""
        return self._parent.origins

    def numpy(self) -> np.ndarray:
        """See `Tensor.numpy`."""
        import numpy as np

        kind, numbers = self._step
        array = self._parent.numpy()
        return array.reshape(numbers) if kind == "reshape" else np.ascontiguousarray(array.transpose(numbers))

    def chunks(self, nbytes: int = CHUNK) -> Iterator[memoryview]:
        """See `Tensor.chunks`."""
        yield from self._parent.chunks(nbytes) if self._step[0] == "reshape" else super().chunks(nbytes)


def undo(array: np.ndarray, shape: tuple[int, ...], steps: Sequence[Step]) -> np.ndarray:
    """Lead an array back over the steps of a tensor to its base.

    Args:
        array: Elements in the shape after the last step.
        shape: Shape of the base.
        steps: `Tensor.steps`.

    Returns:
        The elements in the base's shape.
    """
    import numpy as np

    shapes = [shape]
    for kind, numbers in steps:
        shapes.append(numbers if kind == "reshape" else tuple(shapes[-1][axis] for axis in numbers))
    for (kind, numbers), before in zip(reversed(steps), reversed(shapes[:-1]), strict=True):
        array = array.reshape(before) if kind == "reshape" else array.transpose(np.argsort(numbers))
    return array


def pack(array: np.ndarray, dtype: DType) -> memoryview:
    """Elements in memory → bytes as every format stores them: little-endian, row-major, sub-byte types packed."""
    import numpy as np

    if dtype.bits < 8:
        return _pack_bits(array.reshape(-1), dtype.bits)
    if array.dtype.byteorder == ">":
        array = array.astype(array.dtype.newbyteorder("<"))
    return np.ascontiguousarray(array).reshape(-1).view(np.uint8).data


def gathered(tensor: Tensor) -> np.ndarray:
    """The elements of a tensor whose `chunks` give all of its bytes and no more, put together from these."""
    import numpy as np

    buffer, position = np.empty(tensor.nbytes, np.uint8), 0
    for piece in tensor.chunks():
        buffer[position : position + len(piece)] = piece
        position += len(piece)
    return unpack(buffer, tensor.dtype, tensor.shape)


def unpack(buffer: np.ndarray, dtype: DType, shape: tuple[int, ...]) -> np.ndarray:
    """Bytes as stored → elements in memory; the opposite of `pack`."""
    if dtype.bits < 8:
        return _unpack_bits(buffer, dtype, math.prod(shape)).reshape(shape)
    return buffer.view(dtype.numpy).reshape(shape)


def _pack_bits(flat: np.ndarray, bits: int) -> memoryview:
    import numpy as np

    codes = flat.view(np.uint8) & ((1 << bits) - 1)
    lanes = (codes[:, None] >> np.arange(bits, dtype=np.uint8)) & 1  # lowest bit first, element after element
    return np.packbits(lanes.reshape(-1), bitorder="little").data


def _unpack_bits(buffer: np.ndarray, dtype: DType, count: int) -> np.ndarray:
    import numpy as np

    lanes = np.unpackbits(buffer, bitorder="little")[: count * dtype.bits].reshape(count, dtype.bits)
    codes = (lanes << np.arange(dtype.bits, dtype=np.uint8)).sum(axis=1, dtype=np.uint8)
    if dtype.kind == "i":  # ml_dtypes keeps the sign in the upper bits of the byte
        codes = np.where(codes >> (dtype.bits - 1), codes | (0xFF << dtype.bits & 0xFF), codes).astype(np.uint8)
    elements: np.ndarray = codes.view(dtype.numpy)
    return elements


def _swapped(piece: memoryview, width: int) -> memoryview:
    import numpy as np

    return turned_around(np.frombuffer(piece, np.uint8), width).data


def _repeated(element: memoryview, count: int, nbytes: int) -> Iterator[memoryview]:
    """One element again and again, as constants of one value are kept."""
    many = max(min(nbytes // len(element), count), 1)
    piece = memoryview(bytes(element) * many)
    for done in range(0, count, many):
        yield piece[: min(many, count - done) * len(element)]


def _pieces(data: memoryview, nbytes: int) -> Iterator[memoryview]:
    for start in range(0, len(data), nbytes):
        yield data[start : start + nbytes]
