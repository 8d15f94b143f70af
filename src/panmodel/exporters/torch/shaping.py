"""Operators that change the shape and move elements as whole axes."""

from __future__ import annotations

from collections.abc import Sequence

from panmodel.dtypes import BY_ONNX
from panmodel.errors import UnsupportedError
from panmodel.exporters.torch.emitter import Emitter
from panmodel.exporters.torch.registry import Expr, exporter_op
from panmodel.model.graph import Node, Value
from panmodel.model.symbolic import Dim, Size, product


@exporter_op("Identity", since=1)
def identity(node: Node, emit: Emitter) -> Expr:
    """Nothing."""
    return emit(node.inputs[0])


@exporter_op("Reshape", since=5)
def reshape(node: Node, emit: Emitter) -> Expr:
    """`flatten` where trailing axes become one; -1 for the one size that only the run knows."""
    x, target = node.inputs[0], node.inputs[1]
    assert x is not None
    assert target is not None
    shape = node.output.shape
    if shape is None:
        sizes = None if node.attr("allowzero") else _kept(emit.sizes(target), x, emit)
        return f"{emit(x)}.reshape({', '.join(sizes) if sizes else emit(target) + '.tolist()'})"
    flat = _flattened(x.shape, shape)
    if flat is not None:
        return f"{emit(x)}.flatten({flat})" if flat else f"{emit(x)}.flatten()"
    unknown = [axis for axis, size in enumerate(shape) if not isinstance(size, int)]
    if len(unknown) == 1 and 0 not in shape:
        sizes = [str(size) if isinstance(size, int) else "-1" for size in shape]
    else:
        found = [emit.size(size) for size in shape]
        if None in found:  # symbols that inference made up; the target tells
            found = [*(_kept(emit.sizes(target), x, emit) or (None,))]
        if None in found:
            return f"{emit(x)}.reshape({emit(target)}.tolist())"
        sizes = [text for text in found if text is not None]
    return f"{emit(x)}.reshape({', '.join(sizes) or '()'})"


def _kept(sizes: list[str] | None, x: Value, emit: Emitter) -> list[str] | None:
    """Sizes in which 0 stands for that of the operand."""
    if sizes is None:
        return None
    return [f"{emit(x)}.shape[{axis}]" if size == "0" else size for axis, size in enumerate(sizes)]


def _flattened(before: Sequence[Size] | None, after: Sequence[Size]) -> int | None:
    """The first axis of those that become one, if that is all that a reshape does."""
    if before is None or not after or len(before) <= len(after):
        return None
    first = len(after) - 1
    same = tuple(before[:first]) == tuple(after[:first])
    return first if same and product(tuple(before[first:])) == after[-1] else None


@exporter_op("Flatten")
def flatten(node: Node, emit: Emitter) -> Expr:
    """Into a matrix: axes before the given one, and the rest."""
    x = node.inputs[0]
    axis, rank = node.attr("axis", 1), emit.rank(x)
    axis = axis + rank if axis < 0 else axis
    if axis == 1 and rank >= 2:
        return emit(x) if rank == 2 else f"{emit(x)}.flatten(1)"
    if axis == 0:
        return f"{emit(x)}.reshape(1, -1)"
    if axis == rank:
        return f"{emit(x)}.reshape(-1, 1)"
    return f"{emit(x)}.flatten({axis}).flatten(0, {axis - 1})"


@exporter_op("Squeeze")
def squeeze(node: Node, emit: Emitter) -> Expr:
    """Axes as an attribute, as an operand, or all of size 1."""
    axes = node.attr("axes")
    if node.operand(1) is not None:
        axes = emit.static(node.operand(1), "the axes of Squeeze")
    if axes is None:
        return f"{emit(node.inputs[0])}.squeeze()"
    if not axes:
        return emit(node.inputs[0])
    return f"{emit(node.inputs[0])}.squeeze({axes[0] if len(axes) == 1 else tuple(axes)})"


