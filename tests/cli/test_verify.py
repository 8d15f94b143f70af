"""`panmodel verify`: same or not, by numbers."""

import json

import numpy as np
from tests.cli.calling import CHECKPOINT, RECORDED, call


def test_verify(capsys, tmp_path):
    call(capsys, "convert", CHECKPOINT, tmp_path / "digits.onnx")
    code, out, _ = call(capsys, "verify", tmp_path / "digits.onnx", RECORDED)
    assert code == 0 and "same" in out
    with np.load(RECORDED) as recorded:
        np.savez(tmp_path / "other.npz", **{**recorded, "probabilities:0": recorded["probabilities:0"] + 0.1})
        np.save(tmp_path / "images.npy", recorded["images:0"])
    code, out, _ = call(capsys, "verify", tmp_path / "digits.onnx", tmp_path / "other.npz", "--json")
    assert code == 1 and not json.loads(out)["same"]
    images = f"images:0={tmp_path / 'images.npy'}"
    code, out, _ = call(capsys, "verify", tmp_path / "digits.onnx", CHECKPOINT, "--input", images, "--layers")
    assert code == 0 and "none differs" in out


def test_verify_takes_tolerances(capsys, tmp_path):
    call(capsys, "convert", CHECKPOINT, tmp_path / "digits.onnx")
    code, _, _ = call(capsys, "verify", tmp_path / "digits.onnx", RECORDED, "--rtol", "0", "--atol", "0")
    assert code == 1


def test_an_input_needs_a_name(capsys):
    code, out, err = call(capsys, "verify", CHECKPOINT, RECORDED, "--input", "images.npy")
    assert (code, out) == (2, "")
    assert "NAME=FILE.npy" in err and "images.npy" in err


def test_an_input_is_one_array(capsys, tmp_path):
    np.savez(tmp_path / "two.npz", a=np.zeros(1), b=np.zeros(1))
    code, out, err = call(capsys, "verify", CHECKPOINT, RECORDED, "--input", f"images:0={tmp_path / 'two.npz'}")
    assert (code, out) == (2, "")
    assert "holds 2 arrays" in err and "--inputs" in err


def test_inputs_by_name_from_one_file(capsys, tmp_path):
    call(capsys, "convert", CHECKPOINT, tmp_path / "digits.onnx")
    with np.load(RECORDED) as recorded:
        np.savez(tmp_path / "in.npz", **{"images:0": recorded["images:0"]})
        np.savez(tmp_path / "out.npz", **{"probabilities:0": recorded["probabilities:0"]})
    code, out, _ = call(
        capsys, "verify", tmp_path / "digits.onnx", tmp_path / "out.npz", "--inputs", tmp_path / "in.npz", "--json"
    )
    assert code == 0 and json.loads(out)["inputs"] == "the inputs given"


def test_outputs_of_one_side_are_told(capsys, tmp_path):
    call(capsys, "convert", CHECKPOINT, tmp_path / "one.onnx", "--outputs", "logits:0")
    call(capsys, "convert", CHECKPOINT, tmp_path / "two.onnx", "--outputs", "logits:0,probabilities:0")
    code, out, _ = call(capsys, "verify", CHECKPOINT, tmp_path / "one.onnx")
    assert code == 0 and "probabilities:0  not compared: only in A" in out
    code, out, _ = call(capsys, "verify", tmp_path / "one.onnx", tmp_path / "two.onnx")
    assert code == 1 and "DIFFERS  only in B" in out and "not compared" not in out
    code, out, _ = call(capsys, "verify", RECORDED, tmp_path / "one.onnx", "--json")
    assert code == 0 and json.loads(out)["only_first"] == ["labels", "probabilities:0"]
