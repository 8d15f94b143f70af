"""Builds small graphs, exports them, and runs the source beside the graph itself."""

import numpy as np

from panmodel.exporters.torch import export
from panmodel.formats import onnx as onnx_format
from panmodel.io.sink import Sink
from panmodel.model.builder import Builder
from panmodel.model.graph import Graph
from panmodel.model.model import Model
from panmodel.model.symbolic import Dim
from panmodel.model.tensor import ArrayTensor
from panmodel.runtimes import torch as runtime

BATCH = Dim.symbol("batch")


def weight(build: Builder, name: str, *shape: int, dtype=np.float32):
    """A weight with numbers that follow from its name."""
    numbers = np.random.default_rng(len(name) + sum(shape)).normal(size=shape) * 0.3
    return build.weight(ArrayTensor(numbers.astype(dtype), name))


def conv(build: Builder, x, name: str, channels: int, size: int = 3, **attributes):
    """A convolution as an importer builds it: the kernel is a transposed view of its variable."""
    kernel = weight(build, f"{name}/kernel", size, size, x.shape[1], channels)
    bias = weight(build, f"{name}/bias", channels)
    pads = (size // 2,) * 4
    with build.at(f"{name}/Conv2D"):
        return build.op("Conv", x, build.transpose(kernel, (3, 2, 0, 1)), bias, pads=pads, **attributes)


def op(build: Builder, name: str, kind: str, *inputs, **attributes):
    """One operator of the source's node of that name."""
    with build.at(name):
        return build.op(kind, *inputs, **attributes)


def program(graph: Graph, path: str = "net.pb"):
    """The source of a graph."""
    return export(Model("onnx", graph, source=path)).program


def forward(graph: Graph) -> list[str]:
    """The lines of the model's forward, without comments."""
    lines = program(graph).source.rsplit("    def forward(", 1)[1].splitlines()[1:]
    return [line.split("  # ")[0].strip() for line in lines if line.strip()]


def created(graph: Graph) -> list[str]:
    """What the model's __init__ creates."""
    lines = [line.strip() for line in program(graph).source.rsplit("class ", 1)[1].splitlines()]
    return [line for line in lines if line.startswith("self.")]


def check(graph: Graph, inputs, folder, *, tolerance: float = 1e-5) -> str:
    """Run the exported source and onnxruntime on the same inputs; returns the source."""
    import onnxruntime

    path = folder / "graph.onnx"
    with Sink(path, force=True) as sink:
        onnx_format.write(Model("onnx", graph), sink)
    onnxruntime.set_default_logger_severity(4)
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    names = [value.name for value in session.get_inputs()]
    wanted = session.run(None, dict(zip(names, inputs, strict=True)))
    made = program(graph)
    found, _ = runtime.run(runtime.build(made), inputs)
    for want, got in zip(wanted, found, strict=True):
        assert got.dtype == want.dtype
        assert got.shape == want.shape
        np.testing.assert_allclose(got, want, rtol=tolerance, atol=tolerance)
    return made.source
