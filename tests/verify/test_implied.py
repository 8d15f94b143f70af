"""What a graph needs of inputs whose shape it leaves open."""

import numpy as np
import pytest

from panmodel import dtypes
from panmodel.model.builder import Builder
from panmodel.model.tensor import ArrayTensor
from panmodel.verify.implied import implied_shape


def shown(read):
    build = Builder()
    x = build.input("x", dtypes.FLOAT32, None)
    build.output("y", read(build, x))
    shape = implied_shape(build.graph(), x)
    return None if shape is None else [size if isinstance(size, int) else "?" for size in shape]


def weight(build, *shape):
    return build.weight(ArrayTensor(np.ones(shape, np.float32), "w"))


@pytest.mark.parametrize(
    ("read", "shape"),
    [
        (lambda b, x: b.op("Conv", x, weight(b, 8, 3, 5, 5)), ["?", 3, "?", "?"]),
        (lambda b, x: b.op("Conv", b.channels_first(x, 4), weight(b, 8, 3, 5, 5)), ["?", "?", "?", 3]),
        (lambda b, x: b.op("Conv", x, weight(b, 8, 1, 5, 5), group=8), ["?", 8, "?", "?"]),
        (lambda b, x: b.op("ConvTranspose", x, weight(b, 8, 3, 5, 5)), ["?", 8, "?", "?"]),
        (lambda b, x: b.op("MatMul", x, weight(b, 7, 3)), ["?", 7]),
        (lambda b, x: b.op("MatMul", b.op("Relu", b.op("Mul", x, b.constant(2.0))), weight(b, 7, 3)), ["?", 7]),
        (lambda b, x: b.op("Reshape", x, b.constant([-1, 49, 10, 1])), ["?", 49, 10, 1]),
        (lambda b, x: b.op("Add", x, weight(b, 4)), [4]),
        (lambda b, x: b.op("ReduceSum", x), None),
    ],
)
def test_the_first_readers_say(read, shape):
    assert shown(read) == shape
