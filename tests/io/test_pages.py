"""Reads through pages are the same reads, and fewer."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from panmodel.errors import TruncatedError
from panmodel.io.pages import PagedSource
from panmodel.io.source import MemorySource

DATA = bytes(number * 7919 % 251 for number in range(50_000))


class Counting(MemorySource):
    def __init__(self, data):
        super().__init__(data)
        self.reads = []

    def read(self, offset, nbytes):
        self.reads.append(nbytes)
        return super().read(offset, nbytes)


@given(st.lists(st.tuples(st.integers(0, len(DATA)), st.integers(0, 40_000)), max_size=20))
def test_reads_are_slices(asked):
    source = PagedSource(MemorySource(DATA))
    for offset, nbytes in asked:
        nbytes = min(nbytes, len(DATA) - offset)
        assert source.read(offset, nbytes) == DATA[offset : offset + nbytes]
        buffer = bytearray(nbytes)
        source.readinto(offset, buffer)
        assert buffer == DATA[offset : offset + nbytes]


@pytest.mark.parametrize(("offset", "nbytes"), [(49_999, 2), (50_001, 0), (-1, 1), (5, -1), (0, 1 << 62), (1 << 62, 1)])
def test_nothing_outside_is_read(offset, nbytes):
    source = PagedSource(MemorySource(DATA))
    source.read(0, 10)
    source.read(49_990, 10)
    with pytest.raises(TruncatedError, match="ends at byte 50000"):
        source.read(offset, nbytes)


def test_reads_that_lie_close_together_are_one():
    whole = Counting(DATA)
    source = PagedSource(whole)
    for offset in range(0, 40_000, 8):
        source.read(offset, 8)
    assert len(whole.reads) == 3


def test_a_bounded_number_of_pages_is_kept():
    whole = Counting(bytes(4 << 20))
    source = PagedSource(whole)
    for offset in range(0, (4 << 20) - 50, 100):
        source.read(offset, 50)
    assert sum(map(len, source._pages.values())) <= 1 << 20
    assert sum(whole.reads) == 4 << 20
