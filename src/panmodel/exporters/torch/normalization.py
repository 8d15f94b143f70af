"""Normalization layers."""

from __future__ import annotations

from panmodel.errors import UnsupportedError
from panmodel.exporters.torch.emitter import Emitter
from panmodel.exporters.torch.literals import float32
from panmodel.exporters.torch.registry import Expr, exporter_op
from panmodel.model.graph import Node, Value
from panmodel.model.tensor import Tensor


@exporter_op("BatchNormalization")
def batch_norm(node: Node, emit: Emitter) -> Expr:
    """A layer with running statistics where all four are weights."""
    if sum(value is not None for value in node.outputs) > 1 and any(emit.uses.get(v) for v in node.outputs[1:]):
        raise UnsupportedError("the statistics of BatchNormalization in training mode")
    if node.attr("training_mode"):
        raise UnsupportedError("BatchNormalization in training mode")
    x = node.inputs[0]
    eps = float32(node.attr("epsilon", 1e-5))
    options: dict[str, object] = {} if eps == "1e-05" else {"eps": eps}
    momentum = node.attr("momentum", 0.9)
    if abs(momentum - 0.9) > 1e-6:
        options["momentum"] = round(1 - momentum, 6)
    operands = node.inputs[1:5]
    if x is not None and x.rank in (2, 3, 4, 5) and all(emit.is_weight(value, 1) for value in operands):
        tensors = [value.tensor for value in operands if value is not None]
        named = dict(zip(("weight", "bias", "running_mean", "running_var"), tensors, strict=True))
        assert tensors[0] is not None
        head = f"nn.BatchNorm{max(x.rank - 2, 1)}d({tensors[0].shape[0]}"
        return f"{emit.module('norm', head, options, **_most_telling_first(named))}({emit(x)})"
    scale, bias, mean, variance = map(emit, operands)
    return f"F.batch_norm({emit(x)}, {mean}, {variance}, {scale}, {bias}, eps={eps})"


def _most_telling_first(state: dict[str, Tensor | None]) -> dict[str, Tensor | None]:
    """The layer is named after its first tensor: after a stored one rather than a constant that was put in."""
    return dict(sorted(state.items(), key=lambda item: not (item[1] is not None and item[1].name)))


@exporter_op("LayerNormalization")
def layer_norm(node: Node, emit: Emitter) -> Expr:
    """A layer where scale and bias are weights over the last axes."""
    x, scale, bias = node.inputs[0], node.inputs[1], node.operand(2)
    rank = emit.rank(x)
    axis = node.attr("axis", -1) % rank
    eps = float32(node.attr("epsilon", 1e-5))
    if any(emit.uses.get(value) for value in node.outputs[1:]):
        raise UnsupportedError("mean and deviation as further outputs")
    options: dict[str, object] = {} if eps == "1e-05" else {"eps": eps}
    if _is_affine(scale, bias, x, axis, emit):
        assert scale is not None
        assert scale.tensor is not None
        shape = scale.tensor.shape
        if bias is None:
            options["bias"] = "False"
        head = f"nn.LayerNorm({shape[0] if len(shape) == 1 else shape}"
        weight_and_bias = {"weight": scale.tensor, "bias": bias.tensor if bias is not None else None}
        return f"{emit.module('norm', head, options, **weight_and_bias)}({emit(x)})"
    sizes = f"{emit(x)}.shape[{axis}:]"
    text = f"F.layer_norm({emit(x)}, {sizes}, eps={eps}) * {emit(scale)}"
    return text if bias is None else f"{text} + {emit(bias)}"


def _is_affine(scale: Value | None, bias: Value | None, x: Value | None, axis: int, emit: Emitter) -> bool:
    """Whether scale and bias are weights with an element for each of those that are normalized."""
    if not emit.is_weight(scale) or scale is None or scale.tensor is None or x is None or x.shape is None:
        return False
    shape, normalized = scale.tensor.shape, x.shape[axis:]
    if bias is not None and not (emit.is_weight(bias) and bias.tensor is not None and bias.tensor.shape == shape):
        return False
    return len(shape) == len(normalized) and all(
        size == known or (size != 1 and not isinstance(known, int))
        for size, known in zip(shape, normalized, strict=True)
    )


@exporter_op("InstanceNormalization")
def instance_norm(node: Node, emit: Emitter) -> Expr:
    """A layer where scale and bias are weights."""
    x, scale, bias = node.inputs[0], node.inputs[1], node.inputs[2]
    eps = float32(node.attr("epsilon", 1e-5))
    if x is not None and x.rank in (3, 4, 5) and emit.is_weight(scale, 1) and emit.is_weight(bias, 1):
        assert scale is not None
        assert scale.tensor is not None
        assert bias is not None
        options: dict[str, object] = {"affine": "True"} if eps == "1e-05" else {"eps": eps, "affine": "True"}
        head = f"nn.InstanceNorm{x.rank - 2}d({scale.tensor.shape[0]}"
        return f"{emit.module('norm', head, options, weight=scale.tensor, bias=bias.tensor)}({emit(x)})"
    return f"F.instance_norm({emit(x)}, weight={emit(scale)}, bias={emit(bias)}, eps={eps})"


@exporter_op("LpNormalization")
def lp_normalization(node: Node, emit: Emitter) -> Expr:
    """A vector norm of one along an axis."""
    return f"F.normalize({emit(node.inputs[0])}, p={node.attr('p', 2)}, dim={node.attr('axis', -1)})"
