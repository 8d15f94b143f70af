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


@pytest.mark.parametrize(("length", "said"), [(0, "12 fewer"), (11, "1 fewer"), (13, "more")])
def test_another_number_of_bytes_is_an_error_of_the_tensor(length, said):
    with pytest.raises(CorruptError, match=f"'w': .* needs 12 bytes, {said} came"):
        streamed(bytes(length)).numpy()
