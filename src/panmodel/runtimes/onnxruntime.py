"""onnxruntime, and where it lacks a kernel for a standard operator's type, onnx's own reference evaluator."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from panmodel.runtimes import child

if TYPE_CHECKING:
    import numpy as np


def label() -> str:
    """What to call it in a receipt."""
    from importlib.metadata import version

    return f"onnxruntime {version('onnxruntime')}"


def run(model: Path, inputs: Mapping[str, np.ndarray], outputs: Sequence[str]) -> Mapping[str, np.ndarray]:
    """Run an ONNX file; in a child process only (see `child.call`)."""
    import onnxruntime

    onnxruntime.set_default_logger_severity(4)
    options = onnxruntime.SessionOptions()
    # what is compared is the model as written, not what the runtime makes of it
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    try:
        session = onnxruntime.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])
    except Exception as error:
        if "NOT_IMPLEMENTED" not in str(error):
            raise
        from onnx.reference import ReferenceEvaluator

        session = ReferenceEvaluator(str(model))
    return dict(zip(outputs, session.run(list(outputs), dict(inputs)), strict=True))


if __name__ == "__main__":
    child.answer(run)
