import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.importers.tensorflow.single import SIZES, array, operators, run

TYPES = ["float16", "float32", "float64", "int8", "uint16", "int32", "int64", "bool"]


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("kind", ["int32", "int64", "int16"])
def test_rows(dtype, kind):
    x, indices = array(dtype, 3, 4), np.array([[0, 2], [1, 1]], kind)
    np.testing.assert_array_equal(run("Gather", x, indices, sizes="unknown"), x[indices])


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_gather_along_any_axis_and_batch(data):
    shape = data.draw(st.lists(st.integers(1, 4), min_size=1, max_size=4))
    axis = data.draw(st.integers(0, len(shape) - 1))
    batch = data.draw(st.integers(0, min(axis, 2)))
    inner = data.draw(st.lists(st.integers(0, 3), max_size=2))
    x = np.arange(np.prod(shape), dtype=np.float32).reshape(shape)
    indices = np.random.default_rng(0).integers(0, shape[axis], [*shape[:batch], *inner]).astype(np.int32)
    negative = data.draw(st.booleans())
    found = run(
        "GatherV2",
        x,
        indices,
        axis - len(shape) if negative else axis,
        sizes=data.draw(st.sampled_from(["known", "unknown"])),
        batch_dims=batch - indices.ndim if negative and batch and indices.ndim > batch else batch,
    )
    expected = np.empty([*shape[:axis], *indices.shape[batch:], *shape[axis + 1 :]], np.float32)
    for place in np.ndindex(*shape[:batch]):
        expected[place] = np.take(x[place], indices[place], axis - batch)
    np.testing.assert_array_equal(found, expected)


def test_gathering_without_batch_is_one_gather():
    assert operators("GatherV2", array("float32", 2, 3), np.int32([0]), 1, sizes="unranked") == ["Gather"]


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("sizes", SIZES)
@pytest.mark.parametrize("depth", [1, 2, 3])
def test_gather_by_tuples(dtype, sizes, depth):
    x = array(dtype, 3, 4, 2)
    indices = np.random.default_rng(0).integers(0, 2, (2, 5, depth)).astype(np.int32)
    found = run("GatherNd", x, indices, sizes=sizes)
    np.testing.assert_array_equal(found, x[tuple(np.moveaxis(indices, -1, 0))])


def test_gather_by_empty_tuples():
    x = array("float32", 3, 4)
    np.testing.assert_array_equal(run("GatherNd", x, np.zeros((2, 0), np.int32)), np.stack([x, x]))


def test_gather_strings():
    assert run("Gather", np.array(["a", "b"], object), np.int32([1, 0])).tolist() == ["b", "a"]
