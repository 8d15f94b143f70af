import struct

import pytest
from tests.wire.hdf5.handmade import UNDEFINED, visit

from panmodel.errors import CorruptError
from panmodel.wire.hdf5 import btree_v1


def node(level, *children, kind=0):
    pairs = b"".join(struct.pack("<QQ", key, child) for key, child in enumerate(children))
    return b"TREE" + struct.pack("<BBH", kind, level, len(children)) + 2 * UNDEFINED + pairs + bytes(8)


def leaves(data, kind=0):
    return [(key.u64(), child) for key, child in btree_v1.leaves(visit(data), 0, kind, 8)]


def test_walks_from_left_to_right():
    data = node(1, 100, 200).ljust(100, b"\0") + node(0, 7, 8).ljust(100, b"\0") + node(0, 9)
    assert leaves(data) == [(0, 7), (1, 8), (0, 9)]
    assert leaves(node(0)) == []


@pytest.mark.parametrize(
    "data",
    [
        node(1, 0),
        node(1, 100, 100).ljust(100, b"\0") + node(0, 7),
        node(2, 100).ljust(100, b"\0") + node(0, 7),
        node(0, 7, kind=1),
        node(0, 7)[:30],
    ],
    ids=["circle", "twice", "level", "kind", "cut"],
)
def test_contradictions(data):
    with pytest.raises(CorruptError):
        leaves(data)
