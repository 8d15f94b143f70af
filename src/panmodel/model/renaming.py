"""Tensors that go by another name in another file: found by their content, never by guess."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence

from panmodel.dtypes import DType
from panmodel.model.comparison import Renaming
from panmodel.model.tensor import Tensor
from panmodel.model.tensor_difference import digest, form

#: Pairs of names of one content that are held against each other; in larger groups names are paired in file order.
_MOST_PAIRS = 250_000
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
    for content, names in before.items():
        others = after.get(content, [])
        ambiguous = len(names) > 1 or len(others) > 1
        for name, other in _paired(names, others):
            found.append(Renaming(name, other, form(removed[name]), ambiguous))
    order = {name: place for place, name in enumerate(removed)}
    return sorted(found, key=lambda renaming: order[renaming.before])


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
    if min(len(names), len(others)) == 0 or len(names) == len(others) == 1 or len(names) * len(others) > _MOST_PAIRS:
        return list(zip(names, others, strict=False))
    parts = {name: _PART.findall(name.lower()) for name in (*names, *others)}
    counts = {name: Counter(found) for name, found in parts.items()}
    ranked = sorted(
        (-_likeness(parts[name], parts[other], counts[name], counts[other]), abs(i - j), i, j)
        for i, name in enumerate(names)
        for j, other in enumerate(others)
    )
    found, used, taken = [], set(), set()
    for _, _, i, j in ranked:
        if i not in used and j not in taken:
            used.add(i)
            taken.add(j)
            found.append((names[i], others[j]))
    return found


def _likeness(a: Sequence[str], b: Sequence[str], count_a: Counter[str], count_b: Counter[str]) -> float:
    """From 0 to 2: the share of parts that two names have in common, and the share in which their ends agree."""
    most = max(len(a), len(b), 1)
    ending = 0
    for x, y in zip(reversed(a), reversed(b), strict=False):
        if x != y:
            break
        ending += 1
    return ((count_a & count_b).total() + ending) / most
