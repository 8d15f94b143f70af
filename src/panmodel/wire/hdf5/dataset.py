"""Datasets: an array in an HDF5 file, read when asked for."""

from __future__ import annotations

import copy
import itertools
import math
from collections.abc import Iterator
from functools import cached_property
from typing import TYPE_CHECKING

from panmodel.dtypes import DType
from panmodel.errors import CorruptError, LimitError, UnsafeError, UnsupportedError
from panmodel.io.source import CHUNK, Extent
from panmodel.wire.byte_order import turned_around
from panmodel.wire.hdf5.attributes import Attributes
from panmodel.wire.hdf5.chunk_index import read_chunks
from panmodel.wire.hdf5.chunked import Bands
from panmodel.wire.hdf5.cursor import Cursor
from panmodel.wire.hdf5.dataspace import read_dataspace
from panmodel.wire.hdf5.datatype import Class, Datatype, read_datatype
from panmodel.wire.hdf5.elements import decode, swap_width
from panmodel.wire.hdf5.file import Visit
from panmodel.wire.hdf5.fill import read_fill, read_old_fill, repeated
from panmodel.wire.hdf5.filters import Filter, check_filters, read_filters
from panmodel.wire.hdf5.heaps import GlobalHeap, LocalHeap
from panmodel.wire.hdf5.layout import Layout, Storage, read_external_files, read_layout
from panmodel.wire.hdf5.links import text_of
from panmodel.wire.hdf5.object_header import Header, Kind, resolve
from panmodel.wire.hdf5.virtual import source_files

if TYPE_CHECKING:
    import numpy as np

_HINT = "nothing outside the file is read: copy the data into one file with h5repack, if you trust where they come from"


