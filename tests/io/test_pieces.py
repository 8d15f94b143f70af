from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from panmodel.io.pieces import whole


@given(st.lists(st.binary(max_size=9)), st.integers(1, 8))
def test_elements_stay_whole(pieces, width):
    found = [bytes(piece) for piece in whole(map(memoryview, pieces), width)]
    assert b"".join(found) == b"".join(pieces)
    assert all(len(piece) % width == 0 and piece for piece in found[:-1])
