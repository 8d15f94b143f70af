import numpy as np
import pytest
from tests.importers.tensorflow.execution import convert
from tests.importers.tensorflow.single import SIZES, array, operators, run
from tests.tensorflow_graphs import Shape, const, graph, node

from panmodel.dtypes import ALL, INT32
from panmodel.errors import CorruptError, UnsupportedOperatorsError

TYPES = ["float16", "float32", "float64", "int8", "uint16", "int32", "int64", "uint64", "bool"]
LETTERS = np.array(["a", "bc", "d"], object)


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("axis", [0, 1, -1])
def test_concat(dtype, axis):
    x, y = array(dtype, 3, 4), array(dtype, 3, 4, seed=1)
    expected = np.concatenate([x, y, x], axis)
    np.testing.assert_array_equal(run("ConcatV2", x, y, x, axis, N=3), expected)
    np.testing.assert_array_equal(run("Concat", axis, x, y, x, N=3, T=ALL[dtype]), expected)


@pytest.mark.parametrize("sizes", SIZES)
def test_what_is_empty_is_not_concatenated(sizes):
    x, empty = array("int32", 3), []
    np.testing.assert_array_equal(run("ConcatV2", x, empty, 0, sizes=sizes, N=2), x)
    assert operators("ConcatV2", x, empty, 0) == []
    assert run("ConcatV2", np.zeros((2, 0), np.float32), np.zeros((2, 0), np.float32), 1).shape == (2, 0)


def test_strings_are_concatenated():
    assert run("ConcatV2", LETTERS, ["x", "y"], 0, N=2).tolist() == ["a", "bc", "d", "x", "y"]


def test_a_computed_axis_is_refused():
    with pytest.raises(UnsupportedOperatorsError, match="axis that the graph computes"):
        run("ConcatV2", array("int32", 3), array("int32", 3), np.int32(0))


@pytest.mark.parametrize("sizes", SIZES)
@pytest.mark.parametrize("axis", [0, 1, 2, -1, -3])
def test_pack(sizes, axis):
    x, y = array("float32", 2, 3), array("float32", 2, 3, seed=1)
    np.testing.assert_array_equal(run("Pack", x, y, sizes=sizes, axis=axis, N=2), np.stack([x, y], axis))


@pytest.mark.parametrize("sizes", SIZES)
@pytest.mark.parametrize("axis", [0, 1, -1])
@pytest.mark.parametrize("shape", [(2, 3), (1, 1)])
def test_unpack(sizes, axis, shape):
    x = array("float32", *shape)
    expected = list(np.moveaxis(x, axis, 0))
    results = run("Unpack", x, sizes=sizes, axis=axis, num=len(expected), count=len(expected))
    for found, piece in zip(results if len(expected) > 1 else [results], expected, strict=True):
        np.testing.assert_array_equal(found, piece)


@pytest.mark.parametrize("sizes", SIZES)
@pytest.mark.parametrize(("axis", "count"), [(1, 2), (-1, 3), (0, 4), (0, 1)])
def test_split(sizes, axis, count):
    x = array("float32", 4, 6)
    results = run("Split", axis, x, sizes=sizes, num_split=count, count=count)
    for found, piece in zip(results if count > 1 else [results], np.split(x, count, axis), strict=True):
        np.testing.assert_array_equal(found, piece)


def test_uneven_pieces_of_equal_size_are_corrupt():
    with pytest.raises(CorruptError, match="Split of 5 into 2 equal pieces"):
        run("Split", 0, array("float32", 5), num_split=2, count=2)


@pytest.mark.parametrize("sizes", SIZES)
@pytest.mark.parametrize("axis", [1, -1])
@pytest.mark.parametrize("lengths", [[1, 2, 3], [-1, 2, 1], [0, 6, 0], [2, -1, 4]])
@pytest.mark.parametrize("computed", [False, True])
def test_split_into_sizes(sizes, axis, lengths, computed):
    x = array("int64", 2, 6)
    known = [6 - sum(lengths) - 1 if length == -1 else length for length in lengths]
    given = np.array(lengths, np.int64) if computed else lengths
    results = run("SplitV", x, given, axis, sizes=sizes, num_split=3, count=3)
    for found, piece in zip(results, np.split(x, np.cumsum(known)[:-1], axis), strict=True):
        np.testing.assert_array_equal(found, piece)


def test_shapes_are_split_while_converting():
    nodes = [
        node("x", "Placeholder", dtype=INT32, shape=Shape((5, 3))),
        node("shape", "Shape", "x", T=INT32),
        const("axis", 0),
        node("y", "Split", "axis", "shape", T=INT32, num_split=2),
    ]
    model = convert(graph(*nodes), ["x:0"], ["y:0", "y:1"])
    assert [value.array().tolist() for value in model.program.outputs.values()] == [[5], [3]]


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("multiples", [[2, 1], [1, 1], [0, 3], np.int32([2, 3])])
def test_tile(dtype, multiples):
    x = array(dtype, 3, 4)
    np.testing.assert_array_equal(run("Tile", x, multiples), np.tile(x, multiples))


def test_strings_are_joined_and_taken_apart():
    assert run("Pack", LETTERS, LETTERS, axis=1, N=2).tolist() == [["a", "a"], ["bc", "bc"], ["d", "d"]]
    assert [found.tolist() for found in run("Split", 0, LETTERS, num_split=3, count=3)] == [["a"], ["bc"], ["d"]]
    assert run("Tile", LETTERS, [2]).tolist() == ["a", "bc", "d"] * 2
