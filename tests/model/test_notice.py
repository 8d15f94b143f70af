"""What a conversion could not carry, for people and for programs."""

import json

import pytest

from panmodel.model import notice
from panmodel.model.notice import Notice, TrainingStateLost

KINDS = [value for value in vars(notice).values() if isinstance(value, type) and issubclass(value, Notice)]


@pytest.mark.parametrize(
    ("names", "text"),
    [
        ((), "slots are lost"),
        (("a",), "slots are lost: a"),
        (tuple("abcde"), "slots are lost: a, b, c, d, e"),
        (tuple("abcdefg"), "slots are lost: a, b, c, d, e and 2 more"),
    ],
)
def test_a_person_reads_the_first_names(names, text):
    assert str(TrainingStateLost("slots are lost", names)) == text


def test_a_program_gets_all_of_them():
    plain = TrainingStateLost("slots are lost", tuple("abcdefg")).to_json()
    assert json.loads(json.dumps(plain)) == {
        "kind": "training-state-lost", "detail": "slots are lost", "names": list("abcdefg"),
    }  # fmt: skip


def test_each_class_has_a_kind_of_its_own():
    kinds = [kind.kind for kind in KINDS]
    assert len(KINDS) > 5 and len(set(kinds)) == len(kinds)
    assert all(kind(f"said by {kind.kind}").to_json()["kind"] == kind.kind for kind in KINDS)


def test_equal_notices_are_equal():
    assert TrainingStateLost("a", ("x",)) == TrainingStateLost("a", ("x",)) != Notice("a", ("x",))
    assert len({Notice("a"), Notice("a")}) == 1
