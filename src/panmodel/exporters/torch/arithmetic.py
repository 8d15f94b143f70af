"""Elementwise arithmetic."""

from __future__ import annotations

from panmodel.errors import UnsupportedError
from panmodel.exporters.torch.emitter import Emitter
from panmodel.exporters.torch.linear import linear_with_bias
from panmodel.exporters.torch.registry import Expr, exporter_op, renamed
from panmodel.model.graph import Node

renamed(
    {
        "Sqrt": "torch.sqrt",
        "Exp": "torch.exp",
        "Log": "torch.log",
        "Abs": "torch.abs",
        "Sign": "torch.sign",
        "Floor": "torch.floor",
        "Ceil": "torch.ceil",
        "Round": "torch.round",
        "IsNaN": "torch.isnan",
        "Sin": "torch.sin",
        "Cos": "torch.cos",
        "Tan": "torch.tan",
        "Asin": "torch.asin",
        "Acos": "torch.acos",
        "Atan": "torch.atan",
        "Sinh": "torch.sinh",
        "Cosh": "torch.cosh",
        "Asinh": "torch.asinh",
        "Acosh": "torch.acosh",
        "Atanh": "torch.atanh",
    }
)


@exporter_op("Neg")
def neg(node: Node, emit: Emitter) -> Expr:
    """-x."""
    return f"-{emit(node.inputs[0])}"


@exporter_op("Reciprocal")
def reciprocal(node: Node, emit: Emitter) -> Expr:
    """1 / x, or the inverse square root in one."""
    x = node.inputs[0]
    if x is not None and x.node is not None and x.node.op == "Sqrt" and len(emit.uses.get(x, ())) == 1:
        return f"torch.rsqrt({emit(x.node.inputs[0])})"
    return f"1 / {emit(x)}"


@exporter_op("IsInf")
def is_inf(node: Node, emit: Emitter) -> Expr:
    """Of both signs unless told."""
    x = emit(node.inputs[0])
    signs = (bool(node.attr("detect_positive", 1)), bool(node.attr("detect_negative", 1)))
    if not any(signs):
        return f"torch.zeros_like({x}, dtype=torch.bool)"
    name = {(True, False): "isposinf", (False, True): "isneginf"}.get(signs, "isinf")
    return f"torch.{name}({x})"


@exporter_op("Add")
def add(node: Node, emit: Emitter) -> Expr:
    """The bias of a linear layer, else x + y."""
    return linear_with_bias(node, emit) or _binary(node, emit, "+")


@exporter_op("Sub")
def sub(node: Node, emit: Emitter) -> Expr:
    """X - y."""
    return _binary(node, emit, "-")


@exporter_op("Mul")
def mul(node: Node, emit: Emitter) -> Expr:
    """X * y; a square of itself."""
    if node.inputs[0] is node.inputs[1]:
        return f"{emit(node.inputs[0])}.square()"
    return _binary(node, emit, "*")


def _binary(node: Node, emit: Emitter, operator: str) -> str:
    x, y = node.inputs[0], node.inputs[1]
    return f"{emit.scalar(x, y)} {operator} {emit.scalar(y, x)}"


@exporter_op("Div")
def div(node: Node, emit: Emitter) -> Expr:
    """Quotients of integers are rounded towards zero."""
    x, y = node.inputs[0], node.inputs[1]
    if x is not None and x.dtype is not None and x.dtype.is_integer:
        # torch.div takes a number only on the right
        return f'torch.div({emit(x)}, {emit.scalar(y, x)}, rounding_mode="trunc")'
    return _binary(node, emit, "/")


@exporter_op("Mod")
def mod(node: Node, emit: Emitter) -> Expr:
    """The sign of the divisor, or with fmod that of the dividend."""
    x, y = node.inputs[0], node.inputs[1]
    return f"torch.{'fmod' if node.attr('fmod') else 'remainder'}({emit(x)}, {emit.scalar(y, x)})"


@exporter_op("Pow")
def pow_(node: Node, emit: Emitter) -> Expr:
    """The result has the type of the base, whatever that of the exponent."""
    x, y = node.inputs[0], node.inputs[1]
    assert x is not None
    assert y is not None
    number = emit.number(y)
    broadcasts = y.rank == 0 or (x.rank is not None and y.rank is not None and y.rank <= x.rank)
    if number is not None and broadcasts:
        if x.dtype is not None and x.dtype.is_float:
            return _power(emit(x), float(number)) if number.lstrip("-")[:1].isdigit() else f"{emit(x)}.pow({number})"
        if y.dtype is not None and y.dtype.is_integer:
            return f"{emit(x)}.pow({number})"
    base = emit(x) if emit.number(x) is None or x.dtype is not y.dtype else emit.scalar(x, y)
    text = f"torch.pow({base}, {emit(y)})"
    return text if x.dtype is y.dtype else f"{text}.to({emit.dtype(x.dtype)})"


def _power(x: str, exponent: float) -> str:
    if exponent == 2:
        return f"{x}.square()"
    if exponent == 0.5:
        return f"{x}.sqrt()"
    return f"{x}.pow({int(exponent) if exponent.is_integer() else exponent})"


@exporter_op("Max", "Min")
def extreme(node: Node, emit: Emitter) -> Expr:
    """Of any number of operands; a bound that is a number clamps."""
    function, bound = ("maximum", "min") if node.op == "Max" else ("minimum", "max")
    first, *rest = node.inputs
    if len(node.inputs) == 2 and emit.number(first) is not None and emit.number(rest[0]) is None:
        first, rest = rest[0], [first]
    text = emit(first)
    for value in rest:
        operand = emit.scalar(value, first)
        is_number = len(node.inputs) == 2 and emit.number(value) == operand
        text = f"{text}.clamp({bound}={operand})" if is_number else f"torch.{function}({text}, {emit(value)})"
    return text


@exporter_op("Sum", "Mean")
def total(node: Node, emit: Emitter) -> Expr:
    """Of any number of operands."""
    text = " + ".join(emit(value) for value in node.inputs)
    return text if node.op == "Sum" or len(node.inputs) == 1 else f"({text}) / {len(node.inputs)}"


@exporter_op("CumSum")
def cumsum(node: Node, emit: Emitter) -> Expr:
    """Exclusive: without the element itself; reverse: from the end."""
    x = node.inputs[0]
    assert x is not None
    axes = emit.static(node.inputs[1], "the axis of CumSum")
    if len(axes) != 1:
        raise UnsupportedError("CumSum along several axes")
    axis, text = axes[0], emit(x)
    summed = f"{text}.flip({axis})" if node.attr("reverse") else text
    dtype = f", dtype={emit.dtype(x.dtype)}" if x.dtype is not None and not x.dtype.is_float else ""
    if node.attr("exclusive"):
        summed = f"{emit.function('sums_before')}({summed}, {axis})"
    else:
        summed = f"{summed}.cumsum({axis}{dtype})"
    return f"{summed}.flip({axis})" if node.attr("reverse") else summed
