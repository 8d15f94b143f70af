import struct
import zlib

import numpy as np
import pytest
from tests.wire.hdf5.handmade import (
    FLOAT32,
    INT16,
    INT16_BIG,
    UNDEFINED,
    Builder,
    contiguous,
    dataset,
    fixed_text,
    hard_link,
    header,
    message,
    read,
    small_file,
    space,
)

from panmodel import dtypes
from panmodel.errors import CorruptError, LimitError, TruncatedError, UnsupportedError
from panmodel.io.source import Extent

REFERENCE = bytes([0x17, 0, 0, 0]) + struct.pack("<I", 8)


def one(datatype, dataspace, layout, *more, content=b""):
    """A dataset whose content is at 48."""
    build = Builder()
    assert build.add(content) == 48
    x = build.add(dataset(datatype, dataspace, layout, *more))
    return read(build.finish(build.add(header(message(0x0A, b"\0\0"), hard_link(b"x", x)))))["x"]


def test_contiguous_elements_are_an_extent():
    found = read(small_file())["x"]
    assert (found.dtype, found.shape, found.nbytes, found.big_endian) == (dtypes.INT16, (2, 3), 12, False)
    assert isinstance(found.extent, Extent) and found.extent.read() == struct.pack("<6h", *range(6))
    assert [bytes(piece) for piece in found.chunks(1)] == [found.extent.read()]


def test_big_endian_elements_are_turned_around():
    found = read(small_file(datatype=INT16_BIG, data=struct.pack(">6h", *range(6))))["x"]
    assert (found.extent, found.stored.nbytes, found.big_endian) == (None, 12, True)
    assert b"".join(found.chunks()) == struct.pack("<6h", *range(6))
    assert found.numpy().tolist() == [[0, 1, 2], [3, 4, 5]]


def test_compact_elements():
    found = one(INT16, space(2), bytes([3, 0]) + struct.pack("<Hhh", 4, 7, 8))
    assert (found.extent, found.numpy().tolist(), b"".join(found.chunks())) == (None, [7, 8], struct.pack("<hh", 7, 8))
    with pytest.raises(CorruptError, match="4 bytes stored, its shape needs 6"):
        one(INT16, space(3), bytes([3, 0]) + struct.pack("<Hhh", 4, 7, 8)).numpy()


def test_elements_that_were_never_stored():
    nowhere = bytes([3, 1]) + UNDEFINED + bytes(8)
    fill = message(0x05, bytes([3, 0x20]) + struct.pack("<Ih", 2, 9))
    assert one(INT16, space(3), nowhere).numpy().tolist() == [0, 0, 0]
    assert one(INT16, space(3), nowhere, fill).numpy().tolist() == [9, 9, 9]
    with pytest.raises(LimitError, match="0 are stored"):
        one(INT16, space(1 << 40), nowhere, fill).numpy()
    with pytest.raises(CorruptError, match="fill value has 2 bytes"):
        one(FLOAT32, space(3), nowhere, fill).numpy()


def chunked(shape, chunk, data):
    layout = bytes([4, 2, 2, 1 + len(chunk), 4]) + b"".join(struct.pack("<I", size) for size in (*chunk, 2))
    filters = message(0x0B, bytes([2, 1]) + struct.pack("<HHHI", 1, 0, 1, 6))
    layout += b"\1" + struct.pack("<QIQ", len(data), 0, 48)
    return one(INT16, space(*shape), layout, filters, content=data)


def test_a_compressed_chunk():
    array = np.arange(6, dtype="<i2").reshape(2, 3)
    found = chunked((2, 3), (2, 3), zlib.compress(array.tobytes()))
    assert found.filters[0].name == "deflate"
    assert found.numpy().tolist() == array.tolist()
    with pytest.raises(CorruptError, match=r"dataset '/x', chunk \(0, 0\)"):
        chunked((2, 3), (2, 3), zlib.compress(array.tobytes())[:-5]).numpy()


def test_bombs_are_refused():
    with pytest.raises(LimitError, match="are stored"):
        chunked((1 << 30,), (1 << 30,), zlib.compress(bytes(1 << 20))).numpy()


def test_chunks_must_fit_the_shape():
    with pytest.raises(CorruptError, match="do not fit"):
        chunked((2, 3), (2,), zlib.compress(bytes(4))).numpy()


def test_elements_lie_inside_the_file():
    with pytest.raises(TruncatedError):
        _ = one(INT16, space(100_000), contiguous(48, 200_000)).extent
    with pytest.raises(CorruptError, match="12 bytes stored, its shape needs 200"):
        _ = read(small_file(shape=(100,)))["x"].extent


def test_strings_have_no_bytes():
    found = read(small_file(datatype=fixed_text(4), shape=(3,), data=b"ab\0\0abcd\0\0\0\0"))["x"]
    assert (found.dtype, found.numpy().tolist(), found.extent) == (dtypes.STRING, [b"ab", b"abcd", b""], None)
    with pytest.raises(UnsupportedError, match="'/x'"):
        next(found.chunks())


def test_what_is_no_tensor_is_listed():
    found = read(small_file(datatype=REFERENCE, shape=(3,), data=bytes(24)))["x"]
    assert (found.dtype, found.shape, str(found.datatype), found.extent) == (None, (3,), "reference of 8 bytes", None)
    with pytest.raises(UnsupportedError, match="reference of 8 bytes"):
        found.numpy()
