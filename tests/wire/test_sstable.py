import struct

import cramjam
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.checkpoints import single_block_table, varint

from panmodel.errors import CorruptError, LimitError, PanmodelError, TruncatedError, UnsupportedError
from panmodel.io.source import MemorySource
from panmodel.limits import DEFAULT, Limits
from panmodel.wire import sstable
from panmodel.wire.sstable import MAGIC, Table, decode_varint, encode_block, encode_table, is_table, read_table, trailer

ENTRIES = [(f"layer{n:03d}/kernel".encode(), b"value %d" % n) for n in range(100)]


def read(data):
    return list(read_table(MemorySource(data, "test.index")))


@given(st.dictionaries(st.binary(max_size=40), st.binary(max_size=60), max_size=60), st.integers(1, 400))
def test_what_is_written_is_read(entries, block_bytes):
    ordered = sorted(entries.items())
    assert read(b"".join(encode_table(ordered, block_bytes=block_bytes))) == ordered


def test_keys_share_their_prefixes_on_disk():
    table = b"".join(encode_table(ENTRIES))
    assert table.count(b"layer") == -(-len(ENTRIES) // 16) + 1  # whole at each restart, and in the index block


def test_keys_to_be_written_must_ascend():
    with pytest.raises(ValueError, match="follows"):
        list(encode_table([(b"b", b""), (b"a", b"")]))


def test_snappy_blocks_are_read():
    table = single_block_table(encode_block(ENTRIES), snappy=True)
    assert len(table) < len(single_block_table(encode_block(ENTRIES)))
    assert read(table) == ENTRIES


def test_a_table_is_told_by_its_last_bytes():
    table = b"".join(encode_table(ENTRIES))
    assert is_table(MemorySource(table))
    assert not is_table(MemorySource(table[:-1]))
    assert not is_table(MemorySource(MAGIC))


def test_any_flipped_bit_of_a_block_is_found():
    table = b"".join(encode_table(ENTRIES, block_bytes=500))
    for position in range(0, len(table) - sstable.FOOTER_BYTES, 7):
        damaged = bytearray(table)
        damaged[position] ^= 1 << position % 8
        if read_or_none(damaged) is not None:  # only the block that nobody reads
            assert read_or_none(damaged) == ENTRIES
            assert position > len(table) - sstable.FOOTER_BYTES - 1000
        else:
            with pytest.raises(CorruptError, match="checksum"):
                read(damaged)


def read_or_none(data):
    try:
        return read(data)
    except PanmodelError:
        return None


def test_too_short_for_a_footer():
    with pytest.raises(TruncatedError, match="footer of 48 bytes"):
        read(b"short")


def test_wrong_magic_names_the_file():
    with pytest.raises(CorruptError, match="footer") as caught:
        read(bytes(100))
    assert "test.index at offset 52" in str(caught.value)


def test_a_block_outside_of_the_file():
    footer = (varint(0) + varint(0) + varint(10) + varint(5000)).ljust(40, b"\0") + MAGIC
    with pytest.raises(TruncatedError, match="5005 bytes are expected at offset 10"):
        read(footer)


def test_a_block_larger_than_any():
    footer = (varint(0) + varint(0) + varint(0) + varint(1 << 60)).ljust(40, b"\0") + MAGIC
    with pytest.raises(LimitError, match=str(1 << 60)):
        read(footer)


def test_unknown_compression():
    block = encode_block(ENTRIES)
    with pytest.raises(UnsupportedError, match="compression 4"):
        read(single_block_table(block, stored=block + trailer(block, 4)))


@pytest.mark.parametrize("announced", [1 << 40, 5000])
def test_a_snappy_block_that_announces_more_than_it_can_hold(announced):
    stored = varint(announced) + b"\x00a"
    with pytest.raises(LimitError, match=f"announce {announced}"):
        read(single_block_table(b"", stored=stored + trailer(stored, 1)))


def test_a_snappy_block_that_is_none():
    stored = varint(20) + b"\xff\xff\xff\xff"
    with pytest.raises(CorruptError, match="decompress"):
        read(single_block_table(b"", stored=stored + trailer(stored, 1)))


def test_snappy_is_what_cramjam_writes_raw():
    assert bytes(cramjam.snappy.compress_raw(b"abc")).startswith(varint(3))


def block_of(*entries, restarts=(0,)):
    """A block from (shared, unshared, value bytes announced, bytes)."""
    body = b"".join(varint(a) + varint(b) + varint(c) + rest for a, b, c, rest in entries)
    return body + struct.pack(f"<{len(restarts) + 1}I", *restarts, len(restarts))


@pytest.mark.parametrize(
    ("block", "message"),
    [
        (block_of((0, 1, 1, b"kv"), (0, 1, 0, b"a")), "not ascending"),
        (block_of((0, 1, 1, b"kv"), (0, 1, 0, b"k")), "not ascending"),
        (block_of((1, 1, 0, b"k")), "shares 1 bytes"),
        (block_of((0, 1, 0, b"k"), (2, 1, 0, b"l")), "shares 2 bytes"),
        (block_of((0, 1, 0, b"k"), (1, 1, 0, b"l"), restarts=(0, 4)), "shares 1 bytes"),
        (block_of((0, 1, 0, b"k"), (1, 1, 0, b"l"), restarts=(0, 5)), "restart points"),
        (block_of((0, 1, 200, b"k")), "past the end"),
        (block_of((0, 1 << 50, 0, b"k")), "past the end"),
        (b"\0\0", "too short"),
        (struct.pack("<I", 1 << 31), "do not fit"),
        (b"\xff" * 12 + struct.pack("<II", 0, 1), "a number"),
    ],
)
def test_a_block_that_contradicts_itself(block, message):
    with pytest.raises(CorruptError, match=message) as caught:
        read(single_block_table(block))
    assert "block at offset 0" in str(caught.value)


def test_keys_longer_than_any_name():
    with pytest.raises(LimitError, match="a key of"):
        read(b"".join(encode_table([(bytes(DEFAULT.name_bytes + 1), b"")])))


def test_few_bytes_cannot_stand_for_very_many_bytes_of_keys():
    long = b"k" * (DEFAULT.name_bytes - 4)
    count = DEFAULT.header_bytes // len(long) + 10
    keys = ((long + struct.pack(">I", n), b"") for n in range(count))
    table = b"".join(encode_table(keys, block_bytes=1 << 40))
    with pytest.raises(LimitError, match="the keys take"):
        for _ in read_table(MemorySource(table)):
            pass


# Looking up by key


@given(
    st.dictionaries(st.binary(max_size=40), st.binary(max_size=60), max_size=60),
    st.integers(1, 400),
    st.binary(max_size=3),
)
def test_every_key_is_found_and_no_other(entries, block_bytes, other):
    table = Table(MemorySource(b"".join(encode_table(sorted(entries.items()), block_bytes=block_bytes))))
    for key, value in entries.items():
        assert table.find(key).read() == value
    if other not in entries:
        assert table.find(other) is None


def test_a_look_at_the_first_entry_reads_little(monkeypatch):
    source = MemorySource(b"".join(encode_table([(b"a", b"1"), (b"b", bytes(1 << 20))])))
    table, asked = Table(source), []
    real = MemorySource.read
    monkeypatch.setattr(MemorySource, "read", lambda *given: (asked.append(given[2]), real(*given))[1])
    key, value = table.peek()
    assert (key, value.read()) == (b"a", b"1")
    assert sum(asked) < 100
    assert Table(MemorySource(b"".join(encode_table([])))).peek() is None


def test_keys_are_found_in_compressed_blocks():
    table = Table(MemorySource(single_block_table(encode_block(ENTRIES), snappy=True)))
    assert [table.find(key).read() for key, _ in ENTRIES] == [value for _, value in ENTRIES]


def test_a_block_larger_than_the_cap_is_looked_up_in_pieces(monkeypatch):
    data = b"".join(encode_table([(b"a", b"1"), (b"b", bytes(100_000)), (b"c", b"2")], block_bytes=50))
    monkeypatch.setattr(sstable, "DEFAULT", Limits(block_bytes=1000))
    with pytest.raises(LimitError):
        read(data)
    table = Table(MemorySource(data))
    assert table.find(b"b").nbytes == 100_000
    assert table.find(b"c").read() == b"2"


def test_blocks_are_checked_when_one_of_their_entries_is_looked_up():
    data = bytearray(b"".join(encode_table(ENTRIES, block_bytes=100)))
    place = data.index(b"value 50")
    data[place] ^= 1
    table = Table(MemorySource(bytes(data)))
    assert table.find(ENTRIES[0][0]).read() == b"value 0"
    with pytest.raises(CorruptError, match="checksum"):
        table.find(ENTRIES[50][0])


def test_what_is_in_a_damaged_block():
    data = bytearray(b"".join(encode_table(ENTRIES, block_bytes=100)))
    data[data.index(b"value 50")] ^= 1
    table = Table(MemorySource(bytes(data)))
    found = table.beside(ENTRIES[50][0], 100)
    assert ENTRIES[50][0] in found and set(found) < {key for key, _ in ENTRIES}
    assert table.beside(ENTRIES[50][0], 2) == found[:2]
    assert table.beside(ENTRIES[-1][0] + b"z", 2) == []
    compressed = bytearray(single_block_table(encode_block(ENTRIES), snappy=True))
    compressed[8] ^= 1
    assert Table(MemorySource(bytes(compressed))).beside(b"", 2) == []


@pytest.mark.parametrize(
    "block",
    [
        b"",
        b"\0\0\0",
        b"\1\0\0" + bytes(4),
        b"\0\1\1ab" + b"\0\1\1ab" + struct.pack("<II", 0, 1),
        b"\0\1\5ab" + struct.pack("<II", 0, 1),
        b"\0\1" + struct.pack("<I", 0),
        struct.pack("<I", 9),
    ],
    ids=["empty", "short", "shares", "repeated", "long", "cut", "restarts"],
)
def test_blocks_that_contradict_themselves(block):
    with pytest.raises(CorruptError):
        Table(MemorySource(single_block_table(block))).find(b"b")


def test_a_key_that_is_too_long():
    key = b"k" * (DEFAULT.name_bytes + 1)
    with pytest.raises(LimitError, match="a key of"):
        Table(MemorySource(single_block_table(encode_block([(key, b"")])))).find(b"k")


def test_blocks_out_of_order():
    block = encode_block([(b"k", b"v")])
    stored = block + trailer(block)
    index = encode_block([(b"b", varint(0) + varint(len(block))), (b"a", varint(0) + varint(len(block)))], interval=1)
    handles = varint(len(stored)) + varint(len(index)) + varint(len(stored)) + varint(len(index))
    data = stored + index + trailer(index) + handles.ljust(40, b"\0") + MAGIC
    with pytest.raises(CorruptError, match="follows"):
        Table(MemorySource(data))


@pytest.mark.parametrize("data", [b"", b"\x80", b"\x80" * 10, b"\xff" * 9 + b"\x02", b"\x80" * 9 + b"\x7f"])
def test_numbers_have_64_bits(data):
    with pytest.raises(CorruptError, match="64 bits"):
        decode_varint(data, 0, "here")


def test_the_largest_number():
    assert decode_varint(b"\xff" * 9 + b"\x01", 0, "here") == ((1 << 64) - 1, 10)
