import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from panmodel.errors import CorruptError
from panmodel.io.source import MemorySource
from panmodel.wire.hdf5.chunk_index import Chunk
from panmodel.wire.hdf5.chunked import Bands
from panmodel.wire.hdf5.file import File
from panmodel.wire.hdf5.filters import FLETCHER32, Filter
from panmodel.wire.hdf5.layout import Layout, Storage


def stored(array, extents, keep=lambda place: True):
    """An array cut into chunks: the file, and where each chunk is."""
    grid = [-(-extent // size) for extent, size in zip(array.shape, extents, strict=True)]
    padded = np.zeros([many * size for many, size in zip(grid, extents, strict=True)], array.dtype)
    padded[tuple(slice(extent) for extent in array.shape)] = array
    data, chunks = b"", []
    for place in np.ndindex(*grid):
        if keep(place):
            part = padded[
                tuple(slice(at * size, (at + 1) * size) for at, size in zip(place, extents, strict=True))
            ].tobytes()
            chunks.append(Chunk(place, len(data), len(part)))
            data += part
    return data, chunks


def pieces(array, extents, data, chunks, nbytes=16, fill=b"\7\0", **more):
    layout = Layout(Storage.CHUNKED, chunk=(*extents, 2), **more)
    filters = (Filter(FLETCHER32, "fletcher32"),) if more else ()
    return list(
        map(bytes, Bands(File(MemorySource(data)), layout, array.shape, chunks, filters, fill, "/x").pieces(nbytes))
    )


@given(st.lists(st.tuples(st.integers(0, 7), st.integers(1, 4)), min_size=1, max_size=3), st.integers(1, 50))
def test_any_shape_comes_back_in_pieces(axes, half):
    array = np.arange(np.prod([extent for extent, _ in axes]), dtype="<u2").reshape([extent for extent, _ in axes])
    extents = [size for _, size in axes]
    found = pieces(array, extents, *stored(array, extents), nbytes=2 * half)
    assert b"".join(found) == array.tobytes()
    assert all(len(piece) <= 2 * half for piece in found)


def test_missing_chunks_are_filled():
    array = np.full((5, 5), 3, "<u2")
    data, chunks = stored(array, (2, 2), keep=lambda place: place != (1, 1))
    found = np.frombuffer(b"".join(pieces(array, (2, 2), data, chunks)), "<u2").reshape(5, 5)
    array[2:4, 2:4] = 7
    assert (found == array).all()


def test_edges_may_go_without_filters():
    array = np.arange(3, dtype="<u2")
    data, chunks = stored(array, (4,))
    assert b"".join(pieces(array, (4,), data, chunks, whole_edges_only=True)) == array.tobytes()


def test_chunks_of_another_size_are_found():
    array = np.arange(4, dtype="<u2")
    with pytest.raises(CorruptError, match=r"dataset '/x', chunk \(0,\): a chunk has 6 bytes, 8 are expected"):
        pieces(array, (4,), array.tobytes(), [Chunk((0,), 0, 6)])
