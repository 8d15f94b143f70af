import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.checkpoints import FIXTURES, box, memory

from panmodel.errors import CorruptError, LimitError, UnsupportedError
from panmodel.io.source import Extent, FileSource, MemorySource
from panmodel.limits import DEFAULT
from panmodel.wire.checksums import crc32c, mask
from panmodel.wire.protobuf import encode_bytes
from panmodel.wire.sstable import encode_table
from panmodel.wire.tensor_bundle import (
    BundleHeaderProto,
    CheckpointState,
    encode_checkpoint_state,
    encode_strings,
    is_bundle_index,
    is_checkpoint_state,
    read_bundle,
    read_checkpoint_state,
    read_strings,
    shard_name,
    slice_key,
    slice_name,
)
from panmodel.wire.tensorflow_messages import VersionDef


def test_shards_are_named_as_tensorflow_names_them():
    assert shard_name("model.ckpt", 2, 10) == "model.ckpt.data-00002-of-00010"


# Keys of slices


def test_the_key_of_a_slice_is_what_tensorflow_writes():
    assert slice_key("part", box((2, 2), None)) == bytes.fromhex("00 70617274 0001 0102 82 82 80 7f")


def test_every_slice_of_a_real_checkpoint_is_found_under_its_key():
    bundle = read_bundle(FileSource(FIXTURES / "partitioned.ckpt.index"))
    keys = {slice_key(name, where) for name, entry in bundle.entries.items() for where in entry.slices}
    assert len(keys) == 14
    assert keys == set(bundle.slices)


SIGNED = st.integers(-(2**63), 2**63 - 1)


@pytest.mark.parametrize(
    ("number", "code"),
    [
        (0, "80"),
        (63, "bf"),
        (-64, "40"),
        (64, "c040"),
        (-65, "3fbf"),
        (8191, "dfff"),
        (8192, "e02000"),
        (2**63 - 1, "ffc07fffffffffffffff"),
        (-(2**63), "003f8000000000000000"),
    ],
)
def test_signed_numbers_grow_by_a_byte_every_seven_bits(number, code):
    assert slice_key("", box((number, 0))) == bytes.fromhex("00 0001 0101" + code + "80")


@given(SIGNED, SIGNED)
def test_keys_of_slices_are_in_the_order_of_their_starts(first, second):
    one, other = slice_key("v", box((first, 1))), slice_key("v", box((second, 1)))
    assert (one < other) == (first < second)


@given(st.text(max_size=12), st.text(max_size=12))
def test_keys_of_slices_are_in_the_order_of_the_names(first, second):
    one, other = slice_key(first, box((0, 1))), slice_key(second, box((0, 1)))
    assert (one < other) == (first.encode() < second.encode())


@given(st.text(max_size=12) | st.sampled_from(["a\0b", "\0\1", "ÿ"]), st.integers(0, 9))
def test_the_name_in_a_key(name, start):
    key = slice_key(name, box((start, 1)))
    assert slice_name(key) == name
    assert isinstance(slice_name(key[:start]), str)


def test_zero_bytes_of_a_name_are_escaped():
    assert slice_key("a\0b", box()) == b"\0a\0\xffb\0\1\0"


# Header


def index(**header):
    return memory(b"".join(encode_table([(b"", encode_bytes(BundleHeaderProto(**header)))])))


def test_a_header_alone_is_an_index():
    assert is_bundle_index(index(num_shards=1))
    assert read_bundle(index(num_shards=3, endianness=1)).is_big_endian


def test_a_table_of_other_messages_is_no_index():
    older_format = b"\x0a\x02\x0a\x00"
    assert not is_bundle_index(memory(b"".join(encode_table([(b"", older_format)]))))
    assert not is_bundle_index(memory(b"".join(encode_table([]))))


@pytest.mark.parametrize(
    ("header", "error", "message"),
    [
        ({"num_shards": 1, "version": VersionDef(min_consumer=2)}, UnsupportedError, "version 2 or later"),
        ({"num_shards": 1, "version": VersionDef(bad_consumers=[1])}, UnsupportedError, "not by 1"),
        ({"num_shards": 1, "endianness": 7}, CorruptError, "byte order 7"),
        ({"num_shards": DEFAULT.shards + 1}, LimitError, "data files"),
        ({"num_shards": 0}, LimitError, "0 data files"),
    ],
)
def test_a_header_that_cannot_be_read_on(header, error, message):
    with pytest.raises(error, match=message):
        read_bundle(index(**header))


