"""Activations that were written out in arithmetic, because their framework had no operator for them.

Parametric ReLU: K. He et al., Delving Deep into Rectifiers (2015). Hard swish: A. Howard et al., Searching for
MobileNetV3 (2019).
"""

from __future__ import annotations

from math import isclose
from typing import NamedTuple

from panmodel.model.graph import Graph, Node, Value
from panmodel.passes.rewrite import Operands, Rewriter, producer, rewrite, scalar, split_constant

#: Clip takes its bounds as operands since this opset.
_CLIP_OPERANDS = 11
_HARD_SWISH = 14


def run(graph: Graph) -> Graph:
    """The graph with activations in one operator each."""
    return rewrite(
        graph,
        {
            "Add": [parametric_relu],
            "Sub": [parametric_relu],
            "Max": [leaky_relu, clip],
            "Min": [clip],
            "Mul": [hard_sigmoid, hard_swish],
            "Div": [hard_sigmoid, hard_swish],
        },
    )


class _Product(NamedTuple):
    """Factors of a product: its numbers multiplied, constants, and what is computed."""

    number: float
    weights: list[Value]
    rest: list[Value]


def _factors(value: Value) -> _Product:
    node = producer(value, "Mul", "Neg")
    if node is not None and node.op == "Neg" and node.inputs[0] is not None:
        inner = _factors(node.inputs[0])
        return inner._replace(number=-inner.number)
    if node is None or any(operand is None for operand in node.inputs):
        number = scalar(value) if value.literal else None
        if number is not None:
            return _Product(number, [], [])
        return _Product(1.0, [value], []) if value.is_constant else _Product(1.0, [], [value])
    left, right = (_factors(operand) for operand in node.inputs if operand is not None)
    return _Product(left.number * right.number, left.weights + right.weights, left.rest + right.rest)


def parametric_relu(node: Node, inputs: Operands, at: Rewriter) -> Value | None:
    """relu(x) + α·(x − |x|)/2 and relu(x) − α·relu(−x), in any order of the factors."""
    left, right = inputs
    if left is None or right is None:
        return None
    pairs = [(left, right)] if node.op == "Sub" else [(left, right), (right, left)]
    for relu, other in pairs:
        positive = producer(relu, "Relu")
        if positive is None or positive.inputs[0] is None:
            continue
        x, product = positive.inputs[0], _factors(other)
        share = _negative_share(product, x)
        if share is None or len(product.weights) > 1:
            continue
        slope = share * product.number * (-1 if node.op == "Sub" else 1)
        if not product.weights:
            return at.build.op("LeakyRelu", x, alpha=slope)
        if isclose(slope, 1.0) and _broadcasts_to(product.weights[0], x):
            return at.build.op("PRelu", x, product.weights[0])
    return None


def _negative_share(product: _Product, x: Value) -> float | None:
    """By what x is multiplied where it is negative, in a factor that is zero where x is positive."""
    if len(product.rest) != 1:
        return None
    part = producer(product.rest[0], "Sub", "Relu")
    if part is None:
        return None
    if part.op == "Sub":
        size = producer(part.inputs[1], "Abs")
        return 2.0 if part.inputs[0] is x and size is not None and size.inputs[0] is x else None
    turned = producer(part.inputs[0], "Neg")
    return -1.0 if turned is not None and turned.inputs[0] is x else None


def _broadcasts_to(slope: Value, x: Value) -> bool:
    if slope.shape is None or x.shape is None or len(slope.shape) > len(x.shape):
        return False
    tail = x.shape[len(x.shape) - len(slope.shape) :]
    return all(size in (1, whole) for size, whole in zip(slope.shape, tail, strict=True))


def leaky_relu(_: Node, inputs: Operands, at: Rewriter) -> Value | None:
    """max(x, α·x) with α between 0 and 1."""
    if len(inputs) != 2 or inputs[0] is None or inputs[1] is None:
        return None
    for x, other in (inputs, (inputs[1], inputs[0])):
        product = producer(other, "Mul")
        split = split_constant(product.inputs) if product is not None else None
        alpha = scalar(split[1]) if split is not None and split[1].literal else None
        if split is not None and split[0] is x and alpha is not None and 0 <= alpha <= 1:
            return at.build.op("LeakyRelu", x, alpha=alpha)
    return None


def clip(node: Node, inputs: Operands, at: Rewriter) -> Value | None:
    """min(max(x, low), high) and max(min(x, high), low), with relu(x) for max(x, 0)."""
    split = split_constant(inputs)
    if split is None or at.build.opset < _CLIP_OPERANDS:
        return None
    inner, bound = split
    limit = scalar(bound)
    first = producer(inner, "Max", "Relu") if node.op == "Min" else producer(inner, "Min")
    if first is None or limit is None or inner.dtype is None or not inner.dtype.is_float:
        return None
    if first.op == "Relu":
        x, other = first.inputs[0], 0.0
    else:
        within = split_constant(first.inputs)
        number = scalar(within[1]) if within is not None else None
        if within is None or number is None:
            return None
        x, other = within[0], number
    low, high = (other, limit) if node.op == "Min" else (limit, other)
    if low > high or x is None:
        return None
    return at.build.op("Clip", x, at.build.constant(low, inner.dtype), at.build.constant(high, inner.dtype))


def _sixth(node: Node, inputs: Operands) -> Value | None:
    """What a node divides by six."""
    if node.op == "Div":
        divisor = scalar(inputs[1])
        return inputs[0] if divisor == 6 else None
    split = split_constant(inputs)
    factor = scalar(split[1]) if split is not None else None
    return split[0] if split is not None and factor is not None and isclose(factor, 1 / 6, rel_tol=1e-6) else None


def _is_relu6_of_x_plus_3(value: Value | None) -> Value | None:
    """The x of relu6(x + 3)."""
    node = producer(value, "Clip")
    if node is None or scalar(node.operand(1)) != 0 or scalar(node.operand(2)) != 6:
        return None
    shifted = producer(node.inputs[0], "Add")
    split = split_constant(shifted.inputs) if shifted is not None else None
    return split[0] if split is not None and scalar(split[1]) == 3 else None


def hard_sigmoid(node: Node, inputs: Operands, at: Rewriter) -> Value | None:
    """relu6(x + 3) / 6."""
    x = _is_relu6_of_x_plus_3(_sixth(node, inputs))
    return None if x is None else at.build.op("HardSigmoid", x, alpha=1 / 6, beta=0.5)


def hard_swish(node: Node, inputs: Operands, at: Rewriter) -> Value | None:
    """Multiply x by relu6(x + 3) / 6, the division before or after the product."""
    if at.build.opset < _HARD_SWISH:
        return None
    product = producer(_sixth(node, inputs), "Mul")
    if product is not None:
        for x, other in (product.inputs, product.inputs[::-1]):
            if x is not None and _is_relu6_of_x_plus_3(other) is x:
                return at.build.op("HardSwish", x)
    if node.op == "Mul":
        for x, other in (inputs, (inputs[1], inputs[0])):
            gate = producer(other, "HardSigmoid")
            if gate is not None and gate.inputs[0] is x and _is_of_swish(gate):
                return at.build.op("HardSwish", x)
    return None


def _is_of_swish(gate: Node) -> bool:
    return isclose(gate.attr("alpha", 0.2), 1 / 6, rel_tol=1e-6) and gate.attr("beta", 0.5) == 0.5
