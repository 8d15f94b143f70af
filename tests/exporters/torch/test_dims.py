import numpy as np
import pytest
from tests.exporters.torch.execution import graph_of

from panmodel.dtypes import FLOAT32
from panmodel.exporters.torch.dims import Dims
from panmodel.model.builder import Builder
from panmodel.model.symbolic import Dim


def dims(*shape):
    build = Builder()
    build.output("y", build.op("Relu", build.input("x", FLOAT32, shape)))
    return Dims(build.graph())


D = [Dim.symbol(f"d{at}") for at in range(4)]


@pytest.mark.parametrize(
    ("shape", "text"),
    [
        ((D[0], 3, D[1], D[2]), "(batch, 3, height, width)"),
        ((D[0], D[1], D[2], 3), "(batch, height, width, 3)"),
        ((D[0], 7), "(batch, 7)"),
        ((D[0],), "(batch,)"),
        ((Dim.symbol("people"), 3), "(people, 3)"),
        ((), "()"),
        (None, ""),
    ],
)
def test_axes_have_the_names_that_people_use(shape, text):
    assert dims(*(shape or ())).comment(shape) == text


def test_sums_and_products_and_what_cannot_be_shown():
    found = dims(D[0], 3, D[1], D[2])
    assert found.comment((D[0] * 2, D[1] + 1)) == "(2 * batch, height + 1)"
    assert found.comment((Dim.symbol("\n'''evil"), 2)) == "(?, 2)"
    assert found.comment((Dim.symbol("a" * 30),)) == "(?,)"


def test_graphs_without_sizes():
    assert Dims(graph_of(lambda b, x: b.op("Relu", x), np.float32([1]), known="unknown")).comment(None) == ""
