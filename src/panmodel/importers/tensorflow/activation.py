"""Activations.

Source: tensorflow/core/ops/nn_ops.cc
"""

from __future__ import annotations

from panmodel.importers.tensorflow.registry import Operation, importer_op, renamed
from panmodel.model.builder import Builder
from panmodel.model.graph import Value

renamed(
    {
        "Elu": "Elu",
        "Selu": "Selu",  # whose two constants are ONNX's defaults
        "Sigmoid": "Sigmoid",
        "Tanh": "Tanh",
        "Softplus": "Softplus",
        "Softsign": "Softsign",
    }
)


@importer_op("Relu")
def relu(node: Operation, build: Builder) -> Value:
    """max(x, 0), which is x where there is no sign."""
    return node.x if node.dtype().kind == "u" else build.op("Relu", node.x)


@importer_op("Relu6")
def relu6(node: Operation, build: Builder) -> Value:
    """min(max(x, 0), 6)."""
    dtype = node.dtype()
    return build.op("Clip", node.x, build.constant(0, dtype), build.constant(6, dtype))


@importer_op("LeakyRelu")
def leaky_relu(node: Operation, build: Builder) -> Value:
    """X where it is positive, alpha · x elsewhere."""
    return build.op("LeakyRelu", node.x, alpha=float(node.attr("alpha", 0.2)))


@importer_op("Softmax", "LogSoftmax")
def softmax(node: Operation, build: Builder) -> Value:
    """Over the last axis."""
    return build.op(node.op, node.x, axis=-1)
