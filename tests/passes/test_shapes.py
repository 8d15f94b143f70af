import numpy as np
import pytest
from tests.passes.running import run, weight

from panmodel import dtypes
from panmodel.model.builder import Builder
from panmodel.model.symbolic import Dim
from panmodel.passes import shapes

FLOAT = dtypes.FLOAT32


def test_an_input_of_unknown_rank_gets_the_rank_of_its_use():
    build = Builder()
    x = build.input("x", FLOAT, None)
    kernel = build.constant(np.ones((2, 3, 1, 1), np.float32))
    build.output("y", build.op("Conv", build.transpose(x, (0, 3, 1, 2)), kernel))
    graph = shapes.run(build.graph())
    shape = graph.inputs[0].shape
    assert len(shape) == 4 and shape[3] == 3
    assert len(set(shape)) == 4
    assert len(graph.outputs["y"].shape) == 4
    assert run(graph)[0].shape == (2, 2, 2, 2)


def test_a_known_shape_stays():
    build = Builder()
    build.output("y", build.op("Relu", build.input("x", FLOAT, (Dim.symbol("n"), 4))))
    before = build.graph()
    assert shapes.run(before) is before


def shape_of_input(shape, read):
    build = Builder()
    build.output("y", read(build, build.input("x", FLOAT, shape)))
    x = shapes.run(build.graph()).inputs[0]
    return None if x.shape is None else [size if isinstance(size, int) else "?" for size in x.shape]


OPEN = tuple(map(Dim.symbol, "nchw"))


@pytest.mark.parametrize(
    ("shape", "read", "found"),
    [
        (None, lambda b, x: b.op("Conv", x, weight(b, "w", 8, 3, 1, 1)), ["?", 3, "?", "?"]),
        (None, lambda b, x: b.op("Conv", x, weight(b, "w", 8, 1, 5), group=8), ["?", 8, "?"]),
        (None, lambda b, x: b.transpose(x, (1, 0)), ["?", "?"]),
        (OPEN, lambda b, x: b.op("Conv", x, weight(b, "w", 8, 3, 1, 1)), ["?", 3, "?", "?"]),
        (OPEN, lambda b, x: b.op("Conv", b.transpose(x, (0, 3, 1, 2)), weight(b, "w", 8, 3, 1, 1)), ["?", "?", "?", 3]),
        (None, lambda b, x: b.op("Relu", x), None),
        (None, lambda b, x: b.op("Transpose", x), None),
        (None, lambda b, x: b.op("Conv", b.input("other", FLOAT, OPEN), x), None),
    ],
)
def test_what_the_first_readers_say(shape, read, found):
    assert shape_of_input(shape, read) == found


def test_a_size_that_is_known_is_not_changed():
    """The source says 4 channels and the kernel 3: that is for the check of the graph, not for this pass to settle."""
    build = Builder()
    x = build.input("x", FLOAT, (1, 3, 4, 4))
    build.output("y", build.op("Conv", x, weight(build, "w", 8, 3, 1, 1)))
    before = build.graph()
    before.inputs[0].shape = (1, 4, 4, 4)
    assert shapes.run(before) is before
