"""The superblock: where an HDF5 file begins, how wide its addresses are, where the root group is.

Source: HDF5 File Format Specification 3.0, II.A (superblock versions 0 to 3).
"""

from __future__ import annotations

from dataclasses import dataclass

from panmodel.errors import CorruptError, TruncatedError, UnsupportedError
from panmodel.io.source import Source
from panmodel.limits import DEFAULT, Limits
from panmodel.wire.hdf5.cursor import Cursor
from panmodel.wire.hdf5.file import File, verified
from panmodel.wire.hdf5_signature import SIGNATURE, signature_place

_SIZES = (2, 4, 8)


@dataclass(frozen=True, slots=True)
class Superblock:
    """What the superblock says.

    Attributes:
        file: The file, ready to be read.
        root: Address of the root group's object header.
        extension: Address of the object header that extends the superblock, if there is one.
    """

    file: File
    root: int
    extension: int | None = None


def read_superblock(source: Source, limits: Limits = DEFAULT) -> Superblock:
    """Find and read the superblock.

    Raises:
        CorruptError: There is none, or it contradicts itself or its checksum.
        TruncatedError: The file is shorter than the superblock says.
        UnsupportedError: The file's data are in several files.
    """
    base = signature_place(source)
    if base is None:
        raise CorruptError("no HDF5 signature at 0, 512, 1024, …", where=source.name, hint="this is not an HDF5 file")
    head = source.read(base, min(128, source.size - base))
    cursor = Cursor(head, f"{source.name} at offset {base}", "the superblock")
    cursor.expect(SIGNATURE)
    version = cursor.version(0, 1, 2, 3)
    return (_read_old if version < 2 else _read_new)(source, limits, base, cursor, version)


def _read_old(source: Source, limits: Limits, base: int, cursor: Cursor, version: int) -> Superblock:
    """Versions 0 and 1, which hold the root group's symbol table entry."""
    cursor.skip(4)  # versions of free-space storage, root group and shared messages; a reserved byte
    _widths(cursor)
    cursor.skip(1 + 2 + 2 + 4)  # K of symbol-table leaves and nodes, which readers do not need; consistency flags
    if version == 1:
        cursor.skip(4)  # K of chunk B-trees
    cursor.skip(2 * cursor.offset_size)  # base address, which is where the signature was found; free space
    _check_end(source, cursor.defined())
    if cursor.address() is not None:
        _refuse_drivers(source)
    cursor.skip(cursor.offset_size)  # the root has no name
    file = File(source, base, cursor.offset_size, cursor.length_size, limits)
    return Superblock(file, cursor.defined())


def _read_new(source: Source, limits: Limits, base: int, cursor: Cursor, version: int) -> Superblock:
    """Versions 2 and 3, which are short and have a checksum."""
    _widths(cursor)
    whole = cursor.position + 1 + 4 * cursor.offset_size + 4
    summed = verified(cursor.over(cursor.data[:whole]))
    summed.position = cursor.position + 1 + cursor.offset_size  # consistency flags, base address
    extension = summed.address()
    _check_end(source, summed.defined())
    file = File(source, base, cursor.offset_size, cursor.length_size, limits)
    return Superblock(file, summed.defined(), extension)


def _widths(cursor: Cursor) -> None:
    offset_size, length_size = cursor.u8(), cursor.u8()
    if offset_size not in _SIZES or length_size not in _SIZES:
        cursor.fail(f"has addresses of {offset_size} and lengths of {length_size} bytes; 2, 4 or 8 are expected")
    cursor.offset_size, cursor.length_size = offset_size, length_size


def _check_end(source: Source, end: int) -> None:
    if end > source.size:
        message = f"the file has {source.size} bytes, its superblock says {end}"
        raise TruncatedError(message, where=source.name, hint="the file is cut short: fetch it again")


def _refuse_drivers(source: Source) -> None:
    message = "the data are spread over several files (HDF5's family or multi driver)"
    raise UnsupportedError(message, where=source.name, hint="repack it into one file with h5repack")
