"""Slices, gathers and scatters."""

from __future__ import annotations

from panmodel.errors import UnsupportedError
from panmodel.exporters.torch.emitter import Emitter
from panmodel.exporters.torch.registry import Expr, exporter_op
from panmodel.model.graph import Node, Value

_FAR = 1 << 30  # a bound beyond every axis


@exporter_op("Slice", since=1)
def slice_attributes(node: Node, emit: Emitter) -> Expr:
    """Bounds as attributes."""
    starts, ends = node.attr("starts"), node.attr("ends")
    axes = node.attr("axes") or tuple(range(len(starts)))
    return _sliced(node, emit, [str(n) for n in starts], [str(n) for n in ends], axes, (1,) * len(starts))


@exporter_op("Slice", since=10)
def slice_(node: Node, emit: Emitter) -> Expr:
    """Bounds that the run knows are sizes, or numbers read from a tensor."""
    starts, ends = _bounds(node.inputs[1], emit), _bounds(node.inputs[2], emit)
    count = max(len(starts), len(ends))
    axes, steps = node.operand(3), node.operand(4)
    along = emit.static(axes, "the axes of Slice") if axes is not None else tuple(range(count))
    strides = emit.integers(steps) if steps is not None else (1,) * count
    if strides is None:
        text = emit(node.inputs[0])
        for axis, *bounds in zip(along, starts, ends, _bounds(steps, emit), strict=True):
            text = f"{emit.function('every')}({text}, {axis}, {', '.join(bounds)})"
        return text
    return _sliced(node, emit, starts, ends, along, strides)


def _bounds(value: Value | None, emit: Emitter) -> list[str]:
    found = emit.elements(value)
    if found is None:
        raise UnsupportedError("the number of bounds is not known")
    return found


def _sliced(
    node: Node, emit: Emitter, starts: list[str], ends: list[str], axes: tuple[int, ...], steps: tuple[int, ...]
) -> str:
    x = node.inputs[0]
    text = emit(x)
    plain: dict[int, str] = {}
    for start, end, axis, step in zip(starts, ends, axes, steps, strict=True):
        if x is not None and x.rank is not None:
            axis %= x.rank
        elif axis < 0:
            raise UnsupportedError("an axis that counts from the end of an unknown rank")
        if step > 0:
            first = "" if start == "0" else start
            last = "" if end.isdigit() and int(end) >= _FAR else end
            if _is_size(x, axis, end):
                last = ""
            plain[axis] = f"{first}:{last}" + (f":{step}" if step != 1 else "")
        else:
            text = _reversed(text, x, axis, (start, end, step), emit)
    plain = {axis: part for axis, part in plain.items() if part != ":"}
    if not plain:
        return text
    return f"{text}[{', '.join(plain.get(axis, ':') for axis in range(max(plain) + 1))}]"


def _is_size(x: Value | None, axis: int, end: str) -> bool:
    size = x.shape[axis] if x is not None and x.shape is not None else None
    return isinstance(size, int) and end.isdigit() and int(end) >= size


def _reversed(text: str, x: Value | None, axis: int, bounds: tuple[str, str, int], emit: Emitter) -> str:
    """With a negative step: the whole axis flipped, or a function that counts."""
    start, end, step = bounds
    size = x.shape[axis] if x is not None and x.shape is not None else None
    last = start == "-1" or (
        start.isdigit() and (int(start) >= _FAR or (isinstance(size, int) and int(start) >= size - 1))
    )
    first = (
        end.startswith("-")
        and end[1:].isdigit()
        and (int(end) <= -_FAR or (isinstance(size, int) and int(end) < -size))
    )
    if last and first:
        flipped = f"{text}.flip({axis})"
        return flipped if step == -1 else f"{flipped}[{':, ' * axis}::{-step}]"
    return f"{emit.function('every')}({text}, {axis}, {start}, {'None' if first else end}, {step})"


@exporter_op("Gather")
def gather(node: Node, emit: Emitter) -> Expr:
    """An embedding where rows of weights are looked up, an index where it is known, else indexing by a tensor."""
    x, indices, axis = node.inputs[0], node.inputs[1], node.attr("axis", 0)
    assert x is not None
    assert indices is not None
    if axis == 0 and emit.is_weight(x, 2) and x.tensor is not None and not x.literal and not indices.is_constant:
        rows, columns = x.tensor.shape
        return f"{emit.module('embedding', f'nn.Embedding({rows}, {columns}', {}, weight=x.tensor)}({emit(indices)})"
    if axis < 0 and x.rank is not None:
        axis += x.rank
    # from the end of an unknown rank: whatever comes before
    before, after = (":, " * axis, "") if axis >= 0 else ("..., ", ", :" * (-axis - 1))
    return f"{emit(x)}[{before}{_picked(indices, emit)}{after}]"


