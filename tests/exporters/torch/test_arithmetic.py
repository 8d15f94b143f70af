import numpy as np
import pytest
from tests.exporters.torch.execution import agrees, numbers, weight

from panmodel.dtypes import FLOAT64, INT32, INT64, UINT8, UINT16

X = numbers(2, 3)
INF = np.array([1, np.inf, -np.inf, np.nan], np.float32)


def applied(op, **attributes):
    return lambda build, *values: build.op(op, *values, **attributes)


@pytest.mark.parametrize(
    "op",
    "Exp Abs Sign Floor Ceil Round Sin Cos Tan Atan Sinh Cosh Asinh Neg Reciprocal".split(),  # noqa: SIM905 (a table)
)
def test_functions_of_any_number(op):
    halves = np.array([-2.5, -1.5, -0.5, 0.5, 1.5, 2.5, 0.3], np.float32)
    agrees(applied(op), halves)


@pytest.mark.parametrize("op", ["Sqrt", "Log", "Asin", "Acos", "Atanh"])
def test_functions_of_numbers_between_0_and_1(op):
    agrees(applied(op), np.linspace(0.01, 0.99, 7, dtype=np.float32))


def test_acosh():
    agrees(applied("Acosh"), np.linspace(1, 3, 5, dtype=np.float32))


@pytest.mark.parametrize("op", ["Add", "Sub", "Mul", "Div"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int32, np.int64])
def test_operations_of_two(op, dtype):
    x, y = numbers(2, 3, dtype=dtype), numbers(2, 1, dtype=dtype, seed=1)
    y[y == 0] = 3
    x[x == 0] = 4
    number = np.array(3, dtype)
    agrees(applied(op), x, y)
    agrees(lambda b, v: b.op(op, v, b.constant(number)), x, known="unknown")
    agrees(lambda b, v: b.op(op, b.constant(number), v), x)


def test_numbers_that_widen_the_rank_stay_tensors():
    for op in ("Add", "Max", "Pow"):
        agrees(lambda b, x, op=op: b.op(op, x, b.constant(np.array([[2.0]], np.float32))), numbers(3))


def test_quotients_of_integers_are_rounded_towards_zero():
    line = agrees(lambda b, x: b.op("Div", x, b.constant(2, INT64)), np.array([-3, 3, -4]))
    assert line == ['return torch.div(in0, 2, rounding_mode="trunc")']
    agrees(lambda b, x: b.op("Div", x, b.constant(3, UINT8)), np.array([250, 4], np.uint8))


def test_unsigned_numbers_wrap_around():
    x = np.array([65535, 2], np.uint16)
    agrees(lambda b, v: b.op("Add", v, b.constant(3, UINT16)), x, reference=True)


def test_mod_has_the_sign_of_either():
    x, y = np.array([-5, 5, -4], np.int32), np.array([3, -3, 3], np.int32)
    agrees(applied("Mod"), x, y)
    agrees(applied("Mod", fmod=1), x.astype(np.float32), y.astype(np.float32))
    agrees(lambda b, v: b.op("Mod", v, b.constant(3, INT32)), x)


@pytest.mark.parametrize(
    ("exponent", "text"), [(2.0, "in0.square()"), (0.5, "in0.sqrt()"), (3.0, "in0.pow(3)"), (-1.5, "in0.pow(-1.5)")]
)
def test_powers(exponent, text):
    assert agrees(lambda b, x: b.op("Pow", x, b.constant(exponent)), np.abs(X) + 0.1) == [f"return {text}"]


def test_a_power_has_the_type_of_its_base():
    whole = np.array([1, 2, 3], np.int32)
    agrees(lambda b, x: b.op("Pow", x, b.constant(2, INT64)), whole)
    agrees(lambda b, x: b.op("Pow", x, b.constant(2.5)), whole)
    agrees(lambda b, x: b.op("Pow", b.constant(2.0), x), np.abs(X))
    agrees(lambda b, x: b.op("Pow", x, b.constant(2, INT32)), X.astype(np.float64))
    agrees(applied("Pow"), np.abs(X), numbers(3, seed=3))


def test_a_square_and_an_inverse_square_root_in_one():
    assert agrees(lambda b, x: b.op("Mul", x, x), X) == ["return in0.square()"]
    assert agrees(lambda b, x: b.op("Reciprocal", b.op("Sqrt", x)), np.abs(X)) == ["return torch.rsqrt(in0)"]

    def twice(build, x):
        root = build.op("Sqrt", x)
        return build.op("Reciprocal", root), root

    assert "1 / " in " ".join(agrees(twice, np.abs(X)))


@pytest.mark.parametrize("positive", [0, 1])
@pytest.mark.parametrize("negative", [0, 1])
def test_infinities_of_the_signs_asked_for(positive, negative):
    agrees(applied("IsInf", detect_positive=positive, detect_negative=negative), INF)
    agrees(applied("IsNaN"), INF)


@pytest.mark.parametrize("op", ["Max", "Min", "Sum", "Mean"])
def test_operations_of_many(op):
    agrees(applied(op), X)
    agrees(applied(op), X, numbers(3, seed=1), numbers(2, 1, seed=2))
    agrees(lambda b, x, y: b.op(op, x, b.constant(0.5), y), X, numbers(3, seed=1))


def test_a_bound_of_integers():
    whole = numbers(6, dtype=np.int64)
    assert agrees(lambda b, x: b.op("Max", b.constant(1, INT64), x), whole) == ["return in0.clamp(min=1)"]
    assert agrees(lambda b, x: b.op("Min", x, b.constant(-1, INT64)), whole) == ["return in0.clamp(max=-1)"]


@pytest.mark.parametrize("exclusive", [0, 1])
@pytest.mark.parametrize("reverse", [0, 1])
@pytest.mark.parametrize("axis", [0, -1])
def test_running_sums(exclusive, reverse, axis):
    infinite = np.array([[1, np.inf, 2], [3, 4, 5]], np.float32)
    for x in (infinite, numbers(3, 4, dtype=np.int32), numbers(2, 0)):
        agrees(
            lambda b, v: b.op("CumSum", v, b.constant(axis, INT64), exclusive=exclusive, reverse=reverse),
            x,
            known="symbolic",
        )


def test_stored_numbers_are_no_literals():
    line = agrees(lambda b, x: b.op("Mul", x, weight(b, np.float32([2.5]), "gain")), X)
    assert line == ["return in0 * self.gain"]
    agrees(lambda b, x: b.op("Add", x, b.constant(0.1, FLOAT64)), X.astype(np.float64), tolerance=1e-15)
