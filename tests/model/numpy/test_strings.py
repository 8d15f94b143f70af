from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from panmodel.model.numpy.strings import decoded, plan


def objects(items: list) -> np.ndarray:
    array = np.empty(len(items), object)
    array[:] = items
    return array


def through(items: list) -> list:
    array = objects(items)
    strings = plan(array)
    data = b"".join(map(bytes, strings.pieces(array)))
    assert len(data) == len(items) * strings.width
    return decoded(data, strings.descr, strings.width, (len(items),)).tolist()


@given(st.lists(st.binary()))
def test_bytes_come_back(items):
    assert through(items) == items


@given(st.lists(st.text(alphabet=st.characters(exclude_characters="\0"))))
def test_text_comes_back_as_text(items):
    assert through(items) == items


def test_text_that_ends_in_zeros_comes_back_as_bytes():
    assert through(["a\0", "é"]) == [b"a\0", "é".encode()]


def test_numpy_s_own_strings_are_told_apart():
    assert plan(objects(["ab", "c"])).descr == "<U2"
    assert plan(objects([b"ab"])).descr == "|S2"
    assert decoded(b"", "|S0", 0, (2,)).tolist() == [b"", b""]


def test_bytes_that_are_no_text_are_refused():
    with pytest.raises(ValueError):
        decoded(b"\xff\xff\xff\xff", "<U1", 4, (1,))
    with pytest.raises(ValueError, match="no end"):
        decoded(b"ab", "|V2", 2, (1,))
