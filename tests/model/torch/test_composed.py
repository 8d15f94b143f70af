from __future__ import annotations

import numpy as np
import pytest

from panmodel import dtypes
from panmodel.errors import CorruptError
from panmodel.io.source import Extent, MemorySource
from panmodel.model.torch.composed import components
from panmodel.wire.torch_records import ComposedRecord, StorageBytes, StorageRecord, TensorRecord


def record(array: np.ndarray) -> TensorRecord:
    data = array.tobytes()
    content = StorageBytes(len(data), Extent(MemorySource(data), 0, len(data)))
    dtype, strides = dtypes.from_numpy(array.dtype), tuple(step // array.itemsize for step in array.strides)
    return TensorRecord(StorageRecord("0", dtype, "cpu", len(data), content), dtype, 0, array.shape, strides)


def composed(layout: str, shape: tuple[int, ...] | None, **parts: object) -> ComposedRecord:
    made = {name: record(np.array(part, np.int64)) for name, part in parts.items()}
    return ComposedRecord(layout, dtypes.INT64, shape, made)


RIGHT = [
    composed("sparse_coo", (2, 3), indices=[[0, 1], [2, 0]], values=[5, 6]),
    composed("sparse_coo", (2, 3), indices=np.zeros((2, 0)), values=[]),
    composed("sparse_csr", (2, 3), crow_indices=[0, 1, 2], col_indices=[2, 0], values=[5, 6]),
    composed("sparse_csc", (2, 3), ccol_indices=[0, 1, 1, 2], row_indices=[1, 0], values=[5, 6]),
    composed("sparse_bsr", (2, 6), crow_indices=[0, 1], col_indices=[1], values=np.ones((1, 2, 3))),
    composed("sparse_csr", (1, 2, 3), crow_indices=[[0, 1, 2]], col_indices=[[2, 0]], values=[[5, 6]]),
    composed("nested", None, buffer=[1, 2], sizes=[[2]], strides=[[1]], offsets=[0]),
]
WRONG = [
    ("indices", composed("sparse_coo", (2, 3), indices=[[0, 2], [2, 0]], values=[5, 6])),
    ("indices", composed("sparse_coo", (2, 3), indices=[[0, -1], [2, 0]], values=[5, 6])),
    ("crow_indices", composed("sparse_csr", (2, 3), crow_indices=[0, 3, 2], col_indices=[2, 0], values=[5, 6])),
    ("crow_indices", composed("sparse_csr", (2, 3), crow_indices=[0, 1, 1], col_indices=[2, 0], values=[5, 6])),
    ("crow_indices", composed("sparse_csr", (2, 3), crow_indices=[1, 1, 2], col_indices=[2, 0], values=[5, 6])),
    ("col_indices", composed("sparse_csr", (2, 3), crow_indices=[0, 1, 2], col_indices=[3, 0], values=[5, 6])),
    ("row_indices", composed("sparse_csc", (2, 3), ccol_indices=[0, 1, 1, 2], row_indices=[2, 0], values=[5, 6])),
    ("col_indices", composed("sparse_bsr", (2, 6), crow_indices=[0, 1], col_indices=[2], values=np.ones((1, 2, 3)))),
    ("sizes", composed("nested", None, buffer=[1, 2], sizes=[[-2]], strides=[[1]], offsets=[0])),
]


@pytest.mark.parametrize("given", RIGHT, ids=lambda given: given.layout)
def test_components_go_by_their_names(given: ComposedRecord) -> None:
    made = components("w", given)
    assert list(made) == [f"w.{part}" for part in given.components]
    for name, tensor in made.items():
        assert tensor.name == name
        assert tensor.numpy().shape == given.components[name[2:]].shape


@pytest.mark.parametrize(("part", "given"), WRONG)
def test_indices_that_lead_elsewhere_are_refused(part: str, given: ComposedRecord) -> None:
    with pytest.raises(CorruptError, match=f"'w.{part}': its numbers lead out"):
        components("w", given)[f"w.{part}"].numpy()
