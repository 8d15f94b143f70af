import pytest
from tests.checkpoints import box, shape_proto

from panmodel.dtypes import FLOAT32
from panmodel.errors import CorruptError, LimitError, UnsupportedError
from panmodel.model.tensorflow.checkpoint_tensor import box_of, dtype_of, opaque, shape_of
from panmodel.wire.tensorflow_messages import TensorShapeProto


def test_types():
    assert dtype_of(1) is FLOAT32
    assert dtype_of(99).name == "unknown_99"
    assert dtype_of(99).kind == "o"


def test_an_unknown_type_is_listed_and_not_read():
    tensor = opaque("a", dtype_of(99), (2,))
    assert tensor.shape == (2,)
    with pytest.raises(UnsupportedError, match="'a' has elements of type unknown_99"):
        tensor.numpy()


def test_shapes():
    assert shape_of("a", None, "x") == ()
    assert shape_of("a", shape_proto((2, 0)), "x") == (2, 0)


@pytest.mark.parametrize(
    ("shape", "error"),
    [
        (TensorShapeProto(unknown_rank=True), CorruptError),
        (shape_proto((1,) * 65), CorruptError),
        (shape_proto((-1,)), CorruptError),
        (shape_proto((1 << 40, 1 << 40)), LimitError),
        (shape_proto((0, 1 << 62)), LimitError),
    ],
)
def test_impossible_shapes(shape, error):
    with pytest.raises(error, match="'a'"):
        shape_of("a", shape, "x")


def test_boxes():
    assert box_of("a", (7, 4), box((2, 3), None), "x") == ((2, 0), (3, 4))
    assert box_of("a", (7,), box((2, -1)), "x") == ((2,), (5,))


@pytest.mark.parametrize("where", [box(None), box((5, 3), None), box((-1, 2), None), box((0, -2), None)])
def test_boxes_outside(where):
    with pytest.raises(CorruptError, match="'a'"):
        box_of("a", (7, 4), where, "x")
