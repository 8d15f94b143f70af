"""Which tensor of a checkpoint a variable of a TensorFlow graph is.

The save and restore operators of the graph say it: they list, for each variable, the name in the checkpoint and, for a
part of a partitioned variable, which slice of it. Where a graph has none, the name of the variable is the name of the
tensor, and the collections of the meta graph know the slices.

Source: tensorflow/core/ops/io_ops.cc (SaveV2, RestoreV2, SaveSlices, RestoreSlice) and
tensorflow/core/framework/tensor_slice.h
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from panmodel.dtypes import STRING, DType
from panmodel.errors import CorruptError, UnknownNameError, UsageError
from panmodel.model.partitioned import PartitionedTensor
from panmodel.model.tensor import DeferredTensor, Tensor
from panmodel.model.tensorflow.graph import TensorFlowGraph, TensorFlowNode, split_name
from panmodel.wire.tensorflow_messages import SaveSliceInfoDef

if TYPE_CHECKING:
    import numpy as np

#: Operators that are a variable, or a handle of one.
VARIABLE_OPS = frozenset(["Variable", "VariableV2", "AutoReloadVariable", "VarHandleOp"])

#: Operators between a variable and its saver that leave its numbers as they are.
_PASSED = frozenset(["Identity", "ReadVariableOp", "Reshape", "RefIdentity", "Snapshot"])
_ASSIGNS = frozenset(["Assign", "AssignVariableOp"])


@dataclass(frozen=True)
class SavedAs:
    """Where a variable is kept.

    Attributes:
        key: Name of the tensor in the checkpoint.
        slice: First index and number of indices along each dimension, for a part of it; None for all of it.
        full_shape: Shape of all of it, where a part is given.
    """

    key: str
    slice: tuple[tuple[int, int], ...] | None = None
    full_shape: tuple[int, ...] = ()


class Variables:
    """The variables of a graph, with the tensors of the checkpoint behind them.

    Args:
        graph: The graph, with the tensors of its checkpoint as `variables`.
    """

    def __init__(self, graph: TensorFlowGraph) -> None:
        self.graph = graph
        self._saved: dict[str, list[SavedAs]] = {}
        for variable, saved in (*self._from_saves(), *self._from_restores()):
            self._saved.setdefault(variable, []).append(saved)

    def tensor(self, node: TensorFlowNode) -> Tensor:
        """The tensor of a variable.

        Args:
            node: A node whose operator is one of `VARIABLE_OPS`.

        Raises:
            UnknownNameError: The checkpoint does not have it; the nearest names are suggested.
            CorruptError: The checkpoint has it in another type or shape.
            UsageError: There is no checkpoint.
        """
        if not self.graph.variables:
            message = f"variable {node.name!r} has no value: the graph comes without a checkpoint"
            hint = "name the checkpoint (its prefix or its .index file) rather than the .meta file"
            raise UsageError(message, where=self.graph.where, hint=hint)
        candidates = list(self.candidates(node))
        for saved in candidates:
            stored = self.graph.variables.get(saved.key)
            if stored is not None:
                return self._part(node, stored, saved)
        raise UnknownNameError(
            "tensor in the checkpoint", candidates[0].key, self.graph.variables, where=self.graph.where
        )

    def candidates(self, node: TensorFlowNode) -> Iterator[SavedAs]:
        """Where a variable may be kept, the likeliest first."""
        yield from self._saved.get(node.name, ())
        info = self.graph.slices.get(node.name)
        if info is not None:
            yield _from_info(info)
        yield SavedAs(node.text("shared_name") or node.name)
        yield SavedAs(node.name)

    def _part(self, node: TensorFlowNode, stored: Tensor, saved: SavedAs) -> Tensor:
        where = f"variable {node.name!r}"
        dtype = node.attributes.get("dtype")
        if isinstance(dtype, DType) and dtype is not stored.dtype:
            raise CorruptError(f"{where} is {dtype}, its checkpoint has {stored.dtype}", where=self.graph.where)
        tensor = stored if saved.slice is None else _sliced(node.name, stored, saved, where)
        shape = node.attributes.get("shape")
        if shape is not None and not _fits(tensor.shape, shape):
            message = f"{where} has the shape {shape}, its checkpoint has {tensor.shape} under {saved.key!r}"
            raise CorruptError(message, where=self.graph.where)
        return tensor

    def _from_saves(self) -> Iterator[tuple[str, SavedAs]]:
        for node in self.graph.nodes.values():
            first = {"SaveV2": 3, "SaveSlices": 3, "Save": 2}.get(node.op)
            if first is None or len(node.inputs) < first:
                continue
            keys = self._strings(node.inputs[1])
            slices = self._strings(node.inputs[2]) if first == 3 else [""] * len(keys)
            for key, part, tensor in zip(keys, slices, node.inputs[first:], strict=False):
                variable = self._variable_behind(tensor)
                if variable is not None:
                    yield variable, parse_slice(key, part)

    def _from_restores(self) -> Iterator[tuple[str, SavedAs]]:
        consumers = self.graph.consumers()
        for node in self.graph.nodes.values():
            if node.op not in ("RestoreV2", "RestoreSlice", "Restore") or len(node.inputs) < 2:
                continue
            keys = self._strings(node.inputs[1])
            slices = self._strings(node.inputs[2]) if len(node.inputs) > 2 else []
            for port, (key, piece) in enumerate(zip(keys, slices or [""] * len(keys), strict=False)):
                for variable in self._assigned(f"{node.name}:{port}", consumers):
                    yield variable, parse_slice(key, piece)

    def _assigned(self, tensor: str, consumers: Mapping[str, list[TensorFlowNode]]) -> Iterator[str]:
        """Names of the variables that a restored tensor is assigned to."""
        for _ in range(4):  # through no more than what a saver puts between
            users = consumers.get(tensor, [])
            for user in users:
                if user.op in _ASSIGNS and len(user.inputs) == 2 and user.inputs[1] == tensor:
                    variable = self._variable_behind(user.inputs[0])
                    if variable is not None:
                        yield variable
            passed = [user for user in users if user.op in _PASSED]
            if len(passed) != 1:
                return
            tensor = f"{passed[0].name}:0"

    def _variable_behind(self, tensor: str) -> str | None:
        """The variable whose value a tensor is."""
        for _ in range(8):
            node = self.graph.nodes.get(split_name(tensor)[0])
            if node is None or node.op in VARIABLE_OPS:
                return node.name if node is not None else None
            if node.op not in _PASSED or not node.inputs:
                return None
            tensor = node.inputs[0]
        return None

    def _strings(self, tensor: str) -> list[str]:
        """The strings of a Const node; none where it is something else."""
        node = self.graph.nodes.get(split_name(tensor)[0])
        value = node.attributes.get("value") if node is not None and node.op == "Const" else None
        if not isinstance(value, Tensor) or value.dtype is not STRING:
            return []
        return [text.decode("utf-8", "replace") for text in value.numpy().reshape(-1).tolist()]


def variable_tensor(graph: TensorFlowGraph, node: TensorFlowNode) -> Tensor:
    """The checkpoint's tensor of one variable; see `Variables.tensor`, which is for many."""
    return Variables(graph).tensor(node)


