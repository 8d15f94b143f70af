from contextlib import suppress

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.checkpoints import FIXTURES, NAMES, Writer, box, expected, shape_proto, with_big_endian, with_snappy

from panmodel.dtypes import BY_TENSORFLOW
from panmodel.errors import CorruptError, LimitError, MissingFileError, PanmodelError, TruncatedError, UnsupportedError
from panmodel.io.source import FileSource
from panmodel.model.tensor import StoredTensor
from panmodel.model.tensorflow.bundle import read_bundle_tensors
from panmodel.wire.sstable import encode_table, read_table
from panmodel.wire.tensorflow_messages import TensorShapeProto

ROWS = np.arange(28, dtype=np.float32).reshape(7, 4)


def content(prefix):
    def shard(number, count):
        return FileSource(f"{prefix}.data-{number:05d}-of-{count:05d}")

    return read_bundle_tensors(FileSource(f"{prefix}.index"), shard)


def assert_same(tensors, values):
    assert set(tensors) == set(values)
    for name, value in values.items():
        found = tensors[name].numpy()
        assert found.shape == tensors[name].shape == value.shape, name
        if tensors[name].dtype.name == "bfloat16":
            found = found.astype(np.float32)
        assert found.dtype == value.dtype, name
        assert found.tobytes() == value.tobytes() if found.dtype != object else found.tolist() == value.tolist(), name


@pytest.mark.parametrize("name", NAMES)
def test_values_are_those_that_tensorflow_held(name):
    assert_same(content(FIXTURES / f"{name}.ckpt").tensors, expected(name))


@pytest.mark.parametrize("rewrite", [with_big_endian, with_snappy])
@pytest.mark.parametrize("name", ["dtypes", "partitioned", "trained"])
def test_values_do_not_depend_on_byte_order_or_compression(name, rewrite, tmp_path):
    rewrite(FIXTURES / f"{name}.ckpt", tmp_path / "again.ckpt")
    assert_same(content(tmp_path / "again.ckpt").tensors, expected(name))


def test_element_types_are_those_of_the_variables():
    tensors = content(FIXTURES / "dtypes.ckpt").tensors
    named = {name for name in tensors if name in {dtype.name for dtype in BY_TENSORFLOW.values()}}
    assert len(named) == 20
    assert all(tensors[name].dtype.name == name for name in named)


def test_tensors_are_in_the_order_of_the_file():
    assert list(content(FIXTURES / "trained.ckpt").tensors) == sorted(expected("trained"))


@pytest.mark.parametrize("name", NAMES)
def test_pieces_are_the_bytes_of_the_array(name):
    for tensor in content(FIXTURES / f"{name}.ckpt").tensors.values():
        if tensor.dtype.bits:
            assert b"".join(bytes(piece) for piece in tensor.chunks(32)) == tensor.numpy().tobytes()


@pytest.mark.parametrize("dtype", [d for d in BY_TENSORFLOW.values() if d.bits], ids=repr)
@pytest.mark.parametrize("big_endian", [False, True])
def test_every_type_of_a_fixed_width_is_read(dtype, big_endian, tmp_path):
    array = np.array([[0, 1, 1], [1, 0, 1]]).astype(dtype.numpy)
    prefix = Writer(tmp_path).add("v", array.view(np.uint8), dtype=dtype.tensorflow, shape=shape_proto((2, 3))).write()
    if big_endian:
        with_big_endian(prefix, prefix)
    tensor = content(prefix).tensors["v"]
    assert (tensor.dtype, tensor.shape) == (dtype, (2, 3))
    assert tensor.numpy().dtype == array.dtype
    assert tensor.numpy().tobytes() == array.tobytes()


def test_small_types_take_a_byte_each(tmp_path):
    import ml_dtypes

    array = np.array([-8, -1, 0, 7], ml_dtypes.int4)
    tensor = content(Writer(tmp_path).add("small", array).write()).tensors["small"]
    assert tensor.dtype.name == "int4"
    assert tensor.numpy().astype(int).tolist() == [-8, -1, 0, 7]
    assert bytes(next(tensor.chunks())) == b"\xf8\x70"


# Slices


