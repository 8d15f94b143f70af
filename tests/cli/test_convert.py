"""`panmodel convert`: the receipt, and what is there already."""

import json
import os
import subprocess
import sys

from tests.cli.calling import CHECKPOINT, call


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


def test_nothing_is_replaced_without_force(capsys, tmp_path):
    target = tmp_path / "digits.onnx"
    target.write_bytes(b"old")
    assert call(capsys, "convert", CHECKPOINT, target)[0] == 2
    assert target.read_bytes() == b"old"
    assert call(capsys, "convert", CHECKPOINT, target, "--force")[0] == 0


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


def test_names_are_separated_by_commas(capsys, tmp_path):
    target = tmp_path / "digits.onnx"
    code, out, _ = call(
        capsys, "convert", CHECKPOINT, target, "--outputs", " logits:0 ,probabilities:0,", "--dry-run", "--json"
    )
    assert code == 0
    assert [output.split()[0] for output in json.loads(out)["outputs"]] == ["logits:0", "probabilities:0"]
    assert os.listdir(tmp_path) == []


def test_a_dry_run_says_so(capsys, tmp_path):
    code, out, _ = call(capsys, "convert", CHECKPOINT, tmp_path / "digits.onnx", "--dry-run")
    assert code == 0 and out.startswith("would convert") and "wrote" not in out and "written" not in out
    assert os.listdir(tmp_path) == []


def test_strict_and_weights_only_arrive(capsys, tmp_path):
    code, _, err = call(capsys, "convert", CHECKPOINT, tmp_path / "digits.onnx", "--strict")
    assert code != 0 and "optimizer slots" in err
    code, out, _ = call(
        capsys, "convert", CHECKPOINT, tmp_path / "w", "--to", "safetensors", "--weights-only", "--json"
    )
    assert code == 0
    plain = json.loads(out)
    assert (plain["target_format"], plain["steps"], plain["permutes"]) == ("safetensors", [], None)


def test_tensors_are_edited_on_their_way(capsys, tmp_path):
    target = tmp_path / "a.safetensors"
    code, out, _ = call(
        capsys, "convert", CHECKPOINT, target, "--weights-only", "--drop-training", "--dtype", "float16",
        "--rename", "conv1/*=first.*", "--include", "*/kernel", "--exclude", "fc*", "--json",
    )  # fmt: skip
    plain = json.loads(out)
    assert code == 0
    assert plain["training"].startswith("left out as asked: step 600, adam")
    assert plain["renamed"] == {"conv1/conv/kernel": "first.conv/kernel"}
    listed = json.loads(call(capsys, "inspect", target, "--json")[1])["tensors"]
    assert {(tensor["name"], tensor["dtype"]) for tensor in listed} == {
        ("first.conv/kernel", "float16"),
        ("conv2/conv/kernel", "float16"),
    }


def test_edits_of_a_graph_are_refused(capsys, tmp_path):
    code, _, err = call(capsys, "convert", CHECKPOINT, tmp_path / "a.onnx", "--dtype", "float16")
    assert code == 2 and "--weights-only" not in err and ".safetensors" in err
    code, _, err = call(capsys, "convert", CHECKPOINT, tmp_path / "a.pt", "--dtype", "float16")
    assert code == 2 and "--weights-only" in err
    assert os.listdir(tmp_path) == []


def test_shards_of_a_size(capsys, tmp_path):
    target = tmp_path / "a.safetensors"
    code, _, err = call(capsys, "convert", CHECKPOINT, target, "--weights-only", "--shard-size", "5X")
    assert (code, os.listdir(tmp_path)) == (2, []) and "shard size" in err and "5GB" in err
    assert call(capsys, "convert", CHECKPOINT, target, "--weights-only", "--shard-size", "50 kB")[0] == 0
    assert len(list(tmp_path.glob("a-0*-of-0*.safetensors"))) > 1
