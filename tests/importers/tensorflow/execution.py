"""Converts small TensorFlow graphs and runs them on onnxruntime, or on onnx's reference where that lacks a kernel."""

import tempfile
from pathlib import Path

import onnxruntime
from onnx.reference import ReferenceEvaluator
from tests.tensorflow_graphs import graph

from panmodel.formats.onnx import write
from panmodel.importers.tensorflow.driver import import_graph
from panmodel.io.sink import Sink
from panmodel.model.model import Model


def convert(source, inputs=None, outputs=None):
    """A TensorFlowGraph as a model with a hub graph."""
    return import_graph(Model("tensorflow_graph", source, source="test.pb"), inputs, outputs)


def operators(model):
    """How often each operator occurs in a model."""
    return model.program.operators()


def execute(model, feeds):
    """The outputs of a model with a hub graph."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        with Sink(path) as sink:
            write(model, sink)
        try:
            return onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"]).run(None, feeds)
        except Exception as error:
            if "NOT_IMPLEMENTED" not in str(error):
                raise
            return ReferenceEvaluator(str(path)).run(None, feeds)


def run(nodes, feeds, outputs):
    """Convert nodes between the tensors that are fed and the outputs, and run them."""
    model = convert(graph(*nodes), list(feeds), outputs)
    assert [value.name for value in model.program.inputs] == list(feeds)
    return execute(model, feeds)