@exporter_op("Unsqueeze")
def unsqueeze(node: Node, emit: Emitter) -> Expr:
    """One axis after the other, in the order of the result."""
    x, axes = node.inputs[0], node.attr("axes")
    if node.operand(1) is not None:
        axes = emit.integers(node.operand(1))
        if axes is None:
            elements = emit.elements(node.operand(1))
            if elements is None or len(elements) != 1:
                raise UnsupportedError("the axes of Unsqueeze are computed at run time")
            return f"{emit(x)}.unsqueeze({elements[0]})"
    rank = x.rank if x is not None else None
    if rank is not None:
        axes = [axis % (rank + len(axes)) if axis < -1 or len(axes) > 1 else axis for axis in axes]
    text = emit(x)
    for axis in _inserted(axes):
        text = f"{text}.unsqueeze({axis})"
    return text


def _inserted(axes: Sequence[int]) -> list[int]:
    """Axes of the result in an order in which each can be inserted: those from the start first, the last ones last."""
    first, last = sorted(axis for axis in axes if axis >= 0), sorted(axis for axis in axes if axis < 0)
    if last and first != list(range(len(first))):
        raise UnsupportedError("axes that count from both ends of an unknown rank")
    return first + last[::-1]


@exporter_op("Transpose")
def transpose(node: Node, emit: Emitter) -> Expr:
    """`.t()` of a matrix, a swap of the last two axes, or `permute`."""
    x = emit(node.inputs[0])
    perm = node.attr("perm")
    rank = len(perm) if perm is not None else emit.rank(node.inputs[0])
    perm = tuple(perm) if perm is not None else tuple(reversed(range(rank)))
    if perm == (1, 0):
        return f"{x}.t()"
    if rank > 2 and perm == (*range(rank - 2), rank - 1, rank - 2):
        return f"{x}.transpose(-2, -1)"
    return f"{x}.permute({', '.join(map(str, perm)) or '()'})"


@exporter_op("Concat", since=4)
def concat(node: Node, emit: Emitter) -> Expr:
    """One after the other along an axis."""
    operands = ", ".join(emit(value) for value in node.inputs)
    return f"torch.cat([{operands}], dim={node.attr('axis')})"


