"""Kernel, stride, dilation and padding, as attributes of convolutions and pools say them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from panmodel.errors import UnsupportedError
from panmodel.exporters.torch.emitter import Emitter
from panmodel.model.graph import Node, Value


@dataclass(frozen=True, slots=True)
class Window:
    """How a window moves over the spatial axes.

    Attributes:
        kernel: Its extent on each axis; likewise strides and dilations.
        before: Padding at the beginning of each axis; likewise after.
        dynamic: The padding depends on sizes that are known at run time; "lower" if the odd element comes first.
    """

    kernel: tuple[int, ...]
    strides: tuple[int, ...]
    dilations: tuple[int, ...]
    before: tuple[int, ...]
    after: tuple[int, ...]
    dynamic: str = ""

    @property
    def is_symmetric(self) -> bool:
        """Whether the padding is the same on both ends and known."""
        return self.before == self.after and not self.dynamic

    def padded(self, x: str, emit: Emitter, value: str = "0.0") -> str:
        """The operand with its padding added.

        Args:
            x: The operand.
            emit: The emitter.
            value: What to pad with.
        """
        if self.dynamic:
            arguments = [x, pair(self.kernel, whole=True), pair(self.strides, whole=True)]
            arguments.append(pair(self.dilations, whole=True))
            arguments += [f"value={value}"] if value != "0.0" else []
            arguments += ["extra_first=True"] if self.dynamic == "lower" else []
            return f"{emit.function('pad_same')}({', '.join(arguments)})"
        pads = [
            number for axis in reversed(range(len(self.kernel))) for number in (self.before[axis], self.after[axis])
        ]
        if not any(pads):
            return x
        return f"F.pad({x}, {tuple(pads)}" + (")" if value == "0.0" else f", value={value})")


def window(node: Node, emit: Emitter, kernel: Sequence[int]) -> Window:
    """The window of a convolution or pool over operand 0."""
    count = len(kernel)
    strides = tuple(node.attr("strides") or (1,) * count)
    dilations = tuple(node.attr("dilations") or (1,) * count)
    auto = node.attr("auto_pad", "NOTSET")
    auto = auto.decode() if isinstance(auto, bytes) else auto
    none = (0,) * count
    if auto == "VALID":
        return Window(tuple(kernel), strides, dilations, none, none)
    if auto == "NOTSET":
        pads = tuple(node.attr("pads") or (0,) * (2 * count))
        return Window(tuple(kernel), strides, dilations, pads[:count], pads[count:])
    totals = _same(node.inputs[0], kernel, strides, dilations)
    if totals is None:
        dynamic = "lower" if auto == "SAME_LOWER" else "upper"
        return Window(tuple(kernel), strides, dilations, none, none, dynamic)
    less, more = tuple(n // 2 for n in totals), tuple(n - n // 2 for n in totals)
    first, last = (more, less) if auto == "SAME_LOWER" else (less, more)
    return Window(tuple(kernel), strides, dilations, first, last)


def _same(
    x: Value | None, kernel: Sequence[int], strides: Sequence[int], dilations: Sequence[int]
) -> tuple[int, ...] | None:
    """Total padding per axis that gives ceil(size / stride) positions; None if it depends on unknown sizes."""
    totals = []
    for axis, (extent, stride, dilation) in enumerate(zip(kernel, strides, dilations, strict=True)):
        reach = dilation * (extent - 1) + 1
        size = x.shape[axis + 2] if x is not None and x.shape is not None else None
        if isinstance(size, int):
            totals.append(max((-(-size // stride) - 1) * stride + reach - size, 0))
        elif stride == 1:
            totals.append(reach - 1)
        else:
            return None
    return tuple(totals)


def pair(numbers: Sequence[int], *, whole: bool = False) -> str:
    """One number where all are the same, else a tuple."""
    if len(set(numbers)) == 1 and not whole:
        return str(numbers[0])
    return str(tuple(int(number) for number in numbers))


def spatial_rank(node: Node, emit: Emitter, most: int = 3) -> int:
    """Spatial axes of operand 0."""
    rank = emit.rank(node.inputs[0]) - 2
    if not 1 <= rank <= most:
        raise UnsupportedError(f"over {rank} spatial axes")
    return rank
