import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from panmodel.dtypes import FLOAT32, INT64
from panmodel.errors import CorruptError
from panmodel.model.builder import Builder
from panmodel.model.inference import _from_schema
from panmodel.model.shape_rules import RULES, broadcast, slice_range
from panmodel.model.symbolic import Dim

H, N = Dim.symbol("h"), Dim.symbol("n")
SIZES = {"n": 5, "h": 7}


def vector(*numbers):
    return np.array(numbers, np.int64)


#: Operator, shapes of its operands (an array is a constant), attributes.
CASES = [
    ("Reshape", [(N, 4, 6), vector(0, -1)], {}),
    ("Reshape", [(N, 4, 6), vector(-1, 8)], {}),
    ("Reshape", [(2, 4, 6), vector(8, 6)], {}),
    ("Reshape", [(0, 4), vector(4, 0)], {"allowzero": 1}),
    ("Expand", [(N, 1), vector(3, 1, 4)], {}),
    ("Tile", [(N, 3), vector(2, 3)], {}),
    ("Pad", [(N, 3), vector(1, 0, 2, 4)], {}),
    ("Concat", [(N, 3), (N, 4)], {"axis": 1}),
    ("Concat", [(N, 3), (H, 3)], {"axis": -2}),
    ("Slice", [(N, 6), vector(1), vector(1 << 62), vector(0)], {}),
    ("Slice", [(N, 6), vector(0, 5), vector(-1, 0), vector(0, 1), vector(1, -2)], {}),
    ("Slice", [(9, 6), vector(-3, -9), vector(20, 4)], {}),
    ("Conv", [(N, 3, H, 8), (4, 3, 3, 2)], {"strides": (2, 1), "pads": (1, 0, 1, 1), "dilations": (2, 1)}),
    ("Conv", [(N, 3, H, 8), (4, 3, 3, 2)], {"strides": (2, 3), "auto_pad": "SAME_UPPER"}),
    ("Conv", [(N, 3, H, 8), (4, 3, 3, 2)], {"auto_pad": "VALID"}),
    ("AveragePool", [(N, 3, H, 8)], {"kernel_shape": (2, 3), "strides": (2, 2)}),
    ("MaxPool", [(N, 3, H, 8)], {"kernel_shape": (2, 3), "strides": (2, 2), "ceil_mode": 1}),
    ("Resize", [(N, 3, H, 8), None, np.float32([1, 1, 2, 3])], {}),
    ("Resize", [(N, 3, H, 8), None, None, vector(5, 3, 9, 9)], {}),
    ("Unsqueeze", [(N, 3), vector(0, -1)], {}),
    ("Squeeze", [(N, 1, 3, 1), vector(1, -1)], {}),
    ("Squeeze", [(2, 1, 3, 1)], {}),
    ("ReduceSum", [(N, H, 3), vector(0, -1)], {"keepdims": 0}),
    ("ReduceMax", [(N, H, 3), vector(1)], {"keepdims": 1}),
    ("ReduceMean", [(N, H, 3)], {"keepdims": 0}),
    ("ReduceMin", [(N, H, 3), vector()], {"keepdims": 0, "noop_with_empty_axes": 1}),
    ("ReduceProd", [(N, H, 3), vector()], {"keepdims": 1}),
    ("Add", [(N, 1, 3), (H, 1)], {}),
    ("Mul", [(N, 4), (4,)], {}),
]


def constant(build, array):
    return build.constant(array) if array is not None else None


def operands(build, shapes, concrete=False):
    def size(dim):
        return SIZES[str(dim)] if concrete and isinstance(dim, Dim) else dim

    return [
        build.input(f"i{index}", FLOAT32, tuple(map(size, shape)))
        if isinstance(shape, tuple)
        else constant(build, shape)
        for index, shape in enumerate(shapes)
    ]


def in_numbers(size):
    return eval(str(size), {}, SIZES)


@pytest.mark.parametrize(("op", "shapes", "attributes"), CASES)
def test_rules_agree_with_onnx(op, shapes, attributes):
    build = Builder()
    symbolic = build.op(op, *operands(build, shapes), **attributes).shape
    if op not in RULES and op != "MaxPool":
        pytest.fail("no rule of our own")
    concrete = Builder()
    node = concrete.op(op, *operands(concrete, shapes, concrete=True), **attributes).node
    ((dtype, expected),) = _from_schema(node, 1, 18, concrete.fresh)
    assert dtype is FLOAT32
    if any(name.startswith("d") for size in symbolic for name in getattr(size, "symbols", ())):
        assert len(symbolic) == len(expected)
    else:
        assert tuple(map(in_numbers, symbolic)) == expected


@pytest.mark.parametrize(("lengths", "count"), [((2, 5), 2), (None, 2), (None, 3)])
def test_pieces(lengths, count):
    build = Builder()
    x = build.input("x", FLOAT32, (N, 7))
    sizes = None if lengths is None else build.constant(list(lengths))
    pieces = build.ops("Split", x, sizes, outputs=count, axis=-1, num_outputs=None if lengths else count)
    expected = lengths or tuple(
        len(piece) for piece in (range(7)[i : i + -(-7 // count)] for i in range(0, 7, -(-7 // count)))
    )
    assert [piece.shape for piece in pieces] == [(N, size) for size in expected]


@pytest.mark.parametrize(
    ("op", "vectors", "rank"),
    [
        ("Reshape", [4], 4),
        ("Expand", [4], 4),
        ("Tile", [2], 2),
        ("Pad", [4], 2),
        ("Slice", [2, 2], 2),
        ("Slice", [1, 1, 1, 1], 2),
        ("Unsqueeze", [2], 4),
        ("Squeeze", [1], 1),
        ("ReduceSum", [1], 1),
    ],
)
def test_ranks_are_known_where_sizes_are_computed(op, vectors, rank):
    build = Builder()
    x = build.input("x", FLOAT32, (N, 1))
    bounds = [build.input(f"v{index}", INT64, (length,)) for index, length in enumerate(vectors)]
    assert build.op(op, x, *bounds, **({"keepdims": 0} if op == "ReduceSum" else {})).rank == rank


def test_the_count_of_squeezed_axes_hangs_on_unknown_sizes():
    build = Builder()
    assert build.op("Squeeze", build.input("x", FLOAT32, (N, 1))).shape is None


def test_broadcasting():
    fresh = Builder().fresh
    assert broadcast([(N, 1), (3,)], fresh) == (N, 3)
    assert broadcast([(N,), (4,)], fresh) == (4,)
    assert broadcast([None, (4,)], fresh) is None
    assert broadcast([(), ()], fresh) == ()
    (either,) = broadcast([(N,), (H,)], fresh)
    assert either not in (N, H)
    with pytest.raises(CorruptError, match="do not broadcast"):
        broadcast([(2,), (3,)], fresh)


@settings(max_examples=300)
@given(st.integers(-9, 9), st.integers(-9, 9), st.integers(-3, 3).filter(bool), st.integers(0, 6))
def test_clamping(start, end, step, size):
    taken = slice_range(start, end, step, size)
    assert all(0 <= index < size for index in taken)
    if not (step < 0 and start < -size):  # where numpy has nothing, and ONNX the first element
        expected = np.arange(size)[slice(start, None if step < 0 and end < -size else end, step)]
        assert list(taken) == expected.tolist()
