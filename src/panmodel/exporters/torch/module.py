"""The whole file: a header, the functions that it needs, the classes, and the names of its parameters."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import PurePath
from typing import Any

import numpy as np

from panmodel.exporters.torch.classes import Class, classes
from panmodel.exporters.torch.dims import Dims
from panmodel.exporters.torch.drafts import Borders, Creation
from panmodel.exporters.torch.emitter import Emitter, Module, Parameter
from panmodel.exporters.torch.functions import DEFINITIONS
from panmodel.exporters.torch.naming import class_name, quoted
from panmodel.exporters.torch.scopes import Scope, arrange
from panmodel.model.graph import Graph, Value
from panmodel.model.tensor import ArrayTensor, Tensor
from panmodel.model.torch.source import SOURCE_MARK, TorchSource

_SPATIAL = frozenset(("Conv", "ConvTranspose", "MaxPool", "AveragePool", "BatchNormalization", "InstanceNormalization"))
_LAYOUTS = {3: "NCW", 4: "NCHW", 5: "NCDHW"}


def write_module(graph: Graph, path: str, weights: str = "net.safetensors") -> TorchSource:
    """A graph as Python source.

    Args:
        graph: The graph.
        path: The file that it was read from, for the header.
        weights: The file that the weights will be in, likewise; empty if there are none.

    Raises:
        UnsupportedOperatorsError: Operators that cannot be written, all of them.
    """
    emitted = Emitter(graph).run()
    root = arrange(emitted)
    borders = Borders(emitted, root)
    name = _model_name(graph, path)
    written = classes(root, borders, name, [*DEFINITIONS, "Net"])
    state = _State(written)
    for key, what in state.members(written[-1].drafts[0].scope, ""):
        state.add(key, what)
    written[-1].docstring = _signature(graph, written[-1], state.numbers)
    names = {
        "panmodel": _version(),
        "class": name,
        "source": {"file": PurePath(path).name, "graph": graph.name},
        "parameters": state.parameters,
        "derived": state.derived,
        "inputs": [_described(value.name, value) for value in graph.inputs],
        "outputs": [_described(output, value) for output, value in graph.outputs.items()],
        "values": _values(state, written),
        "permutes": sum(step.node.op == "Transpose" for step in emitted.steps),
    }
    body = _functions(emitted.functions)
    for made in written:
        body += ["", "", *made.text()]
    text = _header(name, path, body, weights if state.tensors else "")
    return TorchSource("\n".join(text) + "\n", name, state.tensors, names)


def _version() -> str:
    try:
        return version("panmodel")
    except PackageNotFoundError:
        return "0"


def _model_name(graph: Graph, path: str) -> str:
    stem = PurePath(path).name.partition(".")[0]
    generic = re.fullmatch(r"(?i)|(saved_?)?model.*|graph(_?def)?|frozen.*|checkpoint|net(work)?|ckpt.*|export.*", stem)
    named = graph.name if graph.name not in ("graph", "main_graph", "torch_jit", "") and not generic else stem
    return class_name("" if generic else named, "Net", DEFINITIONS)


# The header


def _header(name: str, path: str, body: Sequence[str], weights: str) -> list[str]:
    source = quoted(PurePath(path).name) or "a graph"
    text = [f"{SOURCE_MARK} {_version()} from {source}", f'"""{name}, converted from {source}.']
    if weights:
        text += [
            "",
            "The weights are in a file beside this one, their original names in .names.json:",
            "",
            f"    model = {name}()",
            f"    model.load_state_dict({_loading(weights)})",
            "    model.eval()",
            '"""',
        ]
    else:
        text[-1] += '"""'
    return [*text, "", *_imports("\n".join(body)), *body]


def _imports(body: str) -> list[str]:
    """The imports that the classes and functions need."""
    lines = ["import math", ""] if re.search(r"\bmath\.", body) else []
    lines += ["import torch"] if re.search(r"\btorch\.", body) else []
    lines += ["import torch.nn.functional as F"] if re.search(r"\bF\.", body) else []
    return [*lines, "from torch import nn"]


