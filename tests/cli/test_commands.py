"""The command line: answers on stdout, talk on stderr, exit codes."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from panmodel.cli import run

DIGITS = Path(__file__).parents[2] / "examples" / "digits"
CHECKPOINT = str(DIGITS / "model.ckpt")
RECORDED = str(DIGITS / "recorded.npz")


def call(capsys, *arguments):
    code = run([str(argument) for argument in arguments])
    out, err = capsys.readouterr()
    return code, out, err


def test_inspect(capsys):
    code, out, err = call(capsys, "inspect", CHECKPOINT)
    assert (code, err) == (0, "")
    for said in (
        "tensorflow_checkpoint",
        "1.15",
        "images:0",
        "probabilities:0",
        "conv1/conv/kernel",
        "adam",
        "FusedBatchNorm",
    ):
        assert said in out


def test_inspect_lists_everything_when_asked(capsys):
    _, short, _ = call(capsys, "inspect", CHECKPOINT)
    _, tensors, _ = call(capsys, "inspect", CHECKPOINT, "--tensors")
    _, graph, _ = call(capsys, "inspect", CHECKPOINT, "--graph")
    assert "--tensors lists all" in short and "--tensors lists all" not in tensors
    assert len(tensors) > len(short)
    assert "fc2/MatMul" in graph


def test_inspect_in_json(capsys):
    code, out, _ = call(capsys, "inspect", CHECKPOINT, "--json")
    plain = json.loads(out)
    assert code == 0
    kernel = next(t for t in plain["tensors"] if t["name"] == "conv1/conv/kernel")
    assert kernel == {
        "name": "conv1/conv/kernel",
        "dtype": "float32",
        "shape": [3, 3, 1, 16],
        "bytes": 576,
        "slot": False,
    }
    assert plain["training"]["step"] == 600
    assert plain["operators"]["Conv2D"] == 2


def test_convert_prints_a_receipt(capsys, tmp_path):
    code, out, err = call(capsys, "convert", CHECKPOINT, tmp_path / "digits.onnx", "--verify")
    assert (code, err) == (0, "")
    for said in (
        "tensorflow_checkpoint → import TensorFlow → onnx",
        "tensors",
        "peak memory",
        "layout permutes",
        "verified",
    ):
        assert said in out


def test_convert_in_json(capsys, tmp_path):
    code, out, _ = call(capsys, "convert", CHECKPOINT, tmp_path / "digits.onnx", "--json")
    assert code == 0
    plain = json.loads(out)
    assert plain["files"] == [str(tmp_path / "digits.onnx")]
    assert plain["notices"][0]["kind"] == "training-state-lost"


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


def test_formats(capsys):
    code, out, _ = call(capsys, "formats")
    assert code == 0
    for name in ("tensorflow_checkpoint", "tensorflow_graph", "onnx", "safetensors", "torch_pickle", "torch_source"):
        assert name in out
    assert json.loads(call(capsys, "formats", "--json")[1])


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["inspect", "none.ckpt"], 3, "no such file"),
        (["convert", CHECKPOINT, "digits.xyz"], 2, "--to"),
        (["convert", CHECKPOINT, "digits.onnx", "--outputs", "logit:0"], 2, "logits"),
        (["convert", CHECKPOINT], 2, "TARGET"),
        (["nonsense"], 2, "nonsense"),
        (["convert", CHECKPOINT, "none/digits.onnx"], 3, "no folder"),
    ],
)
def test_exit_codes(capsys, tmp_path, monkeypatch, arguments, code, said):
    monkeypatch.chdir(tmp_path)
    found, out, err = call(capsys, *arguments)
    assert (found, out) == (code, "")
    assert said in err
    assert os.listdir(tmp_path) == []


def test_errors_in_json(capsys):
    code, out, _ = call(capsys, "inspect", "none.ckpt", "--json")
    assert code == json.loads(out)["error"]["exit_code"] == 3


def test_nothing_is_replaced_without_force(capsys, tmp_path):
    target = tmp_path / "digits.onnx"
    target.write_bytes(b"old")
    assert call(capsys, "convert", CHECKPOINT, target)[0] == 2
    assert target.read_bytes() == b"old"
    assert call(capsys, "convert", CHECKPOINT, target, "--force")[0] == 0


def test_the_module_is_the_command():
    done = subprocess.run([sys.executable, "-m", "panmodel", "--version"], capture_output=True, text=True, check=True)
    assert "panmodel" in done.stdout


def test_a_closed_pipe_is_no_error():
    command = f"{sys.executable} -m panmodel inspect {CHECKPOINT} --tensors --graph | head -1"
    done = subprocess.run(command, shell=True, capture_output=True, text=True, check=True)
    assert done.stderr == ""


def test_interrupted(tmp_path):
    """Ctrl-C while writing: exit code 130, nothing half-written."""
    code = f"""
import os, signal, sys
from panmodel.io import sink
write = sink.StagedFile.write
def interrupted(self, data):
    os.kill(os.getpid(), signal.SIGINT)
    return write(self, data)
sink.StagedFile.write = interrupted
from panmodel.cli import run
sys.exit(run(["convert", {CHECKPOINT!r}, {str(tmp_path / "digits.onnx")!r}]))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 130
    assert "interrupted" in done.stderr
    assert os.listdir(tmp_path) == []


def test_hostile_names_do_not_reach_the_terminal(capsys, tmp_path):
    from panmodel.formats import by_name
    from panmodel.io.sink import Sink
    from panmodel.model.model import Model
    from panmodel.model.tensor import ArrayTensor

    with Sink(tmp_path / "a.safetensors") as sink:
        by_name("safetensors").write(
            Model("", tensors={"\x1b[2Jgone": ArrayTensor(np.zeros(1, np.float32), "x")}), sink
        )
    _, out, _ = call(capsys, "inspect", tmp_path / "a.safetensors")
    assert "\x1b" not in out and "\\x1b[2Jgone" in out


def test_errors_and_json_send_no_control_characters(capsys, tmp_path):
    from panmodel.convert import write
    from panmodel.model.model import Model
    from panmodel.model.tensor import ArrayTensor

    name = "\x1b[2J\x9b31m\u202egone"
    code, out, err = call(capsys, "inspect", tmp_path / f"{name}.onnx")
    assert code == 3 and all(char.isprintable() for char in (out + err).replace("\n", "")) and "\\x1b[2J" in err
    write(Model("", tensors={name: ArrayTensor(np.zeros(1, np.float32), "x")}), tmp_path / "a.safetensors")
    code, out, _ = call(capsys, "inspect", "--json", tmp_path / "a.safetensors")
    assert code == 0 and out.isascii() and "\x1b" not in out
    assert json.loads(out)["tensors"][0]["name"] == name
