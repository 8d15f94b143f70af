"""The command line: answers on stdout, talk on stderr, exit codes."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest
from tests.cli.calling import CHECKPOINT, call

import panmodel as pm


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["inspect", "none.ckpt"], 3, "no such file"),
        (["convert", CHECKPOINT, "digits.xyz"], 2, "--to"),
        (["convert", CHECKPOINT, "digits.onnx", "--outputs", "logit:0"], 2, "logits"),
        (["convert", CHECKPOINT], 2, "TARGET"),
        (["inspect", ""], 3, "the path is empty"),
        (["inspect", "/dev/null"], 3, "is a pipe or device"),
        (["convert", CHECKPOINT, "."], 2, "is a folder"),
        (["convert", CHECKPOINT, ""], 2, "the target is empty"),
        (["verify", CHECKPOINT, CHECKPOINT, "--seed", "-1"], 2, "a seed is 0 or more"),
        (["convert", CHECKPOINT, "digits"], 2, "has no ending"),
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
    code, out, err = call(capsys, "diff", "none.ckpt", "--json")
    error = json.loads(out)["error"]
    assert code == error["exit_code"] == 2 and error["kind"] == "UsageError" and error["message"] in err


def test_errors_of_the_system_in_json(capsys, tmp_path):
    code, out, _ = call(capsys, "inspect", "--json", tmp_path / ("n" * 300))
    assert code == 3 and json.loads(out)["error"]["exit_code"] == 3


@pytest.mark.parametrize("arguments", [("--help",), ("inspect", CHECKPOINT), ("formats", "--markdown")])
@pytest.mark.parametrize("encoding", ["latin-1", "cp437", "ascii"])
def test_terminals_may_lack_characters(arguments, encoding):
    command, environment = [sys.executable, "-m", "panmodel", *arguments], os.environ | {"PYTHONIOENCODING": encoding}
    done = subprocess.run(command, capture_output=True, env=environment, check=True)
    assert done.stdout and not done.stderr


def test_every_command_says_what_it_is_for(capsys):
    code, out, _ = call(capsys, "--help")
    listed = out.partition("Commands:\n")[2].splitlines()
    assert code == 0 and len(listed) == 6 and all(line.endswith(".") and "..." not in line for line in listed)
    assert "panmodel convert model.ckpt model.onnx" in call(capsys, "convert", "--help")[1]


@pytest.mark.parametrize("verb", ["diff", "inspect"])
def test_faults_of_our_own_are_no_answers(capsys, monkeypatch, verb):
    def fail(*_, **__):
        raise ZeroDivisionError("oh")

    monkeypatch.setattr(f"panmodel.cli.{verb}.{verb}", fail)
    code, out, err = call(capsys, verb, *["a", "b"][: 2 if verb == "diff" else 1], "--json")
    assert code == json.loads(out)["error"]["exit_code"] == 70
    assert "ZeroDivisionError: oh" in err and "please report" in err


def test_an_interruption_is_none_whatever_is_made_of_it(capsys, monkeypatch):
    """Modules that are imported late pass it on as an error of their own."""

    def fail(*_, **__):
        try:
            raise KeyboardInterrupt
        except KeyboardInterrupt as error:
            raise RuntimeError("no attribute for you") from error

    monkeypatch.setattr("panmodel.cli.inspect.inspect", fail)
    code, out, err = call(capsys, "inspect", "a", "--json")
    assert (code, out) == (130, "") and "interrupted" in err and "Traceback" not in err


@pytest.mark.parametrize("verb", ["inspect", "scan"])
def test_what_may_not_be_read_is_for_the_verb_to_say(capsys, monkeypatch, verb):
    monkeypatch.setattr(os, "access", lambda *_, **__: False)  # root may read everything
    assert call(capsys, verb, f"{CHECKPOINT}.index")[0] == 0


def test_a_folder_of_several_models_asks_for_one(capsys, tmp_path):
    for name in ("a.npz", "b.npz"):
        np.savez(tmp_path / name, x=np.ones(2))
    assert "name one file" in call(capsys, "inspect", tmp_path)[2]
    pm.convert(tmp_path / "a.npz", tmp_path / "a.safetensors")
    pm.convert(tmp_path / "a.npz", tmp_path / "a.ckpt")
    _, _, err = call(capsys, "inspect", tmp_path)
    assert "could be any of" in err and "name one file" in err


def test_the_module_is_the_command():
    done = subprocess.run([sys.executable, "-m", "panmodel", "--version"], capture_output=True, text=True, check=True)
    assert "panmodel" in done.stdout


@pytest.mark.parametrize(
    "arguments", [("inspect", CHECKPOINT, "--tensors"), ("diff", CHECKPOINT, CHECKPOINT), ("formats", "--json")]
)
def test_an_answer_that_nobody_reads_is_no_answer_and_nothing_is_said(arguments):
    read, write = os.pipe()
    os.close(read)
    command = [sys.executable, "-m", "panmodel", *arguments]
    done = subprocess.run(command, stdout=write, stderr=subprocess.PIPE, text=True)
    os.close(write)
    assert (done.returncode, done.stderr) == (141, "")


@pytest.mark.parametrize("which", ["stdout", "stderr"])
def test_an_error_that_nobody_reads_is_no_answer_either(which):
    read, write = os.pipe()
    os.close(read)
    command = [sys.executable, "-m", "panmodel", "inspect", "none.ckpt", "--json"]
    pipes = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, which: write}
    done = subprocess.run(command, **pipes)
    os.close(write)
    assert done.returncode == 141


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="there is no full disk at hand")
@pytest.mark.parametrize("options", [(), ("--json",)])
@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_an_answer_that_cannot_be_written_is_none(options, unbuffered):
    command = [sys.executable, "-m", "panmodel", "scan", CHECKPOINT, *options]
    with open("/dev/full", "w") as full:
        environment = os.environ | {"PYTHONUNBUFFERED": unbuffered}
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, env=environment)
    assert done.returncode == 3
    assert "No space left" in done.stderr and "Traceback" not in done.stderr


def test_nobody_need_listen(tmp_path):
    """Files must not be opened under the numbers of streams that are closed."""
    command = f"{sys.executable} -m panmodel convert {CHECKPOINT} {tmp_path}/a.safetensors 0<&- 1>&- 2>&-"
    assert subprocess.run(["sh", "-c", command]).returncode == 0
    assert pm.diff(CHECKPOINT, tmp_path / "a.safetensors").same


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
