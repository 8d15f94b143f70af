import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from tests.importers.tensorflow.single import SIZES, array, operators, run

from panmodel.dtypes import ALL
from panmodel.errors import UnsupportedOperatorsError

X = array("float32", 3, 4, 5)


@settings(max_examples=80, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 4), st.integers(-1, 4)), min_size=1, max_size=3), st.data())
def test_slices(bounds, data):
    x = array("float32", *(begin + max(size, 0) for begin, size in bounds))
    begins, lengths = [begin for begin, _ in bounds], [size for _, size in bounds]
    operands = [np.int32(v) if data.draw(st.booleans()) else v for v in (begins, lengths)]
    found = run("Slice", x, *operands, sizes=data.draw(st.sampled_from(SIZES)))
    index = tuple(slice(begin, None if size == -1 else begin + size) for begin, size in bounds)
    np.testing.assert_array_equal(found, x[index])


def test_whole_axes_are_not_sliced():
    assert operators("Slice", X, [0, 0, 0], [-1, 4, 5]) == []
    assert operators("Slice", X, [0, 1, 0], [-1, 2, -1], sizes="unknown") == ["Slice"]


def spec(index):
    """The vectors and masks that TensorFlow makes of an index."""
    vectors, masks = ([], [], []), dict.fromkeys(("begin", "end", "ellipsis", "new_axis", "shrink_axis"), 0)
    for place, item in enumerate(index):
        bit, numbers = 1 << place, (0, 0, 1)
        if item is Ellipsis:
            masks["ellipsis"] |= bit
        elif item is None:
            masks["new_axis"] |= bit
        elif isinstance(item, int):
            masks["shrink_axis"] |= bit
            numbers = (item, item + 1, 1)
        else:
            masks["begin"] |= bit * (item.start is None)
            masks["end"] |= bit * (item.stop is None)
            numbers = (item.start or 0, item.stop or 0, item.step or 1)
        for vector, number in zip(vectors, numbers, strict=True):
            vector.append(number)
    return vectors, {f"{name}_mask": mask for name, mask in masks.items()}


BOUND = st.none() | st.integers(-6, 6)
ITEM = st.builds(slice, BOUND, BOUND, st.sampled_from([None, 1, 2, 3, -1, -2])) | st.integers(-3, 2) | st.none()


@st.composite
def indices(draw):
    items = draw(st.lists(ITEM, min_size=1, max_size=5).filter(lambda items: sum(i is not None for i in items) <= 3))
    if draw(st.booleans()):
        items.insert(draw(st.integers(0, len(items))), Ellipsis)
    return tuple(items)


def overreaches(index):
    """Whether a bound may lie outside its axis: sizes that are not known are taken to reach all bounds."""
    bounds = [bound for item in index if isinstance(item, slice) for bound in (item.start, item.stop)]
    return any(bound is not None and abs(bound) > min(X.shape) for bound in bounds)


@settings(max_examples=150, deadline=None)
@given(indices(), st.sampled_from(SIZES))
def test_strided_slices_are_numpy_indexing(index, sizes):
    vectors, masks = spec(index)
    assume(sizes == "known" or not overreaches(index))
    np.testing.assert_array_equal(run("StridedSlice", X, *vectors, sizes=sizes, **masks), X[index])


@settings(max_examples=60, deadline=None)
@given(indices(), st.sampled_from(["known", "unknown"]), st.tuples(st.booleans(), st.booleans(), st.booleans()))
def test_strided_slices_with_computed_bounds(index, sizes, computed):
    vectors, masks = spec(index)
    assume(not overreaches(index))
    operands = [np.array(v, np.int32) if c else v for v, c in zip(vectors, computed, strict=True)]
    if sizes == "unknown" and all(computed):
        return
    np.testing.assert_array_equal(run("StridedSlice", X, *operands, sizes=sizes, **masks), X[index])


def test_an_unknown_number_of_bounds():
    bounds = [np.int32(v) for v in ([1, 0], [3, 4], [1, 2])]
    np.testing.assert_array_equal(run("StridedSlice", X, *bounds, sizes="unknown"), X[1:3, 0:4:2])
    with pytest.raises(UnsupportedOperatorsError, match="unknown number of bounds"):
        run("StridedSlice", X, *bounds, sizes="unknown", begin_mask=1)


@pytest.mark.parametrize(
    ("index", "expected"),
    [
        ((slice(None), 0), ["Gather"]),
        ((0, 1), ["Slice", "Squeeze"]),
        ((slice(1, None),), ["Slice"]),
        ((..., None), ["Unsqueeze"]),
        ((slice(0, 3), ...), []),
        ((slice(None, None, -1), 2), ["Slice", "Gather"]),
    ],
)
def test_the_simplest_form(index, expected):
    vectors, masks = spec(index)
    assert operators("StridedSlice", X, *vectors, **masks) == expected


@pytest.mark.parametrize("dtype", ["float16", "float64", "int8", "uint16", "int32", "int64", "bool", "uint64"])
def test_types(dtype):
    x = array(dtype, 3, 4)
    vectors, masks = spec((slice(None, None, -1), slice(1, 3)))
    np.testing.assert_array_equal(run("StridedSlice", x, *vectors, T=ALL[dtype], **masks), x[::-1, 1:3])
