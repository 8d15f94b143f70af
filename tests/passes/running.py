"""Runs hub graphs with onnxruntime, to compare them before and after a pass."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime

from panmodel.model.builder import Builder
from panmodel.model.graph import Graph, Value
from panmodel.model.onnx.encoding import encode_graph
from panmodel.model.symbolic import Dim
from panmodel.model.tensor import ArrayTensor
from panmodel.wire.protobuf import encode_bytes

onnxruntime.set_default_logger_severity(4)

#: What symbolic sizes are when a graph is run.
SIZE = 2


def weight(build: Builder, name: str, *shape: int, seed: int = 0) -> Value:
    """A random weight."""
    rng = np.random.default_rng([seed, *map(ord, name)])
    return build.weight(ArrayTensor(rng.standard_normal(shape).astype(np.float32), name))


def positive(build: Builder, name: str, *shape: int) -> Value:
    """A random weight of positive elements, for variances."""
    rng = np.random.default_rng([1, *map(ord, name)])
    return build.weight(ArrayTensor(rng.uniform(0.5, 2, shape).astype(np.float32), name))


def feeds(graph: Graph, seed: int = 0) -> dict[str, np.ndarray]:
    """Random inputs."""
    rng = np.random.default_rng(seed)
    found = {}
    for value in graph.inputs:
        shape = [SIZE if isinstance(size, Dim) else size for size in value.shape or ()]
        found[value.name] = rng.standard_normal(shape).astype(value.dtype.numpy)
    return found


def run(graph: Graph, inputs: dict[str, np.ndarray] | None = None) -> list[np.ndarray]:
    """The outputs; the model is checked before."""
    data = encode_bytes(encode_graph(graph)[0])
    onnx.checker.check_model(onnx.load_from_string(data), full_check=True)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(data, options)
    return session.run(None, inputs if inputs is not None else feeds(graph))


def assert_same(before: Graph, after: Graph, seed: int = 0) -> None:
    """Both have the same inputs and outputs, and compute the same."""
    assert [value.name for value in before.inputs] == [value.name for value in after.inputs]
    assert list(before.outputs) == list(after.outputs)
    inputs = feeds(before, seed)
    for want, found in zip(run(before, inputs), run(after, inputs), strict=True):
        assert want.dtype == found.dtype
        np.testing.assert_allclose(found, want, rtol=1e-5, atol=1e-5)
