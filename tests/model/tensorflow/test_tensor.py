import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from panmodel.dtypes import ALL, FLOAT32, from_numpy
from panmodel.errors import CorruptError, LimitError, UnsupportedError
from panmodel.io.source import Extent, MemorySource
from panmodel.model.tensor import ArrayTensor
from panmodel.model.tensorflow.tensor import (
    dtype_from_proto,
    proto_from_shape,
    proto_from_tensor,
    shape_from_proto,
    tensor_from_proto,
)
from panmodel.wire.protobuf import Numbers, decode_bytes, encode_bytes
from panmodel.wire.tensorflow_messages import Dim, TensorProto, TensorShapeProto


def stored(**fields):
    """A TensorProto as it comes out of a file."""
    shape = fields.pop("shape", ())
    proto = TensorProto(tensor_shape=proto_from_shape(shape), **fields)
    return tensor_from_proto("t", decode_bytes(TensorProto, encode_bytes(proto)))


def content(data):
    return Extent(MemorySource(data), 0, len(data))


NUMBERS = [np.float32, np.float64, np.int8, np.int16, np.int32, np.int64, np.uint8, np.uint16, np.uint32, np.uint64,
           np.bool_, np.complex64, np.complex128, np.float16]  # fmt: skip


@given(st.sampled_from(NUMBERS).flatmap(lambda kind: arrays.arrays(kind, arrays.array_shapes(min_dims=0, min_side=0))))
def test_tensors_come_back(array):
    proto = decode_bytes(TensorProto, encode_bytes(proto_from_tensor(ArrayTensor(array))))
    tensor = tensor_from_proto("t", proto)
    assert (tensor.dtype, tensor.shape) == (from_numpy(array.dtype), array.shape)
    np.testing.assert_array_equal(tensor.numpy(), array)


@pytest.mark.parametrize("name", ["bfloat16", "float8_e5m2", "float8_e4m3fn", "int4", "uint4", "qint8", "quint16"])
def test_tensors_of_types_beyond_numpy_come_back(name):
    dtype = ALL[name]
    array = np.arange(6).astype(dtype.numpy).reshape(2, 3)
    proto = decode_bytes(TensorProto, encode_bytes(proto_from_tensor(ArrayTensor(array, dtype=dtype))))
    tensor = tensor_from_proto("t", proto)
    assert tensor.dtype is dtype
    np.testing.assert_array_equal(tensor.numpy(), array)


def test_strings_come_back():
    array = np.array([b"", b"\xff\0", b"text"], object)
    tensor = tensor_from_proto("t", decode_bytes(TensorProto, encode_bytes(proto_from_tensor(ArrayTensor(array)))))
    assert tensor.numpy().tolist() == array.tolist()


@pytest.mark.parametrize(
    ("dtype", "field", "kind", "values", "expected"),
    [
        (1, "float_val", "float", [1.5, 2], np.array([1.5, 2, 2, 2], np.float32)),
        (2, "double_val", "double", [0.1], np.full(4, 0.1)),
        (3, "int_val", "int32", [-1, 7, 8, 9], np.array([-1, 7, 8, 9], np.int32)),
        (6, "int_val", "int32", [-3], np.full(4, -3, np.int8)),
        (4, "int_val", "int32", [250], np.full(4, 250, np.uint8)),
        (9, "int64_val", "int64", [1 << 40, -5], np.array([1 << 40, -5, -5, -5])),
        (10, "bool_val", "bool", [1, 0], np.array([True, False, False, False])),
        (8, "scomplex_val", "float", [1, 2, 3, -4], np.array([1 + 2j, 3 - 4j, 3 - 4j, 3 - 4j], np.complex64)),
        (18, "dcomplex_val", "double", [0.5, 1], np.full(4, 0.5 + 1j)),
        (19, "half_val", "int32", [0x3C00, 0xC000], np.array([1, -2, -2, -2], np.float16)),
        (14, "half_val", "int32", [0x3F80], np.full(4, 1, ml_dtypes.bfloat16)),
        (22, "uint32_val", "uint32", [1 << 31], np.full(4, 1 << 31, np.uint32)),
        (23, "uint64_val", "uint64", [1 << 63], np.full(4, 1 << 63, np.uint64)),
        (1, "float_val", "float", [], np.zeros(4, np.float32)),
        (1, "float_val", "float", [1, 2, 3, 4, 5], np.array([1, 2, 3, 4], np.float32)),
    ],
)  # fmt: skip
def test_the_last_value_of_a_short_list_is_repeated(dtype, field, kind, values, expected):
    tensor = stored(dtype=dtype, shape=(2, 2), **{field: Numbers.of(kind, np.array(values))})
    assert tensor.numpy().dtype == expected.dtype
    np.testing.assert_array_equal(tensor.numpy(), expected.reshape(2, 2))
    assert b"".join(bytes(piece) for piece in tensor.chunks()) == expected.tobytes()


def test_reference_types_are_the_types_referred_to():
    assert dtype_from_proto(101, "x") is FLOAT32 and dtype_from_proto(0, "x") is None


def test_strings_may_lie_in_the_content():
    data = bytes([2, 0, 1]) + b"abc"
    assert stored(dtype=7, shape=(3,), tensor_content=content(data)).numpy().tolist() == [b"ab", b"", b"c"]


def test_a_repeated_value_takes_no_memory_of_its_own():
    tensor = stored(dtype=1, shape=(1 << 14, 1 << 14), float_val=Numbers.of("float", np.array([2.0])))
    assert tensor.numpy().strides == (0, 0)


def test_shapes():
    assert shape_from_proto(proto_from_shape(None), "x") is None
    assert shape_from_proto(proto_from_shape((None, 3)), "x") == (None, 3)
    assert shape_from_proto(proto_from_shape(()), "x") == ()


@pytest.mark.parametrize(
    ("error", "fields"),
    [
        (CorruptError, {"dtype": 0}),
        (CorruptError, {"dtype": 99}),
        (UnsupportedError, {"dtype": 20}),
        (UnsupportedError, {"dtype": 21}),
        (CorruptError, {"dtype": 1, "shape": (None,)}),
        (CorruptError, {"dtype": 1, "shape": None}),
        (CorruptError, {"dtype": 1, "shape": (2,), "tensor_content": content(b"abcd")}),
        (CorruptError, {"dtype": 1, "shape": (1 << 40, 1 << 40)}),
        (LimitError, {"dtype": 1, "shape": (1 << 40,)}),
        (LimitError, {"dtype": 1, "shape": (1,) * 65}),
        (CorruptError, {"dtype": 7, "shape": (9,), "tensor_content": content(b"ab")}),
        (CorruptError, {"dtype": 29, "shape": (9,), "tensor_content": content(b"ab")}),
    ],
)
def test_what_cannot_be_is_refused(error, fields):
    with pytest.raises(error, match="tensor 't'"):
        stored(**fields)


def test_lengths_that_do_not_add_up_are_refused():
    with pytest.raises(CorruptError, match=r"'t'.*add up"):
        stored(dtype=7, shape=(2,), tensor_content=content(bytes([1, 9]) + b"abc")).numpy()


def test_dimensions_below_minus_one_are_refused():
    with pytest.raises(CorruptError, match="below -1"):
        shape_from_proto(TensorShapeProto(dim=[Dim(size=-2)]), "x")
