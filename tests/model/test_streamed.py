from __future__ import annotations

import numpy as np
import pytest

from panmodel.dtypes import FLOAT32
from panmodel.errors import CorruptError
from panmodel.model.streamed import StreamedTensor


def streamed(data: bytes, shape: tuple[int, ...] = (3,)) -> StreamedTensor:
    return StreamedTensor("w", FLOAT32, shape, lambda: iter([memoryview(data[:5]), memoryview(data[5:])]))


def test_pieces_become_an_array():
    array = np.array([1.5, -0.0, np.nan], np.float32)
    tensor = streamed(array.tobytes())
    np.testing.assert_array_equal(tensor.numpy(), array)
    assert [len(piece) for piece in tensor.chunks(4)] == [4, 1, 4, 3]


@pytest.mark.parametrize("length", [0, 11, 13])
def test_another_number_of_bytes_is_an_error_of_the_tensor(length):
    with pytest.raises(CorruptError, match="'w'"):
        streamed(bytes(length)).numpy()
