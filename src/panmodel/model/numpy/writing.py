"""Tensors as arrays that numpy loads."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from panmodel.dtypes import STRING
from panmodel.errors import UnsupportedError, listed
from panmodel.io.pieces import whole
from panmodel.model.notice import Notice, ReadOtherwise
from panmodel.model.numpy.strings import Strings, plan
from panmodel.model.tensor import Tensor, unpack
from panmodel.wire.npy import LONGEST, is_known, make_header

#: Strings are refused if padding makes them this many times as large, and larger than so many bytes.
_MOST_PADDING, _MOST_PADDED = 64, 256 << 20


@dataclass(frozen=True, slots=True)
class Array:
    """A tensor as an .npy file.

    Attributes:
        tensor: The tensor.
        header: The bytes before its elements.
        nbytes: Bytes of the whole file.
        strings: How its strings are stored, if it has strings.
    """

    tensor: Tensor
    header: bytes
    nbytes: int
    strings: Strings | None = None

    def pieces(self) -> Iterator[bytes | memoryview]:
        """The file in pieces."""
        yield self.header
        if self.strings is not None:
            yield from self.strings.pieces(self.tensor.numpy())
        elif self.tensor.dtype.bits < 8:
            yield from _widened(self.tensor)
        else:
            yield from self.tensor.chunks()


def array_of(tensor: Tensor, name: str | None = None) -> Array:
    """How a tensor is stored.

    Args:
        tensor: The tensor.
        name: Its name, where nothing else says it.
    """
    extra = {} if name is None else {"name": name}
    if tensor.dtype is STRING:
        strings = plan(tensor.numpy())
        if strings.descr[1] == "V":
            extra["dtype"] = STRING.name
        header = make_header(STRING, tensor.shape, descr=strings.descr, extra=extra)
        return Array(tensor, header, len(header) + tensor.size * strings.width, strings)
    header = make_header(tensor.dtype, tensor.shape, extra=extra)
    return Array(tensor, header, len(header) + tensor.size * tensor.dtype.itemsize)


def require_writable(tensors: Mapping[str, Tensor], where: str) -> None:
    """Look at what is to be written before anything is.

    Raises:
        UnsupportedError: Tensors that numpy has no form for; all are listed.
    """
    foreign = [f"{name} ({tensor.dtype})" for name, tensor in tensors.items() if tensor.dtype.kind == "o"]
    if foreign:
        raise UnsupportedError(f"numpy has no arrays for {listed(foreign, 10)}", where=where)
    for name, tensor in tensors.items():
        array = array_of(tensor, name)
        if len(array.header) > LONGEST:
            raise UnsupportedError(f"tensor {name[:80]!r}… has a name of {len(name)} characters", where=where)
        padded = array.nbytes - len(array.header)
        if array.strings and padded > max(array.strings.content * _MOST_PADDING, _MOST_PADDED):
            message = f"tensor {name!r}: strings of one width, as numpy stores them, would take {padded} bytes"
            raise UnsupportedError(f"{message}; they have {array.strings.content}", where=where)


def remarks(tensors: Iterable[Tensor]) -> list[Notice]:
    """What numpy takes for something else."""
    foreign = [tensor.dtype for tensor in tensors if tensor.dtype.kind != "o" and not is_known(tensor.dtype)]
    detail = "numpy itself takes these elements for opaque or plainer ones; panmodel reads them back as they are"
    return [ReadOtherwise(detail, tuple(sorted({dtype.name for dtype in foreign})))] if foreign else []


def _widened(tensor: Tensor) -> Iterator[memoryview]:
    """The elements of a type of less than a byte, in a byte each."""
    import numpy as np

    left = tensor.size
    for piece in whole(tensor.chunks(1 << 20), tensor.dtype.bits):  # so many bytes hold eight elements
        count = min(left, len(piece) * 8 // tensor.dtype.bits)
        array = unpack(np.frombuffer(piece, np.uint8), tensor.dtype, (count,))
        left -= count
        yield array.view(np.uint8).data
