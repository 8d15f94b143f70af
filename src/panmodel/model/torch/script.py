"""The tensors of TorchScript: those that its modules hold, by the attributes that lead to them, and its constants.

An object of a TorchScript class is a module or a plain one; either has attributes, which are tensors, plain values,
containers and further objects. Where a class says how it is pickled (quantized modules do), its state is a tuple, whose
positions take the place of attributes.

Source: torch/csrc/jit/docs/serialization.md; torch/nn/modules/module.py (`state_dict`)
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from panmodel.errors import LimitError, UnsupportedError
from panmodel.limits import DEFAULT, Limits
from panmodel.model.torch.composed import composed_branch, quantized_branch, stored_integers
from panmodel.model.torch.skeleton import Branch, Leaf, Node, Scalar, is_scalar
from panmodel.wire.pickle import Global, Object, describe
from panmodel.wire.torch_records import ComposedRecord, PlainValue, TensorRecord, TorchValue
from panmodel.wire.torchscript import CLASSES, Registered, Script

_MANGLED = re.compile(r"\.?___torch_mangle_\d+")
#: Objects may hold each other so that there are far more ways to a thing than things.
_REPEATS, _FEW = 8, 100_000
_MOST_VALUES = 1000  # in a list that is told as a whole


@dataclass
class ScriptContents:
    """What the objects of an archive hold.

    Attributes:
        tensors: Name → tensor, in the order of the file; constants of the program are `CONSTANTS.c<n>`.
        modules: Name of each object ("" for the main module) → its class, whether it was training, and the names of its
            parameters and buffers as far as the file tells them.
        values: Name → plain value, list of such, or text.
        attributes: Names of tensors that are no part of the state dict that torch makes.
        opaque: Names of what is neither a tensor nor a plain value, and is left out.
        nodes: Name → place of the tensor, or of all the tensors and values that it is made of if it is quantized or
            sparse.
    """

    tensors: dict[str, TensorRecord] = field(default_factory=dict)
    modules: dict[str, dict[str, object]] = field(default_factory=dict)
    values: dict[str, object] = field(default_factory=dict)
    attributes: list[str] = field(default_factory=list)
    opaque: list[str] = field(default_factory=list)
    nodes: dict[str, Node] = field(default_factory=dict)


def script_contents(script: Script, where: str, *, limits: Limits = DEFAULT) -> ScriptContents:
    """Take the objects of an archive apart.

    Args:
        script: The archive.
        where: The file, for messages.
        limits: Caps on depth and number.

    Raises:
        LimitError: Objects are nested too deep, or without end.
        UnsupportedError: Two tensors come to have one name.
    """
    walk = _Walk(script, where, limits)
    walk.visit(script.value, ())
    for index, constant in script.constants.items():
        walk.visit(constant, ("CONSTANTS", f"c{index}"))
    return walk.found


def class_name(cls: object) -> str:
    """The name that a class had in Python, as far as TorchScript keeps it: "torch.nn.modules.conv.Conv2d"."""
    if not isinstance(cls, Global):
        return describe(cls)
    module = _MANGLED.sub("", cls.module).removeprefix(CLASSES).removeprefix(".")
    return f"{module}.{cls.name}" if module and cls.name else cls.name


class _Walk:
    """Finds tensors and values; depth and number are bounded."""

    def __init__(self, script: Script, where: str, limits: Limits) -> None:
        self.found = ScriptContents()
        self._registered, self._where, self._limits = script.registered, where, limits
        self._visits = self._characters = 0
        self._seen: set[int] = set()
        self._above: set[int] = set()  # what the way here leads through

    def visit(self, value: object, path: tuple[str, ...], *, in_state_dict: bool = False) -> None:
        """Put a value and what it holds under their names."""
        self._count(value, path)
        name = ".".join(path)
        if isinstance(value, TensorRecord):
            self._tensor(value, path, in_state_dict=in_state_dict)
        elif isinstance(value, ComposedRecord):
            self._composed(value, path)
        elif isinstance(value, (Object, dict, list, tuple)):
            self._held(value, path)
        elif is_scalar(value):
            if value is not None:
                self.found.values[name] = value
        elif isinstance(value, (Global, PlainValue, TorchValue)):
            self.found.values[name] = str(value)
        else:
            self.found.opaque.append(name or describe(value))

    def _count(self, value: object, path: tuple[str, ...]) -> None:
        self._visits += 1
        self._characters += sum(map(len, path)) + len(path)
        self._seen.add(id(value))
        repeats = self._visits > _FEW and self._visits > _REPEATS * len(self._seen)
        if repeats or len(path) > self._limits.nesting or self._characters > self._limits.pickle_bytes:
            raise LimitError("objects are nested too deep, or within each other without end", where=self._where)

    def _tensor(self, record: TensorRecord, path: tuple[str, ...], *, in_state_dict: bool) -> None:
        name = ".".join(path)
        leaf = self._leaf(stored_integers(record), path, in_state_dict=in_state_dict)
        self.found.nodes[name] = leaf
        if record.quantizer is not None:
            branch = quantized_branch(record, leaf, lambda part, key: self._part(part, (*path, key)))
            self.found.nodes[name] = branch
            self._tell(branch, name)

    def _composed(self, record: ComposedRecord, path: tuple[str, ...]) -> None:
        """A sparse tensor, as its components."""
        name = ".".join(path)
        branch = composed_branch(record, lambda part, key: self._part(part, (*path, key)))
        self.found.nodes[name] = branch
        self._tell(branch, name)
        self.found.values[f"{name}.size"] = list(record.shape or ())

    def _part(self, part: object, path: tuple[str, ...]) -> Node:
        """One of what a tensor is made of: another tensor, a number, or a number for each channel."""
        if isinstance(part, TensorRecord):
            return self._leaf(part, path, in_state_dict=False)
        if isinstance(part, list):
            self._plain_list(part, path)
            return Branch("list", tuple(enumerate(part)))
        return part if is_scalar(part) else None

    def _tell(self, branch: Branch, name: str) -> None:
        """Put the plain ones of what a tensor is made of among the values."""
        plain = {f"{name}.{key}": item for key, item in branch.items if is_scalar(item) and item is not None}
        self.found.values |= plain

    def _leaf(self, record: TensorRecord, path: tuple[str, ...], *, in_state_dict: bool) -> Leaf:
        name = ".".join(path)
        if name in self.found.tensors:
            raise UnsupportedError(f"two tensors come to be named {name[:200]!r}", where=self._where)
        self.found.tensors[name] = record
        if not in_state_dict:
            self.found.attributes.append(name)
        return Leaf(name)

    def _held(self, value: object, path: tuple[str, ...]) -> None:
        """What an object or a container holds."""
        if id(value) in self._above:
            self.found.opaque.append(".".join(path))
            return
        self._above.add(id(value))
        if isinstance(value, Object):
            self._object(value, path)
        elif isinstance(value, (list, tuple)) and all(map(is_scalar, value)):
            self._plain_list(value, path)
        elif isinstance(value, (dict, list, tuple)):
            for key, item in value.items() if isinstance(value, dict) else enumerate(value):
                self.visit(item, (*path, str(key) if isinstance(key, (str, int)) else describe(key)))
        self._above.discard(id(value))

    def _plain_list(self, value: Iterable[Scalar], path: tuple[str, ...]) -> None:
        listed = list(value)
        if len(listed) > _MOST_VALUES:
            self.found.opaque.append(".".join(path))
        else:
            self.found.values[".".join(path)] = listed

    def _object(self, value: Object, path: tuple[str, ...]) -> None:
        name = ".".join(path)
        if value.called and not value.states:  # a member of an enumeration, made of its value
            self.visit(value.args[0] if len(value.args) == 1 else list(value.args), path)
            return
        registered = self._registered.get(value.cls) if isinstance(value.cls, Global) else None
        told = self.found.modules.setdefault(name, {})
        told.update(_described(value, registered))
        for key, item in _attributes(value):
            if key == "training" and isinstance(item, bool):
                told["training"] = item
            else:
                self.visit(item, (*path, key), in_state_dict=_is_registered(registered, key))


def _described(value: Object, registered: Registered | None) -> dict[str, object]:
    told: dict[str, object] = {"class": class_name(value.cls)}
    if registered is not None:
        told |= {"parameters": list(registered.parameters), "buffers": list(registered.buffers or ())}
    return {key: item for key, item in told.items() if item}


def _is_registered(registered: Registered | None, key: str) -> bool:
    """Whether an attribute is in the state dict, if it is a tensor; where buffers are not told, any may be one."""
    if registered is None:
        return False
    return registered.buffers is None or key in registered.parameters or key in registered.buffers


def _attributes(value: Object) -> Iterator[tuple[str, object]]:
    """Attributes of an object, or the positions of a state that is no dictionary."""
    for state in value.states:
        if isinstance(state, dict):
            yield from ((str(key), item) for key, item in state.items())
        elif isinstance(state, (list, tuple)):
            yield from ((str(index), item) for index, item in enumerate(state))
        else:
            yield "state", state
    yield from ((str(key), item) for key, item in value.items)
    yield from ((str(index), item) for index, item in enumerate(value.elements))
