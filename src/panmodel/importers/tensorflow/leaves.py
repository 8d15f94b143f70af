"""Where values begin: placeholders, constants and variables; and the operators that hand their operand on.

Source: tensorflow/core/ops/{array_ops,state_ops,resource_variable_ops}.cc
"""

from __future__ import annotations

from collections.abc import Sequence

from panmodel.errors import CorruptError
from panmodel.importers.tensorflow.boundary import feed
from panmodel.importers.tensorflow.registry import Operation, importer_op
from panmodel.model.builder import Builder
from panmodel.model.content_rules import LIMIT
from panmodel.model.graph import Value
from panmodel.model.tensor import Tensor
from panmodel.model.tensorflow.variables import Variables


@importer_op("Placeholder", "PlaceholderV2")
def placeholder(node: Operation, build: Builder) -> Value:
    """An input that the user has not named: it becomes one all the same, since the outputs need it."""
    return feed(node.graph, build, f"{node.name}:0")


@importer_op("PlaceholderWithDefault")
def placeholder_with_default(node: Operation, build: Builder) -> Value:
    """Its default, as nothing is fed in its place."""
    return node.x


@importer_op("Const")
def const(node: Operation, build: Builder) -> Value:
    """A weight that stays unread, or a literal: a shape, an axis, an epsilon."""
    tensor = node.attr("value")
    if not isinstance(tensor, Tensor):
        raise CorruptError(f"value is {tensor!r}, expected a tensor", where=node.name)
    is_weight = tensor.dtype.is_float and bool(tensor.shape) and tensor.size > 1
    if is_weight or tensor.size > LIMIT or _is_frozen(node):
        return build.weight(tensor, node.name)
    return build.constant(tensor.numpy(), tensor.dtype)


def _is_frozen(node: Operation) -> bool:
    """Whether the constant was a float variable before the graph was frozen, which leaves its `read` behind."""
    reader = node.graph.nodes.get(f"{node.name}/read")
    is_float = node.attr("value").dtype.is_float
    return is_float and reader is not None and reader.op == "Identity" and reader.inputs == (f"{node.name}:0",)


@importer_op("Variable", "VariableV2", "VarHandleOp")
def variable(node: Operation, build: Builder) -> Value:
    """A weight from the checkpoint, under the variable's name."""
    tensor = (node.variables or Variables(node.graph)).tensor(node.node)
    return build.weight(tensor, tensor.name or node.name)


@importer_op(
    "CheckNumerics", "CheckNumericsV2", "Identity", "PreventGradient", "ReadVariableOp", "Snapshot", "StopGradient"
)
def hand_on(node: Operation, build: Builder) -> Value:
    """The operand itself."""
    return node.x


@importer_op("IdentityN")
def hand_all_on(node: Operation, build: Builder) -> Sequence[Value]:
    """The operands themselves."""
    return node.inputs


@importer_op("NoOp")
def nothing(node: Operation, build: Builder) -> Sequence[Value]:
    """No value."""
    return ()
