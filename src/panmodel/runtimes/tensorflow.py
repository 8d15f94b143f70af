"""TensorFlow, where it is installed: the judge of what a TensorFlow graph means.

It runs frozen graphs in a child process. The caller makes sure that a graph holds only operators that panmodel
converts, none of which touches files or processes.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from panmodel.runtimes import child

if TYPE_CHECKING:
    import numpy as np


def is_installed() -> bool:
    """Whether TensorFlow can be imported here; it is not imported to find out."""
    return find_spec("tensorflow") is not None


def label() -> str:
    """What to call it in a receipt."""
    from importlib.metadata import packages_distributions, version

    return f"tensorflow {version(packages_distributions()['tensorflow'][0])}"


def run(model: Path, inputs: Mapping[str, np.ndarray], outputs: Sequence[str]) -> Mapping[str, np.ndarray]:
    """Run a frozen GraphDef file; in a child process only (see `child.call`)."""
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    import tensorflow

    v1 = tensorflow.compat.v1
    definition = v1.GraphDef.FromString(model.read_bytes())
    with v1.Graph().as_default() as graph:
        v1.import_graph_def(definition, name="")
        with v1.Session(graph=graph) as session:
            return dict(zip(outputs, session.run(list(outputs), dict(inputs)), strict=True))


if __name__ == "__main__":
    child.answer(run)
