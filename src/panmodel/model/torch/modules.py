"""Whole modules in pickles: their state dict, and what the pickle says of each module besides.

A module is an object like any other; what makes it one is its state: `_parameters`, `_buffers` and `_modules`. Its
`forward` is no part of a pickle, but for modules that torch.fx traced: those are pickled as a call that executes their
code. Nothing is called here, and the code is taken for what it is, text.

Source: torch/nn/modules/module.py (`state_dict`, `_save_to_state_dict`, `__setstate__`), torch/fx/graph_module.py
(`GraphModule.__reduce__`, `reduce_graph_module`), torch/ao/nn/quantized/modules/conv.py (`_ConvNd.__getstate__`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from panmodel.errors import LimitError
from panmodel.limits import DEFAULT, Limits
from panmodel.model.torch.skeleton import is_scalar
from panmodel.wire.pickle import Global, Object, describe
from panmodel.wire.torch_records import ComposedRecord, MetaRecord, SubclassRecord, TensorRecord, TorchValue

#: By which modules that torch.fx traced are pickled: it executes the code that it is given.
TRACED = Global("torch.fx.graph_module", "reduce_graph_module")
TRACED_CLASS = Global("torch.fx.graph_module", "GraphModule")
#: Parameters and buffers of lazy modules, made of whether they take gradients.
UNINITIALIZED = frozenset(Global("torch.nn.parameter", f"Uninitialized{kind}") for kind in ("Parameter", "Buffer"))
#: Objects of TorchScript's classes, which quantized layers keep their weights in.
SCRIPT_OBJECTS = frozenset({Global("torch", "ScriptObject"), Global("torch._C", "ScriptObject")})
_PARTS = ("_parameters", "_buffers", "_modules")
#: What the state of a quantized convolution is, a tuple, and what of it is in its state dict.
_CONVOLUTION: tuple[str, ...] = ("in_channels", "out_channels", "kernel_size", "stride", "padding", "dilation")
_CONVOLUTION += ("transposed", "output_padding", "groups", "padding_mode", "weight", "bias", "scale", "zero_point")
_CONVOLUTION += ("training",)
_IN_STATE_DICT = _CONVOLUTION[10:14]
_MOST_SETTINGS = 16  # values in a list that is a hyper-parameter
#: Modules may hold each other so that there are far more ways to one than modules.
_REPEATS, _FEW = 8, 10_000
_TENSORS = (TensorRecord, ComposedRecord, MetaRecord, SubclassRecord)


@dataclass(slots=True)
class ModuleContents:
    """A module and those below it.

    Attributes:
        state_dict: Name → parameter or buffer, in the order of torch's `state_dict()`.
        tree: Name of each module ("" for the outermost) → its class, settings, and whether it was training.
        unregistered: Names of tensors that are attributes and no part of the state dict.
        code: Name of each module that torch.fx traced → its code, with the imports that it needs.
    """

    state_dict: dict[str, object] = field(default_factory=dict)
    tree: dict[str, dict[str, object]] = field(default_factory=dict)
    unregistered: list[str] = field(default_factory=list)
    code: dict[str, str] = field(default_factory=dict)


def is_module(value: object) -> bool:
    """Whether an object has the state of a module."""
    return isinstance(value, Object) and all(isinstance(attributes(value).get(part), dict) for part in _PARTS)


def is_traced(item: Object) -> bool:
    """Whether an object is made as torch.fx pickles modules: from their attributes, and the imports of their code."""
    if item.cls != TRACED or not item.called or item.kwargs or len(item.args) not in (1, 2):
        return False
    return isinstance(item.args[0], dict) and all(isinstance(imports, str) for imports in item.args[1:])


def is_uninitialized(value: object) -> bool:
    """Whether it is a parameter or buffer of a lazy module, which has no shape before the module is used."""
    if not isinstance(value, Object) or value.cls not in UNINITIALIZED or not value.called or value.kwargs:
        return False
    return len(value.args) == 1 and isinstance(value.args[0], bool)


def is_script_object(value: object) -> bool:
    """Whether it is an object of a class of TorchScript, with a state."""
    if not isinstance(value, Object) or value.cls not in SCRIPT_OBJECTS:
        return False
    return not (value.called or value.args or value.kwargs or value.items or value.elements) and len(value.states) == 1


def held_by_script(item: Object) -> object:
    """What an object of which `is_script_object` holds was given: its state, without the name of its class."""
    state = item.states[0]
    is_named = isinstance(state, tuple) and len(state) == 2 and isinstance(state[1], str)
    return state[0] if is_named else state  # type: ignore[index]


def attributes(item: Object) -> dict[object, object]:
    """What BUILD, or the call that makes a module that torch.fx traced, put into the `__dict__` of an object."""
    found: dict[object, object] = {}
    if is_traced(item) and isinstance(item.args[0], dict):
        found.update(item.args[0])
    for state in item.states:
        if isinstance(state, tuple) and len(state) == 2 and isinstance(state[0], (dict, type(None))):
            for part in state:  # the state of a class with __slots__: its __dict__, then the slots
                found.update(part if isinstance(part, dict) else {})
        elif isinstance(state, dict):
            found.update(state)
    return found


def quantized_convolution(item: Object) -> dict[object, object]:
    """What a quantized convolution of torch's holds; nothing of any other object."""
    module = item.cls.module if isinstance(item.cls, Global) else ""
    state = item.states[0] if len(item.states) == 1 and not item.called else None
    if not module.startswith("torch.") or ".quantized." not in module or not isinstance(state, tuple):
        return {}
    held: dict[object, object] = dict(zip(_CONVOLUTION, state, strict=False))
    return held if len(state) == len(_CONVOLUTION) and isinstance(held["weight"], TensorRecord) else {}


