import pytest
from tests.wire.hdf5.handmade import cursor, summed

from panmodel.errors import CorruptError, TruncatedError
from panmodel.io.source import MemorySource
from panmodel.wire.hdf5.file import File, Visit, verified


def test_addresses_count_from_the_base():
    file = File(MemorySource(b"user" + b"abcdef"), base=4)
    assert file.cursor(2, 3, "a structure").take(3) == b"cde"
    with pytest.raises(TruncatedError):
        file.cursor(2, 5, "a structure")


def test_nothing_is_entered_twice_on_one_visit():
    file = File(MemorySource(bytes(100)))
    walk = Visit(file, owner=0)
    walk.read(10, 5, "a node")
    with pytest.raises(CorruptError, match="a node is reached twice"):
        walk.read(10, 5, "a node")
    Visit(file, owner=0).read(10, 5, "a node")


def test_a_structure_belongs_to_one_object():
    file = File(MemorySource(bytes(100)))
    Visit(file, owner=0).read(10, 5, "a node")
    with pytest.raises(CorruptError, match="two objects"):
        Visit(file, owner=1).read(10, 5, "a node")


def test_structures_that_overlap_are_found():
    file = File(MemorySource(bytes(1 << 16)))
    walk = Visit(file, owner=0)
    with pytest.raises(CorruptError, match="overlap"):
        for place in range(10):
            walk.read(place, 60_000, "a node")


def test_checksums_are_verified():
    assert verified(cursor(summed(b"content"))).data == b"content"
    with pytest.raises(CorruptError, match="does not meet its checksum"):
        verified(cursor(summed(b"content")[:-1] + b"\0"))
    with pytest.raises(CorruptError, match="no room"):
        verified(cursor(b"abc"))
