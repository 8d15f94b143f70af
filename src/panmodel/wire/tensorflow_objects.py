"""TensorFlow's messages about graphs of objects: what an object-based checkpoint says of the objects it was saved from.

Source: tensorflow/core/protobuf/trackable_object_graph.proto
"""

from __future__ import annotations

from collections.abc import Sequence

from panmodel.wire.protobuf import Message, repeated, single


class ObjectReference(Message):
    """An object as another one calls it."""

    node_id: int = single(1, "int32")
    local_name: str = single(2, "string")


class SerializedTensor(Message):
    """A tensor of an object: its name there, its name in a graph, and its key in the checkpoint."""

    name: str = single(1, "string")
    full_name: str = single(2, "string")
    checkpoint_key: str = single(3, "string")


class SlotVariableReference(Message):
    """A slot that an optimizer keeps for a variable."""

    original_variable_node_id: int = single(1, "int32")
    slot_name: str = single(2, "string")
    slot_variable_node_id: int = single(3, "int32")


class RegisteredSaver(Message):
    """The class that saved an object in its own way."""

    name: str = single(1, "string")
    object_name: str = single(2, "string")


class BoolValue(Message):
    """A truth value that may be absent."""

    value: bool = single(1, "bool")


class TrackableObject(Message):
    """One object."""

    children: Sequence[ObjectReference] = repeated(1, lambda: ObjectReference)
    attributes: Sequence[SerializedTensor] = repeated(2, lambda: SerializedTensor)
    slot_variables: Sequence[SlotVariableReference] = repeated(3, lambda: SlotVariableReference)
    registered_saver: RegisteredSaver | None = single(4, lambda: RegisteredSaver)
    has_checkpoint_values: BoolValue | None = single(5, lambda: BoolValue)


class TrackableObjectGraph(Message):
    """All objects; the first is the root."""

    nodes: Sequence[TrackableObject] = repeated(1, lambda: TrackableObject)