@given(st.data())
def test_any_grid_of_slices_is_put_together(tmp_path_factory, data):
    shape = data.draw(st.tuples(st.integers(1, 5), st.integers(1, 5), st.integers(1, 3)))
    whole = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
    cuts = [[0, *sorted(data.draw(st.sets(st.integers(1, size)) if size else st.just(set()))), size] for size in shape]
    parts = {}
    for i, j, k in np.ndindex(*(len(cut) - 1 for cut in cuts)):
        spans = [(cut[n], cut[n + 1]) for cut, n in zip(cuts, (i, j, k), strict=True)]
        where = tuple((a, b - a) for a, b in spans)
        parts[where] = whole[tuple(slice(a, b) for a, b in spans)]
    pairs = data.draw(st.permutations([(box(*where), array) for where, array in parts.items()]))
    prefix = Writer(tmp_path_factory.mktemp("grid")).add_slices("v", shape, pairs).write()
    tensor = content(prefix).tensors["v"]
    assert tensor.is_complete
    assert np.array_equal(tensor.numpy(), whole)
    assert b"".join(bytes(piece) for piece in tensor.chunks()) == whole.tobytes()


def test_partly_covered_tensors_are_listed_and_cannot_be_read(tmp_path):
    prefix = Writer(tmp_path).add_slices("w/Momentum", (7, 4), [(box((0, 3), None), ROWS[:3])]).write()
    found = content(prefix)
    assert found.tensors["w/Momentum"].shape == (7, 4)
    assert str(found.notices[0]).endswith("w/Momentum (12 of 28 elements: [0:3, 0:4])")
    with pytest.raises(CorruptError, match="'w/Momentum': 12 of its 28"):
        found.tensors["w/Momentum"].numpy()
    with pytest.raises(CorruptError, match="12 of its 28"):
        next(found.tensors["w/Momentum"].chunks())


def test_overlapping_slices_that_have_the_right_number_of_elements_together(tmp_path):
    parts = [(box((0, 4), None), ROWS[:4]), (box((3, 3), None), ROWS[3:6])]
    tensor = content(Writer(tmp_path).add_slices("v", (7, 4), parts).write()).tensors["v"]
    with pytest.raises(CorruptError, match="'v': its slices overlap"):
        tensor.numpy()


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ([(box((0, 9), None), ROWS)], "elements 0 to 9 of a dimension of 7"),
        ([(box((-1, 2), None), ROWS)], "elements -1 to 1"),
        ([(box((0, 7)), ROWS)], "1 dimensions"),
        ([(box((0, 7), None), None)], "announced and not there"),
        ([(box((0, 7), None), ROWS)] * 2, "announced twice"),
        ([(box((0, 7), None), ROWS[:2])], r"expected type 1, shape \[7, 4\]"),
        ([(box((0, 7), None), ROWS.astype(np.int32))], "found type|has type 3"),
    ],
)
def test_slices_that_contradict_their_tensor(tmp_path, parts, message):
    with pytest.raises(CorruptError, match=message):
        content(Writer(tmp_path).add_slices("v", (7, 4), parts).write())


# Entries that cannot be true


@pytest.mark.parametrize(
    ("wrong", "error", "message"),
    [
        ({"offset": 1}, TruncatedError, "'v' lies at bytes 1 to 113 of 112"),
        ({"offset": -8}, TruncatedError, "-8"),
        ({"size": 111}, CorruptError, "needs 112"),
        ({"size": -1}, TruncatedError, "0 to -1"),
        ({"shard_id": 1}, CorruptError, "data file 1 of 1"),
        ({"shard_id": -1}, CorruptError, "data file -1"),
        ({"shape": shape_proto((7, -4))}, CorruptError, "impossible shape"),
        ({"shape": shape_proto((0, 1 << 62))}, LimitError, "larger than any memory"),
        ({"shape": shape_proto((1 << 40, 1 << 40))}, LimitError, "larger than any memory"),
        ({"shape": shape_proto((1,) * 65)}, CorruptError, "rank"),
        ({"shape": TensorShapeProto(unknown_rank=True)}, CorruptError, "rank"),
    ],
)
def test_entries_that_cannot_be_true(tmp_path, wrong, error, message):
    with pytest.raises(error, match=message) as caught:
        content(Writer(tmp_path).add("v", ROWS, **wrong).write())
    assert "'v'" in str(caught.value)


