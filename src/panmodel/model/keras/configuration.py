"""How a model was compiled: the kind of its optimizer and what it was made with.

Source: keras/src/legacy/saving/saving_utils.py, keras/src/trainers/compile_utils.py (3.15), keras/optimizers.py (2.3.1)
"""

from __future__ import annotations

import json
from typing import Any

from panmodel.model.keras.structure import COMPILE_CONFIG, CONFIG, TRAINING_CONFIG, LayerGroups, Layout
from panmodel.model.training import optimizer_kind

#: Kinds of optimizers of Keras 3, as a file without a configuration may name one.
_KINDS = frozenset(
    ["sgd", "lion", "rmsprop", "adagrad", "adadelta", "adam", "adamw", "lamb", "nadam", "adamax", "ftrl", "muon",
     "adafactor"]
)  # fmt: skip


def optimizer_of(structure: LayerGroups) -> tuple[str, dict[str, Any]]:
    """Kind of the optimizer in lower case (empty if unknown) and its numbers and texts."""
    root = structure.groups.get("")
    training = parsed(root.attributes.get(TRAINING_CONFIG) if root else None)
    config = training.get("optimizer_config") or training.get("optimizer")
    if config is None:
        compiled = parsed(structure.documents.get(CONFIG)).get(COMPILE_CONFIG)
        config = compiled.get("optimizer") if isinstance(compiled, dict) else None
    if isinstance(config, str):
        return optimizer_kind(config), {}
    while isinstance(config, dict):
        name, inner = config.get("class_name"), config.get("config")
        if not isinstance(name, str) or not isinstance(inner, dict):
            break
        if isinstance(inner.get("inner_optimizer"), dict):  # one that scales the loss, around the one that trains
            config = inner["inner_optimizer"]
            continue
        numbers = {key: value for key, value in inner.items() if isinstance(value, bool | int | float | str)}
        return optimizer_kind(name.rpartition(">")[2]), numbers
    return _named(structure), {}


def _named(structure: LayerGroups) -> str:
    """The kind of an optimizer that has the name that Keras 3 gives one of its kind; else empty."""
    if structure.layout is not Layout.VARIABLES:
        return ""
    for path in (f"{structure.optimizer_group}/inner_optimizer/vars", f"{structure.optimizer_group}/vars"):
        record = structure.groups.get(path)
        said = record.attributes.get("name") if record else None
        if isinstance(said, str) and optimizer_kind(said) in _KINDS:
            return optimizer_kind(said)
    return ""


def parsed(text: object) -> dict[str, Any]:
    """A configuration in JSON; empty if it is none."""
    try:
        plain = json.loads(text) if isinstance(text, str) else None
    except (ValueError, RecursionError):
        return {}
    return plain if isinstance(plain, dict) else {}
