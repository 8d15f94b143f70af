"""What a receipt says of a converted graph; loaded only where there is one."""

from __future__ import annotations

from panmodel.model.graph import Graph
from panmodel.model.model import Program
from panmodel.model.report import Report, described, described_entry
from panmodel.model.tensorflow.graph import TensorFlowGraph
from panmodel.model.torch.source import TorchSource
from panmodel.passes.layout import permutes


def describe_program(program: Program, report: Report) -> None:
    """Fill in what a receipt says of the graph that was written: inputs, outputs, tensors, transposes that remain."""
    if isinstance(program, Graph):
        report.tensors = len(program.initializers())
        report.inputs = [described(value.name, value.dtype, value.shape) for value in program.inputs]
        report.outputs = [described(name, value.dtype, value.shape) for name, value in program.outputs.items()]
        report.permutes = permutes(program)
    elif isinstance(program, TensorFlowGraph):
        report.tensors = sum(node.op == "Const" for node in program.nodes.values())
    elif isinstance(program, TorchSource):
        report.tensors = len(program.state)
        report.inputs = [described_entry(entry) for entry in program.names.get("inputs", ())]
        report.outputs = [described_entry(entry) for entry in program.names.get("outputs", ())]
        report.permutes = program.names.get("permutes")
