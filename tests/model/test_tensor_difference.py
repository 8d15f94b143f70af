from __future__ import annotations

import math
import tracemalloc

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from panmodel.dtypes import ALL, FLOAT32, STRING
from panmodel.model.comparison import Change
from panmodel.model.streamed import StreamedTensor
from panmodel.model.tensor import ArrayTensor, DeferredTensor, Tensor
from panmodel.model.tensor_difference import difference, digest


def compared(a: object, b: object, dtype: object = np.float32, **tolerances: float) -> Change | None:
    return difference("w", ArrayTensor(np.array(a, dtype)), ArrayTensor(np.array(b, dtype)), **tolerances)


def changed(a: object, b: object, dtype: object = np.float32, **tolerances: float) -> Change:
    found = compared(a, b, dtype, **tolerances)
    assert found is not None
    return found


def test_the_numbers_of_a_change():
    found = changed([1, 2, 0, 4], [1, 2.5, 0.25, 4])
    assert (found.differing, found.bitwise, found.nans, found.within) == (2, 0, 0, False)
    assert (found.max_absolute, found.max_relative) == (0.5, 1.0)
    a, b = np.array([1, 2, 0, 4]), np.array([1, 2.5, 0.25, 4])
    assert found.cosine == pytest.approx(a @ b / np.linalg.norm(a) / np.linalg.norm(b))


def test_tolerances():
    assert changed([1, 2], [1, 2.01], atol=0.02).within
    assert changed([1, 2], [1, 2.01], rtol=0.01).within
    assert not changed([1, 2], [1, 2.01], atol=0.001).within
    assert not changed([1, 2], [1, np.inf], rtol=0.5).within
    assert changed([np.inf, 1], [np.inf, 1.1], atol=0.2).within


def test_zeros_of_two_signs_and_nans_of_two_payloads_differ_in_bits_alone():
    zeros = changed([0.0, 1.0], [-0.0, 1.0])
    assert (zeros.differing, zeros.bitwise, zeros.bitwise_only, zeros.within) == (0, 1, True, False)
    assert changed([0.0], [-0.0], atol=1e-9).within
    a, b = (np.array([bits], np.uint32).view(np.float32) for bits in (0x7FC00000, 0x7FC00001))
    assert changed(a, b).bitwise_only
    assert compared(a, a) is None


def test_a_nan_on_one_side_is_beyond_any_tolerance():
    found = changed([np.nan, 1, 2], [0, 1, np.nan], atol=1e9)
    assert (found.differing, found.nans, found.max_absolute, found.within) == (2, 2, 0.0, False)


def test_integers_are_exact_over_their_range():
    assert changed([2**63 - 1], [-(2**63)], np.int64).max_absolute == 2**64 - 1
    assert changed([2**64 - 1], [2**64 - 2], np.uint64).max_absolute == 1
    assert changed([7], [-8], ml_dtypes.int4).max_absolute == 15
    assert changed([True, False], [True, True], bool).differing == 1


def test_complex_numbers_and_small_floats():
    assert changed([3 + 4j], [0], np.complex64).max_absolute == 5
    assert changed([1.0, 2.0], [1.0, 4.0], ml_dtypes.float8_e4m3fn).max_absolute == 2
    assert changed([1.0, 0.0], [1.0, -0.0], np.complex128).bitwise == 1
    assert changed([1.0, 3.0], [1.0, 4.0], ml_dtypes.float6_e2m3fn).differing == 1


def test_strings_are_counted():
    found = changed(["a", b"b", "c"], ["a", "b", "d"], object)
    assert (found.differing, found.max_absolute, found.within) == (1, None, False)
    assert compared(["é"], ["é".encode()], object) is None


def test_other_types_of_equal_values_are_a_change():
    found = difference("w", ArrayTensor(np.ones(3, np.float32)), ArrayTensor(np.ones(3, np.float64)), atol=1.0)
    assert found is not None
    assert (found.differing, found.max_absolute, found.within) == (0, 0.0, False)
    shaped = difference("w", ArrayTensor(np.ones((3, 1))), ArrayTensor(np.ones(3)))
    assert shaped is not None
    assert shaped.differing is None


def test_a_direction_that_is_not_there():
    assert changed([0, 0], [1, 0]).cosine is None
    assert changed([1, 0], [0, 1]).cosine == 0
    assert changed([1e300, 1], [1e300, 2], np.float64).cosine is None


FLOATS = arrays.arrays(np.float32, st.integers(0, 40), elements=st.floats(width=32))


@given(FLOATS)
def test_a_tensor_is_the_same_as_itself(array):
    assert difference("w", ArrayTensor(array), ArrayTensor(array.copy())) is None


@given(FLOATS, st.floats(width=32), st.data())
def test_one_element_makes_a_difference(array, value, data):
    other = array.copy()
    if not len(array):
        return
    other[data.draw(st.integers(0, len(array) - 1))] = value
    found = difference("w", ArrayTensor(array), ArrayTensor(other))
    assert (found is None) == (array.tobytes() == other.tobytes())
    if found is not None:
        assert found.differing + found.bitwise == 1
        with np.errstate(all="ignore"):
            gap = np.abs(np.where(array == other, 0, array.astype(np.float64) - other))
        assert found.max_absolute == np.nanmax(gap, initial=0)
        assert found.cosine is None or math.isfinite(found.cosine)


@pytest.mark.parametrize("name", [name for name, dtype in ALL.items() if dtype.bits])
def test_pieces_of_any_size_are_brought_together(name):
    dtype, count = ALL[name], (1 << 18) + 13
    data = np.random.default_rng(0).integers(0, 2, dtype.nbytes(count), dtype=np.uint8).tobytes()
    other = data[:-1] + bytes([data[-1] ^ 1])

    def cut(content: bytes, size: int) -> Tensor:
        pieces = [memoryview(content[at : at + size]) for at in range(0, len(content), size)]
        return StreamedTensor("w", dtype, (count,), lambda: iter(pieces))

    assert difference("w", cut(data, 1 << 14), cut(data, 100_001)) is None
    found = difference("w", cut(data, 1 << 14), cut(other, 100_001))
    assert found is not None
    assert found.differing + found.bitwise == 1


def test_neither_is_held_whole():
    piece = bytes(1 << 20)
    a, b = (StreamedTensor("w", FLOAT32, (1 << 24,), lambda: (memoryview(piece) for _ in range(64))) for _ in "ab")
    tracemalloc.start()
    try:
        assert difference("w", a, b) is None
        assert digest(a) == digest(b)
        assert tracemalloc.get_traced_memory()[1] < 16 << 20
    finally:
        tracemalloc.stop()


def test_digests_tell_contents_apart():
    def strings(*items: bytes) -> Tensor:
        return DeferredTensor("s", STRING, (len(items),), lambda: np.array(items, object))

    assert digest(strings(b"ab", b"c")) != digest(strings(b"a", b"bc"))
    assert digest(ArrayTensor(np.zeros(3))) == digest(ArrayTensor(np.zeros(3)))
    assert digest(ArrayTensor(np.zeros(3))) != digest(ArrayTensor(-np.zeros(3)))
