"""Dilated convolutions that a graph writes as three operators.

`tf.nn.convolution` with a dilation rate d moves every d-th pixel into a batch of its own (SpaceToBatchND), convolves,
and moves them back (BatchToSpaceND). That is one convolution with a dilation, and is converted to one.

Source: tensorflow/python/ops/nn_ops.py (with_space_to_batch)
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from panmodel.importers.tensorflow.operands import sizes
from panmodel.importers.tensorflow.registry import Operation
from panmodel.model.builder import Builder
from panmodel.model.graph import Node, Value
from panmodel.model.symbolic import Size
from panmodel.model.tensorflow.graph import TensorFlowGraph


def blocks_first(rank: int, count: int) -> list[int]:
    """The axes of [batch, size, block, …, rest], in the order [block, …, batch, size, …, rest]."""
    places = [1 + 2 * axis for axis in range(count)]
    return [*(axis + 1 for axis in places), 0, *places, *range(1 + 2 * count, rank + count)]


class _Spread(NamedTuple):
    """A tensor that SpaceToBatchND took apart, with what it padded before and after each axis, and its blocks."""

    x: Value
    block: tuple[int, ...]
    before: tuple[Size, ...]
    after: tuple[Size, ...]


#: A change of axes between space and convolution: Transpose, Unsqueeze or Squeeze, with its permutation or axes.
_Change = tuple[str, tuple[int, ...]]


def dilated_convolution(node: Operation, build: Builder, block: Sequence[Size], crops: Sequence[Size]) -> Value | None:
    """The convolution whose result BatchToSpaceND moves back, as one with a dilation.

    Args:
        node: The BatchToSpaceND.
        build: The graph.
        block: Its block sizes.
        crops: What it crops, before and after each blocked axis.

    Returns:
        The result of BatchToSpaceND; None if its operand is no convolution of what SpaceToBatchND took apart.
    """
    leaving, conv = _changes_before(node.x)
    if conv is None or not _is_plain(conv) or conv.inputs[0] is None:
        return None
    entering, producer = _changes_before(conv.inputs[0])
    spread = _spread(node.graph, producer, len(block))
    if spread is None or tuple(block) != spread.block[1 : 1 + len(block)]:
        return None
    pads, own = _remaining(spread, crops), list(range(len(spread.block)))
    axes = _follow(entering, own)
    if pads is None or _follow(leaving, axes) != own:
        return None
    # what a convolution sees of each of its axes; one that was inserted is as it is
    dilations = [1 if axis is None else spread.block[axis] for axis in axes]
    padding = [(0, 0) if axis is None else pads[axis] for axis in axes]
    if dilations[:2] != [1, 1] or padding[:2] != [(0, 0), (0, 0)]:
        return None
    numbers = (*(before for before, _ in padding[2:]), *(after for _, after in padding[2:]))
    changed = {"dilations": tuple(dilations[2:]), "pads": numbers if any(numbers) else None}
    x = _apply(build, spread.x, entering)
    return _apply(build, build.op("Conv", x, *conv.inputs[1:], **{**conv.attributes, **changed}), leaving)


def _changes_before(value: Value) -> tuple[list[_Change], Node | None]:
    """The changes of axes that lead to a value, in the order of the data, and the node before them."""
    changes: list[_Change] = []
    node = value.node
    while node is not None and node.op in ("Transpose", "Unsqueeze", "Squeeze") and node.inputs[0] is not None:
        numbers = node.attr("perm") if node.op == "Transpose" else _axes(node)
        if numbers is None:
            break
        changes.append((node.op, tuple(numbers)))
        node = node.inputs[0].node
    return changes[::-1], node


def _axes(node: Node) -> tuple[int, ...] | None:
    """Axes that are inserted or removed, counted from the front."""
    operand = node.operand(1)
    if operand is None or operand.content is None or node.output.rank is None or node.inputs[0] is None:
        return None
    rank = node.output.rank if node.op == "Unsqueeze" else node.inputs[0].rank
    return None if rank is None else tuple(sorted(int(axis) % rank for axis in operand.content.flat))


def _follow(changes: Sequence[_Change], axes: Sequence[int | None]) -> list[int | None]:
    """Which axis stands where after the changes; None for one that was inserted."""
    axes = list(axes)
    for op, numbers in changes:
        if op == "Transpose":
            axes = [axes[axis] for axis in numbers]
        elif op == "Squeeze":
            axes = [axis for place, axis in enumerate(axes) if place not in numbers]
        else:
            for place in numbers:
                axes.insert(place, None)
    return axes


def _apply(build: Builder, x: Value, changes: Sequence[_Change]) -> Value:
    for op, numbers in changes:
        if op == "Transpose":
            x = build.transpose(x, numbers)
        else:
            x = build.squeeze(x, numbers) if op == "Squeeze" else build.unsqueeze(x, numbers)
    return x


def _is_plain(conv: Node) -> bool:
    """Whether a node is a convolution that takes every place once, without padding of its own."""
    if conv.op != "Conv":
        return False
    numbers = [*(conv.attr("strides") or ()), *(conv.attr("dilations") or ())]
    return set(numbers) <= {1} and not any(conv.attr("pads") or ()) and "auto_pad" not in conv.attributes


def _spread(graph: TensorFlowGraph, last: Node | None, count: int) -> _Spread | None:
    """What the handler of SpaceToBatchND made, read back from its nodes: Pad, Reshape, Transpose, Reshape."""
    source = graph.nodes.get(last.name) if last is not None else None
    if last is None or source is None or source.op != "SpaceToBatchND":
        return None
    nodes = [last]
    while (before := nodes[-1].inputs[0]) is not None and before.node is not None and before.node.name == last.name:
        nodes.append(before.node)
    cut = nodes[2].output if [node.op for node in nodes[:3]] == ["Reshape", "Transpose", "Reshape"] else None
    x = nodes[-1].inputs[0]
    if cut is None or cut.shape is None or x is None or x.rank != len(cut.shape) - count:
        return None
    block = [size for size in cut.shape[2 : 2 + 2 * count : 2] if isinstance(size, int)]
    pads = _pads(nodes[3:], x.rank)
    if len(block) < count or pads is None:
        return None
    return _Spread(x, (1, *block, *(1,) * (x.rank - 1 - count)), tuple(pads[: x.rank]), tuple(pads[x.rank :]))


def _pads(nodes: Sequence[Node], rank: int) -> Sequence[Size] | None:
    """The numbers of a Pad, those before each axis first; zeros if there is no node, None if there are others."""
    if not nodes:
        return [0] * (2 * rank)
    numbers = nodes[0].inputs[1] if len(nodes) == 1 and nodes[0].op == "Pad" else None
    return sizes(numbers) if numbers is not None else None


def _remaining(spread: _Spread, crops: Sequence[Size]) -> list[tuple[int, int]] | None:
    """What is padded and not cropped again on each axis; None if that is unknown, or less than nothing."""
    first, last = list(crops[::2]), list(crops[1::2])
    rest = [0] * (len(spread.block) - 1 - len(first))
    remaining = []
    for padded, cropped in ((spread.before, [0, *first, *rest]), (spread.after, [0, *last, *rest])):
        left = [size - crop for size, crop in zip(padded, cropped, strict=True)]
        known = [size for size in left if isinstance(size, int) and size >= 0]
        if len(known) < len(left):
            return None
        remaining.append(known)
    return list(zip(*remaining, strict=True))
