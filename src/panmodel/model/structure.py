"""How a file arranges its tensors beyond their names, so that a writer of the same family can put them back.

A pickled training checkpoint is made of dictionaries within each other, with numbers among the tensors; an object-based
checkpoint of TensorFlow has a graph of objects; a weights file of Keras has layers. None of that is a tensor, and all
of it is lost if tensors alone move. Containers that have room for text (safetensors) keep it as JSON.
"""

from __future__ import annotations

import importlib
import json
from collections.abc import Mapping
from typing import Any, ClassVar, Protocol, Self

from panmodel.errors import CorruptError
from panmodel.model.tensor import Tensor
from panmodel.model.training import TrainingState

#: The key under which containers keep a structure as text.
METADATA_KEY = "panmodel.structure"
#: Family → the class of its structures: the only ones that a file can name.
_FAMILIES = {
    "torch": ("panmodel.model.torch.structure", "Nested"),
    "tensorflow": ("panmodel.model.tensorflow.object_graph", "ObjectGraph"),
    "keras": ("panmodel.model.keras.structure", "LayerGroups"),
}
#: What tells a training state by names alone, one after the other, and what at least one of these names contains.
_TOLD_BY_NAMES = (
    ("", "panmodel.model.tensorflow.training", "training_state"),
    ("/iteration", "panmodel.model.keras.named_training", "told_by_paths"),
    ("optimizer/vars/0", "panmodel.model.keras.named_training", "told_by_numbers"),
    (".state.", "panmodel.model.torch.training", "told_by_names"),
)
#: Every family, for `Format.structures` of containers that keep any structure as text.
FAMILIES = frozenset(_FAMILIES)


class Structure(Protocol):
    """An arrangement of a model's tensors, which it knows by their names in `Model.tensors`."""

    family: ClassVar[str]

    def edited(self, names: Mapping[str, str], *, keep_training: bool = True) -> Self | None:
        """The arrangement after tensors were renamed or left out.

        Args:
            names: Name until now → new name; what is not in it was left out.
            keep_training: Whether numbers that belong to the training state stay.

        Returns:
            None if nothing is left that names alone do not say.
        """

    def training_state(self, tensors: Mapping[str, Tensor]) -> TrainingState | None:
        """The training state that it tells of, None if it tells of none."""

    def to_json(self) -> dict[str, Any]:
        """Everything as plain values."""

    @classmethod
    def from_json(cls, plain: dict[str, Any], tensors: Mapping[str, Tensor]) -> Self:
        """The opposite of `to_json`.

        Raises:
            CorruptError: The values are of other types, or name tensors that are not there.
        """


def training_told(tensors: Mapping[str, Tensor], structure: Structure | None) -> TrainingState | None:
    """The training state that a file tells of: by the arrangement of its tensors, or else by their names alone.

    Args:
        tensors: All of the file; only scalars are read.
        structure: Their arrangement, if there is one.
    """
    told = structure.training_state(tensors) if structure is not None else None
    for sign, module, function in _TOLD_BY_NAMES:
        if told is None and any(sign in name for name in tensors):
            told = getattr(importlib.import_module(module), function)(tensors)
    return told


def encode(structure: Structure) -> str:
    """A structure as text."""
    return json.dumps({"family": structure.family, **structure.to_json()}, separators=(",", ":"))


def decode(text: str, tensors: Mapping[str, Tensor], where: str) -> Structure:
    """The structure of a text that `encode` made.

    Args:
        text: Comes from a file and is not believed.
        tensors: The tensors of that file.
        where: The file, for messages.

    Raises:
        CorruptError: It is no such text.
    """
    try:
        plain = json.loads(text)
    except (ValueError, RecursionError):
        raise CorruptError(f"{METADATA_KEY} is no JSON", where=where) from None
    family = plain.pop("family", None) if isinstance(plain, dict) else None
    if not isinstance(family, str) or family not in _FAMILIES:
        raise CorruptError(f"{METADATA_KEY} is of no family that is known", where=where)
    module, name = _FAMILIES[family]
    cls: type[Structure] = getattr(importlib.import_module(module), name)
    return cls.from_json(plain, tensors)
