import tracemalloc
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.checkpoints import FIXTURES, box, expected
from tests.slice_tables import LISTS, SliceTable

from panmodel.dtypes import ALL, BFLOAT16
from panmodel.errors import CorruptError, LimitError, UnsupportedError
from panmodel.io.source import FileSource
from panmodel.model.tensorflow.checkpoint_v1 import read_v1_tensors
from panmodel.wire.tensorflow_messages import TensorProto

ROWS = np.arange(28, dtype=np.float32).reshape(7, 4)


def read(*paths):
    return read_v1_tensors([FileSource(path) for path in paths])


def one(tmp_path, array, **how):
    return read(SliceTable().add("a", array, **how).write(tmp_path / "a.ckpt"))["a"]


@pytest.mark.parametrize(("name", "files"), [("v1", [""]), ("v1s", [f"-0000{n}-of-00003" for n in range(3)])])
def test_values_are_those_that_tensorflow_held(name, files):
    tensors = read(*(FIXTURES / f"{name}.ckpt{end}" for end in files))
    values = expected(name)
    assert set(tensors) == set(values)
    for key, value in values.items():
        found = tensors[key].numpy()
        assert (found.dtype, found.shape) == (value.dtype, value.shape), key
        assert found.tolist() == value.tolist() if found.dtype == object else found.tobytes() == value.tobytes(), key


TYPES = [d for d in ALL.values() if d.tensorflow and d.bits >= 8 and (d.name in LISTS or d.kind in "iu")]


@pytest.mark.parametrize("dtype", [d for d in TYPES if not d.name.startswith("q")], ids=str)
@pytest.mark.parametrize("snappy", [False, True])
def test_every_type_bit_for_bit(dtype, snappy, tmp_path):
    bits = np.random.default_rng(0).integers(0, 256, dtype.nbytes(600), np.uint8)
    array = (bits & 1 if dtype.kind == "b" else bits).view(dtype.numpy).reshape(30, 20)
    tensor = read(SliceTable().add("a", array).write(tmp_path / "a", snappy=snappy))["a"]
    assert tensor.dtype is dtype
    assert tensor.numpy().tobytes() == array.tobytes()
    pieces = [bytes(piece) for piece in tensor.chunks(160)]
    assert b"".join(pieces) == array.tobytes()
    assert all(len(piece) <= 160 and len(piece) % dtype.itemsize == 0 for piece in pieces)


def test_special_values_keep_their_bits(tmp_path):
    bits = np.array([0x7FC1, 0xFFFF, 0x8000, 0x0001], np.uint16)
    assert one(tmp_path, bits.view(BFLOAT16.numpy)).numpy().view(np.uint16).tolist() == bits.tolist()


@given(st.lists(st.integers(-(2**63), 2**63 - 1), max_size=40), st.integers(1, 100))
@settings(max_examples=50)
def test_numbers_of_any_width_in_pieces_of_any_size(numbers, nbytes):
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        array = np.array(numbers, np.int64)
        tensor = read(SliceTable().add("a", array).write(f"{folder}/a"))["a"]
        assert b"".join(bytes(piece) for piece in tensor.chunks(nbytes)) == array.tobytes()


@pytest.mark.parametrize("shape", [(), (0,), (3, 0), (1, 1)])
def test_shapes(shape, tmp_path):
    array = np.ones(shape, np.int32)
    assert np.array_equal(one(tmp_path, array).numpy(), array)


def test_strings(tmp_path):
    array = np.empty(3, object)
    array[:] = [b"", b"\0\xff", b"long" * 1000]
    assert one(tmp_path, array).numpy().tolist() == array.tolist()
    with pytest.raises(UnsupportedError, match="no fixed width"):
        list(one(tmp_path, array).chunks())


# Slices


def sliced(*cuts):
    made = SliceTable()
    for start, end in pairwise(cuts):
        made.add("t", ROWS[start:end], shape=ROWS.shape, box=box((start, end - start), None))
    return made


def test_slices_are_put_together(tmp_path):
    tensor = read(sliced(0, 3, 5, 7).write(tmp_path / "a"))["t"]
    assert np.array_equal(tensor.numpy(), ROWS)
    assert tensor.is_complete


def test_slices_in_several_files(tmp_path):
    made = sliced(0, 3, 7)
    first, second = SliceTable(), SliceTable()
    first.add("t", ROWS[:3], shape=(7, 4), box=made.metas[0].slice[0])
    second.add("t", ROWS[3:], shape=(7, 4), box=made.metas[0].slice[1])
    tensors = read(first.write(tmp_path / "a"), second.write(tmp_path / "b"))
    assert np.array_equal(tensors["t"].numpy(), ROWS)


