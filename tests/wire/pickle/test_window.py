"""Large files, of which the machine holds a part; Python's bytes are the judge."""

from __future__ import annotations

import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from panmodel.errors import LimitError, TruncatedError
from panmodel.io.source import Extent, MemorySource
from panmodel.limits import Limits
from panmodel.wire.pickle import Machine, Window

DATA = bytes(range(256)) * 4000


@given(st.lists(st.tuples(st.integers(0, len(DATA) - 1), st.integers(0, 600_000)), max_size=20))
def test_it_is_indexed_sliced_and_searched_as_bytes_are(places: list[tuple[int, int]]) -> None:
    window = Window(MemorySource(DATA), Limits(pickle_bytes=1 << 40))
    assert len(window) == len(DATA)
    for begin, count in places:
        end = min(begin + count, len(DATA))
        assert window[begin] == DATA[begin]
        assert window[begin:end] == DATA[begin:end]
        assert window.find(b"\n", begin) == DATA.find(b"\n", begin)


def test_what_is_copied_is_bounded() -> None:
    window = Window(MemorySource(DATA), Limits(pickle_bytes=100))
    assert window[0:60] == DATA[:60]
    with pytest.raises(LimitError, match="exceed 100 bytes"):
        window[0:60]
    assert Window(MemorySource(b"abc")).find(b"\n", 0) == -1


@pytest.mark.parametrize("protocol", range(3, 6))
def test_large_strings_stay_in_the_file(protocol: int) -> None:
    value = {"a": [b"x" * 100_000, b"small", "text" * 50_000], "b": 2.5}
    data = pickle.dumps(value, protocol)
    found = Machine(Window(MemorySource(data)), where="a.pkl").run()
    assert isinstance(found, dict)
    extent = found["a"][0]
    assert isinstance(extent, Extent) and extent.read() == value["a"][0]  # type: ignore[index]
    assert (found["a"][1:], found["b"]) == (value["a"][1:], 2.5)  # type: ignore[index]


@pytest.mark.parametrize("data", [b"T\xff\xff\x0f\0", b"B\xff\xff\x0f\0", b"\x8e\xff\xff\x0f" + bytes(5)])
def test_strings_beyond_the_end_are_refused(data: bytes) -> None:
    with pytest.raises(TruncatedError):
        Machine(Window(MemorySource(data + b"abc")), where="a.pkl").run()


@pytest.mark.parametrize("code", [b"T%b", b"\x96%b\0\0\0\0", b"B%b"])
def test_strings_of_every_kind_may_be_large(code: bytes) -> None:
    size = 70_000
    data = code % size.to_bytes(4, "little") + b"a" * size + b"."
    found = Machine(Window(MemorySource(data)), where="a.pkl").run()
    assert isinstance(found, Extent) and (found.offset, found.nbytes) == (len(data) - size - 1, size)
