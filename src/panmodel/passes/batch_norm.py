"""Batch normalization that was written out in arithmetic → BatchNormalization with the four variables it came from.

    x · (γ · rsqrt(σ² + ε)) + (β − μ · γ · rsqrt(σ² + ε))        tf.nn.batch_normalization
    (x − μ) · rsqrt(σ² + ε) · γ + β                               written by hand; also (x − μ) / sqrt(σ² + ε)

γ and β may be missing. It is per channel, with the channels first or last.

Source: S. Ioffe, C. Szegedy, Batch Normalization (2015); tensorflow/python/ops/nn_impl.py
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from panmodel.model.builder import Builder
from panmodel.model.graph import Graph, Node, Value
from panmodel.passes.rewrite import Operands, Rewriter, Rule, constant, producer, rewrite, scalar, split_constant

#: Since this opset the operator normalizes per channel only, as here.
_SINCE = 9


def run(graph: Graph) -> Graph:
    """The graph with batch normalizations in one operator each."""
    if graph.opset < _SINCE:
        return graph
    rules: dict[str, list[Rule]] = {
        "Add": [folded, shifted],
        "Sub": [folded],
        "Mul": [centred, scaled],
        "Div": [centred],
    }
    return rewrite(graph, rules)


class _Scale(NamedTuple):
    """γ / sqrt(σ² + ε); γ is None for 1."""

    gamma: Value | None
    variance: Value
    epsilon: float


def _deviation(value: Value | None) -> _Scale | None:
    """sqrt(σ² + ε)."""
    root = producer(value, "Sqrt")
    return _stabilized(root.inputs[0]) if root is not None else None


def _stabilized(value: Value | None) -> _Scale | None:
    """σ² + ε."""
    total = producer(value, "Add")
    if total is None:
        return None
    for variance, epsilon in (total.inputs, total.inputs[::-1]):
        number = scalar(epsilon)
        if variance is not None and variance.is_constant and number is not None and 0 < number < 1:
            return _Scale(None, variance, number)
    return None


def _scale(value: Value | None) -> _Scale | None:
    """γ · rsqrt(σ² + ε), in any of its spellings."""
    node = producer(value, "Mul", "Div", "Reciprocal", "Pow")
    if node is None:
        return None
    if node.op == "Reciprocal":
        return _deviation(node.inputs[0])
    if node.op == "Pow":
        return _stabilized(node.inputs[0]) if scalar(node.inputs[1]) == -0.5 else None
    if node.op == "Div":
        found, gamma = _deviation(node.inputs[1]), node.inputs[0]
        if found is None or gamma is None or not gamma.is_constant:
            return None
        return found if gamma.literal and scalar(gamma) == 1 else found._replace(gamma=gamma)
    split = split_constant(node.inputs)
    if split is None or producer(split[0], "Mul") is not None:  # one factor is all that there is place for
        return None
    inner = _scale(split[0])
    return inner._replace(gamma=split[1]) if inner is not None and inner.gamma is None else None


def _moved_mean(value: Value | None) -> tuple[Value, _Scale] | None:
    """μ · γ · rsqrt(σ² + ε)."""
    node = producer(value, "Mul")
    if node is None:
        return None
    for mean, factor in (node.inputs, node.inputs[::-1]):
        scale = _scale(factor)
        if mean is not None and mean.is_constant and scale is not None:
            return mean, scale
    return None


def _shift(value: Value | None) -> tuple[Value | None, Value, _Scale] | None:
    """β − μ · γ · rsqrt(σ² + ε), without β also as −μ · …; β is None for 0."""
    node = producer(value, "Sub", "Neg", "Mul")
    if node is None:
        return None
    if node.op == "Mul":
        for turned, factor in (node.inputs, node.inputs[::-1]):
            negative, scale = producer(turned, "Neg"), _scale(factor)
            if negative is not None and scale is not None and (mean := negative.inputs[0]) is not None:
                return (None, mean, scale) if mean.is_constant else None
        return None
    beta = node.inputs[0] if node.op == "Sub" else None
    moved = _moved_mean(node.inputs[-1])
    if moved is None or (beta is not None and not beta.is_constant):
        return None
    return beta, *moved


def folded(node: Node, inputs: Operands, at: Rewriter) -> Value | None:
    """A product and a shift: x · scale + shift, and x · scale − μ · scale."""
    pairs = [inputs] if node.op == "Sub" else [inputs, inputs[::-1]]
    for product, other in pairs:
        multiplied = producer(product, "Mul")
        if multiplied is None:
            continue
        moved = _moved_mean(other) if node.op == "Sub" else None
        shift = (None, *moved) if moved is not None else _shift(other) if node.op == "Add" else None
        if shift is None:
            continue
        beta, mean, scale = shift
        for x, factor in (multiplied.inputs, multiplied.inputs[::-1]):
            if x is not None and not x.is_constant and _scale(factor) == scale:
                return _normalized(at.build, x, scale, mean, beta)
    return None


def centred(node: Node, inputs: Operands, at: Rewriter) -> Value | None:
    """(x − μ) · scale, and (x − μ) / sqrt(σ² + ε)."""
    pairs = [inputs] if node.op == "Div" else [inputs, inputs[::-1]]
    for difference, factor in pairs:
        scale = _deviation(factor) if node.op == "Div" else _scale(factor)
        minus = producer(difference, "Sub")
        if scale is None or minus is None:
            continue
        x, mean = minus.inputs
        if x is not None and not x.is_constant and mean is not None and mean.is_constant:
            return _normalized(at.build, x, scale, mean, None)
    return None


def scaled(_: Node, inputs: Operands, at: Rewriter) -> Value | None:
    """γ after a normalization that has none yet."""
    return _completed(inputs, at, 1)


def shifted(_: Node, inputs: Operands, at: Rewriter) -> Value | None:
    """β after a normalization that has none yet."""
    return _completed(inputs, at, 2)


def _completed(inputs: Operands, at: Rewriter, place: int) -> Value | None:
    split = split_constant(inputs)
    if split is None or not at.is_only_use(split[0]):
        return None
    back = producer(split[0], "Transpose")
    norm = producer(back.inputs[0] if back is not None else split[0], "BatchNormalization")
    if norm is None or norm.inputs[0] is None or len(norm.outputs) > 1:
        return None
    neutral = [constant(norm.inputs[1]), constant(norm.inputs[2])]
    values = [(array is not None and (array == want).all()) for array, want in zip(neutral, (1, 0), strict=True)]
    is_open = values[1] and (place == 2 or values[0])  # a factor would have to scale the shift as well
    is_literal = all(value is not None and value.literal for value in norm.inputs[place:3])
    axis = _channel_axis(split[0], [split[1]])
    if not is_open or not is_literal or axis is None or axis != (_last(split[0]) if back is not None else 1):
        return None
    operands = list(norm.inputs)
    operands[place] = at.build.reshape(split[1], [split[1].tensor.size if split[1].tensor else -1])
    whole = at.build.op("BatchNormalization", *operands, **norm.attributes)
    return whole if back is None else at.build.op("Transpose", whole, **back.attributes)


def _last(value: Value) -> int:
    return (value.rank or 0) - 1


def _normalized(build: Builder, x: Value, scale: _Scale, mean: Value, beta: Value | None) -> Value | None:
    import numpy as np

    vectors = [value for value in (scale.gamma, beta, mean, scale.variance) if value is not None]
    axis = _channel_axis(x, vectors)
    if axis is None or x.shape is None or x.dtype is None or not x.dtype.is_float:
        return None
    channels = x.shape[axis]
    assert isinstance(channels, int)
    kind = x.dtype.numpy
    gamma = scale.gamma or build.constant(np.ones(channels, kind), x.dtype)
    beta = beta or build.constant(np.zeros(channels, kind), x.dtype)
    weights = [build.reshape(value, [channels]) for value in (gamma, beta, mean, scale.variance)]
    epsilon = float(str(np.float32(scale.epsilon)))  # as it was written, not with the noise of its binary form
    if axis == 1:
        return build.op("BatchNormalization", x, *weights, epsilon=epsilon)
    first = build.channels_first(x)
    return build.channels_last(build.op("BatchNormalization", first, *weights, epsilon=epsilon))


def _channel_axis(x: Value, vectors: Sequence[Value]) -> int | None:
    """The axis of x that all vectors lie along: the last or the second; None if there is no such axis."""
    if x.shape is None or not 2 <= len(x.shape) <= 5:
        return None
    rank = len(x.shape)
    for axis in (rank - 1, 1):
        if isinstance(x.shape[axis], int) and all(_lies_along(value, axis, rank, x.shape[axis]) for value in vectors):
            return axis
    return None


def _lies_along(value: Value, axis: int, rank: int, channels: object) -> bool:
    if value.shape is None or len(value.shape) > rank:
        return False
    full = (1,) * (rank - len(value.shape)) + value.shape
    return full == tuple(channels if place == axis else 1 for place in range(rank))
