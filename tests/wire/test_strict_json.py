from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from panmodel.errors import CorruptError, LimitError, PanmodelError
from panmodel.limits import Limits
from panmodel.wire.strict_json import Fields, parse


def parsed(data: bytes, **options: object) -> dict[str, object]:
    return parse(data, "a.json", "the index", **options)  # type: ignore[arg-type]


def test_an_object_becomes_plain_values() -> None:
    assert parsed('{"ä": [1, {"b": null}], "c": "\\u00e4"}'.encode()) == {"ä": [1, {"b": None}], "c": "ä"}


@pytest.mark.parametrize(
    ("data", "complaint"),
    [
        (b"[]", "the index does not begin with '{'"),
        (b'{"a": 1, "a": 1}', "'a' appears twice in the index"),
        (b'{"a": {"b": 1, "b": 2}}', "'b' appears twice"),
        (b'{"a": 1', "is not JSON"),
        (b'{"a": ' + b"[" * 100_000, "is not JSON"),
        (b'{"\xff": 1}', "is not UTF-8"),
        (b'{"\\uD800": 1}', "is not UTF-8"),
    ],
)
def test_what_readers_would_take_in_different_ways_is_refused(data: bytes, complaint: str) -> None:
    with pytest.raises(CorruptError, match=complaint):
        parsed(data)


@pytest.mark.parametrize("data", [b'{"a": [' + b"[], " * 9 + b"[]]}", b'{"a": [' + b"1, " * 99 + b"1]}"])
def test_parts_are_counted_before_they_are_made(data: bytes) -> None:
    with pytest.raises(LimitError, match="more than 4 tensors"):
        parsed(data, limits=Limits(tensors=4))


@given(st.binary(max_size=40))
def test_any_bytes_end_in_values_or_own_errors(data: bytes) -> None:
    with contextlib.suppress(PanmodelError):
        assert isinstance(parsed(b"{" + data), dict)


def test_fields_are_of_the_types_that_they_should_be() -> None:
    fields = Fields("a.json")
    assert (fields.mapping({"a": 1}, "it"), fields.listed([1], "it"), fields.listed(None, "it")) == ({"a": 1}, [1], [])
    assert (fields.number(0, "it"), fields.number("12", "it"), fields.text("a", "it")) == (0, 12, "a")


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        *(("mapping", value) for value in (None, [], "a")),
        *(("listed", value) for value in ({}, "a", 0)),
        *(("number", value) for value in (-1, True, 1.0, "-1", "", "1" * 19, None)),
        *(("text", value) for value in ("", None, 1)),
    ],
)
def test_fields_of_other_types_are_refused(kind: str, value: object) -> None:
    with pytest.raises(CorruptError, match=r"the place of it is .*, not an? "):
        getattr(Fields("a.json"), kind)(value, "the place of it")
