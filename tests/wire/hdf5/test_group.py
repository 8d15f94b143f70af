import struct

import pytest
from tests.damage import assert_survives
from tests.wire.hdf5.handmade import (
    FLOAT32,
    UNDEFINED,
    Builder,
    attribute,
    contiguous,
    dataset,
    external_link,
    hard_link,
    header,
    message,
    read,
    small_file,
    soft_link,
    space,
)

from panmodel.errors import CorruptError, LimitError, TruncatedError, UnsafeError
from panmodel.wire.hdf5 import Dataset, Group


def test_reads_a_small_file():
    root = read(small_file(more=[attribute(b"rate", FLOAT32, space(), struct.pack("<f", 0.5))]))
    assert (root.name, list(root.members), dict(root.attributes)) == ("/", ["x"], {"rate": 0.5})
    assert root["x"].numpy().tolist() == [[0, 1, 2], [3, 4, 5]]
    assert root["/x"].name == "/x"
    assert "x" in root and "y" not in root and "x/y" not in root


def test_follows_soft_links_within_the_file():
    root = read(small_file(more=[soft_link(b"s", b"/x"), soft_link(b"t", b"./s")]))
    assert root.members["t"].address == root["x"].address
    assert [link.kind for link in root.links.values()] == ["soft", "soft", "hard"]


def test_soft_links_in_a_circle_end():
    root = read(small_file(more=[soft_link(b"s", b"t"), soft_link(b"t", b"s")]))
    with pytest.raises(CorruptError, match="circle"):
        root.members["s"]


def test_soft_links_to_nothing_are_reported():
    root = read(small_file(more=[soft_link(b"s", b"/nothing/here")]))
    with pytest.raises(CorruptError, match="where nothing is"):
        root["s"]


def test_links_to_other_files_are_refused():
    root = read(small_file(more=[external_link(b"e", b"/etc/passwd", b"/x")]))
    assert list(root.members) == ["e", "x"]
    with pytest.raises(UnsafeError, match="/etc/passwd"):
        root.members["e"]


def test_a_group_in_itself_is_deep_and_not_endless():
    build = Builder()
    here = len(build.data)
    build.add(header(message(0x0A, b"\0\0"), hard_link(b"g", here)))
    place = read(build.finish(here))
    with pytest.raises(LimitError, match="nested"):
        for _ in range(1000):
            place = place.members["g"]


def test_every_cut_is_found():
    whole = small_file()
    for end in range(len(whole)):
        with pytest.raises((CorruptError, TruncatedError)):
            read(whole[:end])


def test_the_root_must_be_a_group():
    build = Builder()
    address = build.add(dataset(FLOAT32, space(1), contiguous(48, 4)))
    with pytest.raises(CorruptError, match="not a group"):
        read(build.finish(address))


def old_file():
    """A file of the first version: superblock 0, header 1, symbol table, all put together by hand."""
    data = bytearray(96)
    entry = struct.pack("<QQII16s", 0, 96, 0, 0, b"")
    front = b"\x89HDF\r\n\x1a\n" + bytes([0, 0, 0, 0, 0, 8, 8, 0]) + struct.pack("<HHI", 4, 16, 0)
    table = struct.pack("<HHBxxxQQ", 0x11, 16, 0, 120 + 16, 200)
    data += struct.pack("<BxHII4x", 1, 1, 1, len(table)) + table
    data += (
        bytes(136 - len(data)) + b"TREE" + struct.pack("<BBH", 0, 0, 1) + UNDEFINED * 2 + struct.pack("<QQQ", 0, 300, 8)
    )
    data += bytes(200 - len(data)) + b"HEAP" + struct.pack("<B3xQQQ", 0, 16, 1, 240)
    data += bytes(240 - len(data)) + b"\0\0\0\0\0\0\0\0child\0\0\0"
    data += bytes(300 - len(data)) + b"SNOD" + struct.pack("<BxH", 1, 1) + struct.pack("<QQII16x", 8, 400, 0, 0)
    data += bytes(400 - len(data)) + struct.pack("<BxHII4x", 1, 1, 1, len(table)) + table
    data[:96] = front + struct.pack("<Q", 0) + UNDEFINED + struct.pack("<Q", len(data)) + UNDEFINED + entry
    return bytes(data)


def test_reads_old_groups_and_gives_no_structure_to_two_of_them():
    root = read(old_file())
    child = root.members["child"]
    assert isinstance(child, Group) and child.name == "/child"
    with pytest.raises(CorruptError, match="two objects"):
        list(child.links) or list(root.links)


def test_entries_of_old_groups_lead_somewhere():
    data = bytearray(old_file())
    entry = 300 + 8 + 8
    assert data[entry : entry + 8] == struct.pack("<Q", 400)
    data[entry : entry + 8] = UNDEFINED
    with pytest.raises(CorruptError, match="'child' that leads nowhere"):
        list(read(bytes(data)).links)


def test_damage_is_survived(tmp_path):
    path = tmp_path / "model.h5"
    path.write_bytes(
        small_file(more=[attribute(b"rate", FLOAT32, space(), struct.pack("<f", 0.5)), soft_link(b"s", b"x")])
    )

    def read_all(path):
        root = read(path.read_bytes())
        found = {name: item.numpy().tobytes() for name, item in root.members.items() if isinstance(item, Dataset)}
        return found, dict(root.attributes)

    assert_survives(read_all, path, flips=2000)


def test_two_names_of_one_dataset_share_what_was_read():
    build = Builder()
    place = build.add(dataset(FLOAT32, space(1), contiguous(48, 4)))
    root = read(build.finish(build.add(header(message(0x0A, b"\0\0"), hard_link(b"a", place), hard_link(b"b", place)))))
    one, two = root.members["a"], root.members["b"]
    assert (one.name, two.name, one.address) == ("/a", "/b", two.address)
    assert one.attributes is two.attributes and one.datatype is two.datatype
