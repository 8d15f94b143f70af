"""Matrix products, and the bias that follows them.

Source: tensorflow/core/ops/math_ops.cc, tensorflow/core/ops/nn_ops.cc
"""

from __future__ import annotations

from panmodel.importers.tensorflow.operands import needs_rank
from panmodel.importers.tensorflow.registry import Operation, importer_op
from panmodel.importers.tensorflow.spatial import ranked
from panmodel.model.builder import Builder
from panmodel.model.graph import Value


@importer_op("MatMul")
def matmul(node: Operation, build: Builder) -> Value:
    """The product of two matrices, either of which may be transposed first."""
    factors = [ranked(node, index, 2) for index in range(2)]
    for index, name in enumerate(("transpose_a", "transpose_b")):
        if node.attr(name, False):
            factors[index] = build.transpose(factors[index], (1, 0))
    return build.op("MatMul", *factors)


@importer_op("BatchMatMul", "BatchMatMulV2")
def batch_matmul(node: Operation, build: Builder) -> Value:
    """Products of matrices that stand in the last two axes, either of which may be transposed first."""
    factors = [node.input(index) for index in range(2)]
    for index, name in enumerate(("adj_x", "adj_y")):
        if node.attr(name, False):
            rank = needs_rank(node, factors[index])
            factors[index] = build.transpose(factors[index], (*range(rank - 2), rank - 1, rank - 2))
    return build.op("MatMul", *factors)


@importer_op("BiasAdd")
def bias_add(node: Operation, build: Builder) -> Value:
    """Adds a number to each channel."""
    x, bias = node.x, ranked(node, 1, 1)
    if node.text("data_format", "NHWC").startswith("NC") and (rank := needs_rank(node, x)) > 2:
        bias = build.unsqueeze(bias, range(1, rank - 1))
    return build.op("Add", x, bias)