def module_contents(module: Object, where: str, *, limits: Limits = DEFAULT) -> ModuleContents:
    """Walk a module.

    Raises:
        LimitError: Modules are nested too deep, or within each other without end.
    """
    found = ModuleContents()
    seen: set[int] = set()
    pending: list[tuple[tuple[str, ...], Object]] = [((), module)]
    while pending:
        path, item = pending.pop()
        seen.add(id(item))
        visits = len(found.tree)
        if len(path) > limits.nesting or (visits > _FEW and visits > _REPEATS * len(seen)):
            raise LimitError("modules are nested too deep, or within themselves", where=where)
        held, name = attributes(item), ".".join(path)
        if not is_module(item):  # its state has a form of its own
            convolution = quantized_convolution(item)
            found.tree[name] = _described(item, convolution)
            parts = {_join(name, key): convolution[key] for key in _IN_STATE_DICT if key in convolution}
            found.state_dict |= parts or {name: item}
            continue
        _collect(found, name, held)
        found.tree[name] = _described(item, held)
        code = held.get("_code") or held.get("code")  # as it was called before torch 1.9
        if is_traced(item) and isinstance(code, str):
            found.code[name] = "".join(map(str, item.args[1:])) + code
        children = [(key, child) for key, child in _named(held["_modules"]) if isinstance(child, Object)]
        pending.extend(((*path, key), child) for key, child in reversed(children))
    return found


def _collect(found: ModuleContents, name: str, held: Mapping[object, object]) -> None:
    """The parameters and persistent buffers of one module."""
    passing = _passing(held)
    registered: set[int] = set()
    for part in ("_parameters", "_buffers"):
        for key, tensor in _named(held[part]):
            registered.add(id(tensor))
            if tensor is not None and not (part == "_buffers" and key in passing):
                found.state_dict[_join(name, key)] = tensor
    for attribute, value in _named(held):
        if isinstance(value, _TENSORS) and id(value) not in registered:
            found.unregistered.append(_join(name, attribute))
        elif is_script_object(value):
            found.state_dict[_join(name, attribute)] = value


def _described(item: Object, held: Mapping[object, object]) -> dict[str, object]:
    told: dict[str, object] = {"class": describe(TRACED_CLASS if is_traced(item) else item.cls)}
    if isinstance(held.get("training"), bool):
        told["training"] = held["training"]
    hooks = [key for key, hook in held.items() if isinstance(key, str) and key.endswith("_hooks") and hook]
    if hooks:
        told["hooks"] = hooks
    if passing := sorted(_passing(held)):
        told["non_persistent_buffers"] = passing
    settings = {
        key: value for key, value in held.items() if isinstance(key, str) and key[:1] != "_" and key != "training"
    }
    told.update((key, _plain(value)) for key, value in settings.items() if key not in told and _is_setting(value))
    return told


def _is_setting(value: object) -> bool:
    if isinstance(value, (list, tuple)):
        return len(value) <= _MOST_SETTINGS and all(map(is_scalar, value))
    return is_scalar(value) or isinstance(value, TorchValue)


def _plain(value: object) -> object:
    return [*value] if isinstance(value, (list, tuple)) else str(value) if isinstance(value, TorchValue) else value


def _passing(held: Mapping[object, object]) -> set[str]:
    """Names of the buffers that `state_dict()` leaves out."""
    names = held.get("_non_persistent_buffers_set")
    return {name for name in names if isinstance(name, str)} if isinstance(names, (set, frozenset, list)) else set()


def _named(part: object) -> Iterator[tuple[str, object]]:
    if isinstance(part, dict):
        yield from ((key, value) for key, value in part.items() if isinstance(key, str))


def _join(name: str, key: str) -> str:
    return f"{name}.{key}" if name else key
