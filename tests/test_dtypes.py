"""The table of element types against what each format's own package says."""

import copy

import ml_dtypes  # noqa: F401 - names the narrow types to numpy
import numpy as np
import pytest

from panmodel import dtypes

ALL = list(dtypes.ALL.values())


@pytest.mark.parametrize("dtype", [dtype for dtype in ALL if dtype.bits], ids=repr)
def test_numpy_has_each_fixed_width_type(dtype):
    assert dtype.numpy.itemsize == dtype.itemsize
    if dtype.stored is dtype:
        assert dtypes.from_numpy(dtype.numpy) is dtype


def test_onnx_agrees():
    onnx = pytest.importorskip("onnx")
    for dtype in ALL:
        if dtype.onnx is not None and dtype is not dtypes.STRING:
            assert onnx.helper.tensor_dtype_to_np_dtype(dtype.onnx).name == dtype.name


def test_torch_agrees():
    torch = pytest.importorskip("torch")
    for dtype in ALL:
        if dtype.torch is not None and hasattr(torch, dtype.torch):
            assert getattr(torch, dtype.torch).itemsize == dtype.itemsize
        if dtype.torch_storage is not None:
            assert hasattr(torch, dtype.torch_storage)


def test_a_type_is_one_object():
    assert copy.copy(dtypes.FLOAT32) is dtypes.FLOAT32
    for table in (dtypes.BY_TENSORFLOW, dtypes.BY_ONNX, dtypes.BY_SAFETENSORS, dtypes.BY_TORCH):
        assert all(dtypes.ALL[dtype.name] is dtype for dtype in table.values())


def test_sizes_count_packed_elements():
    assert dtypes.ALL["int4"].nbytes(3) == 2
    assert dtypes.FLOAT32.nbytes(3) == 12
    assert dtypes.from_numpy(np.dtype("<U3")) is dtypes.STRING


def test_parts_of_elements():
    assert [dtypes.ALL[name].number_bytes for name in ("complex128", "float64", "int4")] == [8, 8, 1]
    assert [dtypes.ALL[name].stored.name for name in ("qint32", "quint16", "int8")] == ["int32", "uint16", "int8"]
