"""Sizes that are known only when the model runs, as exact arithmetic over named symbols.

A dimension is an `int` or a `Dim`: a polynomial with whole coefficients over symbols such as "batch". Two equal
polynomials are the same size whatever the symbols turn out to be, so that `2*H` computed on the way through a resize
meets `2*H` computed by a shape expression of the source graph. What no polynomial can say (a rounded quotient) becomes
a symbol named after its expression, so that the same expression is still the same size. So does a polynomial that
outgrows every real model: expressions that a file builds of each other may double with each step.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

#: Beyond these a polynomial becomes a symbol of its own, and the name of a symbol a digest.
_MOST_TERMS, _HIGHEST_DEGREE, _LARGEST_FACTOR, _LONGEST_NAME = 32, 16, 1 << 63, 200

#: A monomial: its symbols in order, each as often as its power. () is the constant term.
_Monomial = tuple[str, ...]


class Dim:
    """A size that depends on symbols; immutable. Arithmetic gives an `int` where the symbols cancel."""

    __slots__ = ("_hash", "terms")

    def __init__(self, terms: Mapping[_Monomial, int]) -> None:
        self.terms = {monomial: factor for monomial, factor in sorted(terms.items()) if factor}
        self._hash = hash(tuple(self.terms.items()))

    @staticmethod
    def symbol(name: str) -> Dim:
        """The size named so."""
        return Dim({(name,): 1})

    @property
    def symbols(self) -> frozenset[str]:
        """Names that the size depends on."""
        return frozenset(name for monomial in self.terms for name in monomial)

    @property
    def is_symbol(self) -> bool:
        """Whether this is one symbol and nothing else."""
        return len(self.terms) == 1 and next(iter(self.terms.items())) == ((str(self),), 1)

    def __add__(self, other: object) -> Size:
        if not isinstance(other, (int, Dim)):
            return NotImplemented
        terms = dict(self.terms)
        for monomial, factor in _terms(other).items():
            terms[monomial] = terms.get(monomial, 0) + factor
        return _simplest(terms) if _is_small(terms) else _opaque(self, "+", other)

    def __mul__(self, other: object) -> Size:
        if not isinstance(other, (int, Dim)):
            return NotImplemented
        if _degree(self) + _degree(other) > _HIGHEST_DEGREE:
            return _opaque(self, "*", other)
        terms: dict[_Monomial, int] = {}
        for left, a in self.terms.items():
            for right, b in _terms(other).items():
                monomial = tuple(sorted(left + right))
                terms[monomial] = terms.get(monomial, 0) + a * b
        return _simplest(terms) if _is_small(terms) else _opaque(self, "*", other)

    def __neg__(self) -> Size:
        return self * -1

    def __sub__(self, other: object) -> Size:
        return self + (-other) if isinstance(other, (int, Dim)) else NotImplemented

    def __rsub__(self, other: int) -> Size:
        return -self + other

    __radd__ = __add__
    __rmul__ = __mul__

    def __floordiv__(self, other: object) -> Size:
        if not isinstance(other, (int, Dim)):
            return NotImplemented
        exact = _exact_quotient(self, other)
        return exact if exact is not None else _opaque(self, "//", other)

    def __rfloordiv__(self, other: int) -> Size:
        return _opaque(other, "//", self)

    def __mod__(self, other: object) -> Size:
        if not isinstance(other, (int, Dim)):
            return NotImplemented
        return 0 if _exact_quotient(self, other) is not None else _opaque(self, "%", other)

    def __rmod__(self, other: int) -> Size:
        return _opaque(other, "%", self)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Dim) and self.terms == other.terms

    def __hash__(self) -> int:
        return self._hash

    def __repr__(self) -> str:
        parts = []
        for monomial, factor in sorted(self.terms.items(), key=lambda term: (-len(term[0]), term[0])):
            name = "*".join(monomial)
            size = abs(factor)
            text = str(size) if not name else name if size == 1 else f"{size}*{name}"
            parts.append(("- " if factor < 0 else "+ ") + text)
        text = " ".join(parts)
        return text[2:] if text.startswith("+ ") else "-" + text[2:]


#: A dimension, known or not.
Size = int | Dim
#: The dimensions of a value; None if not even their number is known.
Shape = tuple[Size, ...] | None


def product(sizes: tuple[Size, ...]) -> Size:
    """All of them multiplied."""
    total: Size = 1
    for size in sizes:
        total = total * size
    return total


def _terms(size: Size) -> Mapping[_Monomial, int]:
    return {(): size} if isinstance(size, int) else size.terms


def _degree(size: Size) -> int:
    return max(map(len, _terms(size)), default=0)


def _is_small(terms: Mapping[_Monomial, int]) -> bool:
    return len(terms) <= _MOST_TERMS and all(-_LARGEST_FACTOR <= factor < _LARGEST_FACTOR for factor in terms.values())


def _simplest(terms: Mapping[_Monomial, int]) -> Size:
    dim = Dim(terms)
    if not dim.terms:
        return 0
    return dim.terms[()] if set(dim.terms) == {()} else dim


def _exact_quotient(size: Dim, by: Size) -> Size | None:
    if isinstance(by, int):
        if by and all(factor % by == 0 for factor in size.terms.values()):
            return _simplest({monomial: factor // by for monomial, factor in size.terms.items()})
        return None
    if len(by.terms) != 1:
        return 1 if size == by else None
    (divisor, factor), quotient = next(iter(by.terms.items())), {}
    for monomial, coefficient in size.terms.items():
        rest = list(monomial)
        for name in divisor:
            if name not in rest:
                return None
            rest.remove(name)
        if coefficient % factor:
            return None
        quotient[tuple(rest)] = coefficient // factor
    return _simplest(quotient)


def _opaque(left: Size, operator: str, right: Size) -> Dim:
    # in brackets, so that a factor before it multiplies the result
    name = f"({_operand(left)}{operator}{_operand(right)})"
    if len(name) > _LONGEST_NAME:
        name = f"size_{hashlib.sha256(name.encode('utf-8', 'replace')).hexdigest()[:16]}"
    return Dim.symbol(name)


def _operand(size: Size) -> str:
    return (
        str(size) if isinstance(size, Dim) and size.is_symbol else f"({size})" if isinstance(size, Dim) else str(size)
    )
