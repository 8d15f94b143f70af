"""Elements rounded while they pass."""

from itertools import pairwise

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from panmodel.dtypes import ALL
from panmodel.errors import UnsupportedError
from panmodel.io.source import Extent, MemorySource
from panmodel.model.casting import CastTensor, cast
from panmodel.model.partitioned import Part, PartitionedTensor
from panmodel.model.streamed import StreamedTensor
from panmodel.model.tensor import ArrayTensor, StoredTensor

TYPES = ["float16", "bfloat16", "float32", "float64", "float8_e5m2", "float4_e2m1fn"]


def joined(tensor, nbytes):
    return b"".join(bytes(piece) for piece in tensor.chunks(nbytes))


@pytest.mark.parametrize("to", TYPES)
@pytest.mark.parametrize("given_as", TYPES)
@pytest.mark.parametrize("nbytes", [16, 100, 1 << 20])
def test_pieces_and_the_whole_are_the_same(given_as, to, nbytes):
    array = np.linspace(-2, 2, 1021).astype(ALL[given_as].numpy)
    cast = CastTensor(ArrayTensor(array, "w"), ALL[to])
    expected = array.astype(ALL[to].numpy)
    np.testing.assert_array_equal(cast.numpy(), expected)
    assert joined(cast, nbytes) == joined(ArrayTensor(expected, dtype=ALL[to]), nbytes)
    assert cast.nbytes == ALL[to].nbytes(1021)


@pytest.mark.parametrize("to", [dtype for dtype in ALL.values() if dtype.is_float], ids=str)
def test_every_type_is_cast_to_every_other(to):
    for given_as in (dtype for dtype in ALL.values() if dtype.is_float):
        cast = CastTensor(ArrayTensor(np.array([1, 2, 4, 1]).astype(given_as.numpy), dtype=given_as), to)
        assert cast.numpy().astype(np.float32).tolist() == [1, 2, 4, 1]


def test_stored_elements_are_cast_as_they_come():
    array = np.random.default_rng(0).standard_normal(50_000).astype(np.float32)
    stored = StoredTensor("w", ALL["float32"], (50_000,), Extent(MemorySource(array.tobytes()), 0, array.nbytes))
    cast = CastTensor(stored, ALL["bfloat16"])
    assert joined(cast, 4096) == array.astype(ml_dtypes.bfloat16).tobytes()
    assert max(map(len, cast.chunks(4096))) <= 4096
    assert cast.name == "w" and cast.origins == ("w",) and cast.extent is None


@pytest.mark.parametrize("to", TYPES)
@pytest.mark.parametrize("given_as", ["float8_e5m2", "bfloat16", "float32", "float64"])
@given(cuts=st.lists(st.integers(0, 1021 * 8), max_size=9))
def test_pieces_may_end_anywhere(given_as, to, cuts):
    """As those that are inflated do, or the slices of a partitioned tensor."""
    array = np.linspace(-2, 2, 1021).astype(ALL[given_as].numpy)
    stored, ends = array.tobytes(), [0, *sorted(cuts), array.nbytes]
    pieces = [memoryview(stored[begin:end]) for begin, end in pairwise(ends)]
    cast = CastTensor(StreamedTensor("w", ALL[given_as], array.shape, lambda: iter(pieces)), ALL[to])
    assert joined(cast, 1 << 20) == joined(ArrayTensor(array.astype(ALL[to].numpy), dtype=ALL[to]), 1 << 20)


def test_slices_of_odd_sizes_are_packed_without_gaps():
    array = np.float32([0, 1, 2, 3, 0, 1, 2, 3])
    parts = [Part((0,), ArrayTensor(array[:3])), Part((3,), ArrayTensor(array[3:]))]
    cast = CastTensor(PartitionedTensor("w", ALL["float32"], (8,), parts), ALL["float4_e2m1fn"])
    expected = array.astype(ALL["float4_e2m1fn"].numpy)
    assert joined(cast, 1 << 20) == joined(ArrayTensor(expected, dtype=cast.dtype), 1 << 20)


def test_slices_of_which_others_are_missing_are_cast_each():
    some = PartitionedTensor("w", ALL["float32"], (8,), [Part((3,), ArrayTensor(np.float32([1, 2])))])
    found = cast(some, ALL["float16"])
    assert (found.dtype, found.shape, found.parts[0].start) == (ALL["float16"], (8,), (3,))
    assert found.parts[0].tensor.numpy().dtype == np.float16
    assert isinstance(cast(found.parts[0].tensor, ALL["float32"]), CastTensor)


@pytest.mark.parametrize(
    ("value", "to"),
    [
        (70_000.0, "float16"),
        (-1e39, "bfloat16"),
        (1e5, "float8_e4m3fn"),
        (-7.5, "float4_e2m1fn"),
        (100.0, "float6_e3m2fn"),
        (np.inf, "float8_e4m3fn"),
        (-np.inf, "float4_e2m1fn"),
        (np.nan, "float6_e2m3fn"),
        (-3.0, "float8_e8m0fnu"),
    ],
)
def test_elements_beyond_a_type_are_refused(value, to):
    tensor = ArrayTensor(np.array([1.0, value]), "conv/kernel")
    with pytest.raises(UnsupportedError, match="'conv/kernel' has elements up to"):
        CastTensor(tensor, ALL[to]).numpy()


def test_what_is_nearest_to_the_largest_becomes_it():
    for to, value, largest in (("float16", 65519, 65504), ("float4_e2m1fn", 6.9, 6), ("float6_e3m2fn", -29, -28)):
        assert CastTensor(ArrayTensor(np.array([value], np.float32)), ALL[to]).numpy()[0] == largest


def test_what_is_not_finite_stays_so():
    cast = CastTensor(ArrayTensor(np.array([np.inf, -np.inf, np.nan, -0.0], np.float32)), ALL["float16"]).numpy()
    assert cast[0] == np.inf and cast[1] == -np.inf and np.isnan(cast[2]) and np.signbit(cast[3])


@given(arrays.arrays(np.float32, st.integers(0, 40), elements=st.floats(-60000, 60000, width=32)))
def test_rounding_is_that_of_numpy(array):
    assert CastTensor(ArrayTensor(array), ALL["float16"]).numpy().tobytes() == array.astype(np.float16).tobytes()
