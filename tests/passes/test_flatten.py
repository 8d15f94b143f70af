import numpy as np
import pytest
from tests.passes.running import assert_same, weight

from panmodel import dtypes
from panmodel.model.builder import Builder
from panmodel.model.symbolic import Dim
from panmodel.model.tensor import undo
from panmodel.passes import flatten, layout

N = Dim.symbol("n")


def flattened(product, *, sizes=(3, 4, 5), perm=(0, 2, 3, 1)):
    """Transpose → Reshape → product."""
    build = Builder()
    x = build.input("x", dtypes.FLOAT32, (N, *sizes))
    y = build.op("Relu", x)
    flat = build.reshape(build.transpose(y, perm), (N, int(np.prod(sizes))))
    build.output("y", product(build, flat))
    return build.graph()


def matmul(build, flat):
    return build.op("MatMul", flat, weight(build, "w", 60, 7))


def gemm(build, flat):
    return build.op("Gemm", flat, weight(build, "w", 7, 60), weight(build, "b", 7), transB=1, alpha=2.0)


@pytest.mark.parametrize("product", [matmul, gemm])
@pytest.mark.parametrize("perm", [(0, 2, 3, 1), (0, 3, 1, 2), (0, 3, 2, 1)])
def test_the_weight_is_permuted_instead(product, perm):
    before = flattened(product, perm=perm)
    after = flatten.run(before)
    assert_same(before, after)
    assert "Transpose" not in after.operators()
    (found,) = (value for value in after.initializers() if value.name == "w")
    # and leads back to the variable
    original = found.tensor.base.numpy()
    np.testing.assert_array_equal(undo(found.tensor.numpy(), original.shape, found.tensor.steps), original)


def test_rank_three():
    before = flattened(lambda b, f: b.op("MatMul", f, weight(b, "w", 12, 2)), sizes=(3, 4), perm=(0, 2, 1))
    after = flatten.run(before)
    assert_same(before, after)
    assert "Transpose" not in after.operators()


def test_a_batch_that_moves_is_left_alone():
    build = Builder()
    x = build.input("x", dtypes.FLOAT32, (3, 2, 4))
    flat = build.reshape(build.transpose(x, (1, 0, 2)), (2, 12))
    build.output("y", build.op("MatMul", flat, weight(build, "w", 12, 2)))
    before = build.graph()
    after = flatten.run(before)
    assert_same(before, after)
    assert after.operators()["Transpose"] == 1


def test_a_computed_weight_is_left_alone():
    build = Builder()
    x = build.input("x", dtypes.FLOAT32, (N, 3, 4))
    w = build.input("w", dtypes.FLOAT32, (12, 2))
    build.output("y", build.op("MatMul", build.reshape(build.transpose(x, (0, 2, 1)), (N, 12)), w))
    assert flatten.run(build.graph()).operators()["Transpose"] == 1


def test_other_readers_keep_their_order():
    build = Builder()
    x = build.input("x", dtypes.FLOAT32, (N, 3, 4))
    flat = build.reshape(build.transpose(x, (0, 2, 1)), (N, 12))
    build.output("y", build.op("MatMul", flat, weight(build, "w", 12, 2)))
    build.output("flat", flat)
    before = build.graph()
    assert_same(before, flatten.run(before))


def test_layout_leaves_the_order_to_the_weight():
    """Even where a transpose of something smaller could be had elsewhere."""
    build = Builder()
    x = build.input("x", dtypes.FLOAT32, (N, 6, 6, 3))
    y = build.channels_last(build.op("Conv", build.channels_first(x), weight(build, "k", 8, 3, 3, 3)))
    flat = build.reshape(build.op("Relu", y), (N, 128))
    build.output("y", build.op("MatMul", flat, weight(build, "w", 128, 4)))
    before = build.graph()
    after = flatten.run(layout.run(before))
    assert_same(before, after)
    assert layout.permutes(after) == 1
