import numpy as np
import pytest
from tests.exporters.torch.execution import agrees, numbers

from panmodel.dtypes import BOOL, INT32

X, Y = numbers(5, dtype=np.int64), numbers(5, dtype=np.int64, seed=1)
A, B = np.array([True, True, False, False]), np.array([True, False, True, False])


def applied(op):
    return lambda build, *values: build.op(op, *values)


@pytest.mark.parametrize("op", ["Equal", "Less", "LessOrEqual", "Greater", "GreaterOrEqual"])
def test_comparisons_of_tensors_and_numbers(op):
    agrees(applied(op), X, Y)
    agrees(lambda b, x: b.op(op, x, b.constant(1)), X, known="unknown")
    agrees(lambda b, x: b.op(op, b.constant(1), x), X)


def test_a_number_stands_on_the_right():
    assert agrees(lambda b, x: b.op("Less", b.constant(1), x), X) == ["return in0 > 1"]


@pytest.mark.parametrize("op", ["And", "Or", "Xor", "Equal"])
def test_logic(op):
    agrees(applied(op), A, B)
    agrees(lambda b, x: b.op(op, x, b.constant(True, BOOL)), A)


def test_a_negated_equality():
    assert agrees(lambda b, x, y: b.op("Not", b.op("Equal", x, y)), X, Y) == ["return in0 != in1"]
    assert agrees(applied("Not"), A) == ["return ~in0"]
    few = np.array([1, 2, 3], np.uint32)
    agrees(lambda b, x, y: b.op("Not", b.op("Equal", x, y)), few, few[::-1].copy(), reference=True)


def test_a_choice_of_tensors_and_numbers():
    whole = np.array([5, 6, 7, 8], np.int32)
    agrees(applied("Where"), A, whole, whole[::-1].copy())
    assert agrees(lambda b, m, x: b.op("Where", m, b.constant(1, INT32), x), A, whole) == [
        "return torch.where(in0, 1, in1)"
    ]
    agrees(lambda b, m, x: b.op("Where", m, x, b.constant(0, INT32)), A, whole)
    agrees(lambda b, m: b.op("Where", m, b.constant(0.5), b.constant(-1.5)), A)
    agrees(lambda b, m, x: b.op("Where", m, b.constant(True), x), A, B, reference=True)
