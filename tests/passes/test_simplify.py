import pytest
from tests.passes.running import assert_same

from panmodel import dtypes
from panmodel.model.builder import Builder
from panmodel.model.symbolic import Dim
from panmodel.passes import simplify

N, H = Dim.symbol("n"), Dim.symbol("h")
FLOAT = dtypes.FLOAT32

GONE = {
    "casts": (lambda b, x: b.op("Cast", b.op("Cast", x, to=11), to=1), {}),
    "casts to another": (lambda b, x: b.op("Cast", b.op("Cast", x, to=11), to=6), {"Cast": 1}),
    "reshapes": (
        lambda b, x: b.op("Reshape", b.op("Reshape", x, b.constant([-1, 6])), b.constant([-1, 3, 2])),
        {"Reshape": 1},
    ),
    "squeeze after reshape": (lambda b, x: b.squeeze(b.op("Reshape", x, b.constant([-1, 1, 24])), [1]), {"Reshape": 1}),
    "pad": (lambda b, x: b.op("Pad", x, b.constant([0] * 6)), {}),
    "slice": (lambda b, x: b.slice(x, [0, 0], [100, 4], [2, 1]), {}),
    "tile": (lambda b, x: b.op("Tile", x, b.constant([1, 1, 1])), {}),
    "expand": (lambda b, x: b.op("Expand", x, b.constant([1, 4, 1])), {}),
    "dropout": (lambda b, x: b.op("Dropout", x, b.constant(0.5), b.constant(False)), {}),
    "dropout by default": (lambda b, x: b.op("Dropout", x), {}),
    "transposes": (lambda b, x: b.transpose(b.transpose(x, (2, 0, 1)), (1, 2, 0)), {}),
}  # fmt: skip

LEFT = {
    "narrow casts": lambda b, x: b.op("Cast", b.op("Cast", x, to=6), to=1),
    "half casts": lambda b, x: b.op("Cast", b.op("Cast", x, to=10), to=1),
    "pad by one": lambda b, x: b.op("Pad", x, b.constant([0, 0, 1, 0, 0, 0])),
    "reversed": lambda b, x: b.slice(x, [-1], [-100], [1], [-1]),
    "tile by two": lambda b, x: b.op("Tile", x, b.constant([1, 2, 1])),
    "expand by two": lambda b, x: b.op("Expand", b.slice(x, [0], [1], [1]), b.constant([1, 2, 1])),
    "transpose": lambda b, x: b.transpose(x, (0, 2, 1)),
}


def graph_of(write):
    build = Builder()
    build.output("y", build.op("Neg", write(build, build.op("Relu", build.input("x", FLOAT, (N, 4, 6))))))
    return build.graph()


@pytest.mark.parametrize("name", GONE)
def test_what_changes_nothing_goes(name):
    write, left = GONE[name]
    before = graph_of(write)
    after = simplify.run(before)
    assert_same(before, after)
    assert after.operators() == dict(sorted({"Neg": 1, "Relu": 1, **left}.items()))


@pytest.mark.parametrize("name", LEFT)
def test_what_changes_something_stays(name):
    before = graph_of(LEFT[name])
    after = simplify.run(before)
    assert_same(before, after)
    assert after.operators() == before.operators()


def test_reshapes_that_one_constant_cannot_say_stay():
    build = Builder()
    x = build.input("x", FLOAT, (N, H, 3, 1))
    y = build.transpose(x, (0, 3, 1, 2))  # n, 1, h, 3: only axes of size 1 move
    z = build.transpose(build.input("z", FLOAT, (N, H, Dim.symbol("w"), 1)), (0, 3, 1, 2))
    build.output("y", y)
    build.output("moved", z)
    before = build.graph()
    after = simplify.run(before)
    assert_same(before, after)
    assert after.operators() == {"Reshape": 1, "Transpose": 1}
