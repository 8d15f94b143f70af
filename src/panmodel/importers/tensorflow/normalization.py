"""Batch normalization.

Source: tensorflow/core/ops/nn_ops.cc (FusedBatchNorm…), tensorflow/core/kernels/fused_batch_norm_op.cc
"""

from __future__ import annotations

from collections.abc import Sequence

from panmodel.dtypes import FLOAT32, INT64
from panmodel.importers.tensorflow.registry import Operation, importer_op
from panmodel.importers.tensorflow.spatial import Layout, layout, ranked
from panmodel.model.builder import Builder
from panmodel.model.graph import Value


@importer_op("FusedBatchNorm", "FusedBatchNormV2", "FusedBatchNormV3")
def fused_batch_norm(node: Operation, build: Builder) -> Sequence[Value]:
    """Batch normalization by the stored statistics, or by those of the batch where the node trains.

    Returns:
        The result, the mean and variance for the running averages, what the gradient would need (three values in V3).
    """
    form = layout(node)
    x = form.enter(build, ranked(node, 0, form.rank))
    scale, offset, mean, variance = (node.input(index) for index in range(1, 5))
    epsilon = float(node.attr("epsilon", 1e-4))
    statistics = (mean, variance, mean, variance)
    if node.attr("is_training", True):
        mean, variance = _moments(build, form, x)
        statistics = (*_running(node, build, x, mean, variance), mean, variance)
    y = build.op("BatchNormalization", x, scale, offset, mean, variance, epsilon=epsilon)
    reserved = (build.constant(0.0, FLOAT32),) if node.op == "FusedBatchNormV3" else ()
    return (form.leave(build, y), *statistics, *reserved)


def _moments(build: Builder, form: Layout, x: Value) -> tuple[Value, Value]:
    """Mean and variance of each channel, over all else."""
    axes = build.constant([axis for axis in range(form.rank) if axis != 1], INT64)
    exact = build.cast(x, FLOAT32)
    centre = build.op("ReduceMean", exact, axes, keepdims=1)
    difference = build.op("Sub", exact, centre)
    variance = build.op("ReduceMean", build.op("Mul", difference, difference), axes, keepdims=0)
    return build.squeeze(centre, [axis for axis in range(form.rank) if axis != 1]), variance


def _running(node: Operation, build: Builder, x: Value, mean: Value, variance: Value) -> tuple[Value, Value]:
    """What the running averages are to become: with the variance of the population, not of the sample."""
    count = build.cast(build.op("Div", build.op("Size", x), build.op("Size", mean)), FLOAT32)
    one = build.constant(1.0, FLOAT32)
    fewer = build.op("Max", build.op("Sub", count, one), one)
    unbiased = build.op("Mul", variance, build.op("Div", count, fewer))
    factor = float(node.attr("exponential_avg_factor", 1.0))
    if factor == 1.0:
        return mean, unbiased
    share, rest = build.constant(factor, FLOAT32), build.constant(1.0 - factor, FLOAT32)
    averages = []
    for old, new in ((node.input(3), mean), (node.input(4), unbiased)):
        averages.append(build.op("Add", build.op("Mul", old, rest), build.op("Mul", new, share)))
    return averages[0], averages[1]
