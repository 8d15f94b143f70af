import pytest
from hypothesis import given
from hypothesis import strategies as st

from panmodel.model.symbolic import Dim, product

A, B = Dim.symbol("a"), Dim.symbol("b")


def value(size, **symbols):
    """A size in numbers: its text is the arithmetic that it stands for."""
    return eval(str(size), {}, symbols)


@st.composite
def expressions(draw, depth=3):
    """A way to compute a size, to be applied to symbols or to numbers."""
    if depth == 0 or draw(st.integers(0, 3)) == 0:
        leaf = draw(st.sampled_from(["a", "b"]) | st.integers(-5, 5))
        return (lambda a, b: {"a": a, "b": b}[leaf]) if isinstance(leaf, str) else (lambda a, b: leaf)
    left, right = draw(expressions(depth=depth - 1)), draw(expressions(depth=depth - 1))
    number = draw(st.integers(1, 6))
    return draw(
        st.sampled_from(
            [
                lambda a, b: left(a, b) + right(a, b),
                lambda a, b: left(a, b) - right(a, b),
                lambda a, b: left(a, b) * right(a, b),
                lambda a, b: left(a, b) // number,
                lambda a, b: left(a, b) % number,
                lambda a, b: -left(a, b),
            ]
        )
    )


@given(expressions(), st.integers(1, 50), st.integers(1, 50))
def test_symbols_reckon_like_numbers(expression, a, b):
    assert value(expression(A, B), a=a, b=b) == expression(a, b)


@given(expressions(), expressions(), st.integers(1, 9), st.integers(1, 9))
def test_equal_sizes_are_equal_numbers(left, right, a, b):
    if left(A, B) == right(A, B):
        assert left(a, b) == right(a, b)


def test_equal_polynomials_are_one_size():
    assert (A + 1) * (A - 1) == A * A - 1
    assert hash(A * B + 2) == hash(2 + B * A)
    assert A - A == 0
    assert (A + 3) - A == 3
    assert A != B
    assert A + 0 is not None and str(A + 0) == "a"


def test_quotients_are_exact_where_they_can_be():
    assert (4 * A + 8) // 4 == A + 2
    assert (6 * A * B) // (2 * A) == 3 * B
    assert (A * B + A) // A == B + 1
    assert (A + B) // (A + B) == 1
    assert (2 * A) % 2 == 0
    assert (A + 1) // 2 == (1 + A) // 2
    assert (A + 1) // 2 != A // 2
    assert 7 // A == 7 // A
    assert 7 % A == 7 % A


@pytest.mark.parametrize(
    ("size", "text"), [(2 * A - B, "2*a - b"), (-A, "-a"), (A * A + 3, "a*a + 3"), (A // 2, "(a//2)")]
)
def test_text(size, text):
    assert str(size) == text


def test_what_a_size_depends_on():
    assert (A * B + 1).symbols == {"a", "b"}
    assert A.is_symbol
    assert (A // 2).is_symbol
    assert not (2 * A).is_symbol
    assert not (A + 1).is_symbol


def test_other_operands_are_refused():
    for operator in ("__add__", "__sub__", "__mul__", "__floordiv__", "__mod__"):
        assert getattr(A, operator)(1.5) is NotImplemented
    assert A != "a"


def test_products():
    assert product((2, A, 3)) == 6 * A
    assert product(()) == 1


def test_expressions_that_outgrow_every_model_become_symbols():
    size, other = Dim.symbol("n"), Dim.symbol("n")
    for _ in range(100):
        size, other = size * (size + 1), other * (other + 1)
    assert size == other
    assert len(str(size)) < 5000
    grown = Dim.symbol("n")
    for _ in range(100):
        grown = grown // (grown + 3)
    assert len(str(grown)) < 500
    assert len(Dim.symbol("n").terms) == 1
