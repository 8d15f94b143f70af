"""What is written is read again bit for bit, and is what TensorFlow itself wrote."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.checkpoints import FIXTURES, Writer, box

from panmodel.dtypes import ALL, STRING
from panmodel.errors import CorruptError, UnsupportedError
from panmodel.formats.tensorflow_checkpoint import FORMAT
from panmodel.io.source import FileSource, Location
from panmodel.model.model import Model
from panmodel.model.partitioned import Part, PartitionedTensor
from panmodel.model.tensor import ArrayTensor, unpack
from panmodel.wire.sstable import read_table
from panmodel.wire.tensor_bundle import read_bundle

WRITABLE = [dtype for dtype in ALL.values() if dtype.tensorflow is not None and dtype.bits]


def write(tensors, path):
    with FORMAT.sink(path, force=True) as sink:
        FORMAT.write(Model("test", tensors=tensors), sink)
    return FORMAT.read(Location(path)).tensors


def strings(*texts, shape=None):
    array = np.empty(len(texts), object)
    array[:] = texts
    return ArrayTensor(array if shape is None else array.reshape(shape))


def assert_same(found, tensor):
    assert found.dtype is tensor.dtype
    assert found.shape == tensor.shape
    if tensor.dtype is STRING:
        assert found.numpy().tolist() == tensor.numpy().tolist()
    else:
        assert found.numpy().tobytes() == tensor.numpy().tobytes()


@pytest.mark.parametrize("dtype", WRITABLE, ids=repr)
@pytest.mark.parametrize("shape", [(), (0,), (3, 0, 2), (7,), (2, 3, 5)], ids=str)
def test_every_bit_of_every_type_comes_back(dtype, shape, tmp_path):
    bits = np.random.default_rng(0).integers(0, 256, dtype.nbytes(int(np.prod(shape))), np.uint8)
    if dtype.kind == "b":
        bits &= 1
    tensor = ArrayTensor(unpack(bits, dtype, shape), dtype=dtype)
    assert_same(write({"t": tensor}, tmp_path / "a.ckpt")["t"], tensor)


def test_not_a_number_keeps_its_payload_and_zero_its_sign(tmp_path):
    for bits, width in ((0x7FC01234, "u4"), (0x7FA00001, "u4"), (0x80000000, "u4"), (0xFFF8000000000123, "u8")):
        array = np.array([bits], width).view(f"f{width[1]}")
        tensor = ArrayTensor(array)
        assert write({"t": tensor}, tmp_path / "a.ckpt")["t"].numpy().tobytes() == array.tobytes()


def test_elements_of_half_a_byte_are_written_in_pieces(tmp_path, monkeypatch):
    monkeypatch.setattr("panmodel.model.tensorflow.bundle_writing.CHUNK", 256)
    dtype = ALL["int4"]
    tensor = ArrayTensor(unpack(np.arange(101, dtype=np.uint8), dtype, (201,)), dtype=dtype)
    assert_same(write({"t": tensor}, tmp_path / "a.ckpt")["t"], tensor)


@given(st.lists(st.binary(max_size=300), max_size=20))
def test_strings_come_back(tmp_path_factory, texts):
    tensor = strings(*texts)
    assert_same(write({"t": tensor}, tmp_path_factory.mktemp("strings") / "a.ckpt")["t"], tensor)


def test_strings_of_all_shapes_and_kinds(tmp_path):
    made = {
        "scalar": strings(b"\0\xff", shape=()),
        "none": strings(shape=(0, 3)),
        "pages": strings(b"", b"a" * 70000, b"b", b"", shape=(2, 2)),
        "text": ArrayTensor(np.array(["ä", "plain"])),
    }
    found = write(made, tmp_path / "a.ckpt")
    assert found["text"].numpy().tolist() == ["ä".encode(), b"plain"]
    for name in ("scalar", "none", "pages"):
        assert_same(found[name], made[name])


@pytest.mark.parametrize("name", ["trained", "dtypes"])
def test_the_files_are_those_of_tensorflow(name, tmp_path):
    source = FIXTURES / f"{name}.ckpt"
    write(FORMAT.read(Location(source)).tensors, tmp_path / "a.ckpt")
    data = "data-00000-of-00001"
    assert (tmp_path / f"a.ckpt.{data}").read_bytes() == source.with_name(f"{name}.ckpt.{data}").read_bytes()
    written, original = (list(read_table(FileSource(f"{path}.index"))) for path in (tmp_path / "a.ckpt", source))
    assert written == original


@pytest.mark.parametrize("name", ["partitioned", "sharded"])
def test_slices_and_shards_become_whole(name, tmp_path):
    before = FORMAT.read(Location(FIXTURES / f"{name}.ckpt")).tensors
    after = write(before, tmp_path / "a.ckpt")
    assert list(after) == list(before)
    for key, tensor in before.items():
        assert_same(after[key], tensor)


def test_names_are_sorted_by_their_bytes(tmp_path):
    names = ["b", "a/b", "a", "ä", "a\0", "B", "\U0001f600", "\uffff"]
    assert list(write({n: strings(n.encode()) for n in names}, tmp_path / "a.ckpt")) == sorted(names, key=str.encode)


def test_an_index_of_several_blocks(tmp_path):
    made = {f"{'long ' * 40}{number}": ArrayTensor(np.array(number)) for number in range(3000)}
    found = write(made, tmp_path / "a.ckpt")
    assert len(found) == 3000
    assert all(found[name].numpy() == tensor.numpy() for name, tensor in made.items())


def test_no_tensors_at_all(tmp_path):
    assert write({}, tmp_path / "a.ckpt") == {}


def test_views_are_written_as_they_are_seen(tmp_path):
    view = ArrayTensor(np.arange(6.0).reshape(2, 3), "w").transposed((1, 0)).reshaped((6,))
    assert write({"w": view}, tmp_path / "a.ckpt")["w"].numpy().tolist() == [0, 3, 1, 4, 2, 5]


# Slices


ROWS = np.arange(28, dtype=np.float32).reshape(7, 4)


def parts(*boxes):
    """Of ROWS, each where it begins and ends along both dimensions."""
    return [Part((a, c), ArrayTensor(ROWS[a:b, c:d])) for a, b, c, d in boxes]


def partitioned(*boxes):
    return PartitionedTensor("w", ALL["float32"], (7, 4), parts(*boxes))


def sliced_and_whole(folder):
    """A slot in part, a variable in all of its parts and a tensor in one piece, as a Saver writes them."""
    made = Writer(folder, "in.ckpt").add("whole", ROWS)
    made.add_slices("w/Adam", (7, 4), [(box((3, 2), (1, 3)), ROWS[3:5, 1:]), (box((6, 1), (2, 2)), ROWS[6:, 2:])])
    made.add_slices("w", (7, 4), [(box((0, 3), (0, 4)), ROWS[:3]), (box((3, 4), (0, 4)), ROWS[3:])])
    return made.write()


def test_slices_of_which_others_are_missing_are_written_as_they_were(tmp_path):
    source = sliced_and_whole(tmp_path)
    found = write(FORMAT.read(Location(source)).tensors, tmp_path / "out.ckpt")
    before, after = (read_bundle(FileSource(f"{tmp_path}/{name}.ckpt.index")) for name in ("in", "out"))
    slot = {key: entry for key, entry in before.slices.items() if b"Adam" in key}
    assert after.entries["w/Adam"] == before.entries["w/Adam"]
    assert list(after.slices) == list(slot)
    assert [entry.crc32c for entry in after.slices.values()] == [entry.crc32c for entry in slot.values()]
    assert not after.entries["w"].slices
    assert np.array_equal(found["w"].numpy(), ROWS)
    assert found["w/Adam"].present == 8
    assert [part.start for part in found["w/Adam"].parts] == [(3, 1), (6, 2)]
    assert np.array_equal(found["w/Adam"].section("part", (6, 2), (1, 2)).numpy(), ROWS[6:, 2:])


def test_slices_lie_in_the_data_file_of_their_turn(tmp_path):
    tensors = FORMAT.read(Location(sliced_and_whole(tmp_path))).tensors
    with FORMAT.sink(tmp_path / "many.ckpt", shard_size=100) as sink:
        FORMAT.write(Model("test", tensors=tensors), sink)
    assert (tmp_path / "many.ckpt.data-00001-of-00003").stat().st_size == 8 * 4
    found = FORMAT.read(Location(tmp_path / "many.ckpt")).tensors["w/Adam"]
    assert np.array_equal(found.section("part", (3, 1), (2, 3)).numpy(), ROWS[3:5, 1:])


def test_slices_of_strings_and_of_nothing(tmp_path):
    kept = [Part((2,), strings(b"c", b"d")), Part((4,), strings())]
    found = write({"t": PartitionedTensor("t", STRING, (9,), kept)}, tmp_path / "a.ckpt")["t"]
    assert [(part.start, part.tensor.numpy().tolist()) for part in found.parts] == [((2,), [b"c", b"d"])]


def test_slices_of_several_names_are_written_once(tmp_path):
    tensor = partitioned((0, 3, 0, 4))
    write({"a": tensor, "b": tensor}, tmp_path / "a.ckpt")
    assert (tmp_path / "a.ckpt.data-00000-of-00001").stat().st_size == 48


@pytest.mark.parametrize(
    ("boxes", "said"), [([], "0 of its 28 elements"), ([(0, 1, 0, 4), (0, 1, 0, 4)], "slices is there twice")]
)
def test_a_tensor_without_slices_or_with_one_twice_is_named(boxes, said, tmp_path):
    with pytest.raises(CorruptError, match=f"'w'.*{said}"):
        write({"w": partitioned(*boxes)}, tmp_path / "out.ckpt")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("name", "dtype", "said"),
    [
        ("w", "float8_e8m0fnu", r"no type for w \(float8_e8m0fnu\)"),
        ("", "float32", "not empty"),
        ("\0slice", "float32", "zero byte"),
        ("n" * 70000, "float32", "at most"),
        ("\ud800", "float32", "Unicode"),
    ],
)
def test_what_a_checkpoint_cannot_hold(name, dtype, said, tmp_path):
    with pytest.raises(UnsupportedError, match=said):
        write({name: ArrayTensor(np.zeros(2, ALL[dtype].numpy))}, tmp_path / "out.ckpt")
    assert not list(tmp_path.iterdir())


def test_damaged_bytes_are_found_while_they_pass(tmp_path):
    prefix = Writer(tmp_path).add("w", np.ones(4, np.float32), crc32c=1).write()
    tensors = FORMAT.read(Location(prefix)).tensors
    with pytest.raises(CorruptError, match="'w' does not meet its checksum"):
        write(tensors, tmp_path / "out.ckpt")
    assert not list(tmp_path.glob("*out*"))


# Several names, several files


def test_a_tensor_under_several_names_is_written_once(tmp_path):
    tied, other = ArrayTensor(np.ones(1000, np.float32)), ArrayTensor(np.zeros(3))
    found = write({"a": tied, "b": other, "c": tied}, tmp_path / "a.ckpt")
    assert (tmp_path / "a.ckpt.data-00000-of-00001").stat().st_size == 4000 + 24
    assert found["a"] is found["c"]
    assert found["b"] is not found["a"]
    assert found["c"].numpy().tolist() == [1.0] * 1000


@pytest.mark.parametrize(("most", "files"), [(1, 5), (40, 4), (10**9, 1)])
def test_data_are_split_by_size_and_never_a_tensor(most, files, tmp_path):
    arrays = {f"t{n}": np.arange(n * 4, dtype=np.float32) for n in range(4)}
    tensors = {name: ArrayTensor(array) for name, array in arrays.items()}
    tensors["t1_again"] = tensors["t1"]
    tensors["texts"] = strings(b"long" * 100)
    with FORMAT.sink(tmp_path / "many.ckpt", shard_size=most) as sink:
        FORMAT.write(Model("test", tensors=tensors), sink)
    data = sorted(path.name for path in tmp_path.glob("many.ckpt.data-*"))
    assert data == [f"many.ckpt.data-{n:05d}-of-{files:05d}" for n in range(files)]
    assert str(sink.files[-1]).endswith("many.ckpt.index")
    model = FORMAT.read(Location(tmp_path / "many.ckpt"))
    assert model.metadata["shards"] == files
    assert set(model.tensors) == set(tensors)
    assert model.tensors["t1"] is model.tensors["t1_again"]
    for name, tensor in tensors.items():
        assert_same(model.tensors[name], tensor)
