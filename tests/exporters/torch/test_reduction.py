import numpy as np
import pytest
from tests.exporters.torch.execution import agrees, graph_of, ints, numbers

from panmodel.errors import UnsupportedOperatorsError
from panmodel.exporters.torch import export
from panmodel.model.model import Model

X = np.abs(numbers(2, 3, 4, 2)) + 0.5
OPERATORS = "Sum Mean Max Min Prod L1 L2 LogSum LogSumExp SumSquare".split()  # noqa: SIM905 (a table of words)
every_operator = pytest.mark.parametrize("op", [f"Reduce{name}" for name in OPERATORS])


def reduced(op, *axes, **attributes):
    return lambda build, x: build.op(op, x, ints(build, *axes) if axes else None, **attributes)


@every_operator
@pytest.mark.parametrize("axes", [(), (1,), (-1,), (1, -4), (-4, 3), (0, 1, 2), (3, 2, 1, 0)])
@pytest.mark.parametrize("keep", [0, 1])
def test_reductions_of_floats(op, axes, keep):
    agrees(reduced(op, *axes, keepdims=keep), X, tolerance=1e-4)


@every_operator
def test_reductions_of_unknown_ranks_and_no_axes(op):
    agrees(reduced(op, keepdims=0), X, known="unknown", tolerance=1e-4)
    agrees(reduced(op, -2, -1), X, known="unknown", tolerance=1e-4)
    agrees(reduced(op, 1, keepdims=0), X, known="symbolic", tolerance=1e-4)
    agrees(reduced(op, noop_with_empty_axes=1), X, reference=op != "ReduceSum")


@pytest.mark.parametrize("op", ["ReduceSum", "ReduceMax", "ReduceMin", "ReduceProd", "ReduceMean"])
@pytest.mark.parametrize("dtype", [np.int32, np.int64])
def test_reductions_of_integers(op, dtype):
    agrees(reduced(op, 0), numbers(3, 4, dtype=dtype), reference=op == "ReduceProd")


def test_axes_as_attributes_and_from_both_ends():
    agrees(lambda b, x: b.op("ReduceMean", x, axes=(1, 2), keepdims=0), X, opset=11)
    graph = graph_of(reduced("ReduceProd", 1, -1), X, known="unknown")
    with pytest.raises(UnsupportedOperatorsError, match="both ends"):
        export(Model("onnx", graph))
    graph = graph_of(lambda b, x, axes: b.op("ReduceSum", x, axes), X, np.array([1]))
    with pytest.raises(UnsupportedOperatorsError, match="computed at run time"):
        export(Model("onnx", graph))


@pytest.mark.parametrize("op", ["ReduceMax", "ReduceMin"])
@pytest.mark.parametrize("dtype", [np.float32, np.int32])
def test_the_extreme_of_nothing(op, dtype):
    agrees(reduced(op, 1), np.zeros((2, 0), dtype), reference=True)


def test_scalars_reduce_to_themselves():
    for name in OPERATORS:
        agrees(reduced(f"Reduce{name}", keepdims=0), np.array(2.5, np.float32))


@pytest.mark.parametrize("op", ["ArgMax", "ArgMin"])
@pytest.mark.parametrize("last", [0, 1])
@pytest.mark.parametrize("keep", [0, 1])
def test_the_index_of_the_first_or_last_extreme(op, last, keep):
    ties = np.float32([[1, 0, 0, 2, 2], [3, 3, 3, 3, 3]])
    for axis in (0, -1):
        agrees(lambda b, x, a=axis: b.op(op, x, axis=a, select_last_index=last, keepdims=keep), ties)


@pytest.mark.parametrize("largest", [0, 1])
@pytest.mark.parametrize("axis", [0, -1])
def test_the_first_few_in_order(largest, axis):
    ties = np.float32([[1, 0, 0], [3, 3, 3], [2, 0, 9]])
    options = {"outputs": 2, "axis": axis, "largest": largest}
    agrees(lambda b, x: b.ops("TopK", x, ints(b, 2), **options), ties)
    agrees(lambda b, x, k: b.ops("TopK", x, k, **options), ties.astype(np.int64), np.array([2]))


def test_unsigned_numbers_that_pytorch_cannot_sort():
    graph = graph_of(lambda b, x: b.ops("TopK", x, ints(b, 2), outputs=2), np.array([1, 5, 3], np.uint32))
    with pytest.raises(UnsupportedOperatorsError, match="uint32"):
        export(Model("onnx", graph))
