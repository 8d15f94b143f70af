import numpy as np
import pytest

from panmodel.dtypes import FLOAT32
from panmodel.errors import CorruptError, UnsupportedError
from panmodel.model.builder import Builder
from panmodel.model.symbolic import Dim
from panmodel.model.tensor import ArrayTensor

N = Dim.symbol("n")


@pytest.mark.parametrize(
    ("op", "attributes", "shape"),
    [
        ("Squeeze", {"axes": (1,)}, (N, 3)),
        ("Unsqueeze", {"axes": (0, 4)}, (1, N, 1, 3, 1)),
        ("ReduceSum", {"axes": (-1,), "keepdims": 0}, (N, 1)),
        ("ReduceMax", {"axes": (0, 2)}, (1, 1, 1)),
        ("Pad", {"pads": (0, 0, 1, 0, 0, 1)}, None),
        ("Slice", {"starts": (0,), "ends": (2,), "axes": (2,)}, (N, 1, 2)),
    ],
)
def test_attributes_of_old_opsets(op, attributes, shape):
    build = Builder(opset=9)
    result = build.op(op, build.input("x", FLOAT32, (N, 1, 3)), **attributes)
    assert result.rank == 3 if shape is None else result.shape == shape


def test_symbols_go_through_the_schema_of_an_operator():
    build = Builder()
    x = build.input("x", FLOAT32, (N, 3 * N, 4))
    assert build.op("MatMul", x, build.input("w", FLOAT32, (4, 5))).shape == (N, 3 * N, 5)
    assert build.transpose(x, (2, 0, 1)).shape == (4, N, 3 * N)
    assert build.op("Softmax", x).shape == (N, 3 * N, 4)


def test_types_of_several_outputs():
    build = Builder()
    values, indices = build.ops("TopK", build.input("x", FLOAT32, (N, 4)), build.constant([2]), outputs=2)
    assert (values.shape, indices.shape) == ((N, 2), (N, 2))
    assert (values.dtype.name, indices.dtype.name) == ("float32", "int64")


def test_of_other_operator_sets_nothing_is_known():
    build = Builder(opsets={"com.example": 1})
    assert build.op("Mystery", build.input("x", FLOAT32, (N,)), domain="com.example").shape is None


def test_operands_that_do_not_fit_are_corrupt():
    build = Builder()
    x = build.input("x", FLOAT32, (2, 3))
    with build.at("fc/MatMul"), pytest.raises(CorruptError, match="MatMul") as error:
        build.op("MatMul", x, x)
    assert "fc/MatMul" in error.value.where


def test_elements_that_onnx_does_not_compute_with_are_refused():
    build = Builder()
    z = build.weight(ArrayTensor(np.complex64([1j])), "z")
    with pytest.raises(UnsupportedError, match="no Mul of complex64"):
        build.op("Mul", z, z)
    assert build.op("Concat", z, z, axis=0).shape == (2,)