class Dataset:
    """An array in the file. Opening it reads its header; elements are read by `chunks`, `numpy` or the `extent`.

    Args:
        header: Its object header.
        heap: The file's elements of variable length.
        name: Its path.

    Attributes:
        name: Its path from the root.
        address: Where its header is: two names of one dataset have the same.
        datatype: What one element is, as the file says.
        shape: Extent of each dimension, those of an array type at the end; () for a scalar, (0,) if `null`.
        null: It has a type, and neither shape nor elements (a null dataspace).

    Raises:
        CorruptError: The header contradicts the format.
        LimitError: It has too many dimensions.
    """

    def __init__(self, header: Header, heap: GlobalHeap, name: str) -> None:
        self._file, self._header, self._heap = header.file, header, heap
        self._attributes: list[Attributes] = []
        self.name, self.address = name, header.address
        self.datatype: Datatype = self._file.meaning(read_datatype, self._message(Kind.DATATYPE))
        self._space = self._file.meaning(read_dataspace, self._message(Kind.DATASPACE))
        self.null = self._space.null
        self._extents = (0,) if self.null else self._space.shape
        self.shape: tuple[int, ...] = (*self._extents, *self.datatype.dims)
        if math.prod(extent for extent in self.shape if extent) * self.datatype.size >= 1 << 63:
            raise LimitError(f"dataset {name!r} of shape {self.shape} is too large", where=self._where)

    def _message(self, kind: Kind) -> Cursor:
        body = self._optional(kind)
        if body is None:
            message = f"dataset {self.name!r} has no {kind.name.lower()} message"
            raise CorruptError(message, where=self._where)
        return body

    def _optional(self, kind: Kind) -> Cursor | None:
        for message in self._header.all(kind):
            body = message.block.over(message.data, f"the {kind.name.lower()} of {self.name!r}")
            return resolve(self._file, body, kind) if message.shared else body
        return None

    def _check_inside(self) -> None:
        if self.external_files:
            message = f"dataset {self.name!r} is stored in another file: {', '.join(self.external_files)}"
            raise UnsafeError(message, where=self._where, hint=_HINT)
        if self.is_virtual:
            message = f"dataset {self.name!r} is virtual: it shows datasets of other files"
            raise UnsafeError(message, where=self._where, hint=_HINT)

    @property
    def _where(self) -> str:
        return self._file.where(self.address)

    @property
    def dtype(self) -> DType | None:
        """The element type of panmodel's table; None if there is none (opaque, references, compounds)."""
        return self.datatype.dtype

    @property
    def big_endian(self) -> bool:
        """Whether stored numbers have their highest byte first; `chunks` and `numpy` turn them around."""
        return swap_width(self.datatype) > 1

    @property
    def nbytes(self) -> int:
        """Bytes of all elements; of strings of variable length, the bytes of the references to them."""
        return self._space.size * self.datatype.size

    @property
    def attributes(self) -> Attributes:
        """Its attributes."""
        if not self._attributes:
            self._attributes.append(Attributes(self._header, self._heap, self.name))
        return self._attributes[0]

    def renamed(self, name: str) -> Dataset:
        """The same dataset under another name; nothing of it is read again."""
        if name == self.name:
            return self
        found = copy.copy(self)
        found.name = name
        return found

    @cached_property
    def _layout(self) -> Layout:
        return read_layout(self._message(Kind.LAYOUT), self._file.limits)

    @cached_property
    def filters(self) -> tuple[Filter, ...]:
        """The filters that its chunks passed, in the order in which they were applied."""
        body = self._optional(Kind.FILTERS)
        return () if body is None else read_filters(body)

    @property
    def is_virtual(self) -> bool:
        """Whether its elements are those of datasets elsewhere, for most in other files."""
        return self._layout.storage is Storage.VIRTUAL

    @cached_property
    def external_files(self) -> tuple[str, ...]:
        """Names of the files outside that its elements are in; () for elements in this file."""
        body = self._optional(Kind.EXTERNAL_FILES)
        if body is None:
            return ()
        found = read_external_files(body)
        heap = LocalHeap(Visit(self._file, self.address), found.heap)
        return tuple(text_of(heap.text(offset)) for offset in found.names)

    @cached_property
    def virtual_files(self) -> tuple[str, ...]:
        """Names of the files that a virtual dataset shows parts of; "." is this file itself."""
        layout = self._layout
        if layout.storage is not Storage.VIRTUAL or layout.address is None:
            return ()
        data = self._heap.read(layout.address, layout.number)
        block = self._message(Kind.LAYOUT).over(data, f"the description of virtual dataset {self.name!r}")
        return source_files(block, self._file.limits.shards)

    @property
    def stored(self) -> Extent | None:
        """Where its bytes lie if they are contiguous, in whatever order of bytes; None if they are not.

        Raises:
            CorruptError: They are fewer than the shape needs.
            UnsafeError: They are outside this file.
        """
        self._check_inside()
        layout = self._layout
        if layout.storage is not Storage.CONTIGUOUS or layout.address is None or not self.nbytes:
            return None
        if layout.nbytes is not None and layout.nbytes != self.nbytes:
            message = f"dataset {self.name!r}: {layout.nbytes} bytes stored, its shape needs {self.nbytes}"
            raise CorruptError(message, where=self._where)
        place = self._file.base + layout.address
        self._file.source.check(place, self.nbytes)
        return Extent(self._file.source, place, self.nbytes)

    @property
    def extent(self) -> Extent | None:
        """Where its bytes lie if they are contiguous and little-endian, for elements of fixed width; else None."""
        return self.stored if self._is_fixed and not self.big_endian else None

    @property
    def _is_fixed(self) -> bool:
        return not self.datatype.is_string and (self.dtype is not None or self.datatype.kind is Class.OPAQUE)

    def chunks(self, nbytes: int = CHUNK) -> Iterator[memoryview]:
        """Yield the elements' bytes, little-endian and row-major, in pieces of at most `nbytes`.

        A piece is valid until the next one. Contiguous elements take `nbytes` of memory. Chunks need one band: all
        chunks with the same place along the first dimension, and the list of all chunks.

        Raises:
            CorruptError: A chunk does not decompress or does not meet its checksum.
            LimitError: The shape needs far more bytes than are stored.
            UnsafeError: The elements are outside this file.
            UnsupportedError: The elements have no fixed width, or a filter is not known.
        """
        if not self._is_fixed:
            raise UnsupportedError(
                f"dataset {self.name!r}: elements of type {self.datatype} have no bytes of their own", where=self._where
            )
        import numpy as np

        width = swap_width(self.datatype)
        for piece in self._raw(max(nbytes - nbytes % 16, 16)):
            yield turned_around(np.frombuffer(piece, np.uint8), width).data if width > 1 else piece

    def numpy(self) -> np.ndarray:
        """All elements in the machine's own byte order: strings as `bytes` objects, opaque ones as numpy's void.

        Raises:
            CorruptError: See `chunks`; or a string is not where it should be.
            LimitError: See `chunks`; or there are too many strings.
            UnsafeError: See `chunks`.
            UnsupportedError: Elements of this type have no counterpart among arrays, or a filter is not known.
        """
        if not self.datatype.is_string and not self._is_fixed:
            message = f"dataset {self.name!r}: elements of type {self.datatype} are not read"
            raise UnsupportedError(message, where=self._where)
        data = self._read()
        try:
            return decode(self._file, self._heap, self.datatype, data, self._extents)
        except CorruptError as error:
            raise CorruptError(f"dataset {self.name!r}: {error.message}", where=error.where) from None

    def _read(self) -> np.ndarray:
        """All elements' bytes as stored."""
        import numpy as np

        stored = self.stored
        pieces = self._raw(CHUNK)
        first = memoryview(b"") if stored else next(pieces, memoryview(b""))  # passes all checks before allocating
        try:
            data = np.empty(self.nbytes, np.uint8)
        except MemoryError:
            message = f"dataset {self.name!r} has {self.nbytes} bytes, more than there is memory"
            raise LimitError(message, where=self._where) from None
        if stored:
            stored.source.readinto(stored.offset, data.data)
            return data
        position = 0
        for piece in itertools.chain([first], pieces):
            data[position : position + len(piece)] = piece
            position += len(piece)
        return data

    def _raw(self, nbytes: int) -> Iterator[memoryview]:
        """Yield the elements' bytes as stored, in pieces."""
        self._check_inside()
        layout = self._layout
        if not self.nbytes:
            return
        if layout.storage is Storage.COMPACT:
            if len(layout.data) != self.nbytes:
                message = f"dataset {self.name!r}: {len(layout.data)} bytes stored, its shape needs {self.nbytes}"
                raise CorruptError(message, where=self._where)
            for begin in range(0, self.nbytes, nbytes):
                yield memoryview(layout.data)[begin : begin + nbytes]
        elif stored := self.stored:
            yield from stored.source.chunks(stored.offset, stored.nbytes, nbytes)
        elif layout.address is None:
            self._check_ratio(self.nbytes, 0)
            yield from repeated(self._fill, self.nbytes, nbytes)
        else:
            yield from self._bands().pieces(nbytes)

    def _bands(self) -> Bands:
        layout, size = self._layout, self.datatype.size
        if len(layout.chunk) != len(self._space.shape) + 1 or len(layout.chunk) < 2 or layout.chunk[-1] != size:
            message = (
                f"dataset {self.name!r}: chunks {layout.chunk} do not fit shape {self._space.shape} of {size} bytes"
            )
            raise CorruptError(message, where=self._where)
        try:
            check_filters(self.filters)
        except UnsupportedError as error:
            message = f"dataset {self.name!r}: {error.message}"
            raise UnsupportedError(message, where=self._where, hint=error.hint) from None
        visit = Visit(self._file, self.address)
        chunks = read_chunks(visit, layout, self._space, filtered=bool(self.filters))
        decoded = max(self.nbytes, len(chunks) * math.prod(layout.chunk))
        self._check_ratio(decoded, sum(chunk.nbytes for chunk in chunks))
        return Bands(self._file, layout, self._space.shape, chunks, self.filters, self._fill, self.name)

    @property
    def _fill(self) -> bytes:
        """The bytes of an element that is not stored."""
        size, found = self.datatype.size, b""
        for kind, read in ((Kind.FILL_VALUE, read_fill), (Kind.OLD_FILL_VALUE, read_old_fill)):
            body = self._optional(kind)
            if body is not None and not found:
                found = read(body)
        if len(found) not in (0, size):
            message = f"dataset {self.name!r}: its fill value has {len(found)} bytes, an element has {size}"
            raise CorruptError(message, where=self._where)
        return found or bytes(size)

    def _check_ratio(self, needed: int, stored: int) -> None:
        """Refuse shapes that cost far more than they are worth."""
        limits = self._file.limits
        most = limits.filled_bytes + limits.chunk_ratio * stored
        if needed > most:
            message = f"dataset {self.name!r} of shape {self.shape} needs {needed} bytes, {stored} are stored"
            hint = f"at most {limits.chunk_ratio} times as much, and {limits.filled_bytes} bytes, are read"
            raise LimitError(message, where=self._where, hint=hint)

    def __repr__(self) -> str:
        return f"<dataset {self.name} {self.datatype}{list(self.shape)}>"
