"""Receipts and notices as plain values."""

import json

from panmodel.model.notice import TensorsUnused, TrainingStateLost
from panmodel.model.report import Difference, Report, Verification


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
