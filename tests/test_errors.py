"""The exception tree: exit codes, and messages that say what to do."""

import re

import pytest

from panmodel import errors


def tree(root):
    yield root
    for child in root.__subclasses__():
        yield from tree(child)


def test_every_error_is_in_the_drawing_with_its_exit_code():
    drawn = dict(re.findall(r"(\w+Error) +(\d)", errors.__doc__))
    drawn["PanmodelError"] = "3"
    assert {error.__name__: str(error.exit_code) for error in tree(errors.PanmodelError)} == drawn


def test_a_message_says_where_and_what_to_do():
    said = str(errors.CorruptError("bad bytes", where="a.ckpt at offset 3", hint="fetch it again"))
    assert said == "a.ckpt at offset 3: bad bytes\n  hint: fetch it again"


def test_advice_is_added_to_the_hint_that_is_there():
    error = errors.CorruptError("bad bytes")
    error.advise("fetch it again")
    error.advise("or ask")
    assert error.hint == "fetch it again; or ask"


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("probabilites:0", "did you mean 'probabilities:0'"),
        ("PROBABILITIES:0", "did you mean 'probabilities:0'"),
        ("zzz", "there is logits:0, probabilities:0"),
    ],
)
def test_unknown_names_suggest_the_nearest(name, said):
    assert said in str(errors.UnknownNameError("output", name, ["logits:0", "probabilities:0"]))


def test_unsupported_operators_come_in_one_list():
    found = [errors.UnsupportedOperator("Mfcc", f"node{index}") for index in range(7)]
    found.append(errors.UnsupportedOperator("Conv2D", "conv", "explicit paddings on the batch axis"))
    said = str(errors.UnsupportedOperatorsError(found, where="a.pb"))
    assert "8 node(s)" in said
    assert "Mfcc × 7" in said and "and 2 more" in said
    assert "Conv2D × 1 (explicit paddings on the batch axis): conv" in said


def test_long_lists_of_names_are_cut_off():
    assert errors.listed([]) == ""
    assert errors.listed(["a", "b"], 2) == "a, b"
    assert errors.listed(["a", "b", "c", "d"], 2) == "a, b and 2 more"
