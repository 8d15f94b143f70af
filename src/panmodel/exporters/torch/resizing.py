"""Resize: F.interpolate where it means the same, else index arithmetic along each axis."""

from __future__ import annotations

from dataclasses import dataclass

from panmodel.dtypes import UINT8
from panmodel.errors import UnsupportedError
from panmodel.exporters.torch.emitter import Emitter
from panmodel.exporters.torch.registry import Expr, exporter_op
from panmodel.model.graph import Node
from panmodel.model.symbolic import Size

_MODES = {1: "linear", 2: "bilinear", 3: "trilinear"}


@dataclass(frozen=True, slots=True)
class _Axis:
    """One axis that changes its size.

    Attributes:
        axis: Its number.
        old: Its size, as an expression; likewise `new`.
        scale: New size by old, as a number where it is one.
        sizes: Old and new size where they are known.
    """

    axis: int
    old: str
    new: str
    scale: float | None
    sizes: tuple[Size | None, Size | None]

    @property
    def is_cut(self) -> bool:
        """Whether old size times scale is no whole number, so that the scale says more than the sizes."""
        old = self.sizes[0]
        if self.scale is None or float(self.scale).is_integer():
            return False
        return not isinstance(old, int) or abs(old * self.scale - round(old * self.scale)) > 1e-6


@exporter_op("Resize", since=11)
def resize(node: Node, emit: Emitter) -> Expr:
    """By sizes or by scales."""
    x = node.inputs[0]
    rank = emit.rank(x)
    mode = _text(node.attr("mode", "nearest"))
    coordinates = _text(node.attr("coordinate_transformation_mode", "half_pixel"))
    nearest = _text(node.attr("nearest_mode", "round_prefer_floor"))
    if node.attr("antialias") or node.attr("exclude_outside") or coordinates == "tf_crop_and_resize":
        raise UnsupportedError("Resize with antialiasing or cropping")
    if _text(node.attr("keep_aspect_ratio_policy", "stretch")) != "stretch":
        raise UnsupportedError("Resize that keeps the aspect ratio")
    axes = _axes(node, emit, rank)
    if not axes:
        return emit(x)
    if coordinates == "align_corners" and any(axis.is_cut for axis in axes):
        raise UnsupportedError("Resize by a scale that gives no whole size, with align_corners")
    options = _interpolation(mode, coordinates, nearest, axes)
    if mode != "nearest" and (x is None or x.dtype is None or not x.dtype.is_float):
        raise UnsupportedError(f"Resize {mode} of integers")
    if mode == "cubic" and (rank != 4 or abs(node.attr("cubic_coeff_a", -0.75) + 0.75) > 1e-6):
        raise UnsupportedError("Resize cubic with another coefficient than -0.75, or not over two axes")
    is_taken = x is not None and x.dtype is not None and (x.dtype.is_float or x.dtype is UINT8)
    if options is not None and is_taken and all(axis.axis >= 2 for axis in axes) and rank <= 5:
        return _interpolated(emit(x), axes, rank, options)
    if mode not in ("nearest", "linear"):
        raise UnsupportedError(f"Resize {mode} with {coordinates} coordinates")
    if coordinates not in ("align_corners", "asymmetric", "half_pixel", "pytorch_half_pixel"):
        raise UnsupportedError(f"Resize with {coordinates!r} coordinates")
    if mode == "nearest" and nearest not in ("floor", "ceil", "round_prefer_floor", "round_prefer_ceil"):
        raise UnsupportedError(f"Resize with {nearest!r}")
    emit.function("sample_positions")
    text = emit(x)
    for axis in axes:
        text = _resampled(text, axis, coordinates, nearest if mode == "nearest" else "", emit)
    return text


def _resampled(text: str, axis: _Axis, coordinates: str, nearest: str, emit: Emitter) -> str:
    step = f", step={_number(1 / axis.scale)}" if axis.is_cut and axis.scale else ""
    rounding = f', "{nearest}"' if nearest else ""
    function = emit.function("resize_nearest" if nearest else "resize_linear")
    return f'{function}({text}, {axis.axis}, {axis.new}, "{coordinates}"{rounding}{step})'


def _text(value: object) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