@pytest.mark.parametrize("number", [20, 21, 99])
def test_types_that_are_not_decoded_are_listed_and_refused_when_read(tmp_path, number):
    tensor = content(Writer(tmp_path).add("odd", ROWS, dtype=number).add("v", ROWS).write()).tensors["odd"]
    assert tensor.shape == (7, 4)
    with pytest.raises(UnsupportedError, match=f"'odd'.*{number}"):
        tensor.numpy()
    with pytest.raises(UnsupportedError, match="'odd'"):
        list(tensor.chunks())


def test_shards_that_hold_nothing_are_not_needed(tmp_path):
    prefix = Writer(tmp_path, num_shards=5).add("v", ROWS).write()
    (tmp_path / "model.ckpt.data-00000-of-00001").rename(tmp_path / "model.ckpt.data-00000-of-00005")
    assert np.array_equal(content(prefix).tensors["v"].numpy(), ROWS)


def test_a_missing_shard_is_named_with_what_it_holds(tmp_path):
    for file in FIXTURES.glob("sharded.ckpt.*"):
        (tmp_path / file.name).write_bytes(file.read_bytes())
    (tmp_path / "sharded.ckpt.data-00001-of-00003").unlink()
    with pytest.raises(MissingFileError) as caught:
        content(tmp_path / "sharded.ckpt")
    assert "sharded.ckpt.data-00001-of-00003" in str(caught.value)
    assert "layer1/count, layer1/kernel" in str(caught.value)


def test_a_missing_shard_of_slices_names_the_whole_tensor(tmp_path):
    prefix = Writer(tmp_path).add_slices("v", (7, 4), [(box(None, None), ROWS)]).write()
    (tmp_path / "model.ckpt.data-00000-of-00001").unlink()
    with pytest.raises(MissingFileError, match="it holds v\n"):
        content(prefix)


# Damage with the sums put right: what somebody means to do


@pytest.mark.parametrize("name", ["dtypes", "partitioned", "trained"])
def test_forged_entries_give_an_error_or_are_read(name, tmp_path):
    rng = np.random.default_rng(5)
    source = FIXTURES / f"{name}.ckpt"
    entries = list(read_table(FileSource(f"{source}.index")))
    (tmp_path / "forged.data-00000-of-00001").write_bytes(
        (FIXTURES / f"{source.name}.data-00000-of-00001").read_bytes()
    )
    read = 0
    for _ in range(1500):
        forged = dict(entries)
        key, value = entries[rng.integers(len(entries))]
        changed = bytearray(value)
        for _ in range(rng.integers(1, 4)):
            changed[rng.integers(len(value))] = rng.integers(256)
        forged[key] = bytes(changed)
        (tmp_path / "forged.index").write_bytes(b"".join(encode_table(sorted(forged.items()))))
        with suppress(PanmodelError):
            for tensor in content(tmp_path / "forged").tensors.values():
                read += 1
                tensor.numpy()
    assert read > 300


# Damage of the payload


def test_flipped_payload_bytes_are_always_found_with_the_name_of_the_tensor(tmp_path):
    rng = np.random.default_rng(11)
    for name in ("dtypes", "partitioned", "trained"):
        data = (FIXTURES / f"{name}.ckpt.data-00000-of-00001").read_bytes()
        (tmp_path / f"{name}.ckpt.index").write_bytes((FIXTURES / f"{name}.ckpt.index").read_bytes())
        for position in rng.integers(0, len(data), 120):
            damaged = bytearray(data)
            damaged[position] ^= int(rng.integers(1, 256))
            (tmp_path / f"{name}.ckpt.data-00000-of-00001").write_bytes(damaged)
            assert_one_is_damaged(content(tmp_path / f"{name}.ckpt").tensors, expected(name))


def complaint(tensor):
    try:
        tensor.numpy()
    except CorruptError as error:
        return str(error)
    return None


def assert_one_is_damaged(tensors, values):
    messages = {name: said for name, tensor in tensors.items() if (said := complaint(tensor))}
    ((found, message),) = messages.items()
    assert repr(found) in message
    assert_same({n: t for n, t in tensors.items() if n != found}, {n: v for n, v in values.items() if n != found})


def test_pieces_are_checked_as_well(tmp_path):
    writer = Writer(tmp_path).add("v", ROWS)
    writer.payload = bytes(112)
    tensor = content(writer.write()).tensors["v"]
    assert isinstance(tensor, StoredTensor)
    with pytest.raises(CorruptError, match="'v' does not meet its checksum"):
        list(tensor.chunks(16))
