import numpy as np
import pytest
from tests.tensorflow_graphs import graph, node

from panmodel.dtypes import FLOAT32, INT32, INT64
from panmodel.errors import CorruptError, UnsupportedError
from panmodel.importers.tensorflow import operands
from panmodel.importers.tensorflow.registry import Operation
from panmodel.model.builder import Builder
from panmodel.model.symbolic import Dim
from panmodel.model.tensor import ArrayTensor

N = Dim.symbol("n")


def operation(*values):
    source = graph(node("y", "Op"))
    return Operation(source.nodes["y"], values, source)


def test_what_is_known_of_integers():
    build = Builder()
    shape = build.shape(build.input("x", FLOAT32, (N, 3)))
    assert operands.sizes(shape) == [N, 3]
    assert operands.integers(shape) is None
    assert operands.integers(build.constant([1, -1], INT32)) == [1, -1]
    assert operands.integers(build.weight(ArrayTensor(np.int32([4, 5])), "stored")) == [4, 5]
    assert operands.sizes(build.input("computed", INT32, (2,))) is None


def test_axes():
    build = Builder()
    assert operands.known_axis(operation(build.constant([2])), 0) == 2
    with pytest.raises(UnsupportedError, match="axis that the graph computes"):
        operands.known_axis(operation(build.input("a", INT32, ())), 0)
    with pytest.raises(CorruptError, match="2 axes, expected 1"):
        operands.known_axis(operation(build.constant([1, 2])), 0)
    assert operands.positive_axis(operation(), -1, 3) == 2
    with pytest.raises(CorruptError, match="axis 3 of a tensor with 3 axes"):
        operands.positive_axis(operation(), 3, 3)


@pytest.mark.parametrize("shape", [(), (1,), None])
def test_vectors_and_scalars(shape):
    build = Builder()
    value = build.input("k", INT32, shape)
    vector, scalar = operands.int64_vector(build, value), operands.int64_scalar(build, value)
    assert (vector.dtype, vector.rank) == (INT64, 1)
    assert (scalar.dtype, scalar.rank) == (INT64, 0)


def test_ranks():
    build = Builder()
    known, unknown = build.input("x", FLOAT32, (N, 3)), build.input("y", FLOAT32, None)
    assert operands.rank_of(build, known).array() == 2
    assert operands.rank_of(build, unknown).node.op == "Size"
    assert operands.needs_rank(operation(), known) == 2
    with pytest.raises(UnsupportedError, match="rank is unknown"):
        operands.needs_rank(operation(), unknown)
    assert operands.vector_length(operation(), build.constant([1, 2, 3])) == 3
    with pytest.raises(UnsupportedError, match="unknown number of y"):
        operands.vector_length(operation(), unknown)


def test_trailing_axes():
    build = Builder()
    x = build.input("x", FLOAT32, (2, 3))
    assert operands.with_trailing_axes(build, x, build.constant(2)).shape == (2, 3, 1, 1)
