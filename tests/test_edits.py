"""Which tensors move, under what names, as what type."""

import fnmatch
import json
import os

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from panmodel.edits import chosen, edits, literal
from panmodel.errors import UnknownNameError, UsageError
from panmodel.model.aliases import AliasedTensors
from panmodel.model.model import Model
from panmodel.model.notice import Cast
from panmodel.model.tensor import ArrayTensor
from panmodel.model.training import TrainingState


def model(*names, training=()):
    tensors = {name: ArrayTensor(np.full(3, index, np.float32), name) for index, name in enumerate(names)}
    slots = {"w": {slot: tensors[name] for slot, name in training if name in tensors}} if training else {}
    state = TrainingState(step=3, slots=slots, names=frozenset(name for _, name in training)) if training else None
    return Model("any", tensors=tensors, training=state, source="file")


def after(given, **words):
    return list(edits(**words).apply(given).tensors)


@pytest.mark.parametrize(
    ("rules", "found"),
    [
        (["enc/0/w=first"], ["first", "enc/1/w", "head.b"]),
        (["enc/*/w=layers.*.weight"], ["layers.0.weight", "layers.1.weight", "head.b"]),
        (["enc/?/*=*_*"], ["0_w", "1_w", "head.b"]),
        (["*=model.*"], ["model.enc/0/w", "model.enc/1/w", "model.head.b"]),
        (["s/enc\\.?/e/"], ["e/0/w", "e/1/w", "head.b"]),
        (["s|enc/(\\d)|block\\1|"], ["block0/w", "block1/w", "head.b"]),
        (["s/enc\\/(\\d)/layer\\/\\1/g"], ["layer/0/w", "layer/1/w", "head.b"]),
        (["s|enc|a\\|b|"], ["a|b/0/w", "a|b/1/w", "head.b"]),
        (["s/\\.b$//"], ["enc/0/w", "enc/1/w", "head"]),
        (["enc/*=a/*", "a/[01]/w=b*"], ["b0", "b1", "head.b"]),
        ({"head.b": "bias"}, ["enc/0/w", "enc/1/w", "bias"]),
        ("head.b=bias", ["enc/0/w", "enc/1/w", "bias"]),
    ],
)
def test_rules_for_new_names(rules, found):
    assert after(model("enc/0/w", "enc/1/w", "head.b"), rename=rules) == found


def test_rules_come_from_files(tmp_path):
    (tmp_path / "rules.txt").write_text("# the encoder\nenc/*=e/*\n\ns/b$/bias/\n")
    (tmp_path / "rules.json").write_text(json.dumps({"e/w": "weight"}))
    names = [str(tmp_path / "rules.txt"), str(tmp_path / "rules.json")]
    assert after(model("enc/w", "b"), rename=names) == ["weight", "bias"]


def test_rules_come_from_pipes():
    reading, writing = os.pipe()
    os.write(writing, b"a=b\n")
    os.close(writing)
    assert after(model("a"), rename=[f"/dev/fd/{reading}"]) == ["b"]
    os.close(reading)


@pytest.mark.parametrize(
    ("rule", "said"),
    [
        ("nowhere.txt", "neither a rule"),
        ("", "no rule"),
        ("s/a/b", "neither a rule"),
        ("s/a/b/c/", "neither a rule"),
        ("=a", "no rule"),
        ("a=", "no rule"),
        ("a*=b**", "more \\*"),
        ("s/(/a/", "no rule"),
        ("s/a/\\2/", "no rule"),
    ],
)
def test_what_is_no_rule(rule, said):
    with pytest.raises(UsageError, match=said):
        edits(rename=[rule])


def test_what_is_wrong_in_a_file_of_rules_is_said_with_its_line(tmp_path):
    (tmp_path / "rules.txt").write_text("# names\na=b\ns/(/a/\n")
    with pytest.raises(UsageError, match="missing") as raised:
        edits(rename=[str(tmp_path / "rules.txt")])
    assert raised.value.where == f"{tmp_path / 'rules.txt'}, line 3"


@pytest.mark.parametrize("data", [b"\xff\xfea=b", b"a=b\n" * (17 << 20)], ids=["no text", "too long"])
@pytest.mark.parametrize("name", ["rules.txt", "rules.json"])
def test_what_is_no_text_is_no_file_of_rules(tmp_path, name, data):
    (tmp_path / name).write_bytes(data)
    with pytest.raises(UsageError, match="is no file of rules"):
        edits(rename=[str(tmp_path / name)])


def test_editors_may_mark_text_as_utf8(tmp_path):
    (tmp_path / "rules.txt").write_text("ä=b", encoding="utf-8-sig")
    assert after(model("ä"), rename=[str(tmp_path / "rules.txt")]) == ["b"]


@pytest.mark.parametrize("rules", [["a=b", "a=c"], ["s/^c/d/"], {"c": "d"}, "rules.txt"])
def test_rules_that_meet_no_name_are_said(tmp_path, monkeypatch, rules):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "rules.txt").write_text("c=d\ne=f\n")
    with pytest.raises(UsageError, match="meets the name of no tensor"):
        after(model("a"), rename=rules)


@pytest.mark.parametrize("text", ["[1]", '{"a": 1}', '{"a": ""}', "{", "[" * 200_000])
def test_what_is_no_file_of_rules(tmp_path, text):
    (tmp_path / "rules.json").write_text(text)
    with pytest.raises(UsageError, match=r"rules\.json"):
        edits(rename=[str(tmp_path / "rules.json")])


