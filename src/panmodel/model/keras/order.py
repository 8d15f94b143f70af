"""The order that Keras has weights in, for tensors that come without one: it loads a file by layers by position.

Within a layer it is that in which the layers of Keras make their weights, those that are trained first. Between layers
it is that of the source; where the names are sorted it is lost, and numbers count by their value at least.

Source: keras/src/layers/ and keras/src/legacy/saving/legacy_h5_format.py (3.15), keras/layers/ (2.3.1)
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from panmodel.model.keras.names import natural
from panmodel.model.tensor import Tensor

#: Weights that are trained, then others, in the order of the layers that have several of them; names of the same weight
#: in other frameworks beside each other. Layers have no two of one line.
_TRAINED = (
    ("depthwise_kernel", "depthwise_weights"),
    ("pointwise_kernel", "pointwise_weights"),
    ("kernel", "weights", "weight", "w"),
    ("recurrent_kernel",),
    ("bias", "biases", "b"),
    ("gamma",),
    ("beta",),
    ("embeddings",),
    ("reverse_embeddings",),
    ("scale",),
    ("concat_score_weight",),
    ("alpha",),
)
_STATISTICS = (
    ("moving_mean", "running_mean"),
    ("moving_variance", "running_var"),
    ("mean",),
    ("variance",),
    ("count",),
    ("vector_u", "sn_u"),
    ("num_batches_tracked",),
)
_RANKS = {name: rank for rank, names in enumerate((*_TRAINED, *_STATISTICS)) for name in names}
#: Name of a weight, with the number that a second one in the same scope has.
_NAME = re.compile(r"_?(?P<kind>.+?)(_(?P<number>\d{1,9}))?(:0)?")
#: Layers within one layer, by the names that Keras gives them, in their order.
_CELL = re.compile(r"(lstm|gru|simple_rnn|conv_lstm|stacked_rnn)_cells?(_\d+)?")
_PROJECTIONS = ("query", "key", "gate", "value", "attention_output")
_DIRECTIONS = ("forward_", "backward_")


@dataclass(frozen=True, slots=True)
class Ordered:
    """Weights in the order of Keras, as far as it is known.

    Attributes:
        layers: Layer → its weights by name, both in order.
        is_sorted: The source has names in the order of their letters, so that it tells nothing of the layers.
        unknown: Names that are of no known kind, in layers that have others beside: they stay in their places.
    """

    layers: dict[str, list[str]]
    is_sorted: bool
    unknown: tuple[str, ...]


def in_order(tensors: Mapping[str, Tensor], *, is_told: bool = False) -> Ordered:
    """Put weights in the order of Keras.

    Args:
        tensors: The weights by name, in the order of the source.
        is_told: Whether that is the order in which layers were made, whatever the names.
    """
    layers: dict[str, list[str]] = {}
    owners = _Owners(tensors)
    for name in tensors:
        layers.setdefault(owners.layer_of(name), []).append(name)
    is_sorted = not is_told and _is_sorted(tensors)
    order = sorted(layers, key=natural_path) if is_sorted else list(layers)
    unknown = tuple(
        name for names in layers.values() if len(names) > 1 for name in names if _kind(name)[0] not in _RANKS
    )
    start = _model_of(layers)
    found = {layer.removeprefix(start): _in_layer(layer, layers[layer], tensors) for layer in order}
    return Ordered(found, is_sorted, unknown)


def _model_of(layers: Iterable[str]) -> str:
    """The name of the model and a slash, if they come before each of several layers: Keras has layers without it."""
    parts = [layer.partition("/") for layer in layers]
    starts = {name + slash for name, slash, _ in parts}
    return starts.pop() if len(parts) > 1 and len(starts) == 1 and all(rest for *_, rest in parts) else ""


def natural_path(path: str) -> list[list[Any]]:
    """A key that sorts paths part by part, numbers by their value."""
    return [natural(part) for part in path.split("/")]


def _is_sorted(tensors: Mapping[str, Tensor]) -> bool:
    """Whether names are sorted, or are so for each element type, as safetensors has them."""
    runs = [list(names) for _, names in groupby(tensors, key=lambda name: tensors[name].dtype.name)]
    is_by_type = len(runs) == len({tensors[names[0]].dtype.name for names in runs})
    return list(tensors) == sorted(tensors) or (is_by_type and all(names == sorted(names) for names in runs))


class _Owners:
    """Which layer a weight belongs to: that of the scope before its name, but for scopes within a layer."""

    def __init__(self, names: Iterable[str]) -> None:
        self._scopes: set[str] = set()
        self._wrappers: set[str] = set()
        for name in names:
            scope = name.rpartition("/")[0]
            if _kind(name)[0] in ("vector_u", "sn_u"):
                self._wrappers.add(scope)
            while scope and scope not in self._scopes:
                self._scopes.add(scope)
                scope = scope.rpartition("/")[0]

    def layer_of(self, name: str) -> str:
        if "/" not in name:
            return name.rpartition(".")[0] or name
        scope = name.rpartition("/")[0]
        while (parent := scope.rpartition("/")[0]) and self._is_within(parent, scope.rpartition("/")[2]):
            scope = parent
        return scope or name.rpartition(".")[0] or name

    def _is_within(self, parent: str, part: str) -> bool:
        if parent in self._wrappers or _CELL.fullmatch(part):
            return True
        if part in _PROJECTIONS:
            return all(f"{parent}/{other}" in self._scopes for other in ("query", "key", "value", "attention_output"))
        for one, other in (_DIRECTIONS, _DIRECTIONS[::-1]):
            if part.startswith(one):
                return f"{parent}/{other}{part.removeprefix(one)}" in self._scopes
        return False


def _kind(name: str) -> tuple[str, int]:
    """Last part of a name without what is added to tell it from others, and the number that was added."""
    last = name.rpartition("/")[2] if "/" in name else name.rpartition(".")[2]
    if last.removesuffix(":0") in _RANKS:
        return last.removesuffix(":0"), 0
    found = _NAME.fullmatch(last)
    return (found["kind"], int(found["number"] or 0)) if found else (last, 0)


def _in_layer(layer: str, names: Sequence[str], tensors: Mapping[str, Tensor]) -> list[str]:
    """The weights of one layer: those of known kinds in order, in the places that they have among the others."""
    scopes = dict.fromkeys(name[len(layer) : -len(_last(name))] for name in names)
    places = {scope: place for place, scope in enumerate(sorted(scopes, key=_scope_rank))}

    def rank(name: str) -> tuple[Any, ...]:
        kind, number = _kind(name)
        is_trained = _RANKS[kind] < len(_TRAINED) and tensors[name].dtype.kind not in "iu"  # those of quantized layers
        return not is_trained, places[name[len(layer) : -len(_last(name))]], number, _RANKS[kind]

    known = iter(sorted((name for name in names if _kind(name)[0] in _RANKS), key=rank))
    return [next(known) if _kind(name)[0] in _RANKS else name for name in names]


def _last(name: str) -> str:
    return name.rpartition("/")[2] if "/" in name else name.rpartition(".")[2]


def _scope_rank(scope: str) -> list[int]:
    """Where a layer within a layer is among the others; those of no known name stay as they are."""
    ranks = []
    for part in scope.strip("/").split("/"):
        directions = [place for place, start in enumerate(_DIRECTIONS) if part.startswith(start)]
        known = _PROJECTIONS.index(part) if part in _PROJECTIONS else 0
        ranks.append(directions[0] if directions else known)
    return ranks
