"""Runs a runtime in a child process, with limits: native code that meets foreign graphs may crash or hang.

The two sides share a folder: `inputs.npz` with the arrays, `outputs.txt` with the names wanted, and `outputs.npz` with
the answers, in the order of the names.
"""

from __future__ import annotations

import resource
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from panmodel.errors import UnsupportedError

if TYPE_CHECKING:
    import numpy as np

#: Seconds that one run may take.
TIMEOUT = 600
#: Seconds of processor time, after which the system ends it.
_CPU_SECONDS = 3600


def call(
    module: str, model: Path, inputs: Mapping[str, np.ndarray], outputs: Sequence[str], folder: Path
) -> list[np.ndarray]:
    """Run a model in a child process.

    Args:
        module: The runtime, a module of this package.
        model: File that it opens.
        inputs: Input name → array.
        outputs: Names of the tensors wanted.
        folder: A private folder for the exchange.

    Returns:
        One array per output name.

    Raises:
        UnsupportedError: The runtime refused the model, crashed or took too long.
    """
    import numpy as np

    np.savez(folder / "inputs.npz", *map(_plain, inputs.values()))
    (folder / "inputs.txt").write_text("\n".join(inputs))
    (folder / "outputs.txt").write_text("\n".join(outputs))
    command = [sys.executable, "-m", f"panmodel.runtimes.{module}", str(model), str(folder)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT, check=False)  # noqa: S603
    except subprocess.TimeoutExpired:
        raise UnsupportedError(f"{module} gave no answer within {TIMEOUT} s", where=str(model)) from None
    if done.returncode:
        lines = done.stderr.strip().splitlines() or [f"ended with exit code {done.returncode}"]
        raise UnsupportedError(f"{module} cannot run it: {lines[-1]}", where=str(model))
    with np.load(folder / "outputs.npz", allow_pickle=False) as answers:
        return [answers[f"arr_{index}"] for index in range(len(outputs))]


def answer(run: Callable[[Path, Mapping[str, np.ndarray], Sequence[str]], Sequence[np.ndarray]]) -> None:
    """The child's side: read the question, run, write the answers.

    Args:
        run: Takes the model's path, the inputs and the names wanted, gives the arrays.
    """
    import numpy as np

    resource.setrlimit(resource.RLIMIT_CPU, (_CPU_SECONDS, _CPU_SECONDS))
    model, folder = Path(sys.argv[1]), Path(sys.argv[2])
    names = (folder / "inputs.txt").read_text().splitlines()
    with np.load(folder / "inputs.npz", allow_pickle=False) as arrays:
        inputs = {name: _restored(arrays[f"arr_{index}"]) for index, name in enumerate(names)}
    results = run(model, inputs, (folder / "outputs.txt").read_text().splitlines())
    np.savez(folder / "outputs.npz", *(_plain(np.asarray(array)) for array in results))


def _plain(array: np.ndarray) -> np.ndarray:
    """An array that an npz file holds without pickling: strings as fixed width, narrow floats as float32."""
    import numpy as np

    if array.dtype.kind == "O":
        return array.astype(np.bytes_) if all(isinstance(item, bytes) for item in array.flat) else array.astype(np.str_)
    return array.astype(np.float32) if array.dtype.kind == "V" or array.dtype.name == "bfloat16" else array


def _restored(array: np.ndarray) -> np.ndarray:
    return array.astype(object) if array.dtype.kind in "SU" else array
