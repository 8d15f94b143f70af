"""Records that stand in for what a pickle names."""

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from panmodel.wire.pickle.records import ByteString, Dictionary, Global, Object, describe, stored_bytes


def test_names_are_equal_by_their_text_and_can_be_looked_up():
    assert {Global("os", "system"): 1}[Global("os", "system")] == 1
    assert Global("os", "system") != Global("posix", "system")
    assert str(Global("collections", "OrderedDict")) == "collections.OrderedDict"
    with pytest.raises(dataclasses.FrozenInstanceError):
        Global("os", "system").name = "other"


def test_objects_are_equal_to_themselves_alone():
    """Two records may be parts of themselves, so that comparing what is in them would not end."""
    one, other = Object(Global("m", "C")), Object(Global("m", "C"))
    one.elements.append(one)
    assert one == one and one != other and len({one, other}) == 2
    assert other.elements == [] and repr(one) == "<Object m.C>"


def test_dictionaries_are_dicts_with_attributes():
    found = Dictionary({"a": 1})
    found.attributes["_metadata"] = 2
    assert found == {"a": 1} and isinstance(found, dict)
    assert Dictionary() == {} and Dictionary().attributes == {}


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (Global("os", "system"), "os.system"),
        (Object(Global("os", "system")), "an object of os.system"),
        (Object(Object(Global("os", "system"))), "an object"),
        ("name", "'name'"),
        (b"\x00", r"b'\x00'"),
        (None, "None"),
        (True, "True"),
        (1.5, "1.5"),
        (-7, "-7"),
        (1 << 10_000, "an integer of 10001 bits"),
        ([1, 2], "a list"),
        (Dictionary(), "a Dictionary"),
    ],
)
def test_values_in_a_few_words(value, text):
    assert describe(value) == text


@pytest.mark.parametrize(
    ("value", "data"),
    [
        (b"\xff", b"\xff"),
        (bytearray(b"a"), b"a"),
        ("é", b"\xe9"),
        (ByteString("é"), b"\xc3\xa9"),
        ("中", None),
        (1, None),
    ],
)
def test_bytes_that_text_stands_for(value, data):
    assert stored_bytes(value) == data


def test_what_contains_itself_is_described():
    loop = Object(None)
    loop.cls = loop
    assert describe(loop) == "an object" and repr(loop) == "<Object an object>"


@given(st.one_of(st.text(min_size=200), st.binary(min_size=200), st.integers(min_value=1 << 200)))
def test_descriptions_are_short(value):
    assert len(describe(value)) < 1000
    assert len(describe(Global(str(value), str(value)))) <= 201
