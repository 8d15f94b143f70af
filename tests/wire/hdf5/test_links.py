import struct

import pytest
from tests.wire.hdf5.handmade import Builder, cursor, external_link, hard_link, header, message, read, soft_link

from panmodel.errors import CorruptError
from panmodel.wire.hdf5.links import read_link


def found(link):
    return read_link(cursor(link[4:]))


def test_kinds():
    assert (found(hard_link(b"h", 80)).kind, found(hard_link(b"h", 80)).address) == ("hard", 80)
    assert (found(soft_link(b"s", b"/x")).kind, found(soft_link(b"s", b"/x")).path) == ("soft", "/x")
    outside = found(external_link(b"e", b"f.h5", b"/x"))
    assert (outside.kind, outside.file, outside.path) == ("external", "f.h5", "/x")
    user = struct.pack("<BBBB", 1, 8, 99, 1) + b"u" + struct.pack("<H", 3) + b"abc"
    assert found(message(6, user)).kind == "user"


def test_order_of_creation_and_long_names():
    ordered = struct.pack("<BBQBI", 1, 0x16, 7, 1, 300) + b"n" * 300 + struct.pack("<Q", 80)
    link = found(message(6, ordered))
    assert (link.order, link.name, link.address) == (7, "n" * 300, 80)


def test_names_that_are_no_utf_8_come_back():
    assert found(hard_link(b"\xff", 80)).name.encode("utf-8", "surrogateescape") == b"\xff"


def links_of(*links):
    build = Builder()
    return read(build.finish(build.add(header(message(0x0A, b"\0\0"), *links)))).links


def test_links_are_in_the_order_of_names_or_creation():
    assert list(links_of(soft_link(b"b", b"x"), soft_link(b"B", b"x"), soft_link(b"a", b"x"))) == ["B", "a", "b"]
    one = message(6, struct.pack("<BBQB", 1, 4, 1, 1) + b"z" + struct.pack("<Q", 80))
    two = message(6, struct.pack("<BBQB", 1, 4, 2, 1) + b"a" + struct.pack("<Q", 80))
    assert list(links_of(two, one)) == ["z", "a"]


def test_a_name_is_there_once():
    with pytest.raises(CorruptError, match="'a' twice"):
        links_of(soft_link(b"a", b"x"), soft_link(b"a", b"y"))


@pytest.mark.parametrize(
    "link", [hard_link(b"abc", 80)[:-9], soft_link(b"s", b"/x")[:-1], external_link(b"e", b"f", b"")[:-1]]
)
def test_contradictions(link):
    with pytest.raises(CorruptError):
        found(link)
