"""Pools and the normalization over neighbouring channels."""

from __future__ import annotations

from panmodel.errors import UnsupportedError
from panmodel.exporters.torch.emitter import Emitter
from panmodel.exporters.torch.literals import float32
from panmodel.exporters.torch.registry import Expr, exporter_op
from panmodel.exporters.torch.windows import Window, pair, spatial_rank, window
from panmodel.model.graph import Node


@exporter_op("MaxPool")
def max_pool(node: Node, emit: Emitter) -> Expr:
    """Padding never wins a maximum."""
    if len(node.outputs) > 1:
        raise UnsupportedError("the indices of MaxPool count through the whole tensor, PyTorch's through each channel")
    rank, x = spatial_rank(node, emit), node.inputs[0]
    how = window(node, emit, node.attr("kernel_shape"))
    options = _options(node, how)
    if set(how.dilations) != {1}:
        options["dilation"] = pair(how.dilations)
    operand = emit(x)
    if _pads_itself(how):
        if any(how.before):
            options["padding"] = pair(how.before)
    else:
        dtype = x.dtype if x is not None else None
        is_float = dtype is None or dtype.is_float
        operand = how.padded(operand, emit, "-torch.inf" if is_float else f"torch.iinfo({emit.dtype(dtype)}).min")
    return f"F.max_pool{rank}d({operand}, {pair(how.kernel)}{_keywords(options)})"


@exporter_op("AveragePool")
def average_pool(node: Node, emit: Emitter) -> Expr:
    """Padding counts in the average only where the node says so."""
    rank = spatial_rank(node, emit)
    how = window(node, emit, node.attr("kernel_shape"))
    if set(how.dilations) != {1}:
        raise UnsupportedError("AveragePool with dilation")
    options, operand = _options(node, how), emit(node.inputs[0])
    counts = bool(node.attr("count_include_pad", 0))
    function = f"F.avg_pool{rank}d"
    if _pads_itself(how):
        if any(how.before):
            options["padding"] = pair(how.before)
            options |= {} if counts else {"count_include_pad": "False"}
        return f"{function}({operand}, {pair(how.kernel)}{_keywords(options)})"
    if counts:
        return f"{function}({how.padded(operand, emit)}, {pair(how.kernel)}{_keywords(options)})"
    strides = pair(how.strides, whole=True)
    if how.dynamic:
        sums, counted = how.padded(operand, emit), how.padded(f"torch.ones_like({operand}[:1, :1])", emit)
        arguments = f"{pair(how.kernel)}{_keywords(options)}"
        return f"{function}({sums}, {arguments}) / {function}({counted}, {arguments})"
    pads = tuple(n for axis in reversed(range(rank)) for n in (how.before[axis], how.after[axis]))
    window_text = f"{pair(how.kernel, whole=True)}, {strides}" + (", 0, True" if node.attr("ceil_mode") else "")
    return f"{emit.function('average_pool')}({operand}, {function}, {pads}, {window_text})"


def _options(node: Node, how: Window) -> dict[str, object]:
    options: dict[str, object] = {}
    if how.strides != how.kernel:
        options["stride"] = pair(how.strides)
    if node.attr("ceil_mode"):
        options["ceil_mode"] = "True"
    return options


def _pads_itself(how: Window) -> bool:
    """Whether PyTorch's own pools take this padding: the same on both ends and at most half the kernel."""
    return how.is_symmetric and all(2 * pad <= extent for pad, extent in zip(how.before, how.kernel, strict=True))


def _keywords(options: dict[str, object]) -> str:
    return "".join(f", {name}={value}" for name, value in options.items())


@exporter_op("GlobalAveragePool", "GlobalMaxPool")
def global_pool(node: Node, emit: Emitter) -> Expr:
    """A reduction over the spatial axes."""
    axes = tuple(range(2, emit.rank(node.inputs[0])))
    function = "mean" if node.op == "GlobalAveragePool" else "amax"
    return f"{emit(node.inputs[0])}.{function}(dim={axes}, keepdim=True)"


@exporter_op("LRN")
def lrn(node: Node, emit: Emitter) -> Expr:
    """An even window leans to the other side in PyTorch."""
    size = node.attr("size")
    numbers = [float32(node.attr(name, default)) for name, default in (("alpha", 1e-4), ("beta", 0.75), ("bias", 1.0))]
    x = emit(node.inputs[0])
    options = ", ".join([str(size), *numbers])
    if size % 2:
        return f"F.local_response_norm({x}, {options})"
    return f"F.local_response_norm({x}.flip(1), {options}).flip(1)"
