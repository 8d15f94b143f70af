"""ONNX files for tests, made by onnx's own package, and the way to read and write them with ours."""

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from panmodel.formats import onnx as format_onnx
from panmodel.formats.onnx import FORMAT
from panmodel.io.sink import Sink
from panmodel.io.source import Location
from panmodel.model.model import Model

FLOAT = TensorProto.FLOAT


def read(path):
    return FORMAT.read(Location(path))


def write(graph, path, **options):
    with Sink(path) as sink:
        format_onnx.write(graph if isinstance(graph, Model) else Model("test", graph), sink, **options)
    return path


def info(name, shape=(2,), kind=FLOAT):
    return helper.make_tensor_value_info(name, kind, shape)


def save(path, nodes, inputs, outputs, initializers=(), opset=18, **more):
    graph = helper.make_graph(nodes, "g", inputs, outputs, initializers)
    opsets = [helper.make_opsetid("", opset), *more.pop("opsets", [])]
    onnx.save(helper.make_model(graph, opset_imports=opsets, **more), path)
    return path


def small_model(path):
    """Every way to store elements, a body with captures, attributes of all kinds."""
    weight = numpy_helper.from_array(np.arange(6, dtype=np.float32).reshape(2, 3), "w")
    listed = helper.make_tensor("v", FLOAT, [3], [1.0, 2.0, 3.0])
    half = helper.make_tensor("h", TensorProto.FLOAT16, [3], [1.0, 2.0, 3.0])
    text = helper.make_tensor("s", TensorProto.STRING, [1], [b"a"])
    inner = helper.make_graph([helper.make_node("Mul", ["y", "v"], ["then"])], "then", [], [info("then", None)])
    other = helper.make_graph([helper.make_node("Neg", ["y"], ["else"])], "else", [], [info("else", None)])
    nodes = [
        helper.make_node("Constant", [], ["two"], value_float=2.0),
        helper.make_node("MatMul", ["x", "w"], ["y"], name="product"),
        helper.make_node("If", ["c"], ["z"], then_branch=inner, else_branch=other),
        helper.make_node("LeakyRelu", ["z"], ["l"], alpha=0.25),
        helper.make_node("Cast", ["h"], ["hf"], to=FLOAT),
        helper.make_node("Add", ["l", "hf"], ["sum"]),
        helper.make_node("Pow", ["sum", "two"], ["out"]),
        helper.make_node("Identity", ["s"], ["label"]),
    ]
    inputs = [info("x", ("batch", 2)), info("c", (), TensorProto.BOOL)]
    outputs = [info("out", ("batch", 3)), info("label", (1,), TensorProto.STRING)]
    return save(path, nodes, inputs, outputs, [weight, listed, half, text])


def load_all(path):
    model = read(path)
    return {name: tensor.numpy() for name, tensor in model.tensors.items()}


def external(path, folder_name="w.bin", **entries):
    """A model whose one weight lies elsewhere, as the entries say."""
    tensor = TensorProto(name="w", data_type=FLOAT, dims=[4], data_location=TensorProto.EXTERNAL)
    for key, value in {"location": folder_name, **entries}.items():
        tensor.external_data.add(key=key, value=value)
    return save(path, [helper.make_node("Add", ["x", "w"], ["y"])], [info("x", (4,))], [info("y", (4,))], [tensor])
