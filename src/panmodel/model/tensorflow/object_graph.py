"""The graph of objects of an object-based checkpoint: TensorFlow 2 saves objects, and tensors as attributes of theirs.

In the file a tensor's key is a path from the root object to the one that it belongs to. What a user calls the tensor is
its full name, as in a graph, where the file has one that tells it from others, and the path in plain letters elsewhere.
Both lead to it, as does any other path through the objects.

Source: tensorflow/core/protobuf/trackable_object_graph.proto, tensorflow/python/checkpoint/{util,graph_view}.py and
tensorflow/python/trackable/trackable_utils.py
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, ClassVar, Self

from panmodel.dtypes import STRING
from panmodel.errors import CorruptError, LimitError, UnsupportedError
from panmodel.limits import DEFAULT
from panmodel.model.aliases import AliasedTensors
from panmodel.model.tensor import ArrayTensor, Tensor
from panmodel.model.tensorflow.object_training import object_training_state
from panmodel.model.tensorflow.objects import Attribute, Slot, Table, TrackedObject, parents
from panmodel.model.training import TrainingState
from panmodel.wire.protobuf import decode_bytes, encode_bytes
from panmodel.wire.tensorflow_objects import (
    BoolValue,
    ObjectReference,
    RegisteredSaver,
    SerializedTensor,
    SlotVariableReference,
    TrackableObject,
    TrackableObjectGraph,
)

#: Under this key a checkpoint has the graph itself, encoded.
GRAPH_KEY = "_CHECKPOINTABLE_OBJECT_GRAPH"
_VALUE = "VARIABLE_VALUE"
_ATTRIBUTES, _SLOT = "/.ATTRIBUTES/", ".OPTIMIZER_SLOT"
_MADE_UP = re.compile(r"Variable(_\d+)?")  # what TensorFlow calls variables that nobody named


@dataclass(frozen=True)
class ObjectGraph:
    """Objects, and which tensors are their attributes.

    Attributes:
        nodes: The objects, the root first; they know each other by their numbers.
        keys: Name of a tensor in `Model.tensors` → its key in the checkpoint.
    """

    family: ClassVar[str] = "tensorflow"

    nodes: tuple[TrackedObject, ...]
    keys: Mapping[str, str]

    def resolve(self, name: str) -> str | None:
        """The name in `Model.tensors` that a key of the checkpoint, or a path through the objects, stands for."""
        return self._others.get(name) or self._walked(name)

    @cached_property
    def _others(self) -> dict[str, str]:
        """Keys and their plain forms → names."""
        plain = {_readable(key): name for name, key in self.keys.items()}
        return plain | {key: name for name, key in self.keys.items()}

    @cached_property
    def _children(self) -> list[dict[str, int]]:
        return [dict(node.children) for node in self.nodes]

    def _walked(self, path: str) -> str | None:
        path, _, attribute = path.partition(_ATTRIBUTES)
        at = 0
        for part in path.split("/"):
            found = self._children[at].get(_unescaped(part))
            if found is None:
                return None
            at = found
        wanted = attribute or _VALUE
        return next((known.tensor for known in self.nodes[at].attributes if known.name == wanted), None)

    def stored(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The tensors as a checkpoint holds them: by their keys, and the graph among them.

        Raises:
            UnsupportedError: A tensor has a name that is the key of another one.
        """
        import numpy as np

        found: dict[str, Tensor] = {GRAPH_KEY: ArrayTensor(np.array(encode_bytes(self._message()), object), GRAPH_KEY)}
        for name, tensor in tensors.items():
            key = self.keys.get(name, name)
            if key in found:
                raise UnsupportedError(f"tensor {name!r} would be stored as {key!r}, and so would another one")
            found[key] = tensor
        return found

    def _message(self) -> TrackableObjectGraph:
        holding = self._holding()
        nodes = []
        for number, node in enumerate(self.nodes):
            message = TrackableObject(
                children=[ObjectReference(node_id=child, local_name=name) for name, child in node.children],
                attributes=[
                    *(_serialized(known, self.keys[known.tensor]) for known in node.attributes),
                    *(_serialized(table, table.key) for table in node.tables),
                ],
                slot_variables=[
                    SlotVariableReference(
                        original_variable_node_id=slot.variable, slot_name=slot.name, slot_variable_node_id=slot.node
                    )
                    for slot in node.slots
                ],
                has_checkpoint_values=BoolValue(value=number in holding),
            )
            if node.saver is not None:
                message.registered_saver = RegisteredSaver(name=node.saver[0], object_name=node.saver[1])
            nodes.append(message)
        return TrackableObjectGraph(nodes=nodes)

    def _holding(self) -> set[int]:
        """Numbers of the objects that have tensors, or lead to some that have."""
        over = parents(self.nodes)
        pending = [n for n, node in enumerate(self.nodes) if node.attributes or node.slots or node.saver or node.tables]
        found = set(pending)
        while pending:
            above = over.get(pending.pop(), set()) - found
            found.update(above)
            pending += above
        return found

    def edited(self, names: Mapping[str, str], *, keep_training: bool = True) -> Self | None:
        """See `Structure.edited`; whether training stays is told by its tensors."""
        keys = {names[name]: key for name, key in self.keys.items() if name in names}
        parts = _parts(keys.values())
        nodes = []
        for node in self.nodes:
            kept = [known for known in node.attributes if known.tensor in names]
            tables = tuple(table for table in node.tables if table.key in parts)
            attributes = tuple(known.renamed(names[known.tensor]) for known in kept)
            nodes.append(replace(node, attributes=attributes, tables=tables))
        if not any(node.attributes or node.tables for node in nodes):
            return None
        return type(self)(_without_empty_slots(nodes), keys)

    def training_state(self, tensors: Mapping[str, Tensor]) -> TrainingState | None:
        """See `Structure.training_state`."""
        return object_training_state(self.nodes, tensors)

    def to_json(self) -> dict[str, Any]:
        """See `Structure.to_json`."""
        return {"nodes": [node.to_json() for node in self.nodes], "keys": dict(self.keys)}

    @classmethod
    def from_json(cls, plain: dict[str, Any], tensors: Mapping[str, Tensor]) -> Self:
        """See `Structure.from_json`."""
        nodes, keys = plain.get("nodes"), plain.get("keys")
        if not isinstance(nodes, list) or not nodes or not isinstance(keys, dict):
            raise CorruptError("an object graph without objects or keys")
        if not all(isinstance(key, str) and name in tensors for name, key in keys.items()):
            raise CorruptError("an object graph with keys of tensors that are not there")
        if len(set(keys.values())) != len(keys) or GRAPH_KEY in keys.values():
            raise CorruptError("an object graph with one key for several tensors")
        found = tuple(TrackedObject.from_json(node, len(nodes)) for node in nodes)
        lost = next((known.tensor for node in found for known in node.attributes if known.tensor not in keys), None)
        if lost is not None:
            raise CorruptError(f"an object graph with an attribute {lost[:200]!r} that has no key")
        return cls(found, keys)


