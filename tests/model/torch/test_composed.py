from __future__ import annotations

import pytest

from panmodel import dtypes
from panmodel.model.torch.composed import composed_branch, quantized_branch, stored_integers
from panmodel.model.torch.skeleton import Branch, Leaf
from panmodel.wire.torch_records import ComposedRecord, Quantizer, StorageBytes, StorageRecord, TensorRecord


def record(dtype: dtypes.DType, quantizer: Quantizer | None = None) -> TensorRecord:
    storage = StorageRecord("0", dtype, "cpu", 8, StorageBytes(8))
    return TensorRecord(storage, dtype, 0, (2,), (1,), quantizer=quantizer)


@pytest.mark.parametrize(
    ("name", "stored"), [("qint8", "int8"), ("quint8", "uint8"), ("qint32", "int32"), ("float32", "float32")]
)
def test_integers_stand_for_themselves(name: str, stored: str) -> None:
    quantized = record(dtypes.ALL[name], Quantizer("per_tensor_affine", 0.5, 3))
    made = stored_integers(quantized)
    assert (made.dtype, made.quantizer, made.identity[0]) == (dtypes.ALL[stored], None, quantized.identity[0])


def test_a_quantized_tensor_is_its_integers_and_what_they_mean() -> None:
    quantized = record(dtypes.ALL["qint8"], Quantizer("per_channel_affine", [0.5, 1.0], [0, 1], 1))
    made = quantized_branch(quantized, Leaf("w"), lambda part, key: Leaf(key) if isinstance(part, list) else 1)
    plain = (("dtype", "qint8"), ("scheme", "per_channel_affine"))
    parts = (("scale", Leaf("scale")), ("zero_point", Leaf("zero_point")), ("axis", 1))
    assert made == Branch("quantized", (("data", Leaf("w")), *plain, *parts))


@pytest.mark.parametrize(("layout", "kind"), [("sparse_coo", "sparse"), ("nested", "nested")])
def test_a_sparse_or_nested_tensor_is_its_components(layout: str, kind: str) -> None:
    shape = None if layout == "nested" else (3, 4)
    parts = {"indices": record(dtypes.INT64), "values": record(dtypes.FLOAT32)}
    made = composed_branch(
        ComposedRecord(layout, dtypes.FLOAT32, shape, parts, True), lambda part, key: Leaf(f"{key} {part.dtype}")
    )
    assert made.kind == kind
    assert dict(made.items) == {
        "layout": layout,
        "size": None if shape is None else Branch("tuple", ((0, 3), (1, 4))),
        "coalesced": True,
        "indices": Leaf("indices int64"),
        "values": Leaf("values float32"),
    }
