"""Two models tensor by tensor: what was added, removed, renamed or changed, across formats."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from panmodel.edits import chosen, several
from panmodel.formats import PathLike, read
from panmodel.model.comparison import Change, Comparison, Renaming, TensorForm
from panmodel.model.model import Model
from panmodel.model.renaming import find_renamings
from panmodel.model.tensor import Tensor
from panmodel.model.tensor_difference import difference, form, require_tolerances
from panmodel.model.training import TrainingState

Tensors = Mapping[str, Tensor]
#: Told how many bytes are compared, and how many there are.
Progress = Callable[[int, int], None]


def diff(
    a: PathLike | Model,
    b: PathLike | Model,
    *,
    rtol: float = 0.0,
    atol: float = 0.0,
    include: str | Sequence[str] = (),
    exclude: str | Sequence[str] = (),
    progress: Progress | None = None,
) -> Comparison:
    """Compare the tensors of two models, whatever their formats; graphs are not looked at.

    Tensors are read in pieces, so that models of any size can be compared. Without tolerances they must be the same
    bit for bit; with them, |a - b| <= atol + rtol * |b| must hold for every element.

    Args:
        a: The one: what `read` opens, or a model.
        b: The other.
        rtol: Relative tolerance.
        atol: Absolute tolerance.
        include: Patterns; only tensors whose names meet one are compared.
        exclude: Patterns; tensors whose names meet one are not compared.
        progress: Told how many bytes of A are compared with tensors of the same name, and how many there are.

    Raises:
        ReadError: A file cannot be read, or is damaged.
        UnknownNameError: A pattern meets no name.
        UsageError: A tolerance is negative, or no number.
    """
    require_tolerances(rtol, atol)
    first, second = (given if isinstance(given, Model) else read(given) for given in (a, b))
    where = " and ".join(dict.fromkeys(filter(None, (first.source, second.source))))
    kept, left = several(include, "include"), several(exclude, "exclude")
    wanted = chosen({**first.tensors, **second.tensors}, kept, left, where)
    one, other = ({n: t for n, t in model.tensors.items() if n in wanted} for model in (first, second))
    before, after = _without_parts(one, other), _without_parts(other, one)
    shared = {name: (tensor, after[name]) for name, tensor in before.items() if name in after}
    closed = {n for n, (a, b) in shared.items() if not (_is_open(a) or _is_open(b)) or not a.is_complete}
    changes = _changes({name: pair for name, pair in shared.items() if name not in closed}, rtol, atol, progress)
    renamed, removed, added = _apart(before, after)
    return Comparison(
        first.source,
        second.source,
        rtol,
        atol,
        equal=tuple(name for name, change in changes.items() if change is None),
        changed=tuple(change for change in changes.values() if change is not None),
        renamed=tuple(renamed),
        removed=removed,
        added=added,
        uncompared=tuple(name for name in shared if name in closed),
        training=_training(first.training, second.training),
    )


def _without_parts(tensors: Tensors, others: Tensors) -> Tensors:
    """Without those that are there in part alone, where the other model has the whole."""
    return {n: t for n, t in tensors.items() if t.is_complete or n not in others or not others[n].is_complete}


def _is_open(tensor: Tensor) -> bool:
    """Whether the elements are of a type that can be decoded."""
    return tensor.dtype.kind != "o"


def _apart(before: Tensors, after: Tensors) -> tuple[list[Renaming], dict[str, TensorForm], dict[str, TensorForm]]:
    """Of the names that one model alone has: those that were renamed, those of the first and those of the second."""
    removed = {name: tensor for name, tensor in before.items() if name not in after}
    added = {name: tensor for name, tensor in after.items() if name not in before}
    renamed = find_renamings(*({n: t for n, t in side.items() if t.is_complete} for side in (removed, added)))
    gone, come = {item.before for item in renamed}, {item.after for item in renamed}
    return (
        renamed,
        {name: form(tensor) for name, tensor in removed.items() if name not in gone},
        {name: form(tensor) for name, tensor in added.items() if name not in come},
    )


def _changes(
    shared: Mapping[str, tuple[Tensor, Tensor]], rtol: float, atol: float, progress: Progress | None
) -> dict[str, Change | None]:
    """How tensors of the same name differ; pairs that several names stand for are read once."""
    done, total = 0, sum(a.nbytes for a, _ in shared.values())
    known: dict[tuple[int, int], Change | None] = {}
    found: dict[str, Change | None] = {}
    for name, (a, b) in shared.items():
        key = (id(a), id(b))
        if key not in known:
            known[key] = difference(name, a, b, rtol, atol)
        change = known[key]
        found[name] = replace(change, name=name) if change is not None else None
        done += a.nbytes
        if progress is not None:
            progress(done, total)
    return found


def _training(a: TrainingState | None, b: TrainingState | None) -> dict[str, tuple[Any, Any]]:
    """What two training states say differently."""
    said, other = _said(a), _said(b)
    pairs = {key: (said.get(key), other.get(key)) for key in (*said, *other)}
    return {key: pair for key, pair in pairs.items() if not _is_same(*pair)}


def _said(state: TrainingState | None) -> dict[str, Any]:
    if state is None:
        return {}
    said = {"step": state.step, "epoch": state.epoch, "loss": state.loss, "optimizer": state.optimizer or None}
    said |= {f"hyperparameters.{key}": _plain(value) for key, value in state.hyperparameters.items()}
    return {key: value for key, value in said.items() if value is not None}


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return value if isinstance(value, (str, int, float, bool, type(None))) else str(value)


def _is_same(a: Any, b: Any) -> bool:
    return bool(a == b) or (a != a and b != b)  # a loss that is NaN in both is no difference
