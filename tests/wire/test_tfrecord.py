from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from panmodel.errors import CorruptError, TruncatedError
from panmodel.io.source import MemorySource
from panmodel.wire.checksums import crc32c, mask
from panmodel.wire.tfrecord import is_tfrecord, read_records


def tfrecord(*records: bytes) -> bytes:
    """What `tf.io.TFRecordWriter` writes."""
    written = b""
    for record in records:
        length = struct.pack("<Q", len(record))
        written += length + struct.pack("<I", mask(crc32c(length))) + record + struct.pack("<I", mask(crc32c(record)))
    return written


def contents(data: bytes) -> list[bytes]:
    return [extent.read() for extent in read_records(MemorySource(data, "a.tfrecord"))]


def test_one_as_tensorflow_writes_it() -> None:
    written = bytes.fromhex("0500000000000000eab2043e68656c6c6fbb1f1c19")
    assert tfrecord(b"hello") == written
    assert is_tfrecord(written)


@given(st.lists(st.binary(max_size=40), max_size=5))
def test_records_come_back(records: list[bytes]) -> None:
    assert contents(tfrecord(*records)) == records


def test_every_flipped_bit_and_every_cut_is_found() -> None:
    data = tfrecord(b"one", b"", b"three")
    ends = {0, len(tfrecord(b"one")), len(tfrecord(b"one", b"")), len(data)}
    for bit in range(8 * len(data)):
        damaged = bytearray(data)
        damaged[bit // 8] ^= 1 << bit % 8
        with pytest.raises(CorruptError):
            contents(bytes(damaged))
    for cut in set(range(len(data))) - ends:
        with pytest.raises(TruncatedError):
            contents(data[:cut])


def test_other_files_are_told_apart() -> None:
    assert not is_tfrecord(b"")
    assert not is_tfrecord(bytes(12))
    assert not is_tfrecord(b"PK\x03\x04" + bytes(20))
