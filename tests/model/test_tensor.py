"""Lazy tensors: bytes, checksums, views, and the way back."""

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from panmodel import dtypes
from panmodel.errors import CorruptError, TruncatedError, UnsupportedError
from panmodel.io.source import Extent, MemorySource
from panmodel.model.tensor import ArrayTensor, DeferredTensor, StoredTensor, pack, undo, unpack

FIXED = [dtype for dtype in dtypes.ALL.values() if dtype.bits]


def stored(array, dtype, **options):
    data = bytes(pack(array, dtype))
    return StoredTensor("w", dtype, array.shape, Extent(MemorySource(b"xx" + data), 2, len(data)), **options)


@pytest.mark.parametrize("dtype", FIXED, ids=repr)
def test_every_element_type_packs_and_unpacks(dtype):
    codes = np.random.default_rng(0).integers(0, 256, dtype.nbytes(24), np.uint8)
    array = unpack(codes, dtype, (2, 3, 4))
    assert array.shape == (2, 3, 4)
    assert bytes(pack(array, dtype)) == codes.tobytes()


def test_sub_byte_elements_lie_low_first():
    array = np.array([1, -2, 7], ml_dtypes.int4)
    assert bytes(pack(array, dtypes.ALL["int4"])) == bytes([0xE1, 0x07])
    assert unpack(np.array([0xE1, 0x07], np.uint8), dtypes.ALL["int4"], (3,)).astype(int).tolist() == [1, -2, 7]


def test_stored_bytes_are_read_when_asked_for():
    array = np.arange(12, dtype=np.float32).reshape(3, 4)
    tensor = stored(array, dtypes.FLOAT32)
    assert np.array_equal(tensor.numpy(), array)
    assert b"".join(bytes(piece) for piece in tensor.chunks(16)) == array.tobytes()
    assert tensor.extent.offset == 2
    assert tensor.origins == ("w",)


@pytest.mark.parametrize("dtype", [dtypes.INT16, dtypes.FLOAT64, dtypes.COMPLEX64, dtypes.UINT8])
def test_big_endian_bytes_come_out_little(dtype):
    array = np.arange(6).astype(dtype.numpy)
    data = array.astype(array.dtype.newbyteorder(">")).tobytes()
    tensor = StoredTensor("w", dtype, (6,), Extent(MemorySource(data), 0, len(data)), big_endian=True)
    assert np.array_equal(tensor.numpy(), array)
    assert b"".join(bytes(piece) for piece in tensor.chunks()) == array.tobytes()


def test_sizes_must_agree():
    with pytest.raises(CorruptError, match=r"'w'.*7 bytes stored.*needs 8"):
        StoredTensor("w", dtypes.FLOAT32, (2,), Extent(MemorySource(bytes(8)), 0, 7))
    with pytest.raises(TruncatedError):
        StoredTensor("w", dtypes.FLOAT32, (2,), Extent(MemorySource(bytes(4)), 0, 8))


class Sum:
    """A checksum for the test: the sum of the bytes."""

    def __init__(self, expected):
        self.expected, self.found = expected, 0

    def update(self, piece):
        self.found += sum(piece)

    def verify(self):
        return None if self.found == self.expected else f"{self.found} for {self.expected}"


@pytest.mark.parametrize("read", [lambda tensor: tensor.numpy(), lambda tensor: list(tensor.chunks(16))])
def test_a_wrong_checksum_names_the_tensor(read):
    array = np.arange(40, dtype=np.uint8)
    read(stored(array, dtypes.UINT8, checksum=lambda: Sum(780)))
    with pytest.raises(CorruptError, match=r"'w'.*780 for 781"):
        read(stored(array, dtypes.UINT8, checksum=lambda: Sum(781)))


@given(hnp.arrays(np.int32, hnp.array_shapes(min_dims=1, max_dims=4, max_side=4)), st.data())
def test_views_lead_back_to_their_base(array, data):
    view = ArrayTensor(array, "w")
    for _ in range(data.draw(st.integers(0, 4))):
        if data.draw(st.booleans()):
            view = view.transposed(data.draw(st.permutations(range(len(view.shape)))))
        else:
            view = view.reshaped(data.draw(st.sampled_from([(view.size,), (1, view.size), (*view.shape, 1)])))
    assert view.numpy().shape == view.shape
    assert view.origins == ("w",) and view.name == "w"
    assert np.array_equal(undo(view.numpy(), array.shape, view.steps), array)
    assert b"".join(bytes(piece) for piece in view.chunks()) == np.ascontiguousarray(view.numpy()).tobytes()


def test_a_reshaped_tensor_still_lies_in_the_file():
    tensor = stored(np.arange(6, dtype=np.float32), dtypes.FLOAT32)
    assert tensor.reshaped((2, 3)).extent == tensor.extent
    assert tensor.reshaped((2, 3)).transposed((1, 0)).extent is None
    assert tensor.reshaped((6,)) is tensor
    with pytest.raises(CorruptError):
        tensor.reshaped((4,))


def test_strings_have_no_fixed_width():
    tensor = ArrayTensor(np.array([b"a"], object), "s")
    assert tensor.dtype is dtypes.STRING and tensor.nbytes == 0
    with pytest.raises(UnsupportedError, match="'s'"):
        list(tensor.chunks())


def test_a_deferred_tensor_loads_when_read():
    tensor = DeferredTensor("d", dtypes.INT64, (2,), lambda: np.array([1, 2]))
    assert tensor.numpy().tolist() == [1, 2]
    assert tensor.origins == ("d",)


@pytest.mark.parametrize("shape", [(1,), (7,), (3, 5), (1000, 1000)])
def test_a_repeated_element_is_streamed_without_an_array(shape):
    array = np.broadcast_to(np.float32(1.5), shape)
    tensor = DeferredTensor("c", dtypes.FLOAT32, shape, lambda: array)
    pieces = [bytes(piece) for piece in tensor.chunks(64)]
    assert b"".join(pieces) == array.tobytes()
    assert max(map(len, pieces)) <= 64


@pytest.mark.parametrize("perm", [(0, 0), (0,), (0, 2), (-1, 0), (0, 1, 2)])
def test_axes_that_are_not_there_are_refused(perm):
    with pytest.raises(CorruptError, match="axes"):
        ArrayTensor(np.zeros((2, 3), np.float32), "w").transposed(perm)


@pytest.mark.parametrize(
    "value", [np.float32(-0.1), np.float64(1e300), np.float16(3), np.int8(-7), np.uint64(1 << 63), np.bool_(True)]
)
@pytest.mark.parametrize("shape", [(), (1,), (1, 1)])
def test_the_element_of_a_tensor_of_one(value, shape):
    array = np.full(shape, value)
    extent = Extent(MemorySource(array.tobytes()), 0, array.nbytes)
    stored = StoredTensor("w", dtypes.from_numpy(array.dtype), shape, extent)
    assert stored.item() == ArrayTensor(array).item() == value.item()
    assert type(stored.item()) is type(value.item())


def test_the_element_of_other_tensors():
    assert ArrayTensor(np.array(b"text", object)).item() == b"text"
    assert ArrayTensor(np.ones((1,), dtypes.ALL["bfloat16"].numpy)).item() == 1
    with pytest.raises(ValueError, match="reshape"):
        ArrayTensor(np.ones(2)).item()