def test_missing_slices_are_told(tmp_path):
    tensor = read(sliced(0, 3, 5).write(tmp_path / "a"))["t"]
    assert not tensor.is_complete
    with pytest.raises(CorruptError, match="20 of its 28"):
        tensor.numpy()


# What is wrong


def test_lists_of_another_length(tmp_path):
    for stored in (TensorProto(float_val=[1.0, 2.0]), TensorProto(float_val=[1.0] * 4), TensorProto()):
        tensor = one(tmp_path, np.ones(3, np.float32), stored=stored)
        with pytest.raises(CorruptError, match=r"tensor 'a'.*needs 12"):
            tensor.numpy()
    tensor = one(tmp_path, np.array([b"x"], object), stored=TensorProto())
    with pytest.raises(CorruptError, match="0 strings"):
        tensor.numpy()


def test_values_that_are_not_there(tmp_path):
    made = SliceTable().add("a", np.ones(3, np.float32))
    made.entries.clear()
    with pytest.raises(CorruptError, match="'a': is announced and not there"):
        read(made.write(tmp_path / "a"))["a"].numpy()
    key = next(iter(SliceTable().add("a", np.ones(3, np.float32)).entries))
    made.entries[key] = b""
    with pytest.raises(CorruptError, match="'a': has no elements"):
        read(made.write(tmp_path / "b"))["a"].numpy()


def test_a_flipped_bit_names_the_tensor(tmp_path):
    made = SliceTable().add("a", np.ones(50, np.float32)).add("b", np.arange(100_000, dtype=np.float32))
    path = made.write(tmp_path / "a", block_bytes=64)
    data = bytearray(path.read_bytes())
    data[200_000] ^= 4
    path.write_bytes(data)
    tensors = read(path)
    assert tensors["a"].numpy().sum() == 50
    with pytest.raises(CorruptError, match=r"'b': the block does not meet its checksum"):
        tensors["b"].numpy()


def test_a_flipped_bit_beside_the_list_of_tensors_names_some(tmp_path):
    made = SliceTable()
    for number in range(9):
        made.add(f"layer_{number}/w", np.arange(10, dtype=np.float32))
    path = made.write(tmp_path / "a")
    data = bytearray(path.read_bytes())
    data[data.rindex(np.arange(10, dtype=np.float32).tobytes())] ^= 4
    path.write_bytes(data)
    with pytest.raises(CorruptError, match=r"list of all tensors, and elements of 'layer_0/w', .*'layer_4/w', …"):
        read(path)


def test_contradictions(tmp_path):
    first = SliceTable().add("a", np.ones(3, np.float32)).write(tmp_path / "a")
    other = SliceTable().add("a", np.ones(4, np.float32)).write(tmp_path / "b")
    with pytest.raises(CorruptError, match="elsewhere"):
        read(first, other)
    with pytest.raises(CorruptError, match="twice"):
        read(first, first)
    with pytest.raises(CorruptError, match="holds elements 0 to 3"):
        read(SliceTable().add("a", np.ones(3, np.float32), shape=(2,), box=box((0, 3))).write(tmp_path / "c"))
    with pytest.raises(LimitError, match="without a name"):
        read(SliceTable().add("", np.ones(3, np.float32)).write(tmp_path / "d"))


def test_files_for_newer_readers(tmp_path):
    with pytest.raises(UnsupportedError, match="version 2 or later"):
        read(SliceTable(min_consumer=2).write(tmp_path / "a"))


def test_a_table_of_something_else():
    with pytest.raises(CorruptError):
        read(FIXTURES / "trained.ckpt.index")


def test_listing_and_reading_hold_little(tmp_path):
    made = SliceTable()
    for number in range(4):
        made.add(f"t{number}", np.arange(4_000_000, dtype=np.float32))
        made.add(f"i{number}", np.arange(500_000, dtype=np.int64))
    path = made.write(tmp_path / "large")
    del made
    tracemalloc.start()
    tensors = read(path)
    listed = tracemalloc.get_traced_memory()[1]
    for tensor in tensors.values():
        assert sum(len(piece) for piece in tensor.chunks(1 << 16)) == tensor.nbytes
    streamed = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert listed < 8 << 20
    assert streamed < 40 << 20
