"""Operators that make tensors of sizes and numbers."""

from __future__ import annotations

from panmodel.dtypes import FLOAT32, INT64, DType
from panmodel.errors import UnsupportedError
from panmodel.exporters.torch import literals
from panmodel.exporters.torch.emitter import Emitter
from panmodel.exporters.torch.registry import Expr, exporter_op
from panmodel.model.graph import Node, Value
from panmodel.model.tensor import Tensor


@exporter_op("Constant")
def constant(node: Node, emit: Emitter) -> Expr:
    """Elements from an attribute."""
    tensor = node.attr("value")
    if isinstance(tensor, Tensor):
        if tensor.size > 4096:
            raise UnsupportedError("a Constant with many elements; initializers hold those")
        return literals.tensor(tensor, emit.dtype(tensor.dtype))
    if node.attr("value_float") is not None:
        return f"torch.tensor({literals.float32(node.attr('value_float'))})"
    if node.attr("value_floats") is not None:
        return f"torch.tensor([{', '.join(map(literals.float32, node.attr('value_floats')))}])"
    number = node.attr("value_int", node.attr("value_ints"))
    if number is None:
        raise UnsupportedError("a Constant of this kind")
    return f"torch.tensor({list(number) if isinstance(number, tuple) else number}, dtype=torch.int64)"


@exporter_op("ConstantOfShape")
def constant_of_shape(node: Node, emit: Emitter) -> Expr:
    """Zeros, ones, or one number everywhere."""
    value = node.attr("value")
    sizes = emit.sizes(node.inputs[0])
    shape = f"({', '.join(sizes)}{',' if len(sizes) == 1 else ''})" if sizes is not None else None
    shape = shape or f"{emit(node.inputs[0])}.tolist()"
    number = literals.number(value.numpy().reshape(())[()]) if value is not None else "0.0"
    return f"torch.full({shape}, {number}{_kind(value.dtype if value is not None else FLOAT32, emit)}{_device(emit)})"


def _kind(dtype: DType | None, emit: Emitter) -> str:
    return f", dtype={emit.dtype(dtype)}"


def _device(emit: Emitter) -> str:
    """Where the inputs are."""
    tensors = emit.graph.inputs
    return f", device={emit(tensors[0])}.device" if tensors else ""


@exporter_op("Range")
def range_(node: Node, emit: Emitter) -> Expr:
    """Bounds that the run knows are sizes, or numbers read from tensors."""
    bounds = [_scalar(value, emit) for value in node.inputs]
    if bounds[2] == "1":
        bounds = bounds[1:2] if bounds[0] == "0" else bounds[:2]
    dtype = node.output.dtype
    kind = (
        "" if dtype is INT64 and all("." not in bound or ".shape[" in bound for bound in bounds) else _kind(dtype, emit)
    )
    return f"torch.arange({', '.join(bounds)}{kind}{_device(emit)})"


def _scalar(value: Value | None, emit: Emitter) -> str:
    sizes = emit.sizes(value) if value is not None and value.dtype is not None and value.dtype.is_integer else None
    return sizes[0] if sizes else emit.number(value) or f"{emit(value)}.item()"


@exporter_op("EyeLike")
def eye_like(node: Node, emit: Emitter) -> Expr:
    """Ones on a diagonal of a matrix as large as the operand."""
    x = emit(node.inputs[0])
    k = node.attr("k", 0)
    if k:
        return f"torch.ones_like({x}, dtype={emit.dtype(node.output.dtype)}).tril({k}).triu({k})"
    return f"torch.eye({x}.shape[0], {x}.shape[1], dtype={emit.dtype(node.output.dtype)}, device={x}.device)"
