import contextlib
import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from panmodel.errors import CorruptError, LimitError, PanmodelError, TruncatedError
from panmodel.io.source import Extent, MemorySource
from panmodel.wire.protobuf import Message, Numbers, decode, decode_bytes, mapping, repeated, single, walk


class Leaf(Message):
    number: int = single(1, "int64")
    text: str = single(2, "string")


class Tree(Message):
    leaf = single(1, lambda: Leaf)
    leaves = repeated(2, lambda: Leaf)
    names = mapping(3, lambda: Leaf)
    ages = mapping(4, "int32", key="uint32")
    blob = single(5, "blob")
    floats = repeated(6, "float", numbers=True)
    ints = repeated(7, "int64")
    small = single(8, "int32")
    unsigned = single(9, "uint32")
    truth = repeated(10, "bool")
    child = single(11, lambda: Tree)
    data = single(12, "bytes")
    real = single(13, "double")


class CountingSource(MemorySource):
    """Remembers how many bytes were read."""

    def __init__(self, data):
        super().__init__(data)
        self.count = 0

    def read(self, offset, nbytes):
        self.count += nbytes
        return super().read(offset, nbytes)


def test_values_are_those_of_the_wire():
    tree = decode_bytes(
        Tree, bytes.fromhex("0a 05 08 96 01 12 00  40 ff ff ff ff ff ff ff ff ff 01  48 ff ff ff ff 0f")
    )
    assert tree.leaf.number == 150 and tree.leaf.has("text") and tree.leaf.text == ""
    assert tree.small == -1 and tree.unsigned == 0xFFFFFFFF
    assert not tree.has("real") and tree.real == 0.0
    assert tree.leaves == () and dict(tree.names) == {}


def test_a_32_bit_field_takes_the_lower_half_of_a_longer_number():
    assert decode_bytes(Tree, bytes.fromhex("40 ff ff ff ff 0f")).small == -1


def test_packed_and_single_numbers_are_the_same():
    packed = decode_bytes(Tree, bytes.fromhex("3a 03 01 02 7f 52 02 01 00"))
    loose = decode_bytes(Tree, bytes.fromhex("38 01 38 02 38 7f 50 01 50 00"))
    assert packed.ints == loose.ints == [1, 2, 127]
    assert packed.truth == loose.truth == [True, False]


def test_numbers_keep_their_order_when_runs_and_singles_mix():
    def one(value):
        return b"\x35" + struct.pack("<f", value)

    run = struct.pack("<3f", 2, 3, 4)
    tree = decode_bytes(Tree, one(1) + b"\x32" + bytes([len(run)]) + run + one(5) + one(6))
    assert tree.floats.array().tolist() == [1, 2, 3, 4, 5, 6]


def test_parts_of_one_message_are_merged():
    tree = decode_bytes(Tree, bytes.fromhex("0a 02 08 07  0a 03 12 01 61  0a 02 08 08"))
    assert tree.leaf == Leaf(number=8, text="a")


def test_maps_take_the_last_of_equal_keys_and_default_values():
    tree = decode_bytes(Tree, bytes.fromhex("1a 03 0a 01 61  22 04 08 05 10 09  22 04 08 05 10 0a"))
    assert tree.names == {"a": Leaf()} and tree.ages == {5: 10}


def test_unknown_fields_are_skipped():
    assert decode_bytes(
        Leaf, bytes.fromhex("08 01  a2 06 02 68 69  a8 06 07  b5 06 00000000  b9 06 0000000000000000")
    ) == Leaf(number=1)


def test_payloads_are_left_where_they_are():
    head = b"\x0a\x02\x08\x01"
    source = CountingSource(head + b"\x2a\x80\x80\x80\x04" + bytes(8 << 20) + b"\x40\x05")
    tree = decode(Tree, source)
    assert (tree.blob.offset, tree.blob.nbytes) == (9, 8 << 20) and tree.small == 5
    assert source.count < 100_000


def test_large_inner_messages_are_read_when_asked_for():
    inner = b"\x08\x07" + b"\x2a\x80\x80\x40" + bytes(1 << 20)  # a field that Leaf does not know
    source = CountingSource(b"\x0a\x86\x80\x40" + inner)
    tree = decode(Tree, source)
    before = source.count
    assert tree.leaf.number == 7 and source.count - before < 100_000


@pytest.mark.parametrize(
    ("data", "error"),
    [
        ("08", TruncatedError),
        ("08 80", TruncatedError),
        ("08 80 80 80 80 80 80 80 80 80 80 01", CorruptError),
        ("12 05 61", TruncatedError),
        ("12 ff ff ff ff ff ff ff ff 7f", TruncatedError),
        ("0a 00", CorruptError),
        ("0b", CorruptError),
        ("00 00", CorruptError),
        ("12 01 ff", CorruptError),
        ("0d 00 00", TruncatedError),
    ],
)
def test_damage_is_named_with_its_place(data, error):
    with pytest.raises(error, match=r"memory at offset \d+"):
        decode_bytes(Leaf, bytes.fromhex(data))


@pytest.mark.parametrize("tag", ["00", "07", "80 00"])
def test_no_field_has_the_number_0(tag):
    data = bytes.fromhex(tag + "00" * 20)
    with pytest.raises(CorruptError, match="numbered 0"):
        list(walk(MemorySource(data), (0, len(data), None), groups=True))


def test_damage_inside_is_found_when_asked_for():
    tree = decode_bytes(Tree, bytes.fromhex("12 02 08 01  12 03 12 05 61"))
    for _ in range(2):
        with pytest.raises(TruncatedError):
            _ = tree.leaves


def test_nesting_has_a_limit():
    data = b""
    for _ in range(100):
        data = (
            b"\x5a" + bytes([len(data) & 0x7F | 0x80, len(data) >> 7]) + data
            if len(data) > 127
            else b"\x5a" + bytes([len(data)]) + data
        )
    tree = decode_bytes(Tree, data)
    with pytest.raises(LimitError, match="deep"):
        while tree is not None:
            tree = tree.child


def test_walking_gives_raw_fields():
    source = MemorySource(bytes.fromhex("08 96 01 12 01 61"))
    assert list(walk(source, (0, 6, None))) == [(8, 150, 3, 0, b""), (18, 0, 5, 1, b"a")]


@given(st.binary(max_size=200))
def test_noise_is_read_or_refused(data):
    def look(message):
        for value in message.present().values():
            for inner in value if isinstance(value, list) else value.values() if isinstance(value, dict) else [value]:
                if isinstance(inner, Message):
                    look(inner)
                elif isinstance(inner, Numbers):
                    assert isinstance(inner.array(), np.ndarray)
                elif isinstance(inner, Extent):
                    inner.read()

    with contextlib.suppress(PanmodelError):
        look(decode_bytes(Tree, data))
