"""The nested containers of a pickle without its tensors: branches with keys, and leaves: names of tensors, or values.

As JSON, null, booleans, numbers and strings stand for themselves, and everything else is an object of its own:

    {"tensor": "fc.weight", "parameter": true}      a tensor, by its name in `Model.tensors`
    {"dict": [["epoch", 7], [0, {"tensor": "x"}]]}  a container, with its keys; also "OrderedDict", "Counter"
    {"list": [1, 2]}                                one whose keys are its positions; also "tuple", "set", "Size"
    {"object": [["lr", 0.1]], "class": "argparse.Namespace"}
    {"quantized": [["data", {"tensor": "w"}], ["scheme", "per_tensor_affine"], …]}  a tensor made of several; also
                                                    "sparse", "nested", and "meta" for one without elements
    {"float": "nan"}, {"complex": ["0.0", "1.0"]}, {"bytes": "AAE="}, {"bytearray": "AAE="}
    {"dtype": "float16"}                            a value of torch's; also "layout", "qscheme", "device"
"""

from __future__ import annotations

import base64
import binascii
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TypeAlias, TypeGuard

from panmodel.errors import CorruptError
from panmodel.limits import DEFAULT, Limits
from panmodel.wire.torch_records import TorchValue, torch_value

Scalar: TypeAlias = bool | int | float | complex | str | bytes | None
Key: TypeAlias = bool | int | float | str | None
Value: TypeAlias = Scalar | bytearray | TorchValue

#: Kinds of branches that are one tensor to torch.
COMPOSED = ("quantized", "sparse", "nested", "meta")
_KEYED = ("dict", "OrderedDict", "Counter", "object", *COMPOSED)
_LISTED = ("list", "tuple", "set", "Size")
#: Bits of an integer that is taken along: a random generator's state has numbers of 128, none has one of thousands.
_MOST_BITS = 1024


@dataclass(frozen=True, slots=True)
class Leaf:
    """The place of a tensor.

    Attributes:
        name: Its key in `Model.tensors`.
        parameter: It is an nn.Parameter there, not a plain tensor.
        requires_grad: It takes gradients.
    """

    name: str
    parameter: bool = False
    requires_grad: bool = False


@dataclass(frozen=True, slots=True)
class Branch:
    """A container.

    Attributes:
        kind: "dict", "OrderedDict", "Counter", "list", "tuple", "set", "Size", "object" for what has attributes and a
            class, or one of `COMPOSED`, whose items are what the tensor is made of.
        items: Keys and what is there; the keys of lists, tuples, sets and sizes are positions.
        cls: The class of an object, as "module.name".
        modules: What `state_dict()._metadata` says of each module, None if the container has no such attribute.
    """

    kind: str
    items: tuple[tuple[Key, Node], ...]
    cls: str = ""
    modules: Mapping[str, Mapping[str, Scalar]] | None = None

    @property
    def is_mapping(self) -> bool:
        """Whether its keys are names rather than positions."""
        return self.kind in _KEYED

    @property
    def is_tensor(self) -> bool:
        """Whether it is one tensor to torch."""
        return self.kind in COMPOSED

    def get(self, key: Key) -> Node:
        """What is under a key; None if nothing is."""
        return next((node for there, node in self.items if type(there) is type(key) and there == key), None)


Node: TypeAlias = Leaf | Branch | Value


def is_scalar(value: object) -> TypeGuard[Scalar]:
    """Whether a value is one that a skeleton keeps as it is."""
    if type(value) is int:
        return value.bit_length() <= _MOST_BITS
    return value is None or isinstance(value, (bool, float, complex, str, bytes))


def is_key(value: object) -> TypeGuard[Key]:
    """Whether a dictionary key is one that a skeleton keeps."""
    return is_scalar(value) and not isinstance(value, (complex, bytes))


def is_element(node: Node) -> bool:
    """Whether a set can hold it: nothing that can be changed, neither by itself nor in a tuple."""
    if isinstance(node, Branch) and node.kind in ("tuple", "Size"):
        return all(is_element(child) for _, child in node.items)
    return not isinstance(node, bytearray) and (not isinstance(node, Branch) or node.is_tensor)


def leaves(node: Node) -> Iterator[Leaf]:
    """Every leaf, in order."""
    pending = [node]
    while pending:
        here = pending.pop()
        if isinstance(here, Leaf):
            yield here
        elif isinstance(here, Branch):
            pending.extend(child for _, child in reversed(here.items))


def scalars(node: Node, path: tuple[str, ...] = ()) -> Iterator[tuple[str, Scalar]]:
    """Every value that is no tensor, under its path joined by dots; those of torch in words."""
    if isinstance(node, Branch):
        for key, child in node.items:
            yield from scalars(child, (*path, str(key)))
    elif not isinstance(node, Leaf):
        told = str(node) if isinstance(node, TorchValue) else bytes(node) if isinstance(node, bytearray) else node
        yield ".".join(path), told


# JSON