def test_the_header_comes_first():
    with pytest.raises(CorruptError, match="first key"):
        read_bundle(memory(b"".join(encode_table([(b"name", b"")]))))


def test_names_are_text():
    header = encode_bytes(BundleHeaderProto(num_shards=1))
    with pytest.raises(CorruptError, match="UTF-8"):
        read_bundle(memory(b"".join(encode_table([(b"", header), (b"\xff\xfe", b"")]))))


# Strings


def stored_strings(texts, order="little"):
    lengths = crc32c(b"".join(len(text).to_bytes(4, order) for text in texts))
    tail = mask(lengths).to_bytes(4, order) + b"".join(texts)
    return bytes(len(text) for text in texts) + tail, mask(crc32c(tail, lengths))


def strings_of(data, count, crc, *, big_endian=False):
    return read_strings("words", Extent(MemorySource(data, "data"), 0, len(data)), count, crc, big_endian=big_endian)


@given(st.lists(st.binary(max_size=100)), st.booleans())
def test_strings_are_read(texts, big):
    data, crc = stored_strings(texts, "big" if big else "little")
    assert strings_of(data, len(texts), crc, big_endian=big) == texts


def test_every_flipped_bit_of_strings_is_found_with_the_name():
    texts = [b"alpha", b"", b"omega"]
    data, crc = stored_strings(texts)
    for bit in range(8 * len(data)):
        damaged = bytearray(data)
        damaged[bit // 8] ^= 1 << bit % 8
        with pytest.raises(CorruptError, match="'words'"):
            strings_of(bytes(damaged), len(texts), crc)


def test_more_strings_than_bytes():
    data, crc = stored_strings([b"a"])
    with pytest.raises(CorruptError, match="cannot hold 900 strings"):
        strings_of(data, 900, crc)
    with pytest.raises(LimitError, match="the cap is"):
        strings_of(data, 1 << 40, crc)


# State file


def state(text):
    return read_checkpoint_state(MemorySource(text.encode(), "checkpoint"))


def test_a_state_file_names_the_latest_and_all_others():
    text = """# written by a person
    model_checkpoint_path: "run\\\\a \\"1\\"/model.ckpt-2"
    all_model_checkpoint_paths: "m\\303\\274/model.ckpt-1"
    all_model_checkpoint_paths: 'model.ckpt-2'
    all_model_checkpoint_timestamps: 1546300800.123
    last_preserved_timestamp: -1e+09
    """
    found = state(text)
    assert found.latest == 'run\\a "1"/model.ckpt-2'
    assert found.all_paths == ("mü/model.ckpt-1", "model.ckpt-2")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('all_model_checkpoint_paths: "a"', "names no checkpoint"),
        ('model_checkpoint_path: "a"\n}', "line 2"),
        ('model_checkpoint_path: "a\nb"', "line 1"),
        (r'model_checkpoint_path: "\xff"', "UTF-8"),
    ],
)
def test_a_state_file_that_is_none(text, message):
    with pytest.raises(CorruptError) as caught:
        state(text)
    assert message in str(caught.value)


def test_a_state_file_is_told_by_its_first_field():
    assert is_checkpoint_state(b'model_checkpoint_path: "x"')
    assert is_checkpoint_state(b'# note\n\nall_model_checkpoint_paths : "x"')
    assert not is_checkpoint_state(b'node { name: "model_checkpoint_path" }')
    assert not is_checkpoint_state(b"")


@pytest.mark.parametrize("path", ["model.ckpt-7", 'a "quoted" name', "ü\t\n", "runs/model.ckpt"])
def test_a_state_file_that_is_written_is_read(path):
    written = CheckpointState(path, (path, "other"))
    data = encode_checkpoint_state(written)
    assert is_checkpoint_state(data)
    assert read_checkpoint_state(MemorySource(data, "checkpoint")) == written


@given(st.lists(st.binary(max_size=40)))
def test_strings_that_are_written_are_read(texts):
    data, crc = encode_strings(texts)
    extent = Extent(MemorySource(data), 0, len(data))
    assert read_strings("t", extent, len(texts), mask(crc), big_endian=False) == texts