def parse_slice(key: str, text: str) -> SavedAs:
    """Where a slice specification says that a variable is kept.

    Args:
        key: Name of the tensor in the checkpoint.
        text: The full shape and the slice: "10 4 0,5:-" is rows 0 to 4 of 10, all of 4 columns; "" is everything.

    Raises:
        CorruptError: It is no such text.
    """
    if not text:
        return SavedAs(key)
    *dims, spec = text.split(" ")
    try:
        shape = tuple(int(dim) for dim in dims)
        pieces = spec.split(":")
        if len(pieces) != len(shape):
            raise ValueError
        parts = []
        for piece, dim in zip(pieces, shape, strict=True):
            start, length = (0, dim) if piece == "-" else (int(number) for number in piece.split(","))
            parts.append((start, length))
    except ValueError:
        raise CorruptError(f"{text!r}, the slice of {key!r} that is saved, is no slice") from None
    return SavedAs(key, tuple(parts), shape)


def _from_info(info: SaveSliceInfoDef) -> SavedAs:
    parts = tuple(zip(info.var_offset, info.var_shape, strict=False))
    return SavedAs(info.full_name, parts, tuple(info.full_shape))


def _sliced(name: str, stored: Tensor, saved: SavedAs, where: str) -> Tensor:
    parts = saved.slice or ()
    inside = len(parts) == len(stored.shape) and all(
        start >= 0 and length >= 0 and start + length <= dim
        for (start, length), dim in zip(parts, stored.shape, strict=True)
    )
    if not inside or saved.full_shape != stored.shape:
        message = f"{where} is the slice {parts} of {saved.full_shape}, its checkpoint has {stored.shape}"
        raise CorruptError(f"{message} under {saved.key!r}")
    shape = tuple(length for _, length in parts)
    if shape == stored.shape:
        return stored
    if isinstance(stored, PartitionedTensor):
        return stored.section(name, tuple(start for start, _ in parts), shape)
    index = tuple(slice(start, start + length) for start, length in parts)

    def load() -> np.ndarray:
        import numpy as np

        return np.ascontiguousarray(stored.numpy()[index])

    return DeferredTensor(name, stored.dtype, shape, load)


def _fits(shape: tuple[int, ...], static: tuple[int | None, ...]) -> bool:
    return len(shape) == len(static) and all(b is None or a == b for a, b in zip(shape, static, strict=True))
