"""What lies in the containers that people pickle with torch.save, taken apart into a skeleton and tensors by name."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TypeAlias

from panmodel.errors import LimitError
from panmodel.limits import DEFAULT, Limits
from panmodel.model.torch.classes import is_foreign
from panmodel.model.torch.composed import composed_branch, quantized_branch, stored_integers
from panmodel.model.torch.containers import has_more_attributes, key_names, kind_of, nested_lists, versions
from panmodel.model.torch.modules import (
    ModuleContents,
    attributes,
    held_by_script,
    is_module,
    is_script_object,
    is_uninitialized,
    module_contents,
)
from panmodel.model.torch.optimizer_objects import is_optimizer, state_dict
from panmodel.model.torch.skeleton import Branch, Key, Leaf, Node, Scalar, is_element, is_scalar, leaves
from panmodel.model.torch.training import state_dict_key
from panmodel.wire.pickle import GETATTR, PARTIAL, Dictionary, Global, Object, describe
from panmodel.wire.torch_records import (
    ArrayRecord,
    ComposedRecord,
    MetaRecord,
    PlainValue,
    SubclassRecord,
    TensorRecord,
    TorchValue,
    named_value,
)

#: Containers may hold each other so that there are far more ways to a thing than things.
_REPEATS, _FEW = 8, 100_000

Record: TypeAlias = TensorRecord | ArrayRecord


@dataclass
class Contents:
    """A pickled value, taken apart.

    Attributes:
        root: The containers, with the names of the tensors in them.
        key: The key of the state dict whose tensors go by their names there, "" if there is none.
        tensors: Name → what the tensor is, in the order of the file.
        modules: Of whole modules: name → class, settings and the like.
        code: Of modules that torch.fx traced: name → what unpickling would execute.
        opaque: Names of what is neither a tensor nor a plain value, and is left out.
        uninitialized: Names of parameters of lazy modules, which have no shape yet, and are left out.
        changed: Names of what is taken for something simpler, with what it was.
        unregistered: Names of tensors of modules that are no part of their state dict, and are left out.
    """

    root: Node = None
    key: str = ""
    tensors: dict[str, Record] = field(default_factory=dict)
    modules: dict[str, dict[str, object]] = field(default_factory=dict)
    code: dict[str, str] = field(default_factory=dict)
    opaque: list[str] = field(default_factory=list)
    uninitialized: list[str] = field(default_factory=list)
    changed: dict[str, list[str]] = field(default_factory=dict)
    unregistered: list[str] = field(default_factory=list)

    @property
    def left_out(self) -> int:
        """How many values have no place in `root`."""
        return len(self.opaque) + len(self.uninitialized)


def contents(value: object, where: str, *, limits: Limits = DEFAULT) -> Contents:
    """Take a pickled value apart.

    Nested containers give names joined by dots. What lies in the one state dict of a checkpoint goes by its name there.
    Of tensors whose names meet so ({"a": {"b": …}, "a.b": …}), all but the first have a number behind it: "a.b#2".

    Args:
        value: Containers, tensors, plain values and inert records.
        where: The file, for messages.
        limits: Caps on depth and number.

    Raises:
        LimitError: It is nested too deep, or without end.
    """
    walk = _Walk(where, limits)
    found = walk.found
    found.root = walk.node(value, ())
    key = state_dict_key(found.root)
    names = {name: name.removeprefix(f"{key}.") for name in _under(found.root, key)} if key else {}
    if len({names.get(name, name) for name in found.tensors}) == len(found.tensors):
        found.key = key
        found.root = _renamed(found.root, names)
        found.tensors = {names.get(name, name): record for name, record in found.tensors.items()}
        prefix = f"{key}." if key else ""
        within = {name: "" if name == key else name.removeprefix(prefix) for name in found.modules}
        found.modules = {within[name]: told for name, told in found.modules.items()}
        found.code = {within[name]: text for name, text in found.code.items()}
        found.changed = {what: [names.get(name, name) for name in paths] for what, paths in found.changed.items()}
    return found


def _under(root: Node, key: str) -> Iterable[str]:
    return [leaf.name for leaf in leaves(root.get(key))] if isinstance(root, Branch) else []


def _renamed(node: Node, names: dict[str, str]) -> Node:
    if isinstance(node, Leaf):
        return dataclasses.replace(node, name=names.get(node.name, node.name))
    if not isinstance(node, Branch) or not names:
        return node
    items = tuple((key, _renamed(child, names)) for key, child in node.items)
    return dataclasses.replace(node, items=items)


class _Walk:
    """Makes the skeleton of a value; depth and number are bounded."""

    def __init__(self, where: str, limits: Limits) -> None:
        self.where, self.limits, self.found = where, limits, Contents()
        self._nodes = self._characters = self._unique = 0
        self._seen: set[int] = set()
        self._met: dict[str, int] = {}  # how many tensors would have a name
        self._open: set[int] = set()  # the objects that the walk is inside of
        self._made: dict[int, object] = {}  # what arrays of objects, and optimizers, are taken for, by their identity

    def node(self, value: object, path: tuple[str, ...]) -> Node:
        """The skeleton of a value, whose tensors are put under their names."""
        self._count(path)
        if is_scalar(value) or isinstance(value, (bytearray, TorchValue)):
            return value
        if isinstance(value, TensorRecord):
            return self._tensor(value, path)
        if isinstance(value, (dict, list, tuple, set, frozenset)):
            return self._container(value, path)
        if not isinstance(value, Object):
            return self._other(value, path)
        if id(value) in self._open:  # the whole that parts of a configuration refer back to
            self._left_out(value, path)
            return None
        self._open.add(id(value))
        made = self._object(value, path)
        self._open.remove(id(value))
        return made

    def _count(self, path: tuple[str, ...]) -> None:
        self._nodes += 1
        self._characters += sum(map(len, path)) + len(path)
        repeats = self._nodes > _FEW and self._nodes > _REPEATS * (self._unique + 1)
        too_many = self._nodes > 2 * self.limits.tensors or self._characters > self.limits.pickle_bytes
        if len(path) > self.limits.nesting or too_many or repeats:
            raise LimitError("containers are nested too deep, or within themselves", where=self.where)

    def _once(self, value: object, size: int) -> None:
        """Count what a container holds once, however many hold it."""
        if id(value) not in self._seen:
            self._seen.add(id(value))
            self._unique += 1 + size

    def _leaf(self, record: Record, path: tuple[str, ...], *, parameter: bool = False, grad: bool = False) -> Leaf:
        name = self._free_name(".".join(path) if path else "tensor")
        self.found.tensors[name] = record
        return Leaf(name, parameter, grad)

    def _free_name(self, name: str) -> str:
        """The name itself, or one with a number if it is taken."""
        if name not in self.found.tensors:
            return name
        count = self._met.get(name, 1) + 1
        while (numbered := f"{name}#{count}") in self.found.tensors:
            count += 1
        self._met[name] = count
        self._changed("tensors that would have the name of another by it with a number behind", (numbered,))
        return numbered

    def _changed(self, what: str, path: tuple[str, ...]) -> None:
        self.found.changed.setdefault(what, []).append(".".join(path))

    def _left_out(self, value: object, path: tuple[str, ...]) -> None:
        self.found.opaque.append(".".join(path) or describe(value))

    # Tensors

    def _tensor(self, record: TensorRecord, path: tuple[str, ...]) -> Node:
        if record.state:
            self._changed("tensors without the attributes that were set on them", path)
        if record.quantizer is None:
            return self._leaf(record, path, parameter=record.parameter, grad=record.requires_grad)
        data = self._leaf(stored_integers(record), path)
        return quantized_branch(record, data, lambda part, key: self.node(part, (*path, key)))

    def _other(self, value: object, path: tuple[str, ...]) -> Node:
        if isinstance(value, ComposedRecord):
            if value.parameter:
                self._changed("parameters that are made of several tensors as no parameters", path)
            return composed_branch(value, lambda part, key: self._leaf(part, (*path, key)))
        if isinstance(value, MetaRecord):
            if value.requires_grad:
                self._changed("parameters without elements as no parameters", path)
            shape, strides = (Branch("tuple", tuple(enumerate(sizes))) for sizes in (value.shape, value.strides))
            return Branch("meta", (("dtype", value.dtype.name), ("size", shape), ("stride", strides)))
        if isinstance(value, ArrayRecord) and value.dtype is not None:
            self._changed("numpy arrays as tensors", path)
            return self._leaf(value, path)
        if isinstance(value, ArrayRecord) and value.has_items:
            self._changed("numpy arrays of objects or strings as lists", path)
            lists = self._made.setdefault(id(value), nested_lists(value.items, value.shape))
            return self.node(lists, path)
        if isinstance(value, SubclassRecord):
            self._changed("tensors of other classes as plain ones", path)
            parts = {"": value.inner, "state": value.state, "args": value.args}
            if isinstance(value.inner, TensorRecord):
                return self._tensor(value.inner, path)
            told = {key: part for key, part in parts.items() if part}
            return self._branch("object", list(told.items()), path, cls=describe(value.cls))
        if isinstance(value, Global):
            return self._named(value, path)
        if isinstance(value, PlainValue):
            self._changed("values of Python's library, and devices that torch does not know, as text", path)
            return value.text
        self._left_out(value, path)
        return None

    def _named(self, value: Global, path: tuple[str, ...]) -> Node:
        """One of torch's types and the like, or the name of anything else."""
        made = named_value(value)
        if made is None:
            self._changed("types and functions as their names", path)
        return describe(value) if made is None else made

    # Containers

    def _container(self, value: object, path: tuple[str, ...]) -> Branch:
        if isinstance(value, dict):
            self._once(value, len(value))
            kind = value.kind if isinstance(value, Dictionary) else "dict"
            if kind == "defaultdict":
                self._changed("dictionaries with a default as dictionaries without", path)
                kind = "OrderedDict"
            if has_more_attributes(value):
                self._changed("dictionaries without the attributes that were set on them", path)
            return self._branch(kind, list(value.items()), path, modules=versions(value))
        assert isinstance(value, (list, tuple, set, frozenset))
        self._once(value, len(value))
        return self._listed(self._branch(kind_of(value), list(enumerate(value)), path), path)

    def _listed(self, branch: Branch, path: tuple[str, ...]) -> Branch:
        """The same as a list or set, if torch does not load such a container without trust."""
        kind = branch.kind
        if kind == "deque":
            self._changed("deques as lists", path)
            kind = "list"
        elif kind in ("set", "frozenset") and not all(is_element(child) for _, child in branch.items):
            self._changed("sets of what no set can hold after that as lists", path)
            kind = "list"
        elif kind == "frozenset":
            self._changed("frozen sets as sets", path)
            kind = "set"
        return dataclasses.replace(branch, kind=kind)

    def _object(self, value: Object, path: tuple[str, ...]) -> Node:
        if is_module(value):
            return self._module(value, path)
        if is_uninitialized(value):
            self.found.uninitialized.append(".".join(path))
            return None
        if is_script_object(value):
            self._changed("objects of TorchScript as what they hold", path)
            return self.node(held_by_script(value), path)
        if is_optimizer(value):
            return self._optimizer(value, path)
        if value.cls in GETATTR | PARTIAL:
            return self._reference(value, path)
        held = attributes(value)
        items: list[tuple[object, object]] = [*held.items(), *value.items, *enumerate(value.elements)]
        items += [
            ("state", state) for state in value.states[:1] if not held and state
        ]  # of `__getstate__`, no dictionary
        given = value.called and bool(value.args)
        if (given and not self._is_foreign(value)) or not (items or value.args):
            self._left_out(value, path)
            return None
        self._once(value, len(items) + len(value.args))
        cls = describe(value.cls)
        if given and not items and len(value.args) == 1 and is_scalar(value.args[0]):
            self._changed("members of enumerations and the like as the values that they are made of", path)
            return value.args[0]
        if not items:  # a named tuple, a number or text of a class of its own
            self._changed("objects as tuples", path)
            return self._branch("tuple", list(enumerate(value.args)), path, cls=cls)
        self._changed("objects as dictionaries", path)
        items += [("args", value.args)] if value.args else []
        return self._branch("object", items, path, cls=cls)

    def _reference(self, value: Object, path: tuple[str, ...]) -> Node:
        """A partial function, with what it holds; or the name of an attribute of a class."""
        target, *keys = value.args
        if value.cls in PARTIAL:
            held = value.states[0] if value.states else ()
            parts = held[1:3] if isinstance(held, tuple) else ()
            self._changed("objects as dictionaries", path)
            items: list[tuple[object, object]] = [("func", target), *zip(("args", "keywords"), parts, strict=False)]
            return self._branch("object", items, path, cls=describe(value.cls))
        if isinstance(target, Global):
            self._changed("types and functions as their names", path)
            return ".".join((describe(target), *map(str, keys)))
        self._left_out(value, path)
        return None

    @staticmethod
    def _is_foreign(value: Object) -> bool:
        return isinstance(value.cls, Global) and is_foreign(value.cls)

    def _optimizer(self, value: Object, path: tuple[str, ...]) -> Branch:
        self._changed("whole optimizers as their state dicts", path)
        made = self._made.setdefault(id(value), state_dict(value))
        assert isinstance(made, dict)
        return self._branch("dict", list(made.items()), path, cls=describe(value.cls))

    def _branch(
        self,
        kind: str,
        items: list[tuple[object, object]],
        path: tuple[str, ...],
        *,
        cls: str = "",
        modules: dict[str, dict[str, Scalar]] | None = None,
    ) -> Branch:
        made: list[tuple[Key, Node]] = []
        for (key, child), name in zip(items, key_names([key for key, _ in items]), strict=True):
            if name is not key:
                self._changed("keys of dictionaries as text", path)
            left_out = self.found.left_out
            node = self.node(child, (*path, str(name)))
            if node is not None or child is None or self.found.left_out == left_out or kind in ("list", "tuple"):
                made.append((name, node))
        return Branch(kind, tuple(made), cls, modules)

    def _module(self, value: Object, path: tuple[str, ...]) -> Branch:
        found: ModuleContents = module_contents(value, self.where, limits=self.limits)
        self._changed("whole modules as their state dicts", path)
        prefix = "".join(f"{part}." for part in path)
        self.found.unregistered += [prefix + name for name in found.unregistered]
        base = ".".join(path)
        self.found.modules |= {(prefix + name if name else base): told for name, told in found.tree.items()}
        if found.code:
            self._changed("modules that torch.fx traced without executing their code, which unpickling would", path)
            self.found.code |= {(prefix + name if name else base): text for name, text in found.code.items()}
        self._once(value, len(found.state_dict) + len(found.tree))
        self._nodes += len(found.tree)
        nodes = ((name, self.node(tensor, (*path, name))) for name, tensor in found.state_dict.items())
        there = ((name, node) for name, node in nodes if node is not None or found.state_dict[name] is None)
        items = ((name, Leaf(node.name) if isinstance(node, Leaf) else node) for name, node in there)  # detached
        return Branch("OrderedDict", tuple(items))
