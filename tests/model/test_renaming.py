from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from panmodel.dtypes import FLOAT32
from panmodel.model import renaming
from panmodel.model.renaming import find_renamings
from panmodel.model.tensor import ArrayTensor, DeferredTensor, Tensor


def tensors(**values: object) -> dict[str, Tensor]:
    return {name.replace("_", "."): ArrayTensor(np.array(value)) for name, value in values.items()}


def pairs(removed: dict[str, Tensor], added: dict[str, Tensor]) -> list[tuple[str, str, bool]]:
    return [(found.before, found.after, found.ambiguous) for found in find_renamings(removed, added)]


def test_content_tells():
    assert pairs(tensors(a=[1.0], b=[2.0]), tensors(x=[2.0], y=[1.0])) == [("a", "y", False), ("b", "x", False)]


def test_type_and_shape_must_be_the_same():
    assert pairs(tensors(a=[0.0]), tensors(x=[0], y=0.0, z=[0.0, 0.0])) == []


def test_equal_contents_go_by_likeness_and_are_marked():
    removed = tensors(layer1_bn_mean=[0.0, 0.0], layer1_bias=[0.0, 0.0], layer2_bias=[0.0, 0.0])
    added = tensors(block2_bias=[0.0, 0.0], block1_bias=[0.0, 0.0], block1_norm_mean=[0.0, 0.0])
    assert pairs(removed, added) == [
        ("layer1.bn.mean", "block1.norm.mean", True),
        ("layer1.bias", "block1.bias", True),
        ("layer2.bias", "block2.bias", True),
    ]


def test_what_is_left_of_a_group_is_not_renamed():
    assert pairs(tensors(a_bias=[0.0]), tensors(x=[0.0], b_bias=[0.0])) == [("a.bias", "b.bias", True)]


def test_large_groups_do_not_take_long():
    removed = {f"a{i}": ArrayTensor(np.zeros(1)) for i in range(2000)}
    added = {f"b{i}": ArrayTensor(np.zeros(1)) for i in range(2000)}
    assert pairs(removed, added)[7] == ("a7", "b7", True)


def test_only_candidates_are_read():
    def load() -> np.ndarray:
        raise AssertionError

    unread = {"a": DeferredTensor("a", FLOAT32, (3,), load)}
    assert pairs(unread, tensors(b=[1.0])) == []


@given(st.sets(st.text(max_size=5), min_size=1, max_size=8), st.randoms())
def test_any_renaming_is_found(names, chance):
    ordered = sorted(names)
    removed = {name: ArrayTensor(np.array([place])) for place, name in enumerate(ordered)}
    shuffled = chance.sample(ordered, len(ordered))
    added = {f"new {name}": removed[name] for name in shuffled}
    assert pairs(removed, added) == [(name, f"new {name}", False) for name in ordered]


def test_many_groups_do_not_take_long(monkeypatch):
    asked = []
    likeness = renaming._Parts.likeness
    monkeypatch.setattr(renaming, "_MOST_IN_ALL", 40)
    monkeypatch.setattr(renaming._Parts, "likeness", lambda a, b: asked.append(1) or likeness(a, b))
    removed = {f"a.{i}": ArrayTensor(np.array(i // 3)) for i in range(30)}
    added = {f"b.{i}": ArrayTensor(np.array(i // 3)) for i in reversed(range(30))}
    found = pairs(removed, added)
    assert len(asked) == 36
    assert found[:12] == [(f"a.{i}", f"b.{i}", True) for i in range(12)]
    assert found[12:15] == [("a.12", "b.14", True), ("a.13", "b.13", True), ("a.14", "b.12", True)]
    assert len(found) == 30
