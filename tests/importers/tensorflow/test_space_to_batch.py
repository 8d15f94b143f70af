import numpy as np
import pytest
from tests.importers.tensorflow.execution import convert, execute, operators, run
from tests.tensorflow_graphs import Shape, const, graph, node

from panmodel.dtypes import FLOAT32, INT32, from_numpy
from panmodel.errors import CorruptError

RNG = np.random.default_rng(5)


def space_to_batch(x, block, paddings):
    """By the definition: a pixel goes to the batch of its place within its block."""
    count = len(block)
    x = np.pad(x, [(0, 0), *paddings, *[(0, 0)] * (x.ndim - 1 - count)])
    pieces = [x[:, *(slice(p, None, b) for p, b in zip(place, block, strict=True))] for place in np.ndindex(*block)]
    return np.concatenate(pieces, 0)


def batch_to_space(x, block, crops):
    count, batch = len(block), x.shape[0] // int(np.prod(block))
    whole = np.empty(
        (batch, *(s * b for s, b in zip(x.shape[1:], block, strict=False)), *x.shape[1 + count :]), x.dtype
    )
    for piece, place in zip(np.split(x, x.shape[0] // batch), np.ndindex(*block), strict=True):
        whole[:, *(slice(p, None, b) for p, b in zip(place, block, strict=True))] = piece
    kept = (slice(a, size - b) for (a, b), size in zip(crops, whole.shape[1:], strict=False))
    return whole[:, *kept]


MOVES = [
    ("SpaceToBatchND", (2, 4, 6, 3), (2, 3), [(1, 1), (0, 3)]),
    ("SpaceToBatchND", (2, 4, 6), (2,), [(1, 1)]),
    ("SpaceToBatchND", (1, 4, 6, 2, 3), (2, 2, 2), [(0, 0), (1, 1), (2, 0)]),
    ("SpaceToBatchND", (2, 4, 4, 3), (2, 2), [(0, 0), (0, 0)]),
    ("BatchToSpaceND", (12, 4, 5, 3), (2, 3), [(1, 0), (2, 1)]),
    ("BatchToSpaceND", (4, 4, 3), (2,), [(1, 2)]),
    ("BatchToSpaceND", (8, 2, 3, 2, 3), (2, 2, 2), [(0, 0), (1, 1), (2, 0)]),
    ("BatchToSpaceND", (4, 4, 4), (2, 2), [(0, 0), (0, 0)]),
]


@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize("dtype", [np.float32, np.int8])
@pytest.mark.parametrize(("op", "shape", "block", "borders"), MOVES)
def test_moves(op, shape, block, borders, known, dtype):
    x = RNG.integers(-9, 9, shape).astype(dtype)
    feeds = {"x:0": x}
    nodes = [node("x", "Placeholder", dtype=from_numpy(x.dtype), shape=Shape(shape if known else (None,) * x.ndim))]
    if known:
        nodes += [const("block", block, np.int32), const("borders", borders, np.int64)]
    else:
        nodes.append(node("block", "Placeholder", dtype=INT32, shape=Shape((len(block),))))
        nodes.append(node("borders", "Placeholder", dtype=INT32, shape=Shape((len(block), 2))))
        feeds |= {"block:0": np.array(block, np.int32), "borders:0": np.array(borders, np.int32)}
    (y,) = run([*nodes, node("y", op, "x", "block", "borders")], feeds, ["y:0"])
    expected = (space_to_batch if op == "SpaceToBatchND" else batch_to_space)(x, block, borders)
    np.testing.assert_array_equal(y, expected)


def test_there_and_back_is_the_same():
    x = RNG.standard_normal((2, 5, 7, 3), np.float32)
    nodes = [node("x", "Placeholder", dtype=FLOAT32, shape=Shape((None, None, None, 3)))]
    nodes += [const("block", [2, 3], np.int32), const("borders", [[1, 0], [1, 1]], np.int32)]
    nodes.append(node("s", "SpaceToBatchND", "x", "block", "borders"))
    nodes.append(node("y", "BatchToSpaceND", "s", "block", "borders"))
    model = convert(graph(*nodes), ["x"], ["y"])
    np.testing.assert_array_equal(execute(model, {"x:0": x})[0], x)


@pytest.mark.parametrize("block", [[2, 2, 2, 2], []])
def test_more_blocks_than_axes(block):
    nodes = [node("x", "Placeholder", dtype=FLOAT32, shape=Shape((4, 4, 4, 3)))]
    nodes += [const("block", block, np.int32), const("borders", np.zeros((len(block), 2), np.int32))]
    with pytest.raises(CorruptError, match=f"of {len(block)} axes"):
        convert(graph(*nodes, node("y", "SpaceToBatchND", "x", "block", "borders")), ["x"], ["y"])
    assert operators(convert(graph(*nodes), ["x"], ["x"])) == {}