def _picked(indices: Value, emit: Emitter) -> str:
    """An index, a slice or a short list where the indices are known, else their tensor."""
    if indices.rank == 0 and (known := emit.sizes(indices)) is not None:
        return known[0]
    numbers = emit.integers(indices) if indices.rank == 1 else None
    if numbers is not None and ((part := _run(numbers)) is not None or len(numbers) <= 16):
        return part or str(list(numbers))
    return emit(indices)


def _run(numbers: tuple[int, ...]) -> str | None:
    """Numbers that follow each other, as a slice."""
    if not numbers or numbers[0] < 0 or list(numbers) != list(range(numbers[0], numbers[0] + len(numbers))):
        return None
    return f"{numbers[0] or ''}:{numbers[-1] + 1}"


@exporter_op("GatherElements")
def gather_elements(node: Node, emit: Emitter) -> Expr:
    """Negative indices count from the end."""
    x, indices, axis = node.inputs[0], emit(node.inputs[1]), node.attr("axis", 0)
    return f"{emit(x)}.gather({axis}, {_wrapped(node.inputs[1], indices, f'{emit(x)}.shape[{axis}]', emit)})"


def _wrapped(value: Value | None, indices: str, size: str, emit: Emitter) -> str:
    known = emit.integers(value)
    if known is not None and all(index >= 0 for index in known):
        return indices
    return f"torch.where({indices} < 0, {indices} + {size}, {indices}).long()"


@exporter_op("GatherND")
def gather_nd(node: Node, emit: Emitter) -> Expr:
    """Indexing by tuples."""
    x, indices, batch = emit(node.inputs[0]), emit(node.inputs[1]), node.attr("batch_dims", 0)
    if not batch:
        return f"{x}[{indices}.unbind(-1)]"
    return f"{emit.function('gather_nd')}({x}, {indices}, {batch})"


@exporter_op("ScatterND")
def scatter_nd(node: Node, emit: Emitter) -> Expr:
    """Assignment, or addition, at index tuples."""
    x, indices, updates = (emit(value) for value in node.inputs)
    how = node.attr("reduction", "none")
    how = how.decode() if isinstance(how, bytes) else how
    if how not in ("none", "add"):
        raise UnsupportedError(f"ScatterND with {how!r}")
    accumulate = ", accumulate=True" if how == "add" else ""
    return f"{x}.index_put({indices}.unbind(-1), {updates}{accumulate})"


@exporter_op("ScatterElements")
def scatter_elements(node: Node, emit: Emitter) -> Expr:
    """Assignment, or a reduction, along an axis."""
    x, indices, updates = (emit(value) for value in node.inputs)
    axis, how = node.attr("axis", 0), node.attr("reduction", "none")
    how = how.decode() if isinstance(how, bytes) else how
    indices = _wrapped(node.inputs[1], indices, f"{x}.shape[{axis}]", emit)
    if how == "none":
        return f"{x}.scatter({axis}, {indices}, {updates})"
    function = {"add": "sum", "mul": "prod", "max": "amax", "min": "amin"}.get(how)
    if function is None:
        raise UnsupportedError("an unknown reduction of ScatterElements")
    return f'{x}.scatter_reduce({axis}, {indices}, {updates}, "{function}")'


@exporter_op("NonZero")
def non_zero(node: Node, emit: Emitter) -> Expr:
    """One row per axis."""
    return f"torch.nonzero({emit(node.inputs[0])}).t()"


@exporter_op("OneHot", since=9)
def one_hot(node: Node, emit: Emitter) -> Expr:
    """Off and on from one operand of two elements."""
    indices, depth, values = node.inputs
    assert indices is not None
    assert values is not None
    size = (emit.elements(depth) or [f"int({emit(depth)})"])[0]
    numbers = emit.floats(values)
    x, axis = emit(indices), node.attr("axis", -1)
    dtype = values.dtype
    if numbers == (0.0, 1.0) and dtype is not None:
        text = f"({x}.unsqueeze(-1) == torch.arange({size}, device={x}.device))"
        known = emit.integers(indices)
        if known is not None and all(index >= 0 for index in known):
            text = f"{text}.to({emit.dtype(dtype)})"
            return text if axis in (-1, indices.rank) else f"{text}.movedim(-1, {axis})"
    return f"{emit.function('one_hot')}({x}, {size}, {emit(values)}[0], {emit(values)}[1], {axis})"


@exporter_op("Trilu")
def trilu(node: Node, emit: Emitter) -> Expr:
    """The upper or lower triangle."""
    k = emit.static(node.operand(1), "the diagonal of Trilu")[0] if node.operand(1) is not None else 0
    name = "triu" if node.attr("upper", 1) else "tril"
    return f"{emit(node.inputs[0])}.{name}({k or ''})"


@exporter_op("Compress")
def compress(node: Node, emit: Emitter) -> Expr:
    """Elements where the condition holds."""
    x, condition, axis = emit(node.inputs[0]), emit(node.inputs[1]), node.attr("axis")
    text, axis = (f"{x}.flatten()", 0) if axis is None else (x, axis)
    return f"{text}.index_select({axis}, torch.nonzero({condition}).squeeze(1))"
