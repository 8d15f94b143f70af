import struct

import pytest
from tests.wire.hdf5.handmade import summed, visit

from panmodel.errors import CorruptError
from panmodel.wire.hdf5 import btree_v2


def head(root, count, depth, kind=5, node_size=64, record_size=4):
    return summed(b"BTHD" + struct.pack("<BBIHHBBQHQ", 0, kind, node_size, record_size, depth, 100, 40, root, count, 9))


def leaf(*numbers, kind=5):
    return summed(b"BTLF" + struct.pack("<BB", 0, kind) + b"".join(struct.pack("<I", number) for number in numbers))


def inner(numbers, children):
    pointers = b"".join(struct.pack("<QB", child, count) for child, count in children)
    return summed(
        b"BTIN" + struct.pack("<BB", 0, 5) + b"".join(struct.pack("<I", number) for number in numbers) + pointers
    )


def records(*structures, kind=5):
    data = b"".join(structure.ljust(100, b"\0") for structure in structures)
    return [record.u32() for record in btree_v2.records(visit(data), 0, kind)]


def test_walks_in_order():
    assert records(head(100, 3, 0), leaf(1, 2, 3)) == [1, 2, 3]
    assert records(head(100, 1, 1), inner([3], [(200, 2), (300, 1)]), leaf(1, 2), leaf(4)) == [1, 2, 3, 4]


@pytest.mark.parametrize(
    "structures",
    [
        [head(100, 1, 1), inner([3], [(200, 2), (200, 2)]), leaf(1, 2)],
        [head(100, 1, 1), inner([3], [(100, 1), (300, 1)])],
        [head(100, 60, 0), leaf(*range(60))],
        [head(100, 2, 0), leaf(1, 2, kind=6)],
        [head(100, 2, 0, kind=6), leaf(1, 2)],
        [head(100, 2, 0, record_size=0), leaf(1, 2)],
        [head(100, 2, 0), leaf(1, 2)[:-1] + b"\0"],
    ],
    ids=["twice", "circle", "too many", "kind", "kind of the tree", "empty records", "checksum"],
)
def test_contradictions(structures):
    with pytest.raises(CorruptError):
        records(*structures)
