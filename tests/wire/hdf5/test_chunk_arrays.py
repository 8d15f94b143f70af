import struct

import pytest
from tests.wire.hdf5.handmade import UNDEFINED, summed, visit

from panmodel.errors import CorruptError
from panmodel.wire.hdf5.chunk_arrays import extensible_array, fixed_array


def file_of(*structures):
    """Structures 200 bytes apart, the header first."""
    return b"".join(structure.ljust(200, b"\0") for structure in structures)


def addresses(*found):
    return b"".join(UNDEFINED if address is None else struct.pack("<Q", address) for address in found)


def fixed(count, *, bits=10, client=0, entry=8, place=200):
    return summed(b"FAHD" + struct.pack("<BBBBQQ", 0, client, entry, bits, count, place))


def block(signature, content, *, client=0, owner=0):
    return summed(signature + struct.pack("<BBQ", 0, client, owner) + content)


def test_a_fixed_array_in_one_block():
    data = file_of(fixed(3), block(b"FADB", addresses(8, None, 16)))
    assert list(fixed_array(visit(data), 0)) == [(0, 8, None, 0), (2, 16, None, 0)]


def test_entries_of_filtered_chunks_have_a_size_and_a_mask():
    content = struct.pack("<QHI", 8, 300, 1)
    data = file_of(fixed(1, client=1, entry=14), block(b"FADB", content, client=1))
    assert list(fixed_array(visit(data), 0)) == [(0, 8, 300, 1)]


def test_a_fixed_array_in_pages():
    prefix = block(b"FADB", bytes([0b10100000]))
    pages = summed(addresses(8, 16)) + bytes(20) + summed(addresses(24))
    data = file_of(fixed(5, bits=1), prefix + pages)
    assert [(number, address) for number, address, _, _ in fixed_array(visit(data), 0)] == [(0, 8), (1, 16), (4, 24)]


def growing(*, bits=8, own=1, least=2, pointers=2, page=10, place=200):
    return summed(
        b"EAHD"
        + struct.pack("<BBBBBBBB", 0, 0, 8, bits, own, least, pointers, page)
        + bytes(48)
        + struct.pack("<Q", place)
    )


def data_block(place, *found):
    return block(b"EADB", bytes([place]) + addresses(*found))


def test_an_extensible_array():
    # one entry of its own; super blocks of 1 x 2 and 1 x 4 entries by pointers, then of 2 x 4, 2 x 8 … by blocks
    index = block(b"EAIB", addresses(8, 400, None, 600, *[None] * 5))
    super_block = block(b"EASB", bytes([7]) + addresses(None, 800))
    data = file_of(growing(), index, data_block(1, 16, None), super_block, data_block(11, None, None, 24, None))
    found = [(number, address) for number, address, _, _ in extensible_array(visit(data), 0)]
    assert found == [(0, 8), (1, 16), (7 + 4 + 2, 24)]


@pytest.mark.parametrize(
    "data",
    [
        file_of(fixed(3), block(b"FADB", addresses(8, None, 16), owner=8)),
        file_of(fixed(3), block(b"FADB", addresses(8, None, 16), client=1)),
        file_of(fixed(3, entry=9), block(b"FADB", addresses(8, None, 16))),
        file_of(fixed(1 << 60), block(b"FADB", addresses(8, None, 16))),
        file_of(fixed(3)),
    ],
    ids=["owner", "client", "entry", "count", "no block"],
)
def test_contradictions_in_a_fixed_array(data):
    with pytest.raises(CorruptError):
        list(fixed_array(visit(data), 0))


@pytest.mark.parametrize("how", [{"bits": 65}, {"least": 3}, {"least": 0}, {"pointers": 3}, {"place": 5000}])
def test_contradictions_in_an_extensible_array(how):
    with pytest.raises(CorruptError):
        list(extensible_array(visit(file_of(growing(**how), bytes(200))), 0))
