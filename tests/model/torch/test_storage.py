"""Tensors as views of storages; the judge is numpy's own striding."""

from __future__ import annotations

import io
import zipfile

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from panmodel import dtypes
from panmodel.errors import CorruptError, LimitError
from panmodel.io.source import MemorySource
from panmodel.limits import Limits
from panmodel.model.tensor import StoredTensor
from panmodel.model.torch.storage import from_record
from panmodel.wire.torch_records import StorageBytes, StorageRecord, TensorRecord
from panmodel.wire.zip import Archive


def stored(array: np.ndarray, method: int = zipfile.ZIP_STORED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        archive.writestr("a/data/0", array.tobytes())
    return buffer.getvalue()


def view(data, dtype, count, offset, shape, strides, *, big_endian=False, limits=None, **bits):
    archive = Archive(MemorySource(data, "a.pt"))
    nbytes = dtype.nbytes(count)
    content = StorageBytes(nbytes, archive.extent("a/data/0"), big_endian, archive, "a/data/0")
    record = TensorRecord(StorageRecord("0", dtype, "cpu", nbytes, content), dtype, offset, shape, strides, **bits)
    return from_record("w", record, limits=limits or Limits())


ELEMENTS = np.arange(1, 25, dtype=np.float32)


@given(st.data())
def test_views_are_numpy_s(data) -> None:
    shape = tuple(data.draw(st.lists(st.integers(0, 3), max_size=3)))
    strides = tuple(data.draw(st.integers(0, 3)) for _ in shape)
    span = 0 if 0 in shape else 1 + sum((n - 1) * s for n, s in zip(shape, strides, strict=True))
    offset = data.draw(st.integers(0, 24 - span))
    method = data.draw(st.sampled_from([zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED]))
    found = view(stored(ELEMENTS, method), dtypes.FLOAT32, 24, offset, shape, strides)
    want = np.lib.stride_tricks.as_strided(ELEMENTS[offset:], shape, [4 * stride for stride in strides])
    np.testing.assert_array_equal(found.numpy(), want)
    assert (found.name, found.dtype, found.shape) == ("w", dtypes.FLOAT32, shape)


def test_what_lies_in_one_row_stays_where_it_is() -> None:
    found = view(stored(ELEMENTS), dtypes.FLOAT32, 24, 6, (2, 3), (3, 1))
    assert isinstance(found, StoredTensor) and found.extent is not None
    assert found.extent.read() == ELEMENTS[6:12].tobytes()
    for other in (
        view(stored(ELEMENTS), dtypes.FLOAT32, 24, 6, (3, 2), (1, 3)),
        view(stored(ELEMENTS, zipfile.ZIP_DEFLATED), dtypes.FLOAT32, 24, 6, (2, 3), (3, 1)),
    ):
        assert not isinstance(other, StoredTensor)


@pytest.mark.parametrize("strides", [(3, 1), (1, 2)])
@pytest.mark.parametrize("dtype", [dtypes.FLOAT32, dtypes.INT16, dtypes.COMPLEX64])
def test_big_endian_elements_are_turned_round(dtype, strides) -> None:
    array = np.arange(6).astype(dtype.numpy)
    found = view(stored(array.astype(array.dtype.newbyteorder(">"))), dtype, 6, 0, (2, 3), strides, big_endian=True)
    want = np.lib.stride_tricks.as_strided(array, (2, 3), [dtype.itemsize * stride for stride in strides])
    np.testing.assert_array_equal(found.numpy(), want)


@pytest.mark.parametrize(("bits", "want"), [
    ({"conjugated": True}, [1 - 2j, 3 + 1j]),
    ({"negated": True}, [-1 - 2j, -3 + 1j]),
    ({"conjugated": True, "negated": True}, [-1 + 2j, -3 - 1j]),
])  # fmt: skip
def test_lazy_conjugation_and_negation_are_done(bits, want) -> None:
    array = np.array([1 + 2j, 3 - 1j], np.complex64)
    found = view(stored(array), dtypes.COMPLEX64, 2, 0, (2,), (1,), **bits)
    assert found.numpy().tolist() == want


@pytest.mark.parametrize(("shape", "strides"), [((24,), (1,)), ((3,), (1,)), ((3, 2), (1, 3))])
def test_damaged_elements_are_refused(shape, strides) -> None:
    data = stored(ELEMENTS)
    place = data.index(ELEMENTS[-1:].tobytes())  # at the end of the storage: the sum is over all of it
    damaged = data[:place] + b"\x01" + data[place + 1 :]
    tensor = view(damaged, dtypes.FLOAT32, 24, 0, shape, strides)
    with pytest.raises(CorruptError, match="'w'"):
        tensor.numpy()


def test_repeated_elements_are_bounded() -> None:
    limits = Limits(member_ratio=2, block_bytes=100)
    assert view(stored(ELEMENTS), dtypes.FLOAT32, 24, 0, (2, 24), (0, 1), limits=limits).numpy().shape == (2, 24)
    with pytest.raises(LimitError, match="'w' repeats the 96 bytes"):
        view(stored(ELEMENTS), dtypes.FLOAT32, 24, 0, (3, 24), (0, 1), limits=limits)
