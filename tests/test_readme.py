"""The README and the example show what panmodel really says."""

import json
import re
import runpy
import shlex
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()


def said(*arguments, folder=ROOT, code=0):
    command = [sys.executable, "-m", "panmodel", *arguments]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    assert done.returncode == code, done.stderr
    return done.stdout


def test_the_format_matrix_is_the_registry_s():
    assert said("formats", "--markdown").strip() in README


def test_inspect_says_what_the_readme_shows():
    shown = re.search(r"\$ panmodel inspect (\S+)\n(.*?)\n```", README, re.S)
    assert said("inspect", shown[1]).strip() == shown[2]


def test_the_differences_are_those_that_the_readme_shows(tmp_path):
    """The shown conversion, and what `diff` says of its result; the paths are those of this test."""
    command = r"\$ panmodel (convert [^\n]*weights\.safetensors[^\n]*|diff [^\n]*)"
    shown = dict(re.findall(command + r"\n(.*?)\n```", README, re.S))
    (made, _), (compared, differences) = sorted(shown.items())
    weights = str(tmp_path / "weights.safetensors")
    said(*[weights if word == "weights.safetensors" else word for word in shlex.split(made)])
    words = [weights if word == "weights.safetensors" else word for word in shlex.split(compared)]
    assert said(*words, code=1).replace(weights, "weights.safetensors").strip() == differences


def test_the_generated_example_is_what_convert_writes(tmp_path):
    said("convert", "examples/digits/model.ckpt", str(tmp_path / "digits.py"))
    example = ROOT / "examples" / "digits"
    assert (example / "digits.py").read_text() == (tmp_path / "digits.py").read_text()
    names = json.loads((example / "digits.names.json").read_text())
    assert names == json.loads((tmp_path / "digits.names.json").read_text())
    classes = (example / "digits.py").read_text().partition("\nclass ")[2].rstrip()
    assert classes in README


def test_every_named_file_is_there():
    for target in re.findall(r"\]\(([^)#]+)\)", README):
        assert (ROOT / target).exists(), target


def test_every_option_of_the_command_table_exists():
    for command in ("inspect", "convert", "verify", "diff", "scan"):
        row = re.search(rf"^\| `panmodel {command} .*$", README, re.M)[0]
        help_text = said(command, "--help")
        for option in re.findall(r"`(--[a-z-]+)", row):
            assert option in help_text


def test_the_demo_runs(tmp_path, capsys):
    demo = runpy.run_path(str(ROOT / "examples" / "digits" / "demo.py"))
    assert demo["main"](tmp_path) == 0
    out = capsys.readouterr().out
    assert "32 of 32" in out or re.search(r"\d+ of 32 digits right", out)
    assert "DIFFERS" not in out
