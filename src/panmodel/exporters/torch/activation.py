"""Activations."""

from __future__ import annotations

from panmodel.errors import UnsupportedError
from panmodel.exporters.torch.emitter import Emitter
from panmodel.exporters.torch.literals import float32
from panmodel.exporters.torch.registry import Expr, exporter_op, renamed
from panmodel.model.graph import Node, Value

renamed(
    {
        "Relu": "F.relu",
        "Sigmoid": "torch.sigmoid",
        "Tanh": "torch.tanh",
        "Softplus": "F.softplus",
        "Softsign": "F.softsign",
        "HardSwish": "F.hardswish",
        "Erf": "torch.erf",
        "Mish": "F.mish",
    }
)


@exporter_op("Clip", since=1)
def clip_attributes(node: Node, emit: Emitter) -> Expr:
    """Bounds as attributes."""
    low, high = node.attr("min"), node.attr("max")
    return _clamp(
        emit(node.inputs[0]),
        None if low is None or low <= -3.4e38 else float32(low),
        None if high is None or high >= 3.4e38 else float32(high),
    )


@exporter_op("Clip", since=11)
def clip(node: Node, emit: Emitter) -> Expr:
    """ReLU6 where the bounds say so."""
    bounds = [_bound(node.operand(index), emit) for index in (1, 2)]
    return _clamp(emit(node.inputs[0]), *bounds)


def _bound(value: Value | None, emit: Emitter) -> str | None:
    return None if value is None else emit.number(value) or emit(value)


def _clamp(x: str, low: str | None, high: str | None) -> str:
    if (low, high) == ("0.0", "6.0"):
        return f"F.relu6({x})"
    bounds = [f"{name}={bound}" for name, bound in (("min", low), ("max", high)) if bound is not None]
    if any("_" in bound.partition("=")[2] for bound in bounds) and any("_" not in bound for bound in bounds):
        # clamp takes tensors or numbers, not one of each
        x, bounds = f"{x}.clamp({bounds[0]})", bounds[1:]
    return f"{x}.clamp({', '.join(bounds)})" if bounds else x


@exporter_op("Elu")
def elu(node: Node, emit: Emitter) -> Expr:
    """Alpha is 1 unless it is given."""
    alpha = node.attr("alpha", 1.0)
    return f"F.elu({emit(node.inputs[0])})" if alpha == 1 else f"F.elu({emit(node.inputs[0])}, {float32(alpha)})"


@exporter_op("Celu")
def celu(node: Node, emit: Emitter) -> Expr:
    """Likewise."""
    return f"F.celu({emit(node.inputs[0])}, {float32(node.attr('alpha', 1.0))})"


@exporter_op("Selu")
def selu(node: Node, emit: Emitter) -> Expr:
    """F.selu has the usual constants built in."""
    x, alpha, gamma = emit(node.inputs[0]), node.attr("alpha", 1.6732632), node.attr("gamma", 1.0507010)
    if abs(alpha - 1.6732632) < 1e-6 and abs(gamma - 1.0507010) < 1e-6:
        return f"F.selu({x})"
    return f"{float32(gamma)} * F.elu({x}, {float32(alpha)})"


@exporter_op("LeakyRelu")
def leaky_relu(node: Node, emit: Emitter) -> Expr:
    """The slope is 0.01 unless it is given, in both."""
    x, alpha = emit(node.inputs[0]), float32(node.attr("alpha", 0.01))
    return f"F.leaky_relu({x})" if alpha == "0.01" else f"F.leaky_relu({x}, {alpha})"


@exporter_op("PRelu")
def prelu(node: Node, emit: Emitter) -> Expr:
    """A layer where there is one slope for all, or one per channel; else the formula."""
    x, slope = node.inputs[0], node.inputs[1]
    assert x is not None
    assert slope is not None
    if emit.is_weight(slope) and slope.tensor is not None and x.rank is not None and x.rank >= 2:
        shape = (1,) * (x.rank - len(slope.tensor.shape)) + slope.tensor.shape
        if len(shape) == x.rank and all(size == 1 for axis, size in enumerate(shape) if axis != 1):
            count = shape[1]
            weight = slope.tensor.reshaped((count,))
            layer = emit.module("prelu", f"nn.PReLU({count}" if count > 1 else "nn.PReLU(", {}, weight=weight)
            return f"{layer}({emit(x)})"
    return f"torch.where({emit(x)} < 0, {emit.scalar(slope, x)} * {emit(x)}, {emit(x)})"


@exporter_op("HardSigmoid")
def hard_sigmoid(node: Node, emit: Emitter) -> Expr:
    """F.hardsigmoid has the slope 1/6; the default here is 0.2."""
    x, alpha, beta = emit(node.inputs[0]), node.attr("alpha", 0.2), node.attr("beta", 0.5)
    if abs(alpha - 1 / 6) < 1e-7 and beta == 0.5:
        return f"F.hardsigmoid({x})"
    return f"({float32(alpha)} * {x} + {float32(beta)}).clamp(0, 1)"


@exporter_op("Gelu")
def gelu(node: Node, emit: Emitter) -> Expr:
    """Exact, or by tanh."""
    x = emit(node.inputs[0])
    how = node.attr("approximate", "none")
    return f"F.gelu({x})" if _text(how) == "none" else f'F.gelu({x}, approximate="tanh")'


def _text(value: object) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


@exporter_op("ThresholdedRelu")
def thresholded_relu(node: Node, emit: Emitter) -> Expr:
    """Zero up to the threshold."""
    return f"F.threshold({emit(node.inputs[0])}, {float32(node.attr('alpha', 1.0))}, 0.0)"


@exporter_op("Softmax", "LogSoftmax", since=13)
def softmax(node: Node, emit: Emitter) -> Expr:
    """Along one axis."""
    return f"F.{_softmax(node)}({emit(node.inputs[0])}, dim={node.attr('axis', -1)})"


@exporter_op("Softmax", "LogSoftmax", since=1)
def softmax_flattened(node: Node, emit: Emitter) -> Expr:
    """Before opset 13: over all axes from the given one on."""
    x = emit(node.inputs[0])
    rank = emit.rank(node.inputs[0])
    axis = node.attr("axis", 1) % rank if rank else 0
    if axis == rank - 1:
        return f"F.{_softmax(node)}({x}, dim=-1)"
    return f"F.{_softmax(node)}({x}.flatten({axis}), dim=-1).reshape({x}.shape)"


def _softmax(node: Node) -> str:
    return "softmax" if node.op == "Softmax" else "log_softmax"


@exporter_op("Dropout", since=1)
def dropout(node: Node, emit: Emitter) -> Expr:
    """Active while the module trains, nothing when it does not."""
    return _dropout(node, emit, node.attr("ratio", 0.5))


@exporter_op("Dropout", since=12)
def dropout_by_operand(node: Node, emit: Emitter) -> Expr:
    """Likewise; the ratio is an operand."""
    ratio = emit.floats(node.operand(1)) if node.operand(1) is not None else (0.5,)
    if ratio is None or (node.operand(2) is not None and emit.number(node.operand(2)) != "False"):
        raise UnsupportedError("Dropout whose ratio or mode is computed, or that is always active")
    return _dropout(node, emit, ratio[0])


def _dropout(node: Node, emit: Emitter, ratio: float) -> Expr:
    x = emit(node.inputs[0])
    text = f"F.dropout({x}, {float32(ratio)}, self.training)"
    if len(node.outputs) == 1:
        return text
    return text, f"torch.ones_like({x}, dtype={emit.dtype(node.outputs[1].dtype)})"
