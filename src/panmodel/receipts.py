"""What a receipt says of a converted graph; loaded only where there is one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from panmodel.model.graph import Graph
from panmodel.model.model import Program
from panmodel.model.report import Report
from panmodel.model.tensorflow.graph import TensorFlowGraph
from panmodel.model.torch.source import TorchSource
from panmodel.passes.layout import permutes


def describe_program(program: Program, report: Report) -> None:
    """Fill in what a receipt says of the graph that was written: inputs, outputs, tensors, transposes that remain."""
    if isinstance(program, Graph):
        report.tensors = len(program.initializers())
        report.inputs = [f"{value.name} {value.dtype}{_dims(value.shape)}" for value in program.inputs]
        report.outputs = [f"{name} {value.dtype}{_dims(value.shape)}" for name, value in program.outputs.items()]
        report.permutes = permutes(program)
    elif isinstance(program, TensorFlowGraph):
        report.tensors = sum(node.op == "Const" for node in program.nodes.values())
    elif isinstance(program, TorchSource):
        report.tensors = len(program.state)
        report.inputs = [_typed(entry) for entry in program.names.get("inputs", ())]
        report.outputs = [_typed(entry) for entry in program.names.get("outputs", ())]
        report.permutes = program.names.get("permutes")


def _typed(entry: Mapping[str, Any]) -> str:
    """An input or output as the names of PyTorch source describe it."""
    return f"{entry['tensor']} {entry.get('dtype')}{_dims(entry.get('shape'))}"


def _dims(shape: Any) -> str:
    return "[?]" if shape is None else "[" + ", ".join(map(str, shape)) + "]"
