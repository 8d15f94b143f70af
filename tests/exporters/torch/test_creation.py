import numpy as np
import pytest
from tests.exporters.torch.execution import agrees, ints, numbers

from panmodel.dtypes import INT32, INT64
from panmodel.model.graph import Node
from panmodel.model.tensor import ArrayTensor

X = numbers(3, 4)


@pytest.mark.parametrize("value", [None, np.float64([2.5]), np.int32([3]), np.array([True])])
@pytest.mark.parametrize("known", ["static", "symbolic", "unknown"])
def test_one_number_everywhere(value, known):
    attributes = {} if value is None else {"value": ArrayTensor(value)}
    agrees(lambda b, x: b.op("ConstantOfShape", b.op("Shape", x), **attributes), X, known=known)
    agrees(lambda b, x: b.op("ConstantOfShape", x, **attributes), np.array([2, 2]), known=known)


@pytest.mark.parametrize(
    "attributes",
    [
        {"value": ArrayTensor(np.float64([[1, 2], [3, 4]]))},
        {"value_float": 0.1},
        {"value_floats": (0.1, 2.0)},
        {"value_int": 3},
        {"value_ints": (3, 4)},
    ],
)
def test_constants_of_every_kind(attributes):
    def constant(build, x):
        build.output("x", build.op("Relu", x))
        return build.add(Node("Constant", (), build.op("Relu", x).node.outputs, attributes), (), attributes)[0]

    agrees(constant, X)


def test_ranges():
    zero, one = (lambda b: b.constant(0, INT64)), (lambda b: b.constant(1, INT64))
    assert agrees(lambda b, x: b.op("Range", zero(b), b.squeeze(b.size(x, 1), [0]), one(b)), X, known="symbolic") == [
        "return torch.arange(in0.shape[1], device=in0.device)"
    ]
    agrees(lambda b, x: b.op("Range", one(b), x, b.constant(2, INT64)), np.array(9))
    agrees(lambda b, x: b.op("Range", x, b.constant(-5, INT32), b.constant(-2, INT32)), np.array(4, np.int32))
    agrees(lambda b, x: b.op("Range", b.constant(0.5), x, b.constant(0.25)), np.array(2.0, np.float32))
    agrees(lambda b, *bounds: b.op("Range", *bounds), *(np.array(number) for number in (1.0, 2.0, 0.3)))


@pytest.mark.parametrize("k", [-1, 0, 2])
@pytest.mark.parametrize("dtype", [None, 7, 11])
def test_diagonals(k, dtype):
    agrees(lambda b, x: b.op("EyeLike", x, k=k, dtype=dtype), X)


def test_vectors_of_sizes_and_numbers():
    agrees(lambda b, x: b.op("ConstantOfShape", b.concat([b.size(x, 0), ints(b, 2)], 0)), X, known="batch")