def _axes(node: Node, emit: Emitter, rank: int) -> list[_Axis]:
    """The axes that change their size."""
    x, result = node.inputs[0], node.output.shape
    assert x is not None
    assert x.shape is not None
    which = [axis % rank for axis in node.attr("axes") or range(rank)]
    scales = emit.floats(node.operand(2)) if node.operand(2) is not None else None
    sizes = emit.elements(node.operand(3)) if node.operand(3) is not None else None
    if not scales and sizes is None:
        raise UnsupportedError("sizes of Resize that are computed at run time")
    axes = []
    for index, axis in enumerate(which):
        old = emit.size(x.shape[axis]) or f"{emit(x)}.shape[{axis}]"
        known = x.shape[axis]
        if scales:
            scale: float | None = scales[index]
            factor = scales[index]
            new = (
                str(int(known * factor + 1e-9)) if isinstance(known, int) else f"int({old} * {_number(scales[index])})"
            )
        else:
            assert sizes is not None
            new = sizes[index]
            scale = int(new) / known if new.isdigit() and isinstance(known, int) and known else None
        if (scale == 1 and not scales) or (scales and scale == 1) or new == old:
            continue
        axes.append(_Axis(axis, old, new, scale, (known, result[axis] if result is not None else None)))
    return axes


def _interpolation(mode: str, coordinates: str, nearest: str, axes: list[_Axis]) -> dict[str, str] | None:
    """Options of F.interpolate that mean the same; None if there are none."""
    if mode == "nearest":
        if coordinates == "asymmetric" and nearest == "floor":
            return {"mode": '"nearest"'}
        if coordinates == "half_pixel" and nearest == "round_prefer_ceil":
            return {"mode": '"nearest-exact"'}
        whole = all(axis.scale is not None and axis.scale >= 1 and float(axis.scale).is_integer() for axis in axes)
        if whole and coordinates == "half_pixel" and nearest == "round_prefer_floor":
            return {"mode": '"nearest"'}  # whole factors upwards never meet the middle of two elements
        return None
    if mode == "linear" and len(axes) <= 2:
        name = {"half_pixel": "False", "pytorch_half_pixel": "False", "align_corners": "True"}.get(coordinates)
        if coordinates == "pytorch_half_pixel" and not all(axis.new.isdigit() and axis.new != "1" for axis in axes):
            return None
        return {"mode": "linear", "align_corners": name} if name else None
    if mode == "cubic":
        name = {"half_pixel": "False", "align_corners": "True"}.get(coordinates)
        if len(axes) > 2:
            return None
        return {"mode": '"bicubic"', "align_corners": name} if name else None
    return None


def _interpolated(x: str, axes: list[_Axis], rank: int, options: dict[str, str]) -> str:
    """All spatial axes get a size, those that stay their own."""
    by_axis = {axis.axis: axis for axis in axes}
    scales = [by_axis[axis].scale if axis in by_axis else 1.0 for axis in range(2, rank)]
    if options["mode"] == "linear":
        options = {"mode": f'"{_MODES[rank - 2]}"', **{k: v for k, v in options.items() if k != "mode"}}
    if options.get("align_corners") == "False":
        options = {"mode": options["mode"]}  # the default of PyTorch
    if options["mode"] == '"nearest"':
        options = {}
    if len(set(scales)) == 1 and scales[0] is not None and float(scales[0]).is_integer():
        target = f"scale_factor={int(scales[0])}"
    elif any(axis.is_cut for axis in axes):
        target = f"scale_factor=({', '.join(_number(scale or 1.0) for scale in scales)}{',' if rank == 3 else ''})"
    else:
        sizes = [by_axis[axis].new if axis in by_axis else f"{x}.shape[{axis}]" for axis in range(2, rank)]
        target = f"size=({', '.join(sizes)}{',' if len(sizes) == 1 else ''})"
    return f"F.interpolate({', '.join([x, target, *(f'{name}={value}' for name, value in options.items())])})"


def _number(value: float) -> str:
    return str(int(value)) if float(value).is_integer() else repr(value)


@exporter_op("Upsample", since=7)
def upsample(node: Node, emit: Emitter) -> Expr:
    """The predecessor of Resize: asymmetric, rounding down."""
    scales = node.attr("scales") or emit.floats(node.operand(1))
    if scales is None or tuple(scales[:2]) != (1, 1) or len(set(scales[2:])) != 1:
        raise UnsupportedError("Upsample with these scales")
    if _text(node.attr("mode", "nearest")) != "nearest":
        raise UnsupportedError("Upsample linear")
    return f"F.interpolate({emit(node.inputs[0])}, scale_factor={_number(scales[2])})"
