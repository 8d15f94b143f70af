"""Reductions over axes."""

from __future__ import annotations

from collections.abc import Sequence

from panmodel.errors import UnsupportedError
from panmodel.exporters.torch.emitter import Emitter
from panmodel.exporters.torch.registry import Expr, exporter_op
from panmodel.model.graph import Node

_REDUCTIONS = (
    "ReduceSum",
    "ReduceMean",
    "ReduceMax",
    "ReduceMin",
    "ReduceProd",
    "ReduceL1",
    "ReduceL2",
    "ReduceLogSum",
    "ReduceLogSumExp",
    "ReduceSumSquare",
)


@exporter_op(*_REDUCTIONS)
def reduce(node: Node, emit: Emitter) -> Expr:
    """Axes as an attribute or as an operand, whichever is there."""
    x = node.inputs[0]
    assert x is not None
    axes = node.attr("axes")
    if node.operand(1) is not None:
        axes = emit.static(node.operand(1), "the axes of a reduction")
    if not axes and node.attr("noop_with_empty_axes"):
        return _unreduced(node.op, emit(x))
    keep = bool(node.attr("keepdims", 1))
    if not axes:
        axes = tuple(range(x.rank)) if x.rank is not None else None
    if axes is None and keep:
        raise UnsupportedError("the rank of its operand is not known")
    if axes == ():  # of a scalar
        return _unreduced(node.op, emit(x))
    if node.op in ("ReduceMax", "ReduceMin") and (nothing := _extreme_of_nothing(node, emit, axes)):
        return nothing
    if node.op == "ReduceProd" and axes is not None:
        axes = _from_one_end(axes, x.rank)
    is_whole = axes is None or (x.rank is not None and len(set(axes)) == x.rank and not keep)
    dtype = emit.dtype(x.dtype) if x.dtype is not None and x.dtype.is_integer else ""
    return _reduced(node.op, emit(x), () if is_whole else tuple(axes or ()), keep=keep, dtype=dtype)


def _from_one_end(axes: Sequence[int], rank: int | None) -> tuple[int, ...]:
    """Axes that all count from the same end."""
    if rank is not None:
        return tuple(axis % rank for axis in axes)
    if min(axes) < 0 <= max(axes):
        raise UnsupportedError("axes that count from both ends of an unknown rank")
    return tuple(axes)


def _extreme_of_nothing(node: Node, emit: Emitter, axes: Sequence[int] | None) -> str | None:
    """The extreme along an axis of size 0, which PyTorch does not define: what every element wins against."""
    x, shape = node.inputs[0], node.output.shape
    if x is None or x.shape is None or x.dtype is None or shape is None or axes is None:
        return None
    if all(x.shape[axis] != 0 for axis in axes) or not all(isinstance(size, int) for size in shape):
        return None
    highest = node.op == "ReduceMax"
    dtype = emit.dtype(x.dtype)
    if x.dtype.is_float:
        number = "-torch.inf" if highest else "torch.inf"
    elif x.dtype.kind == "b":
        number = str(not highest)
    else:
        number = f"torch.iinfo({dtype}).{'min' if highest else 'max'}"
    return f"torch.full({tuple(shape)}, {number}, dtype={dtype}, device={emit(x)}.device)"


def _reduced(op: str, x: str, axes: tuple[int, ...], *, keep: bool, dtype: str) -> str:
    """The expression; no axes stand for all of them, `dtype` is given for integers."""
    along = [f"dim={axes[0] if len(axes) == 1 else axes}"] if axes else []
    along += ["keepdim=True"] if keep else []
    arguments = ", ".join(along)
    kept = ", ".join([*along, f"dtype={dtype}"]) if dtype else arguments
    if op == "ReduceProd":
        return _product(x, axes, keep=keep, dtype=dtype)
    if op == "ReduceMean" and dtype:
        return f"{x}.double().mean({arguments}).trunc().to({dtype})"
    if op == "ReduceLogSumExp":
        every = arguments if axes else "dim=tuple(range(" + x + ".dim()))"
        return f"{x}.logsumexp({every})" if not dtype else f"{x}.double().logsumexp({every}).to({dtype})"
    if op == "ReduceL2":
        if dtype:
            return f"{x}.double().square().sum({arguments}).sqrt().to({dtype})"
        # norm takes one axis or two
        return f"{x}.norm({arguments})" if len(axes) <= 2 else f"{x}.square().sum({arguments}).sqrt()"
    text = {
        "ReduceSum": f"{x}.sum({kept})",
        "ReduceMean": f"{x}.mean({arguments})",
        "ReduceMax": f"{x}.amax({arguments})",
        "ReduceMin": f"{x}.amin({arguments})",
        "ReduceL1": f"{x}.abs().sum({kept})",
        "ReduceSumSquare": f"{x}.square().sum({kept})",
        "ReduceLogSum": f"{x}.sum({kept}).log()" + (f".to({dtype})" if dtype else ""),
    }
    return text[op]


def _product(x: str, axes: tuple[int, ...], *, keep: bool, dtype: str) -> str:
    """PyTorch multiplies along one axis at a time."""
    kind = f"dtype={dtype}" if dtype else ""
    if not axes:
        return f"{x}.prod({kind})"
    # from the last axis to the first, so that the others keep their numbers; a negative axis counts from the end
    for axis in sorted(axes, reverse=axes[0] >= 0):
        arguments = [str(axis), *(["keepdim=True"] if keep else []), *([kind] if kind else [])]
        x = f"{x}.prod({', '.join(arguments)})"
    return x


def _unreduced(op: str, x: str) -> str:
    """A reduction over no axes."""
    return {
        "ReduceL1": f"{x}.abs()",
        "ReduceL2": f"{x}.abs()",
        "ReduceSumSquare": f"{x}.square()",
        "ReduceLogSum": f"{x}.log()",
    }.get(op, x)


@exporter_op("ArgMax", "ArgMin")
def arg_extreme(node: Node, emit: Emitter) -> Expr:
    """The first of equal elements, or the last."""
    name = "argmax" if node.op == "ArgMax" else "argmin"
    axis, keep, x = node.attr("axis", 0), bool(node.attr("keepdims", 1)), emit(node.inputs[0])
    if node.attr("select_last_index"):
        return f"{emit.function('arg_last')}({x}, {axis}, {keep}, torch.{name})"
    return f"{x}.{name}(dim={axis}" + (", keepdim=True)" if keep else ")")


@exporter_op("TopK", since=10)
def top_k(node: Node, emit: Emitter) -> Expr:
    """Values and indices."""
    k = emit.elements(node.inputs[1])
    if not k:
        raise UnsupportedError("the number of elements of TopK is not known")
    arguments = [emit(node.inputs[0]), k[0], str(node.attr("axis", -1))]
    if not node.attr("largest", 1):
        arguments.append("largest=False")
    return f"{emit.function('top_k')}({', '.join(arguments)})"
