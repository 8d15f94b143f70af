"""Runs a graph of a few operators in PyTorch and in onnxruntime (or ONNX's own reference), and compares."""

import tempfile
from pathlib import Path

import numpy as np
from tests.exporters.torch.judge import forward, program

from panmodel.dtypes import INT64, from_numpy
from panmodel.formats import onnx as onnx_format
from panmodel.io.sink import Sink
from panmodel.model.builder import Builder
from panmodel.model.graph import OPSET
from panmodel.model.model import Model
from panmodel.model.symbolic import Dim
from panmodel.model.tensor import ArrayTensor
from panmodel.runtimes import torch as runtime

#: How much of its operands a graph knows.
KNOWN = ("static", "symbolic", "unknown")


def numbers(*shape, dtype=np.float32, seed=0):
    """Numbers around zero of a shape."""
    drawn = np.random.default_rng(seed).normal(size=shape) * (1 if np.dtype(dtype).kind == "f" else 5)
    return np.asarray(drawn, dtype)


def ints(build, *elements):
    """A constant vector of int64."""
    return build.constant(list(elements), INT64)


def weight(build, array, name="w"):
    """A stored tensor."""
    return build.weight(ArrayTensor(np.asarray(array), name))


def graph_of(apply, *arrays, known="static", opset=OPSET):
    """The graph of `apply(build, *values)` over inputs of which so much is known."""
    build = Builder(opset=opset)
    values = []
    for at, array in enumerate(arrays):
        shapes = {
            "static": array.shape,
            "batch": (Dim.symbol("batch"), *array.shape[1:]),
            "symbolic": tuple(Dim.symbol(f"n{at}_{axis}") for axis in range(array.ndim)),
            "unknown": None,
        }
        values.append(build.input(f"in{at}", from_numpy(array.dtype), shapes[known]))
    made = apply(build, *values)
    for at, value in enumerate(made if isinstance(made, tuple) else (made,)):
        build.output(f"out{at}", value)
    return build.graph()


def expected(graph, arrays, *, reference=False):
    """What onnxruntime computes, or ONNX's reference."""
    import onnxruntime

    names = [value.name for value in graph.inputs]
    feeds = dict(zip(names, arrays, strict=True))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "graph.onnx")
        with Sink(path) as sink:
            onnx_format.write(Model("onnx", graph), sink)
        if reference:
            from onnx.reference import ReferenceEvaluator

            return ReferenceEvaluator(str(path)).run(None, feeds)
        onnxruntime.set_default_logger_severity(4)
        session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
        return session.run(None, feeds)


def computed(graph, arrays):
    """What the exported source computes."""
    return runtime.run(runtime.build(program(graph)), arrays)[0]


def agrees(apply, *arrays, known="static", opset=OPSET, reference=False, tolerance=1e-5):
    """Compare the results; returns the lines of forward."""
    graph = graph_of(apply, *arrays, known=known, opset=opset)
    wanted = expected(graph, arrays, reference=reference)
    for want, got in zip(wanted, computed(graph, arrays), strict=True):
        assert (got.dtype, got.shape) == (want.dtype, want.shape)
        exact = want.dtype.kind not in "fc"
        np.testing.assert_allclose(got, want, **({"rtol": 0} if exact else {"rtol": tolerance, "atol": tolerance}))
    return forward(graph)
