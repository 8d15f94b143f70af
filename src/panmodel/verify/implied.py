"""The shape that a graph needs of an input which it leaves open, told from the first operators that read it."""

from __future__ import annotations

from panmodel.model.graph import Graph, Node, Value
from panmodel.model.symbolic import Dim, Shape, Size

#: How many operators are followed from an input before nothing is said of it.
_REACH = 8
#: Operators that give their operand's shape back.
_SAME_SHAPE = frozenset(
    (
        "Relu",
        "Cast",
        "Identity",
        "Sigmoid",
        "Tanh",
        "Clip",
        "Abs",
        "Neg",
        "Exp",
        "Sqrt",
        "Elu",
        "Selu",
        "Softplus",
        "Pad",
    )
)
_BROADCASTING = frozenset(("Add", "Sub", "Mul", "Div", "Max", "Min"))


def implied_shape(graph: Graph, value: Value) -> Shape:
    """A shape that fits a value of unknown rank.

    Args:
        graph: The graph.
        value: One of its inputs.

    Returns:
        A shape with symbols for what may be any size; None if its readers do not say.
    """
    return _implied(value, graph.uses(), _REACH)


def _implied(value: Value, uses: dict[Value, list[tuple[Node | None, int]]], reach: int) -> Shape:
    if value.shape is not None:
        return value.shape
    if not reach:
        return None
    for node, index in uses.get(value, ()):
        if node is not None and not node.domain and (shape := _of_operand(node, index, uses, reach - 1)) is not None:
            return shape
    return None


def _of_operand(node: Node, index: int, uses: dict[Value, list[tuple[Node | None, int]]], reach: int) -> Shape:
    """The shape that an operator needs of an operand."""
    other = node.operand(1 - index) if index < 2 else None
    if node.op == "Transpose" and node.attr("perm"):
        return _before_transpose(node, _implied(node.output, uses, reach))
    if node.op in ("Conv", "ConvTranspose") and index == 0 and other is not None and other.shape is not None:
        groups = node.attr("group", 1)
        channels = other.shape[1] * groups if node.op == "Conv" else other.shape[0]
        return (Dim.symbol("batch"), channels, *(Dim.symbol(f"extent{axis}") for axis in range(len(other.shape) - 2)))
    if node.op in ("MatMul", "Gemm") and index == 0 and other is not None and other.rank == 2:
        assert other.shape is not None
        return (Dim.symbol("batch"), other.shape[1 if node.attr("transB") else 0])
    if node.op == "Reshape" and index == 0 and other is not None and other.content is not None:
        return tuple(_open(size) for size in other.content.flat)
    if node.op in _BROADCASTING and other is not None and other.shape is not None:
        return _implied(node.output, uses, reach) or other.shape or None
    return _implied(node.output, uses, reach) if node.op in _SAME_SHAPE else None


def _before_transpose(node: Node, shape: Shape) -> Shape:
    perm = node.attributes["perm"]
    found: list[Size] = [Dim.symbol("batch" if axis == 0 else f"extent{axis}") for axis in range(len(perm))]
    if shape is not None and len(shape) == len(perm):
        for axis, size in zip(perm, shape, strict=True):
            found[axis] = size
    return tuple(found)


def _open(size: Size) -> Size:
    """A size of a reshape; what it works out by itself (-1) or takes over (0) may be anything."""
    return size if isinstance(size, Dim) else int(size) if size > 0 else Dim.symbol("batch")