def read_object_graph(tensors: Mapping[str, Tensor], where: str) -> tuple[Mapping[str, Tensor], ObjectGraph | None]:
    """Tell an object-based checkpoint, and give its tensors the names that users know.

    Args:
        tensors: Everything in the file, by key.
        where: The file, for messages.

    Returns:
        The tensors by name, which are found by their keys and by other paths too, and the graph; for any other
        checkpoint the tensors as they are, and None.

    Raises:
        CorruptError: The graph is no such message, or points at objects that are not there.
        LimitError: It has more objects than `panmodel.limits` allows.
    """
    stored = tensors.get(GRAPH_KEY)
    if stored is None:
        return tensors, None
    if stored.dtype is not STRING or stored.size != 1:
        raise CorruptError(f"tensor {GRAPH_KEY!r} is {stored.dtype}{list(stored.shape)}, no string", where=where)
    message = decode_bytes(TrackableObjectGraph, stored.item(), f"{where}, object graph")
    if not message.nodes or len(message.nodes) > DEFAULT.nodes:
        raise LimitError(f"has {len(message.nodes)} objects, 1 to {DEFAULT.nodes} can be", where=where)
    others = {key: tensor for key, tensor in tensors.items() if key != GRAPH_KEY}
    names = _names(message, others)
    parts = _parts(others)
    nodes = [_object(node, names, parts, len(message.nodes), where) for node in message.nodes]
    graph = ObjectGraph(_without_empty_slots(nodes), {name: key for key, name in names.items()})
    return AliasedTensors({names[key]: tensor for key, tensor in others.items()}, graph.resolve), graph


