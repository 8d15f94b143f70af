"""What a receipt says of a graph."""

import numpy as np
from tests.cli.calling import CHECKPOINT

import panmodel as pm
from panmodel.dtypes import FLOAT32
from panmodel.model.builder import Builder
from panmodel.model.report import Report
from panmodel.model.tensorflow.graph import TensorFlowGraph
from panmodel.receipts import describe_program


def described(program):
    report = Report("a", "any", "b", "any")
    describe_program(program, report)
    return report


def test_a_graph_of_the_hub():
    build = Builder()
    x = build.input("x", FLOAT32, ("batch", 3))
    build.output("y", build.op("MatMul", x, build.constant(np.ones((3, 2), np.float32))))
    report = described(build.graph())
    assert report.inputs == ["x float32[batch, 3]"]
    assert report.outputs == ["y float32[batch, 2]"]
    assert (report.tensors, report.permutes) == (1, 0)


def test_pytorch_source(tmp_path):
    pm.convert(CHECKPOINT, tmp_path / "net.py")
    program = pm.read(tmp_path / "net.py").program
    report = described(program)
    assert report.inputs[0].startswith("images:0 float32[") and report.outputs[0].startswith("probabilities:0")
    assert report.tensors == len(program.state) and report.permutes is not None


def test_a_graph_of_tensorflow_counts_its_constants():
    assert described(TensorFlowGraph()).tensors == 0
    graph = pm.read(CHECKPOINT).program
    assert described(graph).tensors == sum(node.op == "Const" for node in graph.nodes.values())
