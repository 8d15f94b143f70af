"""Tensors that go by another name in another file: found by their content, never by guess."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from panmodel.dtypes import DType
from panmodel.model.comparison import Renaming
from panmodel.model.tensor import Tensor
from panmodel.model.tensor_difference import digest, form

#: Pairs of names of one content that are held against each other, in one group and in all of them together; names are
#: paired in file order where there are more.
_MOST_PAIRS, _MOST_IN_ALL = 250_000, 1_000_000
_PART = re.compile(r"[^\W\d_]+|\d+")

_Kind = tuple[DType, tuple[int, ...]]


def find_renamings(removed: Mapping[str, Tensor], added: Mapping[str, Tensor]) -> list[Renaming]:
    """Find the tensors that are on both sides under different names.

    Only tensors whose type and shape occur on both sides are read.

    Args:
        removed: The tensors of the first model that the second has not under their names.
        added: Those of the second that the first has not.

    Returns:
        Pairs of names, in the order of `removed`; those of tensors whose content several have are marked.
    """
    kinds = {_kind(tensor) for tensor in removed.values()} & {_kind(tensor) for tensor in added.values()}
    before, after = _by_content(removed, kinds), _by_content(added, kinds)
    found: list[Renaming] = []
    left = _MOST_IN_ALL
    groups = sorted(((names, after.get(content, [])) for content, names in before.items()), key=_count)
    for names, others in groups:
        ambiguous = len(names) > 1 or len(others) > 1
        count = _count((names, others))
        is_told = 1 < count <= min(left, _MOST_PAIRS)
        left -= count if is_told else 0
        for name, other in _paired(names, others) if is_told else zip(names, others, strict=False):
            found.append(Renaming(name, other, form(removed[name]), ambiguous))
    order = {name: place for place, name in enumerate(removed)}
    return sorted(found, key=lambda renaming: order[renaming.before])


def _count(group: tuple[list[str], list[str]]) -> int:
    """Pairs of names in a group."""
    return len(group[0]) * len(group[1])


def _kind(tensor: Tensor) -> _Kind:
    return tensor.dtype, tensor.shape


def _by_content(tensors: Mapping[str, Tensor], kinds: set[_Kind]) -> dict[tuple[_Kind, bytes], list[str]]:
    """Type, shape and digest → names."""
    digests: dict[int, bytes] = {}
    found: dict[tuple[_Kind, bytes], list[str]] = {}
    for name, tensor in tensors.items():
        if _kind(tensor) not in kinds or tensor.dtype.kind == "o":
            continue
        if id(tensor) not in digests:  # a tensor may have several names
            digests[id(tensor)] = digest(tensor)
        found.setdefault((_kind(tensor), digests[id(tensor)]), []).append(name)
    return found


def _paired(names: Sequence[str], others: Sequence[str]) -> list[tuple[str, str]]:
    """Every name of the shorter list with one of the other, those most alike first."""
    known: dict[tuple[str, int], int] = {}
    left, right = ([_Parts.of(name, known) for name in side] for side in (names, others))
    ranked = sorted((-a.likeness(b), abs(i - j), i, j) for i, a in enumerate(left) for j, b in enumerate(right))
    found, used, taken = [], set(), set()
    for _, _, i, j in ranked:
        if i not in used and j not in taken:
            used.add(i)
            taken.add(j)
            found.append((names[i], others[j]))
    return found


class _Parts(NamedTuple):
    """The words and numbers of a name, each as a number of its own.

    Attributes:
        backwards: The parts, the last one first.
        bag: The same and how often each came before, in no order.
    """

    backwards: tuple[int, ...]
    bag: frozenset[int]

    @classmethod
    def of(cls, name: str, known: dict[tuple[str, int], int]) -> _Parts:
        """Take a name apart.

        Args:
            name: The name.
            known: Part and how often it came before in its name → its number; grows.
        """
        parts = _PART.findall(name.lower())
        seen: Counter[str] = Counter()
        bag = []
        for part in parts:
            bag.append(known.setdefault((part, seen[part]), len(known)))
            seen[part] += 1
        return cls(tuple(known[part, 0] for part in reversed(parts)), frozenset(bag))

    def likeness(self, other: _Parts) -> float:
        """From 0 to 2: the share of parts that two names have in common, and the share in which their ends agree."""
        ending = 0
        for x, y in zip(self.backwards, other.backwards, strict=False):
            if x != y:
                break
            ending += 1
        return (len(self.bag & other.bag) + ending) / max(len(self.backwards), len(other.backwards), 1)
