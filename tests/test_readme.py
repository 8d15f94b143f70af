"""The README and the example show what panmodel really says."""

import json
import re
import runpy
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()


def said(*arguments, folder=ROOT):
    command = [sys.executable, "-m", "panmodel", *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True).stdout


def test_the_format_matrix_is_the_registry_s():
    assert said("formats", "--markdown").strip() in README


def test_inspect_says_what_the_readme_shows():
    shown = re.search(r"\$ panmodel inspect (\S+)\n(.*?)\n```", README, re.S)
    assert said("inspect", shown[1]).strip() == shown[2]


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
    for command in ("inspect", "convert", "verify"):
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
