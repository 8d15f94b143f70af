"""Functions of one tensor, element by element."""

from __future__ import annotations

from panmodel.importers.tensorflow.registry import Operation, importer_op, renamed
from panmodel.model.builder import Builder
from panmodel.model.graph import Value

renamed(
    {
        "Abs": "Abs",
        "Ceil": "Ceil",
        "Exp": "Exp",
        "Floor": "Floor",
        "Inv": "Reciprocal",
        "Log": "Log",
        "LogicalNot": "Not",
        "Neg": "Neg",
        "Reciprocal": "Reciprocal",
        "Sign": "Sign",
        "Sqrt": "Sqrt",
    }
)


@importer_op("Round", "Rint")
def rounded(node: Operation, build: Builder) -> Value:
    """Half to even, as in ONNX; integers are whole already."""
    return node.x if node.dtype().is_integer else build.op("Round", node.x)


@importer_op("Rsqrt")
def rsqrt(node: Operation, build: Builder) -> Value:
    """1/√x."""
    return build.op("Reciprocal", build.op("Sqrt", node.x))


@importer_op("Square")
def square(node: Operation, build: Builder) -> Value:
    """x·x."""
    return build.op("Mul", node.x, node.x)


@importer_op("Cast")
def cast(node: Operation, build: Builder) -> Value:
    """To DstT; fractions are cut off, and what is not 0 is true, as in ONNX."""
    return build.cast(node.x, node.dtype("DstT"))
