"""TFRecord, TensorFlow's file of records: examples of a data set, or the events that TensorBoard shows.

    length: u64   masked crc32c of the length: u32   the record   masked crc32c of the record: u32   …

Source: tensorflow/core/lib/io/record_writer.h, https://www.tensorflow.org/tutorials/load_data/tfrecord
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

from panmodel.errors import CorruptError
from panmodel.io.source import Extent, Source
from panmodel.wire.checksums import MaskedCrc32c, crc32c, mask

HEADER = struct.Struct("<QI")
_FOOTER = 4


def is_tfrecord(head: bytes) -> bool:
    """Whether bytes begin with the length of a record that meets its checksum.

    Args:
        head: The first 12 bytes of the file, or more.
    """
    return len(head) >= HEADER.size and mask(crc32c(head[:8])) == HEADER.unpack_from(head)[1]


def read_records(source: Source) -> Iterator[Extent]:
    """Where each record lies, after length and content met their checksums.

    Raises:
        TruncatedError: The last record is cut short.
        CorruptError: A checksum is not met.
    """
    position = 0
    while position < source.size:
        header = source.read(position, HEADER.size)
        length, _ = HEADER.unpack(header)
        where = f"{source.name} at offset {position}"
        if not is_tfrecord(header):
            raise CorruptError("the length of a record does not meet its checksum", where=where)
        extent = Extent(source, position + HEADER.size, length)
        source.check(extent.offset, length + _FOOTER)
        proof = MaskedCrc32c(int.from_bytes(source.read(extent.offset + length, _FOOTER), "little"))
        for piece in source.chunks(extent.offset, length):
            proof.update(piece)
        if said := proof.verify():
            raise CorruptError(f"a record does not meet its checksum: {said}", where=where)
        yield extent
        position = extent.offset + length + _FOOTER
