from __future__ import annotations

import pytest

from panmodel.model.comparison import Change, Comparison, Renaming, TensorForm

FORM = TensorForm("float32", (2,))


@pytest.mark.parametrize(
    ("same", "found"),
    [
        (True, {}),
        (True, {"equal": ("w",)}),
        (True, {"changed": (Change("w", FORM, FORM, within=True),)}),
        (False, {"changed": (Change("w", FORM, FORM),)}),
        (False, {"renamed": (Renaming("a", "b", FORM),)}),
        (False, {"added": {"w": FORM}}),
        (False, {"removed": {"w": FORM}}),
        (False, {"uncompared": ("w",)}),
        (False, {"training": {"step": (1, 2)}}),
        (True, {"training": {"step": (1, None)}}),
    ],
)
def test_what_counts_as_the_same(same, found):
    comparison = Comparison("a", "b", **found)
    assert comparison.same is same
    assert comparison.to_json()["same"] is same


def test_plain_values():
    other = TensorForm("float16", (2, 1))
    change = Change("w", FORM, other, differing=1)
    plain = Comparison("a", "b", changed=(change,), renamed=(Renaming("x", "y", FORM),), added={"z": other}).to_json()
    assert plain["changed"][0]["before"] == {"dtype": "float32", "shape": [2]}
    assert plain["renamed"] == [{"before": "x", "after": "y", "dtype": "float32", "shape": [2], "ambiguous": False}]
    assert plain["added"] == [{"name": "z", "dtype": "float16", "shape": [2, 1]}]


def test_bits_alone():
    assert Change("w", FORM, FORM, differing=0, bitwise=1).bitwise_only
    assert not Change("w", FORM, FORM, differing=1, bitwise=1).bitwise_only
    assert not Change("w", FORM, TensorForm("float64", (2,)), differing=0).bitwise_only
