"""Receipts and notices as plain values."""

import json

from panmodel.dtypes import FLOAT32
from panmodel.model.notice import TensorsUnused, TrainingStateLost
from panmodel.model.report import Difference, Report, Verification, described, described_entry


def verification(*within):
    outputs = [Difference(f"y{index}", (2,), 0.1 * index, 0.5, inside) for index, inside in enumerate(within)]
    return Verification("a", "b", "random", outputs, 1e-3, 1e-4)


def test_one_differing_output_is_a_difference():
    assert verification(True, True).same
    assert not verification(True, False).same
    assert verification(True, True, True).max_absolute == 0.2
    assert verification().same and verification().max_absolute == 0.0


def test_a_receipt_becomes_json():
    report = Report(
        "a.ckpt", "tensorflow_checkpoint", "b.onnx", "onnx", notices=[TrainingStateLost("slots", ("w (m)",))]
    )
    report.verification = verification(True)
    plain = json.loads(json.dumps(report.to_json()))
    assert plain["notices"] == [{"kind": "training-state-lost", "detail": "slots", "names": ["w (m)"]}]
    assert plain["verification"]["same"] is True


def test_a_notice_names_a_few():
    assert str(TensorsUnused("left over", tuple("abcdefg"))) == "left over: a, b, c, d, e and 2 more"
    assert str(TensorsUnused("left over")) == "left over"


def test_inputs_are_described_with_what_is_known():
    assert described("x", FLOAT32, ("batch", 3, None)) == "x float32[batch, 3, ?]"
    assert described("x", None, None) == "x ?[?]"
    assert described_entry({"tensor": "x:0", "dtype": "int64", "shape": []}) == "x:0 int64[]"
    assert described_entry({"tensor": "x:0"}) == "x:0 ?[?]"
