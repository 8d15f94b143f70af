"""Arithmetic on weights alone is done once, now.

It runs last: what such arithmetic means (a batch normalization, say) shows only in the nodes, and the passes before
this one look for it there.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from panmodel.model.graph import Graph, Node, Value
from panmodel.model.onnx.encoding import encode_graph
from panmodel.model.tensor import ArrayTensor, StoredTensor
from panmodel.passes.rewrite import ANY, Operands, Rewriter, rewrite
from panmodel.wire.protobuf import encode_bytes

if TYPE_CHECKING:
    import numpy as np

#: Bytes of a result that is stored though nothing as large was before.
LARGEST = 16 << 20
#: What all results together may take in memory: so many times the weights of the file, and some for small files.
MOST_COPIES, MOST_SMALL = 8, 256 << 20

#: Operators that numpy has under another name, with the same meaning for floats.
_NUMPY = {
    "Add": "add",
    "Sub": "subtract",
    "Mul": "multiply",
    "Neg": "negative",
    "Sqrt": "sqrt",
    "Reciprocal": "reciprocal",
    "Exp": "exp",
    "Log": "log",
    "Abs": "abs",
    "Div": "divide",
}

#: Operators that may be computed while converting: they give the same each time, take no longer than operands and
#: results are large, and decode nothing.
_COMPUTED_NAMES = """
    Abs Acos Acosh Add And ArgMax ArgMin Asin Asinh Atan Atanh BitShift BitwiseAnd BitwiseNot BitwiseOr
    BitwiseXor Cast Ceil Clip Concat ConstantOfShape Cos Cosh CumSum DepthToSpace Div Elu Equal Erf Exp Expand
    EyeLike Flatten Floor Gather Gemm Greater GreaterOrEqual HardSigmoid Identity IsInf IsNan LeakyRelu Less
    LessOrEqual Log LogSoftmax MatMul Max Mean Min Mod Mul Neg Not OneHot Or Pad Pow Range Reciprocal ReduceL1
    ReduceL2 ReduceLogSum ReduceLogSumExp ReduceMax ReduceMean ReduceMin ReduceProd ReduceSum ReduceSumSquare
    Relu Reshape Round Selu Shape Sigmoid Sign Sin Sinh Size Slice Softmax Softplus Softsign SpaceToDepth Split
    Sqrt Squeeze Sub Sum Tan Tanh Tile Transpose Trilu Unsqueeze Where Xor
"""
_COMPUTED = frozenset(_COMPUTED_NAMES.split())


def run(graph: Graph) -> Graph:
    """The graph with such nodes replaced by their results."""
    return rewrite(graph, {ANY: [partial(_folded, allowance=_Allowance(graph))]})


class _Allowance:
    """What results may still take; a few bytes of a file can ask for any number (constants of one repeated element)."""

    def __init__(self, graph: Graph) -> None:
        bases = {id(base): base for value in graph.initializers() if value.tensor for base in (value.tensor.base,)}
        stored = sum(base.nbytes for base in bases.values() if isinstance(base, StoredTensor))
        self.left = MOST_COPIES * stored + MOST_SMALL


def _folded(node: Node, inputs: Operands, at: Rewriter, *, allowance: _Allowance) -> Sequence[Value] | None:
    """The results of a node whose operands are all constants."""
    known = [value for value in inputs if value is not None]
    if not known or not all(value.is_constant for value in known) or node.op not in _COMPUTED:
        return None
    if any(True for _ in node.subgraphs()) or not _fits(node, known, allowance.left):
        return None
    arrays = _evaluated(node, inputs, at.build.opset)
    if arrays is None:
        return None
    allowance.left -= sum(array.nbytes for array in arrays)
    origins = [name for value in known if value.tensor is not None for name in value.tensor.origins]
    is_literal = all(value.literal for value in known)
    return [
        at.build.constant(array)
        if is_literal
        else at.build.weight(ArrayTensor(array, dtype=old.dtype, origins=origins), old.name)
        for old, array in zip(node.outputs, arrays, strict=True)
    ]


def _fits(node: Node, known: Sequence[Value], allowed: int) -> bool:
    """Whether the results are known in size, allowed, and not larger than what they replace, or small."""
    given = sum(value.tensor.nbytes for value in dict.fromkeys(known) if value.tensor is not None)
    total = 0
    for value in node.outputs:
        if value.dtype is None or not value.dtype.bits or value.shape is None:
            return False
        count = 1
        for size in value.shape:
            if not isinstance(size, int):
                return False
            count *= size
        total += value.dtype.nbytes(count)
    return given <= allowed and total <= min(allowed, max(given, LARGEST))


def _evaluated(node: Node, inputs: Operands, opset: int) -> list[np.ndarray] | None:
    import numpy as np

    arrays = [None if value is None or value.tensor is None else value.tensor.numpy() for value in inputs]
    name = _NUMPY.get(node.op)
    floats = [array for array in arrays if array is not None and array.dtype in (np.float32, np.float64)]
    if name is not None and len(floats) == len(arrays):
        function: Callable[..., Any] = getattr(np, name)
        with np.errstate(all="ignore"):
            return [np.asarray(function(*floats))]
    return _referred(node, inputs, arrays, opset)


def _referred(node: Node, inputs: Operands, arrays: Sequence[np.ndarray | None], opset: int) -> list[np.ndarray] | None:
    """The results by onnx's reference evaluator; None where it cannot."""
    import onnx
    from onnx.reference import ReferenceEvaluator

    leaves = [
        None if value is None else Value(f"i{index}", value.dtype, value.shape) for index, value in enumerate(inputs)
    ]
    results = tuple(Value(f"o{index}", value.dtype, value.shape) for index, value in enumerate(node.outputs))
    alone = Node(node.op, tuple(leaves), results, node.attributes, node.name)
    graph = Graph(
        [leaf for leaf in leaves if leaf is not None], {value.name: value for value in results}, [alone], opset
    )
    model = onnx.ModelProto.FromString(encode_bytes(encode_graph(graph)[0]))
    feeds = {leaf.name: array for leaf, array in zip(leaves, arrays, strict=True) if leaf is not None}
    try:
        found = ReferenceEvaluator(model).run(None, feeds)
    except (NotImplementedError, RuntimeError, TypeError, ValueError):  # an operator or type that it does not have
        return None
    return list(found) if all(hasattr(array, "dtype") for array in found) else None
