"""Runs a runtime in a child process, with limits: native code that meets foreign graphs may crash or hang.

The two sides share a folder: `question.json` names the inputs with their types and the tensors wanted, `answer.json`
the tensors found; the arrays lie in an .npz file beside each, in the order of the names.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from panmodel.dtypes import ALL, from_numpy
from panmodel.errors import UnsupportedError

if TYPE_CHECKING:
    import numpy as np

#: Seconds that one run may take.
TIMEOUT = 600
#: Seconds of processor time, after which the system ends it.
_CPU_SECONDS = 3600

#: Where panmodel itself lies.
_OWN = Path(__file__).parents[2]
#: Runs a module of panmodel. `-m` would look for it in the current folder first, and models are downloaded: what came
#: beside one must not be imported. panmodel's own folder comes last, since it may be that of a model.
_START = (
    "import runpy, sys; sys.path.append(sys.argv.pop(1)); "
    "runpy.run_module(sys.argv.pop(1), run_name='__main__', alter_sys=True)"
)


def call(
    module: str, model: Path, inputs: Mapping[str, np.ndarray], outputs: Sequence[str], folder: Path
) -> dict[str, np.ndarray]:
    """Run a model in a child process.

    Args:
        module: The runtime, a module of this package.
        model: File that it opens.
        inputs: Input name → array.
        outputs: Names of the tensors wanted.
        folder: A private folder for the exchange.

    Returns:
        The tensors that the runtime gives, by name; of narrow floats as float32.

    Raises:
        UnsupportedError: The runtime refused the model, crashed or took too long.
    """
    import numpy as np

    question = {
        "inputs": list(inputs),
        "types": [from_numpy(array.dtype).name for array in inputs.values()],
        "outputs": list(outputs),
    }
    (folder / "question.json").write_text(json.dumps(question))
    np.savez(folder / "question.npz", *map(_plain, inputs.values()))
    model, folder = model.absolute(), folder.absolute()
    command = [sys.executable, "-P", "-c", _START, str(_OWN), f"panmodel.runtimes.{module}", str(model), str(folder)]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(_import_path(model.parent))}
    try:
        done = subprocess.run(  # noqa: S603
            command,
            cwd=folder,  # where native code looks for libraries, too, if LD_LIBRARY_PATH has an empty entry
            env=environment,
            capture_output=True,
            text=True,
            errors="replace",  # native code writes what it likes, text or not
            timeout=TIMEOUT,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise UnsupportedError(f"{module} gave no answer within {TIMEOUT} s", where=str(model)) from None
    if done.returncode:
        lines = done.stderr.strip().splitlines() or [f"ended with exit code {done.returncode}"]
        raise UnsupportedError(f"{module} cannot run it: {lines[-1][:2000]}", where=str(model))
    return _load(folder / "answer.npz", json.loads((folder / "answer.json").read_text()))


def _import_path(beside: Path) -> list[str]:
    """The entries of PYTHONPATH, but for the current folder (an empty entry means it, too) and that of the model."""
    barred = {os.path.realpath(folder) for folder in (os.curdir, beside)}
    entries = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    return [os.path.abspath(entry) for entry in entries if entry and os.path.realpath(entry) not in barred]


def answer(run: Callable[[Path, Mapping[str, np.ndarray], Sequence[str]], Mapping[str, np.ndarray]]) -> None:
    """The child's side: read the question, run, write the answers.

    Args:
        run: Takes the model's path, the inputs and the names wanted, gives the tensors found by name.
    """
    import numpy as np

    _limit(resource.RLIMIT_CPU, _CPU_SECONDS)
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    _limit(resource.RLIMIT_DATA, memory)  # more than the machine has is an error, not its end
    model, folder = Path(sys.argv[1]), Path(sys.argv[2])
    question = json.loads((folder / "question.json").read_text())
    arrays = _load(folder / "question.npz", question["inputs"])
    inputs = {
        name: array.astype(ALL[kind].numpy)
        for (name, array), kind in zip(arrays.items(), question["types"], strict=True)
    }
    found = run(model, inputs, question["outputs"])
    (folder / "answer.json").write_text(json.dumps(list(found)))
    np.savez(folder / "answer.npz", *(_plain(np.asarray(array)) for array in found.values()))


def _limit(kind: int, most: int) -> None:
    """Set a limit of this process; one that is lower already stays."""
    least = min([most, *(there for there in resource.getrlimit(kind) if there != resource.RLIM_INFINITY)])
    resource.setrlimit(kind, (least, least))


def _load(path: Path, names: Sequence[str]) -> dict[str, np.ndarray]:
    import numpy as np

    with np.load(path, allow_pickle=False) as arrays:
        return {name: arrays[f"arr_{index}"] for index, name in enumerate(names)}


def _plain(array: np.ndarray) -> np.ndarray:
    """An array that an npz file holds without pickling: strings as fixed width, types that numpy lacks as float32."""
    import numpy as np

    if array.dtype.kind == "O":
        return array.astype(np.bytes_) if all(isinstance(item, bytes) for item in array.flat) else array.astype(np.str_)
    is_numpys = array.dtype.isbuiltin == 1 or array.dtype.kind in "SU"
    return array if is_numpys else array.astype(np.float32)
