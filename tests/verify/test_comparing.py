"""Two models on the same inputs; the subjects and differences have tests of their own."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from tests.cli.calling import CHECKPOINT, RECORDED

import panmodel as pm
from panmodel.dtypes import FLOAT32
from panmodel.errors import UsageError
from panmodel.model.builder import Builder
from panmodel.model.model import Model
from panmodel.verify import comparing
from panmodel.verify.subjects import Recorded

KEYWORDS = {"seed": 0, "rtol": 1e-3, "atol": 1e-4, "layers": False}


def test_recorded_answers_bring_their_inputs(tmp_path):
    pm.convert(CHECKPOINT, tmp_path / "a.onnx")
    shutil.copy(RECORDED, tmp_path / "answers.bin")
    found = comparing.files(tmp_path / "a.onnx", tmp_path / "answers.bin", None, **KEYWORDS)
    assert found.same and found.inputs == "the inputs given"


def test_answers_are_told_by_content(tmp_path):
    pm.convert(CHECKPOINT, tmp_path / "a.onnx")
    (tmp_path / "a.onnx").rename(tmp_path / "a.npz")
    assert comparing.files(tmp_path / "a.npz", CHECKPOINT, None, **KEYWORDS).same


def test_models_in_memory_meet_the_same_random_numbers(tmp_path):
    pm.convert(CHECKPOINT, tmp_path / "a.onnx")
    one, other = pm.read(tmp_path / "a.onnx"), pm.read(tmp_path / "a.onnx")
    found = comparing.models(one, other, None, **KEYWORDS)
    assert found.same and found.max_absolute == 0.0 and "0" in found.inputs
    images = np.zeros((2, 8, 8, 1), np.float32)
    assert comparing.models(one, other, {"images:0": images}, **KEYWORDS).inputs == "the inputs given"


def two_of(*outputs):
    """A graph that computes y and z, of which some are its outputs."""
    build = Builder()
    x = build.input("x", FLOAT32, (2,))
    found = {"y": build.op("Neg", x)}
    build.rename(found["y"], "y")
    found["z"] = build.op("Mul", found["y"], build.constant(np.float32(2)))
    build.rename(found["z"], "z")
    for name in outputs:
        build.output(name, found[name])
    return Model("onnx", build.graph())


@pytest.mark.parametrize(
    ("first", "second", "said"),
    [
        ("yz", "yz", [("y", ""), ("z", "")]),
        ("yz", "y", [("y", ""), ("z", "only in A")]),
        ("y", "yz", [("y", ""), ("z", "only in B")]),
    ],
)
def test_an_output_that_one_side_lacks_is_a_difference(first, second, said):
    found = comparing.models(two_of(*first), two_of(*second), None, **KEYWORDS)
    assert [(output.name, output.detail) for output in found.outputs] == said
    assert found.same is (first == second)
    assert (found.only_first, found.only_second) == (["z"] * (len(first) > len(second)), ["z"] * (first < second))


def test_a_recording_may_be_of_some_outputs_and_hold_more():
    x = np.float32([1, 2])
    answers = Recorded(Path("answers.npz"), {"x": x, "z": -2 * x, "labels": x})
    found = comparing.models(two_of("y", "z"), answers, answers.arrays, **KEYWORDS)
    assert found.same and [output.name for output in found.outputs] == ["z"]
    assert (found.only_first, found.only_second) == (["y"], ["labels"])
    found = comparing.models(answers, two_of("y", "z"), answers.arrays, **KEYWORDS)
    assert found.same and [output.name for output in found.outputs] == ["z"]
    assert (found.only_first, found.only_second) == (["labels"], ["y"])


def test_nothing_to_compare_is_not_the_same():
    recorded = Recorded(Path("answers.npz"), {"x": np.zeros(1)})
    with pytest.raises(UsageError, match="no output in common"):
        comparing.models(recorded, recorded, recorded.arrays, **KEYWORDS)


@pytest.mark.parametrize("target", ["cut.onnx", "cut.pb", "cut.py"])
def test_a_tensorflow_graph_is_cut_for_the_other_side_and_what_it_gives_besides_is_told(tmp_path, target):
    pm.convert(CHECKPOINT, tmp_path / target, outputs=["logits:0"], verify=True)
    images = {"images:0": np.zeros((2, 8, 8, 1), np.float32)}
    for pair in ((CHECKPOINT, tmp_path / target), (tmp_path / target, CHECKPOINT)):
        found = comparing.files(*pair, images, **KEYWORDS)
        assert found.same and [output.name for output in found.outputs] == ["logits:0"]
        only_checkpoint, only_target = (
            (found.only_first, found.only_second) if pair[0] is CHECKPOINT else (found.only_second, found.only_first)
        )
        assert (only_checkpoint, only_target) == (["probabilities:0"], [])


def test_random_numbers_fit_whichever_side_knows_what_it_takes(tmp_path):
    pm.convert(CHECKPOINT, tmp_path / "a.py")
    pm.convert(CHECKPOINT, tmp_path / "a.onnx")
    found = comparing.files(tmp_path / "a.py", tmp_path / "a.onnx", None, **KEYWORDS)
    assert found.same and "images:0 [2, 8, 8, 1]" in found.inputs


def test_what_a_tensorflow_graph_cannot_compute_is_a_difference(tmp_path):
    pm.convert(CHECKPOINT, tmp_path / "cut.pb", outputs=["logits:0"])
    pm.convert(CHECKPOINT, tmp_path / "both.onnx", outputs=["logits:0", "probabilities:0"])
    found = comparing.files(tmp_path / "cut.pb", tmp_path / "both.onnx", None, **KEYWORDS)
    assert [(output.name, output.detail) for output in found.outputs] == [
        ("logits:0", ""),
        ("probabilities:0", "only in B"),
    ]


@pytest.mark.parametrize(("inputs", "outputs"), [(None, ["y"]), (None, ["z"]), (["y"], None), (["y"], ["z"])])
@pytest.mark.parametrize("target", ["b.onnx", "b.py"])
def test_a_conversion_that_cuts_a_graph_is_verified_where_it_cuts(tmp_path, inputs, outputs, target):
    both = two_of("z") if inputs else two_of("y", "z")
    pm.write(both, tmp_path / "a.onnx")
    report = pm.convert(tmp_path / "a.onnx", tmp_path / target, inputs=inputs, outputs=outputs, verify=True)
    assert report.verification.same
    assert [output.name for output in report.verification.outputs] == (outputs or ["z"])


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ({"rtol": "1"}, "rtol is '1', a tolerance is a number"),
        ({"atol": None}, "atol is None, a tolerance is a number"),
        ({"atol": True}, "atol is True, a tolerance is a number"),
        ({"seed": 2.5}, r"the seed is 2\.5, a seed is a whole number"),
        ({"inputs": 5}, "a path is text, not 5"),
        ({"inputs": {1: np.zeros(2)}}, "inputs are given by name, not by 1"),
        ({"inputs": {"x": [[1], [1, 2]]}}, "what is given for input 'x' is no array"),
        ({"inputs": {"x": object()}}, "input 'x' takes float32"),
        ({"second": None}, "a path is text, not None"),
        ({"second": b"a.onnx"}, "a path is text, not b'a.onnx'"),
    ],
)
def test_arguments_of_wrong_types_are_named(tmp_path, words, said):
    pm.write(two_of("y"), tmp_path / "a.onnx")
    given = {"first": tmp_path / "a.onnx", "second": tmp_path / "a.onnx", **words}
    with pytest.raises(UsageError, match=said):
        pm.verify(given.pop("first"), given.pop("second"), **given)


def test_numbers_of_numpy_are_numbers(tmp_path):
    pm.write(two_of("y"), tmp_path / "a.onnx")
    one = tmp_path / "a.onnx"
    assert pm.verify(one, one, seed=np.int64(3), rtol=np.float32(0), atol=0, inputs=None).same
    assert pm.verify(one, one, inputs={"x": [1, 2]}).same
