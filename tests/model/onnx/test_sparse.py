from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from panmodel.errors import CorruptError, LimitError, UnsupportedError
from panmodel.io.source import Location
from panmodel.model.onnx.sparse import dense
from panmodel.model.onnx.tensor import TensorReader
from panmodel.model.tensor import Tensor
from panmodel.wire.onnx_messages import SparseTensorProto, TensorProto
from panmodel.wire.protobuf import Numbers

FLOAT, INT64 = 1, 7


def listed(values: list, dims: list[int] | None = None, kind: int = INT64, name: str = "w") -> TensorProto:
    field, of = ("int64_data", "int64") if kind == INT64 else ("float_data", "float")
    array = np.array(values, np.int64 if kind == INT64 else np.float32)
    numbers = {field: Numbers.of(of, array)} if values else {}
    return TensorProto(name=name, data_type=kind, dims=[len(values)] if dims is None else dims, **numbers)


def read(values: list, indices: list, shape: list[int], **more: object) -> Tensor:
    proto = SparseTensorProto(values=listed(values, kind=FLOAT), indices=listed(indices, **more), dims=shape)
    return dense(proto, TensorReader(Location(Path("m.onnx"))), "m.onnx")


@given(
    arrays.arrays(
        np.float32,
        st.lists(st.integers(1, 4), min_size=1, max_size=3).map(tuple),
        elements=st.sampled_from([0, 1, 2.5]),
    )
)
def test_both_ways_to_write_indices(array):
    places = np.flatnonzero(array)
    values = array.reshape(-1)[places].tolist()
    by_axis = np.stack(np.nonzero(array), axis=1)
    for found in (
        read(values, places.tolist(), list(array.shape)),
        read(values, by_axis.reshape(-1).tolist(), list(array.shape), dims=list(by_axis.shape)),
    ):
        assert (found.name, found.shape) == ("w", array.shape)
        np.testing.assert_array_equal(found.numpy(), array)


@pytest.mark.parametrize(
    ("indices", "shape", "more", "said"),
    [
        ([3], [3], {}, "outside 3 elements"),
        ([-1], [3], {}, "outside 3 elements"),
        ([0, 2], [2, 2], {"dims": [1, 2]}, r"outside \[2, 2\]"),
        ([0, 1], [3], {}, "cannot be made"),
        ([0], [-3], {}, "cannot be made"),
        ([0], [3], {"kind": FLOAT}, "cannot be made"),
    ],
)
def test_what_does_not_belong_together(indices, shape, more, said):
    with pytest.raises(CorruptError, match=f"'w'.*{said}"):
        read([1.0], indices, shape, **more).numpy()


def test_indices_ascend():
    with pytest.raises(CorruptError, match="ascend"):
        read([1.0, 2.0], [1, 1], [3]).numpy()


def test_limits_hold_before_anything_is_made():
    with pytest.raises(LimitError, match="exceeds"):
        read([1.0], [0], [1 << 20, 1 << 20])


def test_strings_and_missing_parts_are_refused():
    reader = TensorReader(Location(Path("m.onnx")))
    texts = TensorProto(name="w", data_type=8, dims=[1], string_data=[b"a"])
    with pytest.raises(UnsupportedError, match="strings"):
        dense(SparseTensorProto(values=texts, indices=listed([0]), dims=[2]), reader, "m.onnx")
    with pytest.raises(CorruptError, match="without"):
        dense(SparseTensorProto(dims=[2]), reader, "m.onnx")
