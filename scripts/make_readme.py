"""Bring what the README and the examples show of panmodel's output up to date.

    python scripts/make_readme.py

Blocks that follow `<!-- output of: … -->` are the command's output, `<!-- classes of: … -->` the classes of a file. The
generated module of `examples/digits` is written anew, too.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"
DIGITS = ROOT / "examples" / "digits"


def generated(folder: Path) -> None:
    """The example's PyTorch source and names; its weights are not kept, `convert` makes them."""
    run(["convert", str(DIGITS / "model.ckpt"), str(folder / "digits.py")], ROOT)


def run(arguments: list[str], folder: Path) -> str:
    command = [sys.executable, "-m", "panmodel", *arguments]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    if done.returncode > 1:  # 1 says that something differs
        raise SystemExit(f"{' '.join(arguments)}: {done.stderr}")
    return done.stdout


def rendered(text: str, folder: Path) -> str:
    """The README with every block renewed; commands run in a folder with the examples in reach."""

    def output(match: re.Match[str]) -> str:
        command, fence = match["what"], match["fence"]
        said = run(shlex.split(command)[1:], folder).rstrip()
        if fence == "console":
            said = f"```console\n$ {command}\n{said}\n```"
        return f"<!-- output of: {command} -->\n{said}\n"

    def classes(match: re.Match[str]) -> str:
        source = (ROOT / match["what"]).read_text()
        shown = source[source.index("\nclass ") + 1 :].rstrip()
        return f"<!-- classes of: {match['what']} -->\n```python\n{shown}\n```\n"

    text = re.sub(r"<!-- output of: (?P<what>.+?) -->\n```(?P<fence>console)\n.*?```\n", output, text, flags=re.S)
    text = re.sub(r"<!-- output of: (?P<what>.+?) -->\n(?P<fence>)(?:\|.*\n)*", output_table(output), text)
    return re.sub(r"<!-- classes of: (?P<what>.+?) -->\n```python\n.*?```\n", classes, text, flags=re.S)


def output_table(output):
    def only_tables(match: re.Match[str]) -> str:
        return match[0] if match.string[match.end() :].startswith("```") else output(match)

    return only_tables


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        os.symlink(ROOT / "examples", folder / "examples")
        generated(folder)
        for made in ("digits.py", "digits.names.json"):
            shutil.copy(folder / made, DIGITS / made)
            (folder / made).unlink()
        (folder / "digits.safetensors").unlink()
        README.write_text(rendered(README.read_text(), folder))


if __name__ == "__main__":
    main()
