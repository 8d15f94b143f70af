from __future__ import annotations

import pytest

from panmodel import dtypes
from panmodel.wire.torch_records import StorageBytes, StorageRecord, TensorRecord

STORAGE = StorageRecord("0", dtypes.FLOAT32, "cpu", 48, StorageBytes(48))


@pytest.mark.parametrize(
    ("shape", "strides", "contiguous", "span"),
    [
        ((3, 4), (4, 1), True, 12),
        ((3, 4), (1, 3), False, 12),
        ((3, 1), (1, 7), True, 3),
        ((), (), True, 1),
        ((0, 4), (9, 9), True, 0),
        ((2, 2), (0, 1), False, 2),
        ((1, 1), (5, 5), True, 1),
    ],
)
def test_views_know_their_reach(shape: tuple[int, ...], strides: tuple[int, ...], contiguous: bool, span: int) -> None:
    record = TensorRecord(STORAGE, dtypes.FLOAT32, 0, shape, strides)
    assert (record.is_contiguous, record.span) == (contiguous, span)
