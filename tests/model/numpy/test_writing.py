from __future__ import annotations

import io

import numpy as np
import pytest

from panmodel.dtypes import ALL, STRING, VARIANT
from panmodel.errors import UnsupportedError
from panmodel.model.numpy.writing import array_of, remarks, require_writable
from panmodel.model.tensor import ArrayTensor, DeferredTensor, unpack


@pytest.mark.parametrize(
    "name", ["int4", "uint2", "float6_e3m2fn", "float4_e2m1fn", "float8_e5m2", "bfloat16", "qint32"]
)
def test_numpy_loads_the_bits_of_types_that_it_does_not_know(name):
    dtype = ALL[name]
    stored = np.random.default_rng(0).integers(0, 256, dtype.nbytes(13), dtype=np.uint8)
    elements = unpack(stored, dtype, (13,))
    array = array_of(ArrayTensor(elements, dtype=dtype))
    data = b"".join(map(bytes, array.pieces()))
    assert len(data) == array.nbytes
    loaded = np.load(io.BytesIO(data), allow_pickle=False)
    assert loaded.view(elements.dtype).tobytes() == elements.tobytes()


def test_strings_are_numpy_s_own():
    array = array_of(ArrayTensor(np.array(["a", "bcd"], object)))
    loaded = np.load(io.BytesIO(b"".join(map(bytes, array.pieces()))), allow_pickle=False)
    assert loaded.tolist() == ["a", "bcd"]


def test_what_numpy_has_no_arrays_for_is_refused_by_name():
    tensors = {name: DeferredTensor(name, VARIANT, (), lambda: np.empty(())) for name in ("a", "b")}
    with pytest.raises(UnsupportedError, match=r"a \(variant\), b \(variant\)"):
        require_writable(tensors, "x")
    with pytest.raises(UnsupportedError, match="a name of 70000"):
        require_writable({"x" * 70000: ArrayTensor(np.zeros(()))}, "x")


def test_strings_that_padding_would_blow_up_are_refused():
    array = np.array([b"x" * 100_000] + [b""] * 9_999, object)
    with pytest.raises(UnsupportedError, match="1000000000 bytes"):
        require_writable({"s": DeferredTensor("s", STRING, array.shape, lambda: array)}, "x")


@pytest.mark.parametrize("name", [name for name, dtype in ALL.items() if dtype.kind != "o"])
def test_what_numpy_itself_takes_for_something_else_is_said(name: str) -> None:
    dtype = ALL[name]
    array = np.array([b"a"], object) if name == "string" else np.zeros(2, dtype.numpy)
    tensor = ArrayTensor(array, "t", dtype=dtype)
    read = np.load(io.BytesIO(b"".join(map(bytes, array_of(tensor).pieces()))))
    assert (remarks([tensor]) == []) is (name == "string" or (read.dtype == array.dtype and dtype.stored is dtype))