def _names(message: TrackableObjectGraph, tensors: Mapping[str, Tensor]) -> dict[str, str]:
    """Key → the name that users know."""
    full = {known.checkpoint_key: known.full_name for node in message.nodes for known in node.attributes}
    full = {key: full.get(key, "") for key in tensors}
    plain = {key: _readable(key) for key in tensors}
    often, also = Counter(full.values()), Counter(plain.values())
    found: dict[str, str] = {}
    taken: set[str] = set()
    for key in tensors:
        is_name = len(full[key]) <= DEFAULT.name_bytes and not _MADE_UP.fullmatch(full[key])
        is_name = is_name and full[key] != key  # as some versions call variables that are in parts
        choices = [full[key]] if is_name and often[full[key]] == 1 else []
        choices += [plain[key]] if also[plain[key]] == 1 else []
        free = (name for name in choices if name and name not in taken and (name == key or name not in tensors))
        found[key] = next(free, key)
        taken.add(found[key])
    return found


def _parts(keys: Iterable[str]) -> set[str]:
    """What keys begin with, before the last hyphen: the keys of tables among others."""
    return {key.rpartition("-")[0] for key in keys}


def _serialized(known: Attribute | Table, key: str) -> SerializedTensor:
    return SerializedTensor(name=known.name, full_name=known.full_name, checkpoint_key=key)


def _object(
    message: TrackableObject, names: Mapping[str, str], parts: set[str], count: int, where: str
) -> TrackedObject:
    """An object of the file; attributes whose tensors the file does not have are left out.

    Args:
        message: The object.
        names: Key → name of every tensor.
        parts: What those keys begin with that have a hyphen.
        count: How many objects there are.
        where: The file.
    """
    attributes = [
        Attribute(known.name, known.full_name, names[known.checkpoint_key])
        for known in message.attributes
        if known.checkpoint_key in names
    ]
    tables = [
        Table(known.name, known.full_name, known.checkpoint_key)
        for known in message.attributes
        if known.checkpoint_key not in names and known.checkpoint_key in parts
    ]
    slots = [
        Slot(slot.original_variable_node_id, slot.slot_name, slot.slot_variable_node_id)
        for slot in message.slot_variables
    ]
    children = tuple((child.local_name, child.node_id) for child in message.children)
    numbers = [child for _, child in children] + [n for slot in slots for n in (slot.variable, slot.node)]
    if any(not 0 <= number < count for number in numbers):
        raise CorruptError(f"the object graph points at objects beyond its {count}", where=where)
    saver = message.registered_saver
    saved_by = (saver.name, saver.object_name) if saver is not None else None
    return TrackedObject(children, tuple(attributes), tuple(slots), saved_by, tuple(tables))


def _without_empty_slots(nodes: list[TrackedObject]) -> tuple[TrackedObject, ...]:
    """The objects without references to slots of which there is no tensor, which TensorFlow would wait for."""
    return tuple(
        replace(node, slots=tuple(slot for slot in node.slots if nodes[slot.node].attributes)) for node in nodes
    )


def _readable(key: str) -> str:
    """A key in plain letters: the path, without what every key has."""
    path, _, attribute = key.partition(_ATTRIBUTES)
    parts = [_unescaped(part) for part in path.split("/") if part != _SLOT]
    return "/".join(parts if attribute in ("", _VALUE) else [*parts, attribute])


def _unescaped(part: str) -> str:
    """A part of a path as the object has it: `.S` is a slash, and two points are one."""
    return re.sub(r"\.([.S])", lambda found: "/" if found[1] == "S" else ".", part)
