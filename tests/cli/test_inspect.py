"""`panmodel inspect`."""

import json

import numpy as np
from tests.cli.calling import CHECKPOINT, call

import panmodel as pm
from panmodel.model.model import Model
from panmodel.model.tensor import ArrayTensor


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


def test_versions_are_told_by_name(capsys, tmp_path):
    call(capsys, "convert", CHECKPOINT, tmp_path / "a.onnx")
    _, out, _ = call(capsys, "inspect", tmp_path / "a.onnx")
    assert "opset import      ai.onnx 18\n" in out


def test_strings_of_the_file_are_told_from_what_is_found_out(capsys, tmp_path):
    strings = {"format": "pt", "shards": "none", "\x1b[2J": "\x1b]0;gone", "long": "x" * 500}
    pm.write(Model("safetensors", strings=strings), tmp_path / "a.safetensors")
    _, out, _ = call(capsys, "inspect", tmp_path / "a.safetensors")
    head, _, below = out.partition("metadata\n")
    assert "shards" not in head and "  shards" in below and "  format" in below
    assert "\x1b" not in out and "x" * 200 not in out
    _, out, _ = call(capsys, "inspect", tmp_path / "a.safetensors", "--json")
    assert json.loads(out)["strings"] == strings


def test_hostile_names_do_not_reach_the_terminal(capsys, tmp_path):
    tensors = {"\x1b[2Jgone": ArrayTensor(np.zeros(1, np.float32), "x")}
    pm.write(Model("", tensors=tensors), tmp_path / "a.safetensors")
    _, out, _ = call(capsys, "inspect", tmp_path / "a.safetensors")
    assert "\x1b" not in out and "\\x1b[2Jgone" in out
