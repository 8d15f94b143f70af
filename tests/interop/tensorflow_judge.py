"""TensorFlow as the judge, in processes of its own.

It is the one of this Python, or of the one that PANMODEL_TENSORFLOW_PYTHON names.
"""

import functools
import os
import subprocess
import sys
from pathlib import Path

import pytest

PYTHON = os.environ.get("PANMODEL_TENSORFLOW_PYTHON", sys.executable)
SECONDS = 240
_LOOK = "import importlib.util, sys; sys.exit(importlib.util.find_spec('tensorflow') is None)"


@functools.cache
def _is_there() -> bool:
    return subprocess.run([PYTHON, "-c", _LOOK], capture_output=True, check=False).returncode == 0


def tensorflow(script: str | Path, *arguments: object) -> None:
    """Run a script in which TensorFlow is to be had; skip the test where it is not.

    Args:
        script: Its text, or its file.
        arguments: What it finds in `sys.argv`.
    """
    if not _is_there():
        pytest.skip(f"{PYTHON} has no tensorflow")
    given = [str(script)] if isinstance(script, Path) else ["-c", script]
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", "PYTHONPATH": ""}
    command = [PYTHON, *given, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=SECONDS, env=environment)
    assert done.returncode == 0, done.stderr[-3000:]
