"""PyTorch: executes generated source, after a check that it holds nothing but a model.

The source of a module may come from a file that anybody wrote. `check_source` lets through what the exporter writes
(classes of nn.Module, arithmetic, calls of PyTorch and of what the file itself defines) and refuses all else by name;
what passes runs with a handful of builtins and without import.
"""

from __future__ import annotations

import ast
import math
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from panmodel.dtypes import BFLOAT16, BY_TORCH, DType, from_numpy
from panmodel.errors import CorruptError, UnsupportedError
from panmodel.io.source import Location
from panmodel.model.torch.source import TorchSource, open_source
from panmodel.runtimes import child
from panmodel.runtimes.torch_source_check import BUILTINS, check_source

if TYPE_CHECKING:
    import numpy as np
    import torch

__all__ = ["build", "check_source", "label", "run"]


def label() -> str:
    """What to call it in a receipt."""
    from importlib.metadata import version

    return f"PyTorch {version('torch')}"


def build(source: TorchSource) -> torch.nn.Module:
    """Execute generated source and load its state, strictly.

    Args:
        source: The module with its state dict.

    Returns:
        The module, ready to run (`eval()`); `train()` makes it ready to train.

    Raises:
        UnsafeError: The source holds more than a model.
        CorruptError: The state does not fit the source.
    """
    import torch
    import torch.nn.functional as functional

    check_source(source.source)
    space: dict[str, Any] = {"__builtins__": _builtins(), "__name__": "panmodel_generated"}
    space |= {"math": math, "torch": torch, "nn": torch.nn, "F": functional}
    try:
        exec(compile(_without_imports(source.source), "<generated>", "exec"), space)  # noqa: S102 (checked above)
        made = space.get(source.class_name)
        if not isinstance(made, type) or not issubclass(made, torch.nn.Module):
            raise CorruptError(f"the source has no class {source.class_name[:200]!r}")
        module = made()
    except CorruptError:
        raise
    except Exception as error:  # whatever the source brings about; it may have been edited by hand
        raise CorruptError(f"the source makes no module: {_said(error)}") from error
    state = {name: to_torch(tensor.numpy(), tensor.dtype) for name, tensor in source.state.items()}
    try:
        module.load_state_dict(state, strict=True)
    except RuntimeError as error:
        raise CorruptError(f"the state does not fit the source: {str(error)[:500]}") from None
    return module.eval()


def _builtins() -> dict[str, Any]:
    import builtins

    # what a class statement calls, and what torch's own native code calls in the name of who calls it
    hidden = {"__build_class__": builtins.__build_class__, "__import__": _loaded}
    return {name: getattr(builtins, name) for name in BUILTINS} | hidden


def _loaded(name: str, *_: object) -> Any:
    """A module of torch that is loaded already; the source itself cannot name this function."""
    if name.partition(".")[0] != "torch" or name not in sys.modules:
        raise ImportError(f"generated source imports nothing, asked for {name}")
    return sys.modules[name]


def _without_imports(source: str) -> ast.Module:
    """The tree without its imports, whose modules are given instead."""
    tree = ast.parse(source)
    tree.body = [node for node in tree.body if not isinstance(node, (ast.Import, ast.ImportFrom))]
    return tree


def run(
    module: torch.nn.Module, inputs: Sequence[np.ndarray], names: Mapping[str, Any] | None = None
) -> tuple[list[np.ndarray], dict[str, np.ndarray]]:
    """Run a module on arrays.

    Args:
        module: As `build` returns it.
        inputs: In the order of the signature.
        names: `TorchSource.names`, if intermediate results are wanted.

    Returns:
        The outputs; and the results of layers by the names of the original tensors, in the layout of the layers.
    """
    import torch

    inside: dict[str, np.ndarray] = {}
    feeds = [to_torch(array) for array in inputs]
    hooks: list[Any] = []
    try:
        hooks += (_watch(module, path, entry, inside) for path, entry in (names or {}).get("values", {}).items())
        with torch.no_grad():
            result = module(*feeds)
    except Exception as error:  # whatever the source brings about; it may have been edited by hand
        raise UnsupportedError(f"PyTorch cannot run it: {_said(error)}") from error
    finally:
        for hook in hooks:
            hook.remove()
    outputs = result if isinstance(result, (tuple, list)) else [result]
    return [to_numpy(output) for output in outputs], inside


def _said(error: Exception) -> str:
    return f"{type(error).__name__}: {str(error)[:500]}"


def _watch(module: torch.nn.Module, path: str, entry: Mapping[str, Any], inside: dict[str, np.ndarray]) -> Any:
    def keep(_: object, __: object, output: torch.Tensor) -> None:
        inside[entry["tensor"]] = to_numpy(output)

    return module.get_submodule(path).register_forward_hook(keep)


# Arrays


def to_torch(array: np.ndarray, dtype: DType | None = None) -> torch.Tensor:
    """An array as a tensor of the same element type."""
    import numpy as np
    import torch

    kind = dtype or from_numpy(array.dtype)
    if kind.torch is None:
        raise UnsupportedError(f"PyTorch has no element type {kind}")
    array = np.array(array, order="C")  # torch writes into its tensors
    if array.dtype.kind != "V" and array.dtype.name in _SHARED:
        return torch.from_numpy(array).reshape(array.shape)
    bits = torch.from_numpy(array.view({1: np.uint8, 2: np.int16}[array.dtype.itemsize]))
    found: torch.Tensor = bits.view(getattr(torch, kind.torch)).reshape(array.shape)
    return found


def to_numpy(tensor: torch.Tensor) -> np.ndarray:
    """A tensor as an array of the same element type."""
    import numpy as np
    import torch

    if not isinstance(tensor, torch.Tensor):
        raise UnsupportedError(f"an output is {type(tensor).__name__}, not a tensor")
    kind = BY_TORCH[str(tensor.dtype).removeprefix("torch.")]
    plain = tensor.detach().cpu().contiguous()
    if kind.name in _SHARED:
        return np.asarray(plain.numpy())
    bits = plain.view(torch.int16 if kind is BFLOAT16 else torch.uint8).numpy()
    return np.asarray(bits.view(kind.numpy))


#: Types that both have under the same name.
_SHARED = frozenset(
    "bool int8 int16 int32 int64 uint8 uint16 uint32 uint64 float16 float32 float64 complex64 complex128".split()  # noqa: SIM905 (a table of words)
)


def answer(path: Path, inputs: Mapping[str, np.ndarray], outputs: Sequence[str]) -> Mapping[str, np.ndarray]:
    """Run PyTorch source from a file; in a child process only (see `child.call`).

    Args:
        path: The `.py`, its weights and names beside it.
        inputs: In the order of the signature.
        outputs: Names of the tensors wanted: of outputs, and of what layers give.

    Returns:
        Those of them that it computes.
    """
    source = open_source(Location(path))
    names = [entry["tensor"] for entry in source.names.get("outputs", ())]
    is_inside = bool(set(outputs) - set(names))
    results, inside = run(build(source), list(inputs.values()), source.names if is_inside else None)
    found = inside | dict(zip(names, results, strict=True))
    return {name: array for name, array in found.items() if name in outputs}


if __name__ == "__main__":
    child.answer(answer)
