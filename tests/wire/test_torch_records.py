from __future__ import annotations

import pytest

from panmodel import dtypes
from panmodel.wire.pickle import Global
from panmodel.wire.torch_records import StorageBytes, StorageRecord, TensorRecord, TorchValue, named_value, torch_value

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


def test_values_of_torch_are_those_that_it_has() -> None:
    there = [("dtype", "float16"), ("dtype", "int4"), ("layout", "strided"), ("qscheme", "per_tensor_affine")]
    assert [named_value(Global("torch", name)) for _, name in there] == [TorchValue(*made) for made in there]
    assert [str(TorchValue(*made)) for made in there[:2]] == ["torch.float16", "torch.int4"]
    assert named_value(Global("torch", "load")) is None and named_value(Global("numpy", "float16")) is None
    assert all(torch_value("device", name) for name in ("cpu", "cuda:0", "cuda:127", "meta"))
    odd = [("device", "npu:0"), ("device", "cuda:128"), ("device", "cuda:01"), ("device", "cpu\n"), ("dtype", "Size")]
    assert not any(torch_value(kind, name) for kind, name in [*odd, ("module", "hub"), ("dtype", 1)])
