"""Filters: what each chunk of a dataset passed through before it was stored.

Source: HDF5 File Format Specification 3.0, IV.A.2.l (filter pipeline, versions 1 and 2); the filters' own sources:
RFC 1950 (deflate), the HDF5 User Guide (shuffle, Fletcher-32), h5py (LZF).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

from panmodel.errors import CorruptError, UnsupportedError
from panmodel.wire.hdf5 import lzf
from panmodel.wire.hdf5.checksums import fletcher32
from panmodel.wire.hdf5.cursor import Cursor

DEFLATE, SHUFFLE, FLETCHER32, SZIP, NBIT, SCALE_OFFSET, LZF = 1, 2, 3, 4, 5, 6, 32000
#: Filters that belong to HDF5 itself or to h5py: no plug-in is loaded for them.
NAMES = {
    DEFLATE: "deflate",
    SHUFFLE: "shuffle",
    FLETCHER32: "fletcher32",
    SZIP: "szip",
    NBIT: "n-bit",
    SCALE_OFFSET: "scale-offset",
    LZF: "lzf",
}
_NAMED_FROM = 256  # version 2 leaves out the names of filters below
_MOST = 32  # as many as a filter mask has bits


@dataclass(frozen=True, slots=True)
class Filter:
    """One filter of a pipeline.

    Attributes:
        number: Its registered number.
        name: What the file calls it, else its usual name.
        values: Its parameters.
    """

    number: int
    name: str
    values: tuple[int, ...] = ()

    @property
    def is_foreign(self) -> bool:
        """Whether HDF5 would have to load a plug-in for it."""
        return self.number not in NAMES


def read_filters(cursor: Cursor) -> tuple[Filter, ...]:
    """Read a filter pipeline message; filters are in the order in which they were applied.

    Raises:
        CorruptError: It contradicts the format.
    """
    version, count = cursor.version(1, 2), cursor.u8()
    if count > _MOST:
        cursor.fail(f"has {count} filters")
    if version == 1:
        cursor.skip(6)
    found = []
    for _ in range(count):
        number = cursor.u16()
        name_size = cursor.u16() if version == 1 or number >= _NAMED_FROM else 0
        cursor.skip(2)  # whether chunks may go without it, which each chunk's mask says too
        many = cursor.u16()
        name = cursor.take(name_size + (-name_size % 8 if version == 1 else 0)).partition(b"\0")[0]
        values = tuple(cursor.u32() for _ in range(many))
        if version == 1 and many % 2:
            cursor.skip(4)
        usual = NAMES.get(number, f"filter {number}")
        found.append(Filter(number, usual if number in NAMES else name.decode("utf-8", "replace") or usual, values))
    return tuple(found)


def check_filters(filters: tuple[Filter, ...]) -> None:
    """Raise UnsupportedError if chunks that passed these filters cannot be read."""
    for item in filters:
        if item.number not in _INVERSES:
            kind = "a third-party filter" if item.is_foreign else "a filter"
            raise UnsupportedError(
                f"its chunks are stored with {kind} that is not read: {item.name} (number {item.number})",
                hint="repack the file with h5repack -f GZIP=1, on a machine that you can lose if you do not trust it",
            )


def decode_chunk(filters: tuple[Filter, ...], mask: int, data: bytes, nbytes: int) -> bytes:
    """Lead a chunk back through the filters.

    Args:
        filters: The pipeline, checked by `check_filters`.
        mask: Bit i is set if the chunk did not pass filter i.
        data: The chunk as stored.
        nbytes: Its bytes before all filters.

    Raises:
        CorruptError: It does not decompress, does not meet its checksum, or has another size.
    """
    most = nbytes + nbytes // 8 + 1024  # what a filter before another one may have added
    for place in reversed(range(len(filters))):
        if not mask >> place & 1:
            data = _INVERSES[filters[place].number](data, filters[place].values, most)
    if len(data) != nbytes:
        raise CorruptError(f"a chunk has {len(data)} bytes, {nbytes} are expected")
    return data


def _inflate(data: bytes, values: tuple[int, ...], most: int) -> bytes:
    from isal import isal_zlib

    stream = isal_zlib.decompressobj()
    failure = cast("type[Exception]", isal_zlib.error)  # its stubs say that it is an instance
    try:
        found: bytes = stream.decompress(data, most)
    except failure as error:
        raise CorruptError(f"a chunk does not decompress: {error}") from None
    if not stream.eof:
        raise CorruptError(f"a compressed chunk is cut short, or has more than {most} bytes")
    return found


def _unshuffle(data: bytes, values: tuple[int, ...], most: int) -> bytes:
    width = values[0] if values else 0
    if not width:
        raise CorruptError("the shuffle filter does not say how wide an element is")
    whole = len(data) // width * width
    import numpy as np

    planes = np.frombuffer(data, np.uint8, whole).reshape(width, -1)
    return planes.T.tobytes() + data[whole:]


def _check_fletcher32(data: bytes, values: tuple[int, ...], most: int) -> bytes:
    content, stored = data[:-4], int.from_bytes(data[-4:], "little")
    found = fletcher32(content)
    # the library itself wrote the bytes of each half in the other order before 1.6.3, and still reads that
    swapped = (found & 0x00FF00FF) << 8 | (found & 0xFF00FF00) >> 8
    if len(data) < 4 or stored not in (found, swapped):
        raise CorruptError(f"a chunk does not meet its Fletcher-32: {stored:08x} expected, {found:08x} found")
    return content


def _unlzf(data: bytes, values: tuple[int, ...], most: int) -> bytes:
    return lzf.decompress(data, most)


_INVERSES: dict[int, Callable[[bytes, tuple[int, ...], int], bytes]] = {
    DEFLATE: _inflate,
    SHUFFLE: _unshuffle,
    FLETCHER32: _check_fletcher32,
    LZF: _unlzf,
}