@pytest.mark.parametrize("rules", ["w=", {"w": ""}, "s/w//", "w*=*", ["w=v", "s/v//"]])
def test_a_name_is_never_empty(rules):
    with pytest.raises(UsageError, match=r"no rule|cannot be renamed ''|would have no name"):
        after(model("w"), rename=rules)


def test_a_tensor_without_a_name_may_stay_so():
    assert after(model("", "w"), rename="w=v") == ["", "v"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ({"rename": 5}, "rename: neither"),
        ({"rename": None}, "rename: neither"),
        ({"rename": [5]}, "rename: neither"),
        ({"rename": {"x": 5}}, "'x' cannot be renamed 5"),
        ({"rename": {5: "x"}}, "5 cannot be renamed 'x'"),
        ({"include": 5}, "include: neither"),
        ({"exclude": [b"x"]}, "exclude: neither"),
        ({"dtype": 5}, "no floating-point type named '5'"),
        ({"dtype": ""}, "no floating-point type named ''"),
    ],
)
def test_arguments_of_wrong_types_are_named(words, said):
    with pytest.raises(UsageError, match=said):
        edits(**words)


def test_names_may_come_one_after_the_other():
    assert after(model("a", "b", "c"), include=(name for name in "ab"), rename=iter(["a=d"])) == ["d", "b"]


def test_two_tensors_do_not_come_to_have_one_name():
    with pytest.raises(UsageError, match="'a' and 'b' would both be named 'c'"):
        after(model("a", "b"), rename=["?=c"])


def test_names_are_taken_and_left_out():
    given = model("enc/w", "enc/b", "head/w")
    assert after(given, include=["enc/*"]) == ["enc/w", "enc/b"]
    assert after(given, exclude=["*/b"]) == ["enc/w", "head/w"]
    assert after(given, include=["enc/*"], exclude=["enc/b"]) == ["enc/w"]


def test_a_pattern_that_meets_nothing_is_a_mistake():
    with pytest.raises(UnknownNameError, match="encoder"):
        after(model("enc/w"), include=["encoder/*"])
    with pytest.raises(UsageError, match="no tensor is left"):
        after(model("enc/w"), exclude=["*"])


def test_the_training_state_goes_along():
    given = model("w", "w/m", "w/v", "step", training=[("m", "w/m"), ("v", "w/v"), ("", "step")])
    kept = edits(exclude=["w/v"], rename=["w*=x*"]).apply(given)
    assert list(kept.training.slots["x"]) == ["m", ""]
    assert kept.training.names == {"x/m", "step"}
    assert kept.training.step == 3
    dropped = edits(drop_training=True).apply(given)
    assert list(dropped.tensors) == ["w"] and dropped.training is None
    assert list(given.tensors) == ["w", "w/m", "w/v", "step"]


def test_weights_are_rounded_and_training_is_not():
    given = model("w", "w/m", training=[("m", "w/m")])
    given.tensors["n"] = ArrayTensor(np.arange(3), "n")
    given.tensors["tied"] = given.tensors["w"]
    cast = edits(dtype="float16").apply(given)
    assert {name: tensor.dtype.name for name, tensor in cast.tensors.items()} == {
        "w": "float16",
        "w/m": "float32",
        "n": "int64",
        "tied": "float16",
    }
    assert cast.tensors["w"] is cast.tensors["tied"]
    [notice] = cast.notices
    assert isinstance(notice, Cast) and notice.names == ("w", "tied")
    assert edits(dtype="float64").apply(given).notices == []  # nothing is lost


@pytest.mark.parametrize("name", ["float17", "int8", "string"])
def test_only_floating_point_types_are_rounded_to(name):
    with pytest.raises(UnknownNameError):
        edits(dtype=name)


def test_names_tells_what_goes_under_another_one():
    given = model("a", "b")
    assert edits(rename=["a=c"]).names(given) == {"a": "c"}
    assert edits(include=["a"]).names(given) == {}


def test_patterns_meet_the_names_that_are_listed():
    known = AliasedTensors(model("listed").tensors, {"other": "listed"}.get)
    assert chosen(known, ["listed"], (), "") == {"listed"}
    with pytest.raises(UnknownNameError, match="'other'"):
        chosen(known, ["other"], (), "")


@given(st.text(min_size=1))
def test_a_literal_pattern_meets_its_own_name_alone(name):
    assert chosen([name, name + "x"], [literal(name)], (), "") == {name}


@given(st.text("ab![]^-*?\\", min_size=1), st.text("ab![]^-*?\\"))
@example("[^a]", "b")
@example("[a!]", "!")
@example("[b-a]", "a")
def test_rules_and_choices_mean_the_same_by_a_pattern(pattern, name):
    (rule,) = edits(rename=f"{pattern}=new").rules
    assert (rule.apply(name) == "new") == fnmatch.fnmatchcase(name, pattern)


@given(st.lists(st.text(min_size=1), unique=True, min_size=1))
def test_a_wildcard_gives_every_name_back(names):
    assert after(model(*names), rename=["*=*"]) == names


def test_numbers_go_with_their_tensors():
    tensors = {name: ArrayTensor(np.array(value), name) for name, value in (("w", 1.5), ("step", 7), ("rate", 0.25))}
    state = TrainingState(
        step=7, epoch=2, hyperparameters={"rate": 0.25, "betas": [1, 2]}, names=frozenset({"step", "rate"})
    )
    given = Model("any", tensors=tensors, training=state)
    left = edits(exclude=["step"]).apply(given).training
    assert (left.step, left.epoch, left.hyperparameters) == (None, 2, {"rate": 0.25, "betas": [1, 2]})
    left = edits(include=["w", "step"]).apply(given).training
    assert (left.step, left.hyperparameters) == (7, {"betas": [1, 2]})
