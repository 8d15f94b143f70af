"""Takes dropout out of a graph: when a model is used rather than trained, dropout does nothing.

TensorFlow 1 has no operator for it. `tf.nn.dropout` writes `x / keep * floor(keep + random)` in its old form and
`x * (1 / (1 - rate)) * cast(random >= rate)` in its later one; keep and rate may be constants or placeholders.

Source: tensorflow/python/ops/nn_ops.py (dropout, dropout_v2)
"""

from __future__ import annotations

from dataclasses import replace

from panmodel.model.tensor import Tensor
from panmodel.model.tensorflow.graph import TensorFlowGraph, TensorFlowNode, split_name
from panmodel.wire.tensorflow_messages import NodeDef

_SAME = frozenset(["Identity", "StopGradient"])
_PRODUCTS = frozenset(["Mul", "RealDiv", "Div"])
_RANDOM = frozenset(["RandomUniform", "StatelessRandomUniform", "StatelessRandomUniformV2"])
#: How deep an expression of keep or rate is looked at.
_DEPTH = 16
#: What a placeholder of keep or rate is taken to be while its expressions are compared: any number would do.
_SAMPLE = 0.8125
_TOLERANCE = 1e-4


def without_dropout(graph: TensorFlowGraph) -> TensorFlowGraph:
    """The graph with every dropout replaced by an Identity of what it drops from.

    Args:
        graph: The graph; it stays as it is.
    """
    if not any(node.op in _RANDOM for node in graph.nodes.values()):
        return graph
    nodes = dict(graph.nodes)
    for node in graph.nodes.values():
        kept = _dropped_from(graph, node)
        if kept is not None:
            nodes[node.name] = TensorFlowNode(
                NodeDef(name=node.name, op="Identity", input=[kept], attr=node.message.attr)
            )
    return replace(graph, nodes=nodes)


def _dropped_from(graph: TensorFlowGraph, node: TensorFlowNode) -> str | None:
    """The tensor that a node gives at random elements of; None if it is no dropout."""
    if node.op in ("Select", "SelectV2") and len(node.inputs) == 3:
        chance, scaled, other = _chance(graph, node.inputs[0]), node.inputs[1], _number(graph, node.inputs[2])
        return _unscaled(graph, scaled, chance) if chance is not None and other == 0 else None
    if node.op != "Mul" or len(node.inputs) != 2:
        return None
    for mask, scaled in (node.inputs[::-1], node.inputs):
        chance = _chance(graph, mask)
        if chance is not None and (found := _unscaled(graph, scaled, chance)) is not None:
            return found
    return None


def _chance(graph: TensorFlowGraph, mask: str) -> float | None:
    """How likely an element of a random mask of zeros and ones is one; None if it is no such mask."""
    node = _behind(graph, mask)
    if node is not None and node.op == "Cast" and node.inputs:
        node = _behind(graph, node.inputs[0])
    if node is None:
        return None
    if node.op == "GreaterEqual" and len(node.inputs) == 2 and _is_random(graph, node.inputs[0]):
        rate = _number(graph, node.inputs[1])
        return None if rate is None else 1 - rate
    if node.op == "Floor" and node.inputs and (total := _behind(graph, node.inputs[0])) is not None:
        if total.op not in ("Add", "AddV2") or len(total.inputs) != 2:
            return None
        for random, keep in (total.inputs, total.inputs[::-1]):
            if _is_random(graph, random):
                return _number(graph, keep)
    return None


def _unscaled(graph: TensorFlowGraph, scaled: str, chance: float) -> str | None:
    """What was scaled so that its mean outlives a mask of that chance."""
    node = _behind(graph, scaled)
    if node is None or node.op not in _PRODUCTS or len(node.inputs) != 2:
        return scaled if abs(chance - 1) < _TOLERANCE else None
    pairs = [node.inputs] if node.op != "Mul" else [node.inputs, node.inputs[::-1]]
    for x, factor in pairs:
        number = _number(graph, factor)
        scale = number if number is None or node.op == "Mul" else 1 / number if number else None
        if scale is not None and abs(scale * chance - 1) < _TOLERANCE:
            return x
    return scaled if abs(chance - 1) < _TOLERANCE else None


def _behind(graph: TensorFlowGraph, tensor: str) -> TensorFlowNode | None:
    """The node that computes a tensor, past those that only hand it on."""
    for _ in range(_DEPTH):
        node = graph.nodes.get(split_name(tensor)[0])
        if node is None or node.op not in _SAME or not node.inputs:
            return node
        tensor = node.inputs[0]
    return None


def _is_random(graph: TensorFlowGraph, tensor: str) -> bool:
    """Whether a tensor is uniformly random between 0 and 1: the operator itself, or `random * (1 - 0) + 0`."""
    node = _behind(graph, tensor)
    for op, neutral in (("Add", 0.0), ("AddV2", 0.0), ("Mul", 1.0)):
        if node is not None and node.op == op and len(node.inputs) == 2 and _number(graph, node.inputs[1]) == neutral:
            node = _behind(graph, node.inputs[0])
    return node is not None and node.op in _RANDOM


def _number(graph: TensorFlowGraph, tensor: str, depth: int = _DEPTH) -> float | None:
    """The value of an expression of numbers, placeholders taken to be a sample; None if it is anything else."""
    node = _behind(graph, tensor)
    if node is None or not depth:
        return None
    if node.op == "Const":
        value = node.attributes.get("value")
        is_number = isinstance(value, Tensor) and value.size == 1 and value.dtype.kind in "fiu"
        return float(value.numpy().reshape(())) if is_number and isinstance(value, Tensor) else None
    if node.op in ("Placeholder", "PlaceholderV2", "PlaceholderWithDefault"):
        return _SAMPLE
    if len(node.inputs) != 2:
        return None
    left, right = (_number(graph, name, depth - 1) for name in node.inputs)
    if left is None or right is None:
        return None
    return _calculated(node.op, left, right)


def _calculated(op: str, left: float, right: float) -> float | None:
    if op in ("Add", "AddV2"):
        return left + right
    if op == "Sub":
        return left - right
    if op == "Mul":
        return left * right
    return left / right if op in ("Div", "RealDiv") and right else None
