"""Two models on the same inputs; the subjects and differences have tests of their own."""

import shutil

import numpy as np
from tests.cli.calling import CHECKPOINT, RECORDED

import panmodel as pm
from panmodel.verify import comparing

KEYWORDS = {"seed": 0, "rtol": 1e-3, "atol": 1e-4, "layers": False}


def test_recorded_answers_bring_their_inputs(tmp_path):
    pm.convert(CHECKPOINT, tmp_path / "a.onnx")
    shutil.copy(RECORDED, tmp_path / "ANSWERS.NPZ")
    found = comparing.files(tmp_path / "a.onnx", tmp_path / "ANSWERS.NPZ", None, **KEYWORDS)
    assert found.same and found.inputs == "the inputs given"


def test_models_in_memory_meet_the_same_random_numbers(tmp_path):
    pm.convert(CHECKPOINT, tmp_path / "a.onnx")
    one, other = pm.read(tmp_path / "a.onnx"), pm.read(tmp_path / "a.onnx")
    found = comparing.models(one, other, None, **KEYWORDS)
    assert found.same and found.max_absolute == 0.0 and "0" in found.inputs
    images = np.zeros((2, 8, 8, 1), np.float32)
    assert comparing.models(one, other, {"images:0": images}, **KEYWORDS).inputs == "the inputs given"
