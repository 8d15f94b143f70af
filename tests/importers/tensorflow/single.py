"""Runs one TensorFlow operator: converted, on onnxruntime."""

import numpy as np
from tests.importers.tensorflow.execution import convert, execute
from tests.tensorflow_graphs import Shape, const, graph, node

from panmodel.dtypes import from_numpy

#: What a graph knows of the sizes of its inputs.
SIZES = ("known", "unknown", "unranked")


def build(op, *operands, sizes="known", count=1, **attributes):
    """Convert a graph of one operator.

    Args:
        op: TensorFlow's operator.
        operands: numpy arrays become inputs of the graph; numbers and lists become constants (int32, if integers).
        sizes: One of `SIZES`.
        count: How many outputs it has.
        attributes: Of the node; "T" is that of the first array.

    Returns:
        The model, and what to feed it.
    """
    nodes, feeds = [], {}
    for index, operand in enumerate(operands):
        name = f"i{index}"
        if isinstance(operand, (np.ndarray, np.generic)):
            shape = {"known": Shape(operand.shape), "unknown": Shape([None] * operand.ndim)}.get(sizes)
            given = {} if shape is None else {"shape": shape}
            nodes.append(node(name, "Placeholder", dtype=from_numpy(operand.dtype), **given))
            feeds[f"{name}:0"] = np.asarray(operand)
        else:
            array = np.asarray(operand)
            nodes.append(const(name, array if array.size and array.dtype != np.int64 else array.astype(np.int32)))
    names = [f"i{index}" for index in range(len(operands))]
    first = next((operand for operand in operands if isinstance(operand, (np.ndarray, np.generic))), None)
    if first is not None:
        attributes.setdefault("T", from_numpy(first.dtype))
    nodes.append(node("y", op, *names, **attributes))
    return convert(graph(*nodes), list(feeds), [f"y:{index}" for index in range(count)]), feeds


def run(op, *operands, sizes="known", count=1, **attributes):
    """The outputs of one operator; see `build`. Their types and shapes must be those that the graph tells."""
    model, feeds = build(op, *operands, sizes=sizes, count=count, **attributes)
    results = execute(model, feeds)
    for told, found in zip(model.program.outputs.values(), results, strict=True):
        assert told.dtype is from_numpy(found.dtype)
        if told.shape is not None:
            assert len(told.shape) == found.ndim
            assert all(
                size == told.shape[axis] for axis, size in enumerate(found.shape) if isinstance(told.shape[axis], int)
            )
    return results if count > 1 else results[0]


def operators(op, *operands, **options):
    """The ONNX operators that an operator becomes, in order."""
    return [made.op for made in build(op, *operands, **options)[0].program.nodes]


def array(dtype, *shape, low=-9, high=10, seed=0):
    """Random elements of a type."""
    rng, dtype = np.random.default_rng(seed), np.dtype(dtype)
    if dtype.kind == "b":
        return rng.random(shape) > 0.5
    if dtype.kind == "f":
        return rng.uniform(low, high, shape).astype(dtype)
    return rng.integers(max(low, 0) if dtype.kind == "u" else low, high, shape).astype(dtype)
