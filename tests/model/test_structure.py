"""A structure as text in the metadata of a container."""

import json
from dataclasses import dataclass
from typing import ClassVar

import pytest

from panmodel.errors import CorruptError
from panmodel.model import structure


@dataclass
class Pairs:
    family: ClassVar[str] = "torch"
    pairs: dict

    def to_json(self):
        return {"pairs": self.pairs}

    @classmethod
    def from_json(cls, plain, tensors):
        return cls(plain["pairs"])


def test_a_structure_survives_as_text(monkeypatch):
    monkeypatch.setitem(structure._FAMILIES, "torch", (__name__, "Pairs"))
    monkeypatch.setattr(
        structure.importlib, "import_module", lambda name: __import__("types").SimpleNamespace(Pairs=Pairs)
    )
    text = structure.encode(Pairs({"a": 1}))
    assert json.loads(text) == {"family": "torch", "pairs": {"a": 1}}
    assert structure.decode(text, {}, "here") == Pairs({"a": 1})


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"family": "os"}', '{"family": ["torch"]}', "{" * 10, "[" * 100_000, "null"]
)
def test_other_text_is_refused(text):
    with pytest.raises(CorruptError, match=r"panmodel\.structure") as raised:
        structure.decode(text, {}, "file")
    assert raised.value.where == "file"