@exporter_op("Split", since=2)
def split(node: Node, emit: Emitter) -> Expr:
    """`chunk` where the parts are equal, sizes where they are not."""
    x, axis = node.inputs[0], node.attr("axis", 0)
    count = len(node.outputs)
    sizes = node.attr("split")
    if node.operand(1) is not None:
        sizes = emit.elements(node.operand(1))
        if sizes is None:
            raise UnsupportedError("the sizes of Split are not known")
    total = x.shape[axis] if x is not None and x.shape is not None else None
    if sizes is None and isinstance(total, int):
        part = -(-total // count)
        sizes = [part] * (total // part) + [total % part] * bool(total % part) if part else [0] * count
        sizes += [0] * (count - len(sizes))
    if sizes is None:
        parts = f"torch.chunk({emit(x)}, {count}, dim={axis})"
    elif len({str(size) for size in sizes}) == 1 and str(sizes[0]) != "0":
        parts = f"torch.split({emit(x)}, {sizes[0]}, dim={axis})"
    else:
        parts = f"torch.split({emit(x)}, [{', '.join(map(str, sizes))}], dim={axis})"
    return f"{parts}[0]" if count == 1 else parts


@exporter_op("Tile", since=6)
def tile(node: Node, emit: Emitter) -> Expr:
    """Repeated whole."""
    counts = emit.sizes(node.inputs[1])
    operand = ", ".join(counts) if counts is not None else f"{emit(node.inputs[1])}.tolist()"
    return f"{emit(node.inputs[0])}.repeat({operand or '()'})"


@exporter_op("Expand")
def expand(node: Node, emit: Emitter) -> Expr:
    """Broadcast to a shape, in both directions: sizes of 1 in the target keep those of the operand."""
    x, target = node.inputs[0], node.inputs[1]
    assert x is not None
    sizes = emit.sizes(target)
    if sizes is None or x.shape is None or x.rank is None:
        shape = f"torch.broadcast_shapes({emit(x)}.shape, tuple({emit(target)}.tolist()))"
        return f"{emit(x)}.expand({shape})"
    if not _is_wider(target, x.shape):
        shape = f"({', '.join(sizes)}{',' if len(sizes) == 1 else ''})"
        return f"{emit(x)}.expand(torch.broadcast_shapes({emit(x)}.shape, {shape}))"
    padded = ["1"] * max(x.rank - len(sizes), 0) + sizes
    offset = len(padded) - x.rank
    kept = ["-1" if size == "1" and axis >= offset else size for axis, size in enumerate(padded)]
    return f"{emit(x)}.expand({', '.join(kept) or '()'})"


def _is_wider(target: Value | None, shape: Sequence[Size]) -> bool:
    """Whether no size of a target can turn out as 1 where the operand is wider."""
    wanted = [] if target is None or target.content is None else list(target.content.flat)
    both = zip(reversed(wanted), reversed(shape), strict=False)
    return all(not isinstance(size, Dim) or before in (1, size) for size, before in both)


@exporter_op("Shape")
def shape(node: Node, emit: Emitter) -> Expr:
    """As a tensor, for what computes with it."""
    x = emit(node.inputs[0])
    start, end = node.attr("start", 0), node.attr("end")
    part = "" if not start and end is None else f"[{start or ''}:{'' if end is None else end}]"
    return f"torch.tensor({x}.shape{part}, dtype=torch.int64, device={x}.device)"


@exporter_op("Size")
def size(node: Node, emit: Emitter) -> Expr:
    """Likewise."""
    x = emit(node.inputs[0])
    return f"torch.tensor({x}.numel(), device={x}.device)"


#: Largest finite number of the types that ONNX saturates to, where PyTorch overflows.
_LARGEST = {"float8_e4m3fn": 448, "float8_e4m3fnuz": 240, "float8_e5m2": 57344, "float8_e5m2fnuz": 57344}


@exporter_op("Cast", since=6)
def cast(node: Node, emit: Emitter) -> Expr:
    """Methods for the usual types."""
    dtype = BY_ONNX.get(node.attr("to"))
    name = emit.dtype(dtype).removeprefix("torch.")
    method = {"float32": "float", "float64": "double", "int32": "int", "int64": "long", "bool": "bool"}.get(name)
    return f"{emit(node.inputs[0])}.{method}()" if method else _narrowed(node, emit, name)


def _narrowed(node: Node, emit: Emitter, name: str) -> str:
    x = node.inputs[0]
    largest = _LARGEST.get(name)
    if name == "float8_e8m0fnu" or (largest and not node.attr("saturate", 1)):
        raise UnsupportedError(f"a cast to {name} whose rounding or overflow PyTorch does not share")
    if largest and x is not None and x.dtype is not None and x.dtype.is_float and x.dtype.bits > 8:
        return f"{emit(x)}.clamp(-{largest}, {largest}).to(torch.{name})"
    if largest and x is not None and x.dtype is not None and x.dtype.is_float:
        return f"{emit(x)}.float().clamp(-{largest}, {largest}).to(torch.{name})"
    return f"{emit(x)}.to(torch.{name})"


@exporter_op("CastLike")
def cast_like(node: Node, emit: Emitter) -> Expr:
    """To the type of the other operand."""
    return _narrowed(node, emit, emit.dtype(node.output.dtype).removeprefix("torch."))


@exporter_op("DepthToSpace")
def depth_to_space(node: Node, emit: Emitter) -> Expr:
    """`pixel_shuffle` where channels are the outer part; else by axes."""
    x, block = node.inputs[0], node.attr("blocksize")
    mode = node.attr("mode", "DCR")
    text = emit(x)
    if mode in ("CRD", b"CRD") or (x is not None and x.shape is not None and x.shape[1] == block * block):
        return f"F.pixel_shuffle({text}, {block})"
    channels = x.shape[1] if x is not None and x.shape is not None else None
    depth = str(channels // (block * block)) if isinstance(channels, int) else f"{text}.shape[1] // {block * block}"
    # blocks first, then channels: brought into the order that pixel_shuffle takes
    return f"F.pixel_shuffle({text}.unflatten(1, ({block * block}, {depth})).transpose(1, 2).flatten(1, 2), {block})"


@exporter_op("SpaceToDepth")
def space_to_depth(node: Node, emit: Emitter) -> Expr:
    """`pixel_unshuffle`, whose channels are the outer part, brought into the order of ONNX."""
    x, block = node.inputs[0], node.attr("blocksize")
    text = f"F.pixel_unshuffle({emit(x)}, {block})"
    channels = x.shape[1] if x is not None and x.shape is not None else None
    if channels == 1 or node.attr("mode", "DCR") in ("CRD", b"CRD"):
        return text
    return f"{text}.unflatten(1, (-1, {block * block})).transpose(1, 2).flatten(1, 2)"
