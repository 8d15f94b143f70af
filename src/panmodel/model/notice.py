"""What a conversion could not carry, as values that a program can ask for rather than lines of a log."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, ClassVar

from panmodel.errors import listed


@dataclass(frozen=True, slots=True)
class Notice:
    """One thing lost or changed; `str` says it to a person.

    Attributes:
        detail: What happened, in words.
        names: The tensors, nodes or keys that it happened to.
    """

    kind: ClassVar[str] = "notice"

    detail: str
    names: tuple[str, ...] = ()

    def __str__(self) -> str:
        shown = listed(self.names)
        return f"{self.detail}: {shown}" if shown else self.detail

    def to_json(self) -> dict[str, Any]:
        """The notice with its kind, for `--json`."""
        return {"kind": self.kind, **asdict(self)}


class TrainingStateLost(Notice):
    """Optimizer slots, step or epoch that the target does not hold."""

    kind = "training-state-lost"


class MetadataLost(Notice):
    """Metadata that the target has no place for."""

    kind = "metadata-lost"


class TensorsUnused(Notice):
    """Stored tensors that the converted graph does not use."""

    kind = "tensors-unused"


class TensorsIncomplete(Notice):
    """Tensors that are listed and cannot be read: the file holds only a part of them, or no elements of a model."""

    kind = "tensors-incomplete"


class GraphLost(Notice):
    """A graph that the target, which holds weights alone, does not keep."""

    kind = "graph-lost"


class Assumed(Notice):
    """Something that the file leaves open, and what was taken for it."""

    kind = "assumed"


class SlotsUnassigned(Notice):
    """Optimizer slots of which the file leaves open whose they are: they are kept, under the optimizer's numbers."""

    kind = "slots-unassigned"


class Cast(Notice):
    """Elements that were rounded to another type."""

    kind = "cast"


class TiesLost(Notice):
    """Tensors of several names that the target stores once for each name."""

    kind = "ties-lost"


class StructureLost(Notice):
    """An arrangement of the tensors, and the values beside them, that the target has no place for."""

    kind = "structure-lost"


class ReadOtherwise(Notice):
    """What the software that the target is for does not load as it is, though panmodel reads it back."""

    kind = "read-otherwise"
