import struct

import pytest
from tests.wire.hdf5.handmade import FLOAT32, INT16, attribute, fixed_text, message, read, small_file, space

from panmodel.errors import CorruptError, LimitError, UnsupportedError
from panmodel.wire.hdf5 import Empty

REFERENCE = bytes([0x17, 0, 0, 0]) + struct.pack("<I", 8)


def attributes(*messages):
    return read(small_file(more=messages)).attributes


def test_values_are_pythons_own():
    found = attributes(
        attribute(b"rate", FLOAT32, space(), struct.pack("<f", 0.25)),
        attribute(b"count", INT16, space(), struct.pack("<h", -3)),
        attribute(b"list", INT16, space(3), struct.pack("<3h", 1, 2, 3)),
        attribute(b"name", fixed_text(5), space(), b"dense"),
        attribute(b"names", fixed_text(2), space(2), b"a\0bb"),
        attribute(b"nothing", INT16, bytes([2, 0, 0, 2]), b""),
    )
    assert list(found) == ["count", "list", "name", "names", "nothing", "rate"]
    assert (found["rate"], found["count"], found["name"]) == (0.25, -3, b"dense")
    assert (found["list"].tolist(), found["names"].tolist()) == ([1, 2, 3], [b"a", b"bb"])
    assert isinstance(found["nothing"], Empty)
    assert "rate" in found and "nope" not in found and len(found) == 6


def test_the_first_version_pads():
    parts = (part.ljust(len(part) + -len(part) % 8, b"\0") for part in (b"rate\0", FLOAT32, space()))
    body = struct.pack("<BBHHH", 1, 0, 5, len(FLOAT32), len(space())) + b"".join(parts) + struct.pack("<f", 0.5)
    assert attributes(message(0x0C, body))["rate"] == 0.5


def test_what_cannot_be_decoded_is_refused_when_asked_for():
    found = attributes(attribute(b"where", REFERENCE, space(), bytes(8)), attribute(b"count", INT16, space(), b"\1\0"))
    assert found["count"] == 1 and found.record("where").data == bytes(8)
    with pytest.raises(UnsupportedError, match="attribute 'where' of /"):
        found["where"]


def test_a_name_is_there_once():
    twice = [attribute(b"count", INT16, space(), b"\1\0")] * 2
    with pytest.raises(CorruptError, match="attribute twice"):
        attributes(*twice)


def test_values_lie_inside_their_message():
    with pytest.raises(CorruptError):
        attributes(attribute(b"list", INT16, space(9), bytes(17)))
    with pytest.raises(LimitError, match="attribute 'list' has"):
        attributes(attribute(b"list", INT16, space(1 << 40), bytes(17)))
