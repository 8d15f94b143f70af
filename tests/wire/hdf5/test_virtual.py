import struct

import pytest
from tests.wire.hdf5.handmade import cursor

from panmodel.errors import CorruptError
from panmodel.wire.hdf5.virtual import source_files

EVERYTHING = struct.pack("<IIII", 3, 1, 0, 0)
OLD_SLAB = struct.pack("<IIII", 2, 1, 0, 24) + bytes(24)
SLAB_2 = struct.pack("<IIBI", 2, 2, 1, 36) + bytes(36)
SLAB_3 = struct.pack("<IIBBI", 2, 3, 1, 2, 1) + bytes(8)
BLOCKS_3 = struct.pack("<IIBBI", 2, 3, 0, 2, 1) + struct.pack("<H", 3) + bytes(12)
POINTS_2 = struct.pack("<IIBI", 1, 2, 4, 2) + struct.pack("<I", 3) + bytes(24)
SELECTIONS = [EVERYTHING, OLD_SLAB, SLAB_2, SLAB_3, BLOCKS_3, POINTS_2]


def block(*entries):
    return b"\0" + struct.pack("<Q", len(entries)) + b"".join(entries)


@pytest.mark.parametrize("selection", SELECTIONS)
def test_files_are_found_behind_every_selection(selection):
    data = block(
        b"a.h5\0x\0" + selection + EVERYTHING, b".\0y\0" + EVERYTHING + selection, b"a.h5\0z\0" + 2 * selection
    )
    assert source_files(cursor(data), 10) == ("a.h5", ".")


def test_contradictions():
    with pytest.raises(CorruptError, match="11 entries"):
        source_files(cursor(block(*[b""] * 11)), 10)
    with pytest.raises(CorruptError):
        source_files(cursor(block(b"a.h5\0x\0" + EVERYTHING)), 10)
