from __future__ import annotations

import pytest

from panmodel.model.torch.containers import has_more_attributes, key_names, key_text, kind_of, nested_lists, versions
from panmodel.wire.pickle import Dictionary, Global, Object
from panmodel.wire.torch_records import Listed, PlainValue, Sizes, TorchValue


def test_arrays_are_lists_within_each_other() -> None:
    assert nested_lists([1, 2, 3, 4, 5, 6], (3, 2)) == [[1, 2], [3, 4], [5, 6]]
    assert nested_lists([7], ()) == 7
    assert nested_lists([], (0, 3)) == []


@pytest.mark.parametrize(
    ("key", "text"),
    [
        (b"fc.weight", "fc.weight"),
        (b"\xff", "\u00ff"),
        ((1, "a"), "1, 'a'"),
        (Object(Global("my.nets", "Colour"), ("red",)), "red"),
        (TorchValue("device", "cuda:0"), "cuda:0"),
        (PlainValue("pathlib.Path", "runs/1"), "runs/1"),
        (Global("torch", "float16"), "torch.float16"),
    ],
)
def test_keys_have_a_text(key: object, text: str) -> None:
    assert key_text(key) == text


def test_keys_stay_apart() -> None:
    assert key_names([b"w", "w", 0, "0", True, None]) == ["w 0", "w", 0, "0", True, None]
    assert key_names([(1,), Global("a", "b"), Global("a", "b"), "a.b 2"]) == ["1", "a.b", "a.b 2 2", "a.b 2"]
    assert key_names(["lr", "lr", 0, 0]) == ["lr", "lr 1", 0, "0 3"]


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        ([], "list"),
        ((), "tuple"),
        (set(), "set"),
        (frozenset(), "frozenset"),
        (Sizes((1,)), "Size"),
        (Listed("deque"), "deque"),
    ],
)
def test_containers_have_a_kind(value: object, kind: str) -> None:
    assert kind_of(value) == kind


def test_versions_of_modules_are_kept_and_nothing_else() -> None:
    made = Dictionary()
    assert versions(made) is None and not has_more_attributes(made) and not has_more_attributes({})
    made.attributes["_metadata"] = Dictionary({"": {"version": 1}, "bn": {}})
    assert versions(made) == {"": {"version": 1}, "bn": {}} and not has_more_attributes(made)
    for attributes in ({"more": 1}, {"_metadata": {"": {"version": []}}}, {"_metadata": {3: {}}}, {"_metadata": 1}):
        made.attributes = dict(attributes)
        assert has_more_attributes(made)