def _loading(weights: str) -> str:
    """The call that gives the state dict of a file."""
    name = f'"{quoted(weights)}"'
    if PurePath(weights).suffix == ".safetensors":
        return f"safetensors.torch.load_file({name})"
    return f"torch.load({name}, weights_only=True)"


def _functions(names: dict[str, None]) -> list[str]:
    return [line for name in DEFINITIONS if name in names for line in ("", *DEFINITIONS[name].rstrip("\n").split("\n"))]


def _signature(graph: Graph, model: Class, numbers: int) -> list[str]:
    """What the model takes and gives, with the original names."""
    dims = Dims(graph)
    count = f", with {numbers:,} parameters" if numbers else ""
    lines = [f"The whole model{count}.", "", "Inputs:"]
    for argument, value in zip(model.drafts[0].arguments, graph.inputs, strict=True):
        lines.append(f"    {argument}: {_kind(value, dims)}; {quoted(value.name)} in the original")
    lines += ["", "Outputs:"]
    lines += [f"    {_kind(value, dims)}; {quoted(name)} in the original" for name, value in graph.outputs.items()]
    return lines


def _kind(value: Value, dims: Dims) -> str:
    return f"{value.dtype or 'a tensor'} {dims.comment(value.shape) or 'of any shape'}"


# The state


class _State:
    """Collects parameters under the names that the module tree gives them."""

    def __init__(self, written: Sequence[Class]) -> None:
        self.creations: dict[Scope, list[Creation]] = {
            draft.scope: draft.creations for made in written for draft in made.drafts
        }
        self.tensors: dict[str, Tensor] = {}
        self.parameters: dict[str, Any] = {}
        self.derived: dict[str, Any] = {}
        self.paths: dict[Module | Scope, str] = {}

    def members(self, scope: Scope, prefix: str) -> Iterator[tuple[str, Module | Parameter]]:
        """Layers and parameters of a scope and of those inside it, with their full names."""
        for creation in self.creations[scope]:
            key = f"{prefix}{creation.attribute}"
            if isinstance(creation.what, Parameter):
                if creation.buffer is not False:
                    yield key, creation.what
                continue
            self.paths[creation.what] = key
            if isinstance(creation.what, Scope):
                yield from self.members(creation.what, f"{key}.")
            else:
                yield key, creation.what

    def add(self, key: str, what: Module | Parameter) -> None:
        """Put down the tensors of a layer, or a parameter."""
        if isinstance(what, Parameter):
            assert what.value.tensor is not None
            self._put(key, what.value.tensor)
            return
        for name, tensor in what.state.items():
            self._put(f"{key}.{name}", tensor)
        if "BatchNorm" in what.constructor:
            self.tensors[f"{key}.num_batches_tracked"] = ArrayTensor(np.array(0, np.int64))

    @property
    def numbers(self) -> int:
        """How many numbers its parameters have."""
        statistics = (".running_mean", ".running_var")
        return sum(t.size for key, t in self.tensors.items() if t.dtype.is_float and not key.endswith(statistics))

    def _put(self, key: str, tensor: Tensor) -> None:
        self.tensors[key] = tensor
        if tensor.name:
            steps = [[kind, list(numbers)] for kind, numbers in tensor.steps]
            self.parameters[key] = {"variable": tensor.name, "shape": list(tensor.base.shape), "steps": steps}
        elif tensor.origins:
            self.derived[key] = {"from": list(tensor.origins)}


def _described(name: str, value: Value) -> dict[str, Any]:
    shape = None if value.shape is None else [size if isinstance(size, int) else str(size) for size in value.shape]
    return {"tensor": name, "dtype": str(value.dtype) if value.dtype else None, "shape": shape, "layout": None}


def _values(state: _State, written: Sequence[Class]) -> dict[str, Any]:
    """Path of a layer → the original tensor that it computes."""
    found: dict[str, Any] = {}
    for made in written:
        for draft in made.drafts:
            for step in draft.scope.steps:
                value = step.outputs[0]
                if step.module is None or value is None or state.paths.get(step.module) is None:
                    continue
                layout = _LAYOUTS.get(value.rank or 0) if step.node.op in _SPATIAL else None
                found[state.paths[step.module]] = {"tensor": value.name, "layout": layout}
    return {path: found[path] for path in state.paths.values() if path in found}
