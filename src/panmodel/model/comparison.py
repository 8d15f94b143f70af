"""What a comparison of two models' tensors found, as values: the command line prints them, programs read them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class TensorForm:
    """Element type and dimensions of a tensor."""

    dtype: str
    shape: tuple[int, ...]

    def __str__(self) -> str:
        return f"{self.dtype}{list(self.shape)}"

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {"dtype": self.dtype, "shape": list(self.shape)}


@dataclass(frozen=True, slots=True)
class Change:
    """A tensor that both models have, and that is not bit for bit the same in both.

    Numbers are None where they cannot be told: of tensors of unlike shapes, and of strings (which are only counted).

    Attributes:
        name: Its name in both.
        before: What it is in the first model.
        after: What it is in the second.
        differing: Elements whose values differ; a NaN equals a NaN, and -0.0 equals 0.0.
        bitwise: Elements of equal value and unlike bits: zeros of two signs, NaNs of two payloads.
        nans: Elements that are NaN in one model only; they count as differing, and in no other number here.
        max_absolute: Largest |before - after|.
        max_relative: Largest |before - after| / |after| over elements of `after` that are not zero.
        cosine: Cosine of the angle between both, taken as vectors, over elements that are finite in both.
        within: Whether type and shape are the same and |before - after| <= atol + rtol * |after| holds everywhere.
            Without tolerances nothing that has unlike bits is within them.
    """

    name: str
    before: TensorForm
    after: TensorForm
    differing: int | None = None
    bitwise: int = 0
    nans: int = 0
    max_absolute: float | None = None
    max_relative: float | None = None
    cosine: float | None = None
    within: bool = False

    @property
    def bitwise_only(self) -> bool:
        """Whether every value is the same, and only bits differ."""
        return self.differing == 0 and self.before == self.after

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        plain = {name: getattr(self, name) for name in self.__dataclass_fields__}
        return {**plain, "before": self.before.to_json(), "after": self.after.to_json()}


@dataclass(frozen=True, slots=True)
class Renaming:
    """A tensor of the same content, type and shape under another name.

    Attributes:
        before: Its name in the first model.
        after: Its name in the second.
        form: Type and shape.
        ambiguous: Other unmatched tensors have the same content, zeros for instance: the names that are most alike
            were put together, which may not be what was meant.
    """

    before: str
    after: str
    form: TensorForm
    ambiguous: bool = False

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {"before": self.before, "after": self.after, **self.form.to_json(), "ambiguous": self.ambiguous}


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two models, tensor by tensor.

    Attributes:
        first: Path of the first model.
        second: Path of the second.
        rtol: Relative tolerance.
        atol: Absolute tolerance.
        equal: Names of the tensors that are bit for bit the same.
        changed: Tensors of both that are not, in the order of the first model.
        renamed: Tensors that have another name.
        removed: Tensors of the first model alone.
        added: Tensors of the second model alone.
        uncompared: Names of tensors of both whose elements no file holds (resources, variants).
        training: What the training states say differently, such as "step": value in the first model and in the second;
            None where one does not say.
    """

    first: str
    second: str
    rtol: float = 0.0
    atol: float = 0.0
    equal: tuple[str, ...] = ()
    changed: tuple[Change, ...] = ()
    renamed: tuple[Renaming, ...] = ()
    removed: Mapping[str, TensorForm] = field(default_factory=dict)
    added: Mapping[str, TensorForm] = field(default_factory=dict)
    uncompared: tuple[str, ...] = ()
    training: Mapping[str, tuple[Any, Any]] = field(default_factory=dict)

    @property
    def same(self) -> bool:
        """Whether names are the same and values within the tolerances, and no training states contradict each other.

        What one of the training states does not say at all, because its format has no place for it, is no
        contradiction.
        """
        contradicting = any(None not in pair for pair in self.training.values())
        unlike = any(not change.within for change in self.changed)
        return not (contradicting or unlike or self.renamed or self.removed or self.added or self.uncompared)

    def to_json(self) -> dict[str, Any]:
        """Everything as plain values."""
        return {
            "first": self.first,
            "second": self.second,
            "rtol": self.rtol,
            "atol": self.atol,
            "same": self.same,
            "equal": list(self.equal),
            "changed": [change.to_json() for change in self.changed],
            "renamed": [renaming.to_json() for renaming in self.renamed],
            "removed": [{"name": name, **form.to_json()} for name, form in self.removed.items()],
            "added": [{"name": name, **form.to_json()} for name, form in self.added.items()],
            "uncompared": list(self.uncompared),
            "training": {key: list(pair) for key, pair in self.training.items()},
        }
