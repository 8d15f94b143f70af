"""Matrix products."""

from __future__ import annotations

from panmodel.exporters.torch.emitter import Emitter
from panmodel.exporters.torch.literals import float32
from panmodel.exporters.torch.registry import Expr, exporter_op, renamed
from panmodel.model.graph import Node, Value
from panmodel.model.tensor import Tensor


def _linear(emit: Emitter, x: str, weight: Tensor, bias: Tensor | None) -> str:
    features = f"nn.Linear({weight.shape[1]}, {weight.shape[0]}"
    layer = emit.module("fc", features, {} if bias is not None else {"bias": "False"}, weight=weight, bias=bias)
    return f"{layer}({x})"


@exporter_op("MatMul")
def matmul(node: Node, emit: Emitter) -> Expr:
    """A linear layer where the right side is a matrix of weights."""
    x, y = node.inputs[0], node.inputs[1]
    if emit.is_weight(y, 2) and y is not None and y.tensor is not None and not y.literal:
        return _linear(emit, emit(x), y.tensor.transposed((1, 0)), None)
    return f"{emit(x)} @ {emit(y)}"


def linear_with_bias(node: Node, emit: Emitter) -> str | None:
    """An addition as the bias of the linear layer whose result alone it adds to; None if it is not that."""
    for product, bias in (node.inputs[:2], node.inputs[1::-1]):
        if product is None or product.node is None or product.node.op != "MatMul" or product.node.domain:
            continue
        weight = product.node.inputs[1]
        if (
            emit.is_weight(bias, 1)
            and emit.is_weight(weight, 2)
            and len(emit.uses.get(product, ())) == 1
            and weight is not None
            and bias is not None
            and weight.tensor is not None
            and not weight.literal
            and bias.tensor is not None
            and bias.tensor.shape == weight.tensor.shape[1:]
        ):
            return _linear(emit, emit(product.node.inputs[0]), weight.tensor.transposed((1, 0)), bias.tensor)
    return None


@exporter_op("Gemm")
def gemm(node: Node, emit: Emitter) -> Expr:
    """A linear layer where weights and bias are ones; else the formula."""
    a, b, c = node.inputs[0], node.inputs[1], node.operand(2)
    alpha, beta = node.attr("alpha", 1.0), node.attr("beta", 1.0)
    x = f"{emit(a)}.t()" if node.attr("transA") else emit(a)
    if emit.is_weight(b, 2) and b is not None and b.tensor is not None and not b.literal and alpha == 1:
        weight = b.tensor if node.attr("transB") else b.tensor.transposed((1, 0))
        bias = _bias(c, weight.shape[0], emit) if beta == 1 else None
        text = _linear(emit, x, weight, bias)
        return text if bias is not None or c is None else f"{text} + {_scaled(emit(c), beta)}"
    product = f"{x} @ {emit(b)}.t()" if node.attr("transB") else f"{x} @ {emit(b)}"
    product = product if alpha == 1 else f"{float32(alpha)} * ({product})"
    return product if c is None else f"{product} + {_scaled(emit(c), beta)}"


def _scaled(text: str, factor: float) -> str:
    return text if factor == 1 else f"{float32(factor)} * {text}"


def _bias(c: Value | None, features: int, emit: Emitter) -> Tensor | None:
    """The bias as a vector, if it is one."""
    if not emit.is_weight(c) or c is None or c.tensor is None or c.tensor.size != features:
        return None
    return c.tensor.reshaped((features,)) if c.tensor.shape in ((features,), (1, features)) else None


@exporter_op("Einsum")
def einsum(node: Node, emit: Emitter) -> Expr:
    """The equation is checked, since it becomes a string of the source."""
    equation = node.attr("equation", "")
    text = equation.decode() if isinstance(equation, bytes) else str(equation)
    plain = "".join(c for c in text if (c.isascii() and c.isalpha()) or c in ",.->")
    operands = ", ".join(emit(value) for value in node.inputs)
    return f'torch.einsum("{plain}", {operands})'


renamed({"Det": "torch.det"})
