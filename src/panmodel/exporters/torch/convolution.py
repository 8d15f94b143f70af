"""Convolutions."""

from __future__ import annotations

from panmodel.errors import UnsupportedError
from panmodel.exporters.torch.emitter import Emitter
from panmodel.exporters.torch.registry import Expr, exporter_op
from panmodel.exporters.torch.windows import Window, pair, window
from panmodel.model.graph import Node, Value


@exporter_op("Conv")
def conv(node: Node, emit: Emitter) -> Expr:
    """A layer where the kernel is a weight, else a function."""
    x, w, b = node.inputs[0], node.inputs[1], node.operand(2)
    sizes = _kernel(node, w)
    how = window(node, emit, sizes)
    options: dict[str, object] = {}
    if set(how.strides) != {1}:
        options["stride"] = pair(how.strides)
    if how.is_symmetric and any(how.before):
        options["padding"] = pair(how.before)
    if set(how.dilations) != {1}:
        options["dilation"] = pair(how.dilations)
    groups = node.attr("group", 1)
    if groups != 1:
        options["groups"] = groups
    operand = emit(x) if how.is_symmetric else how.padded(emit(x), emit)
    if _is_layer(w, b, emit):
        assert w is not None
        assert w.tensor is not None
        if b is None:
            options["bias"] = "False"
        shape = w.tensor.shape
        head = f"nn.Conv{len(sizes)}d({shape[1] * groups}, {shape[0]}, {pair(sizes)}"
        return f"{emit.module('conv', head, options, weight=w.tensor, bias=b.tensor if b else None)}({operand})"
    return f"F.conv{len(sizes)}d({operand}, {emit(w)}{_bias(b, emit)}{_keywords(options)})"


@exporter_op("ConvTranspose")
def conv_transpose(node: Node, emit: Emitter) -> Expr:
    """Padding that differs on the two ends becomes extra output or a slice."""
    x, w, b = node.inputs[0], node.inputs[1], node.operand(2)
    sizes = _kernel(node, w)
    how, extra = _transposed_window(node, sizes)
    padding, output_padding, crops = _trimmed(how, extra)
    options: dict[str, object] = {}
    for name, numbers, default in (
        ("stride", how.strides, 1),
        ("padding", padding, 0),
        ("output_padding", output_padding, 0),
    ):
        if set(numbers) != {default}:
            options[name] = pair(numbers)
    groups = node.attr("group", 1)
    if groups != 1:
        options["groups"] = groups
    if set(how.dilations) != {1}:
        options["dilation"] = pair(how.dilations)
    if _is_layer(w, b, emit):
        assert w is not None
        assert w.tensor is not None
        if b is None:
            options["bias"] = "False"
        shape = w.tensor.shape
        head = f"nn.ConvTranspose{len(sizes)}d({shape[0]}, {shape[1] * groups}, {pair(sizes)}"
        layer = emit.module("deconv", head, options, weight=w.tensor, bias=b.tensor if b else None)
        text = f"{layer}({emit(x)})"
    else:
        text = f"F.conv_transpose{len(sizes)}d({emit(x)}, {emit(w)}{_bias(b, emit)}{_keywords(options)})"
    if not any(crop != (0, 0) for crop in crops):
        return text
    slices = ", ".join(f"{first or ''}:{-last or ''}" for first, last in crops)
    return f"{text}[:, :, {slices}]"


def _kernel(node: Node, w: Value | None) -> tuple[int, ...]:
    sizes = node.attr("kernel_shape") or (w.shape[2:] if w is not None and w.shape is not None else None)
    if not sizes or not all(isinstance(size, int) for size in sizes):
        raise UnsupportedError("the size of its kernel is not known")
    if len(sizes) > 3:
        raise UnsupportedError(f"over {len(sizes)} spatial axes")
    return tuple(sizes)


def _is_layer(w: Value | None, b: Value | None, emit: Emitter) -> bool:
    return emit.is_weight(w) and (b is None or emit.is_weight(b, 1))


def _bias(b: Value | None, emit: Emitter) -> str:
    return f", {emit(b)}" if b is not None else ""


def _keywords(options: dict[str, object]) -> str:
    return "".join(f", {name}={value}" for name, value in options.items())


def _transposed_window(node: Node, kernel: tuple[int, ...]) -> tuple[Window, tuple[int, ...]]:
    """The window, and how much longer the output is on each axis than windows reach."""
    count = len(kernel)
    strides = tuple(node.attr("strides") or (1,) * count)
    dilations = tuple(node.attr("dilations") or (1,) * count)
    extra = tuple(node.attr("output_padding") or (0,) * count)
    auto = node.attr("auto_pad", "NOTSET")
    auto = auto.decode() if isinstance(auto, bytes) else auto
    reach = [d * (k - 1) + 1 for d, k in zip(dilations, kernel, strict=True)]
    wanted = node.attr("output_shape")
    if wanted is not None:
        x = node.inputs[0]
        sizes = x.shape[2:] if x is not None and x.shape is not None else (None,)
        if not all(isinstance(size, int) for size in sizes):
            raise UnsupportedError("a fixed output_shape with sizes that are known at run time")
        totals = [
            strides[i] * (int(str(sizes[i])) - 1) + extra[i] + reach[i] - wanted[-count:][i] for i in range(count)
        ]
    elif auto.startswith("SAME"):
        totals = [reach[i] + extra[i] - strides[i] for i in range(count)]
    else:
        pads = tuple(node.attr("pads") or (0,) * (2 * count)) if auto == "NOTSET" else (0,) * (2 * count)
        return Window(kernel, strides, dilations, pads[:count], pads[count:]), extra
    # where more output is wanted than windows reach, the rest is extra
    extra = tuple(e + max(-total, 0) for e, total in zip(extra, totals, strict=True))
    totals = [max(total, 0) for total in totals]
    less, more = tuple(n // 2 for n in totals), tuple(n - n // 2 for n in totals)
    first, last = (less, more) if auto == "SAME_UPPER" else (more, less)
    return Window(kernel, strides, dilations, first, last), extra


def _trimmed(
    how: Window, extra: tuple[int, ...]
) -> tuple[tuple[int, ...], tuple[int, ...], tuple[tuple[int, int], ...]]:
    """Padding, output padding and slices that give the same: PyTorch pads both ends alike."""
    padding, output_padding, crops = [], [], []
    for axis, (first, last) in enumerate(zip(how.before, how.after, strict=True)):
        surplus = extra[axis] + max(first - last, 0)
        bound = max(how.strides[axis], how.dilations[axis])
        if last > first or surplus >= bound:  # crop what padding cannot
            if extra[axis] >= bound:
                raise UnsupportedError("more output than stride and dilation allow")
            both = min(first, last)
            padding.append(both)
            output_padding.append(extra[axis])
            crops.append((first - both, last - both))
        else:
            padding.append(first)
            output_padding.append(surplus)
            crops.append((0, 0))
    return tuple(padding), tuple(output_padding), tuple(crops)
