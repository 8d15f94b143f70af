import numpy as np
import pytest
from tests.exporters.torch.execution import agrees, numbers, weight

A, B = numbers(2, 3), numbers(3, 4, seed=1)


@pytest.mark.parametrize("shape", [(3,), (2, 3), (5, 2, 3)])
def test_a_product_with_a_matrix_of_weights_is_a_layer(shape):
    for known in ("static", "unknown"):
        assert agrees(lambda b, x: b.op("MatMul", x, weight(b, B)), numbers(*shape), known=known) == [
            "return self.fc(in0)"
        ]


def test_other_products_are_operators():
    assert agrees(lambda b, x, y: b.op("MatMul", x, y), A, B) == ["return in0 @ in1"]
    agrees(lambda b, x: b.op("MatMul", weight(b, A), x), B)
    agrees(lambda b, x: b.op("MatMul", x, weight(b, numbers(5, 3, 4))), A)
    whole = numbers(2, 2, dtype=np.int64)
    agrees(lambda b, x, y: b.op("MatMul", x, y), whole, whole)


def test_a_bias_joins_its_product_only():
    def shared(build, x):
        product = build.op("MatMul", x, weight(build, B))
        return build.op("Add", weight(build, numbers(4), "bias"), product)

    assert agrees(shared, A) == ["return self.fc(in0)"]

    def twice(build, x):
        product = build.op("MatMul", x, weight(build, B))
        return build.op("Add", product, weight(build, numbers(4), "bias")), build.op("Relu", product)

    agrees(twice, A)
    # a bias that broadcasts otherwise is none
    agrees(lambda b, x: b.op("Add", b.op("MatMul", x, weight(b, B)), weight(b, numbers(2, 1), "bias")), A)
    agrees(lambda b, x: b.op("Add", b.op("MatMul", x, weight(b, B)), weight(b, numbers(1), "bias")), A)


@pytest.mark.parametrize("trans_a", [0, 1])
@pytest.mark.parametrize("trans_b", [0, 1])
@pytest.mark.parametrize(("alpha", "beta"), [(1.0, 1.0), (0.5, 1.0), (1.0, 2.0), (0.1, 0.3)])
def test_general_products(trans_a, trans_b, alpha, beta):
    a, b = A.T.copy() if trans_a else A, B.T.copy() if trans_b else B
    options = {"transA": trans_a, "transB": trans_b, "alpha": alpha, "beta": beta}
    for c in ((4,), (1, 4), (2, 1), (2, 4), ()):
        addend = numbers(*c, seed=4)
        agrees(lambda build, x, c=addend: build.op("Gemm", x, weight(build, b), weight(build, c, "c"), **options), a)
    agrees(lambda build, x, y, z: build.op("Gemm", x, y, z, **options), a, b, numbers(4))
    agrees(lambda build, x, y: build.op("Gemm", x, y, **options), a, b)


@pytest.mark.parametrize(
    ("equation", "shapes"),
    [("ij,jk->ik", [(2, 3), (3, 4)]), ("...ij , jk -> ...ik", [(2, 2, 3), (3, 4)]), ("bii->bi", [(2, 3, 3)])],
)
def test_sums_over_named_axes(equation, shapes):
    arrays = [numbers(*shape, seed=at) for at, shape in enumerate(shapes)]
    agrees(lambda b, *values: b.op("Einsum", *values, equation=equation), *arrays)


def test_determinants():
    agrees(lambda b, x: b.op("Det", x), numbers(2, 3, 3), tolerance=1e-4)