def to_json(node: Node) -> object:
    """A skeleton as plain values that JSON has."""
    if isinstance(node, Leaf):
        flags = {"parameter": node.parameter, "requires_grad": node.requires_grad}
        return {"tensor": node.name, **{flag: True for flag, is_set in flags.items() if is_set}}
    if isinstance(node, Branch):
        return _branch_to_json(node)
    if isinstance(node, float) and not math.isfinite(node):
        return {"float": repr(node)}
    if isinstance(node, complex):
        return {"complex": [repr(node.real), repr(node.imag)]}
    if isinstance(node, (bytes, bytearray)):
        return {type(node).__name__: base64.b64encode(node).decode()}
    return {node.kind: node.name} if isinstance(node, TorchValue) else node


def _branch_to_json(branch: Branch) -> dict[str, object]:
    if branch.is_mapping:
        plain: dict[str, object] = {branch.kind: [[_key_to_json(key), to_json(node)] for key, node in branch.items]}
    else:
        plain = {branch.kind: [to_json(node) for _, node in branch.items]}
    if branch.cls:
        plain["class"] = branch.cls
    if branch.modules is not None:
        told = {name: {key: to_json(value) for key, value in item.items()} for name, item in branch.modules.items()}
        plain["modules"] = told
    return plain


def _key_to_json(key: Key) -> object:
    return to_json(key)


class Decoder:
    """Holds JSON, which comes from a file, against what a skeleton is.

    Args:
        has_tensor: Whether a tensor of that name is there.
        limits: Caps on depth.
    """

    def __init__(self, has_tensor: Callable[[str], bool], limits: Limits = DEFAULT) -> None:
        self._has_tensor, self._limits = has_tensor, limits

    def node(self, plain: object, depth: int = 0) -> Node:
        """The skeleton that `to_json` made this of.

        Raises:
            CorruptError: It made it of none, or a tensor is not there.
        """
        if depth > self._limits.nesting:
            raise CorruptError(f"the structure of the file is nested over {self._limits.nesting} deep")
        if not isinstance(plain, dict):
            if isinstance(plain, list) or not is_scalar(plain):
                raise CorruptError("the structure of the file has a value of no known kind")
            return plain
        for kind in (*_KEYED, *_LISTED):
            if kind in plain:
                return self._branch(kind, plain, depth)
        if "tensor" in plain:
            return self._leaf(plain)
        return _special(plain)

    def _leaf(self, plain: dict[str, object]) -> Leaf:
        name = plain["tensor"]
        flags = {flag: plain.get(flag, False) for flag in ("parameter", "requires_grad")}
        if not isinstance(name, str) or not self._has_tensor(name):
            raise CorruptError(f"the structure of the file places a tensor that is not there, {str(name)[:200]!r}")
        if not all(isinstance(value, bool) for value in flags.values()):
            raise CorruptError(f"the structure of the file describes tensor {name[:200]!r} by values of other types")
        return Leaf(name, bool(flags["parameter"]), bool(flags["requires_grad"]))

    def _branch(self, kind: str, plain: dict[str, object], depth: int) -> Branch:
        items, cls, told = plain[kind], plain.get("class", ""), plain.get("modules")
        if not isinstance(items, list) or not isinstance(cls, str) or not isinstance(told, (dict, type(None))):
            raise CorruptError(f"the structure of the file has a {kind} of another form")
        if kind in _LISTED:
            made = Branch(kind, tuple((index, self.node(item, depth + 1)) for index, item in enumerate(items)), cls)
            if not _is_filled_right(made):
                raise CorruptError(f"the structure of the file has a {kind} of things that it cannot hold")
            return made
        modules = None if told is None else {name: self._told(item, depth) for name, item in told.items()}
        return Branch(kind, tuple(self._item(item, depth) for item in items), cls, modules)

    def _item(self, plain: object, depth: int) -> tuple[Key, Node]:
        key = self.node(plain[0], depth + 1) if isinstance(plain, list) and len(plain) == 2 else b""
        if not is_key(key):
            raise CorruptError("the structure of the file has a dictionary of other things than keys and values")
        return key, self.node(plain[1], depth + 1)  # type: ignore[index]

    def _told(self, plain: object, depth: int) -> dict[str, Scalar]:
        if not isinstance(plain, dict):
            raise CorruptError("the structure of the file has versions of modules in another form")
        told: dict[str, Scalar] = {}
        for name, value in plain.items():
            decoded = self.node(value, depth + 1)
            if not is_scalar(decoded):
                raise CorruptError("the structure of the file has versions of modules in another form")
            told[name] = decoded
        return told


def _is_filled_right(branch: Branch) -> bool:
    """Whether a set holds what sets can hold, and a size nothing but numbers."""
    held = [child for _, child in branch.items]
    if branch.kind == "Size":
        return all(type(child) is int and 0 <= child < 1 << 63 for child in held)
    return branch.kind != "set" or all(map(is_element, held))


def _special(plain: dict[str, object]) -> Value:
    """Numbers, bytes and values of torch, which JSON has no sign for."""
    try:
        match plain:
            case {"float": str(text)}:
                return float(text[:64])
            case {"complex": [str(real), str(imaginary)]}:
                return complex(float(real[:64]), float(imaginary[:64]))
            case {"bytes": str(text)}:
                return base64.b64decode(text, validate=True)
            case {"bytearray": str(text)}:
                return bytearray(base64.b64decode(text, validate=True))
    except (ValueError, binascii.Error):
        pass
    for kind in TorchValue.KINDS:
        if made := torch_value(kind, plain.get(kind)):
            return made
    raise CorruptError("the structure of the file has a value of no known kind")
