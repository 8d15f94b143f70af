"""Every so many of the callables of the standard library, numpy and torch, offered in pickles: refused by name.

`benchmarks/callables.py` offers them all.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "callables.py"


@pytest.mark.parametrize(
    ("package", "every", "at_least"), [("standard", 20, 300), ("numpy", 20, 150), ("torch", 60, 170)]
)
def test_callables_are_refused_by_name(tmp_path: Path, package: str, every: int, at_least: int) -> None:
    if package != "standard":
        pytest.importorskip(package)
    command = [sys.executable, str(SCRIPT), "--every", str(every), package]
    settings = os.environ | {"TMPDIR": str(tmp_path)}
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, cwd=tmp_path, env=settings)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-2000:]
    counts = re.search(r"(\d+) callables, (\d+) files refused, (\d+) plain, 0 wrong", done.stdout)
    assert counts is not None
    count, refused, plain = map(int, counts.groups())
    assert count > at_least
    assert plain < count / 20
    assert refused == 3 * (count - plain)
