"""Lazy tensors of arrays that numpy stored, in a file of their own or in an archive."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING

from panmodel.dtypes import STRING, DType
from panmodel.errors import CorruptError, LimitError
from panmodel.io.pieces import whole
from panmodel.io.source import Extent
from panmodel.limits import DEFAULT
from panmodel.model.notice import Assumed, Notice
from panmodel.model.numpy.strings import decoded
from panmodel.model.streamed import StreamedTensor
from panmodel.model.tensor import Checksum, DeferredTensor, StoredTensor, Tensor, pack
from panmodel.wire.byte_order import turned_around
from panmodel.wire.npy import Header

if TYPE_CHECKING:
    import numpy as np

#: Begins the elements anew, as they are stored.
Content = Callable[[], Iterator[memoryview]]


def tensor_of(
    name: str,
    header: Header,
    content: Content,
    where: str,
    *,
    extent: Extent | None = None,
    checksum: Callable[[], Checksum] | None = None,
) -> Tensor:
    """The lazy tensor of an array.

    Args:
        name: Its name.
        header: What its header says; the elements must be known to be there.
        content: Its elements as stored, verified after the last.
        where: The file, for messages.
        extent: Where they lie, if they lie there as they are.
        checksum: Verifies them for those who read the extent.

    Raises:
        LimitError: Strings of more bytes than are held in memory.
    """
    shape = header.shape[::-1] if header.fortran_order else header.shape
    tensor: Tensor
    if header.dtype is STRING:
        tensor = _strings(name, header, shape, content, where)
    elif extent is not None and not header.is_widened:
        big = header.big_endian
        tensor = StoredTensor(name, header.dtype, shape, extent, checksum=checksum, big_endian=big)
    else:
        tensor = StreamedTensor(name, header.dtype, shape, lambda: _packed(header, content()), where=where)
    return tensor.transposed(range(len(shape))[::-1]) if header.fortran_order else tensor


def assumptions(headers: Iterable[tuple[str, Header]]) -> list[Notice]:
    """What was taken for element types that headers leave open.

    Args:
        headers: Names of tensors, and their headers.
    """
    found: dict[DType, list[str]] = {}
    for name, header in headers:
        if header.assumed:
            found.setdefault(header.dtype, []).append(name)
    return [
        Assumed(f"elements of {dtype.itemsize} bytes whose type numpy does not say are taken as {dtype}", tuple(names))
        for dtype, names in found.items()
    ]


def _packed(header: Header, content: Iterator[memoryview]) -> Iterator[memoryview]:
    """Stored elements → little-endian ones, those of less than a byte packed."""
    import numpy as np

    if header.is_widened:
        for piece in whole(content, 8):  # eight elements always end with a byte
            yield pack(np.frombuffer(piece, np.uint8).view(header.dtype.numpy), header.dtype)
    elif header.big_endian and header.width > 1:
        width = header.dtype.number_bytes
        for piece in whole(content, width):
            yield turned_around(np.frombuffer(piece, np.uint8), width).data
    else:
        yield from content


def _strings(name: str, header: Header, shape: tuple[int, ...], content: Content, where: str) -> Tensor:
    count = math.prod(shape)
    if header.nbytes > DEFAULT.text_bytes or count > DEFAULT.string_elements:
        message = f"tensor {name!r}: {count} strings of {header.width} bytes each exceed what is held in memory"
        raise LimitError(message, where=where)

    def load() -> np.ndarray:
        data = b"".join(map(bytes, content()))
        if len(data) != header.nbytes:
            raise CorruptError(f"tensor {name!r}: {len(data)} bytes came of {header.nbytes}", where=where)
        try:
            return decoded(data, header.descr, header.width, shape)
        except ValueError as error:
            raise CorruptError(f"tensor {name!r}: {error}", where=where) from None

    return DeferredTensor(name, STRING, shape, load)
