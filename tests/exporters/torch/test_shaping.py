import numpy as np
import pytest
from tests.exporters.torch.execution import KNOWN, agrees, graph_of, ints, numbers

from panmodel import dtypes
from panmodel.dtypes import INT64
from panmodel.errors import UnsupportedOperatorsError
from panmodel.exporters.torch import export
from panmodel.model.model import Model

X = numbers(2, 3, 4)
every_knowledge = pytest.mark.parametrize("known", KNOWN)


def applied(op, **attributes):
    return lambda build, *values: build.op(op, *values, **attributes)


def along(op, *axes, **attributes):
    return lambda build, x: build.op(op, x, ints(build, *axes), **attributes)


@every_knowledge
@pytest.mark.parametrize("shape", [(6, 4), (-1,), (0, -1), (2, 3, 2, 2), (-1, 0, 2), (0, 0, 0, 1)])
def test_reshapes(shape, known):
    agrees(along("Reshape", *shape), X, known=known)
    if 0 not in shape:
        agrees(applied("Reshape"), X, np.array(shape), known=known)


def test_reshapes_to_sizes_of_another():
    agrees(lambda b, x, y: b.op("Reshape", x, b.op("Shape", y)), X, numbers(4, 6), known="symbolic")
    agrees(along("Reshape", 0, 5, allowzero=1), numbers(0, 2))
    assert agrees(along("Reshape", 0, 12), X, known="batch") == ["return in0.flatten(1)"]
    agrees(lambda b, x: b.op("Reshape", x, b.constant(np.zeros(0, np.int64))), numbers(1))


@pytest.mark.parametrize("axis", [0, 1, 2, 3, -1])
def test_flattening_into_a_matrix(axis):
    agrees(applied("Flatten", axis=axis), X, known="symbolic")


def test_flattening_few_axes():
    agrees(applied("Flatten"), numbers(3))
    agrees(applied("Flatten", axis=0), numbers())
    assert agrees(applied("Flatten"), numbers(3, 2)) == ["return in0"]


@every_knowledge
@pytest.mark.parametrize("axes", [(0,), (-1,), (0, -1), (0, 2)])
def test_squeezes(axes, known):
    agrees(along("Squeeze", *axes), numbers(1, 3, 1), known=known)
    agrees(applied("Squeeze", axes=axes), numbers(1, 3, 1), known=known, opset=11)
    agrees(applied("Squeeze"), numbers(1, 3, 1), known=known)


@every_knowledge
@pytest.mark.parametrize("axes", [(0,), (-1,), (-3,), (0, -1), (-2, -1), (-1, -3), (3, 1), (0, 1, -1, -2)])
def test_unsqueezes(axes, known):
    agrees(along("Unsqueeze", *axes), X, known=known)
    agrees(applied("Unsqueeze", axes=axes), X, known=known, opset=11)


def test_unsqueezes_that_are_computed():
    agrees(applied("Unsqueeze"), X, np.array([1]))
    mixed = graph_of(along("Unsqueeze", 3, -4), X, known="unknown")
    with pytest.raises(UnsupportedOperatorsError, match="both ends"):
        export(Model("onnx", mixed))


@pytest.mark.parametrize(
    ("perm", "text"),
    [
        ((1, 0), "in0.t()"),
        ((0, 2, 1), "in0.transpose(-2, -1)"),
        ((2, 0, 1), "in0.permute(2, 0, 1)"),
        (None, "in0.permute(2, 1, 0)"),
    ],
)
def test_transposes(perm, text):
    x = numbers(2, 3) if perm == (1, 0) else X
    assert agrees(applied("Transpose", perm=perm), x) == [f"return {text}"]


def test_parts_and_wholes():
    agrees(applied("Concat", axis=-1), X, X)
    for known in KNOWN:
        agrees(lambda b, x: b.ops("Split", x, ints(b, 1, 3), outputs=2, axis=-1), X, known=known)
        agrees(lambda b, x: b.ops("Split", x, outputs=2, axis=2, num_outputs=2), X, known=known)
    agrees(lambda b, x: b.ops("Split", x, outputs=3, axis=0, num_outputs=3), numbers(7))
    agrees(lambda b, x: b.ops("Split", x, outputs=2, axis=1, split=(1, 2)), X, opset=11)
    agrees(lambda b, x: b.op("Split", x, ints(b, 3), axis=1), X)
    assert agrees(lambda b, x: b.ops("Split", x, outputs=3, axis=1)[1], X, opset=13)[0].startswith("_, x, _ =")


@every_knowledge
def test_repeats(known):
    agrees(along("Tile", 2, 1, 3), X, known=known)
    agrees(applied("Tile"), X, np.array([1, 2, 1]), known=known)


@every_knowledge
@pytest.mark.parametrize(
    ("shape", "target"),
    [((3, 1), (2, 3, 4)), ((2, 3, 4), (1, 3, 1)), ((4,), (2, 1, 1)), ((1, 4), (3, 1)), ((), (2, 2)), ((2, 3), (3,))],
)
def test_broadcasts_in_both_directions(shape, target, known):
    x, like = numbers(*shape), numbers(*target)
    agrees(along("Expand", *target), x, known=known)
    agrees(lambda b, v, y: b.op("Expand", v, b.op("Shape", y)), x, like, known=known)
    agrees(applied("Expand"), x, np.array(target), known=known)


@every_knowledge
def test_sizes_as_tensors(known):
    agrees(applied("Shape"), X, known=known)
    agrees(applied("Shape", start=-2, end=-1), X, known=known)
    agrees(applied("Size"), X, known=known)


@pytest.mark.parametrize(
    "to", [dtypes.FLOAT32, dtypes.FLOAT64, dtypes.FLOAT16, dtypes.INT32, dtypes.INT64, dtypes.UINT8, dtypes.BOOL]
)
def test_casts(to):
    agrees(applied("Cast", to=to.onnx), np.float32([0, 1.7, 2.2]))
    agrees(applied("Cast", to=to.onnx), np.array([True, False]))
    agrees(applied("CastLike"), np.array([0, 1, 7]), np.zeros(1, to.numpy), reference=True)


def test_a_cast_to_a_narrow_type_saturates():
    agrees(applied("Cast", to=dtypes.FLOAT32.onnx), np.float16([1, 2]))
    x = np.float32([1000, -1000, 0.3])
    back = lambda b, v: b.cast(b.cast(v, dtypes.BY_ONNX[17]), dtypes.FLOAT32)  # noqa: E731
    agrees(back, x, opset=19)


@pytest.mark.parametrize("mode", ["DCR", "CRD"])
@pytest.mark.parametrize("known", ["static", "symbolic", "unknown"])
def test_blocks_and_channels(mode, known):
    agrees(applied("DepthToSpace", blocksize=2, mode=mode), numbers(2, 8, 2, 3), known=known)
    agrees(applied("SpaceToDepth", blocksize=2), numbers(2, 3, 4, 6), known=known)
    agrees(applied("SpaceToDepth", blocksize=2), numbers(2, 1, 4, 6), known=known)


def test_nothing():
    assert agrees(lambda b, x: b.op("Identity", x), X) == ["return in0"]
    agrees(lambda b, x: b.op("Add", x, b.constant(1, INT64)), numbers(2, dtype=np.int64))
