import math

import numpy as np
import pytest

from panmodel import dtypes
from panmodel.errors import UnsupportedError
from panmodel.io.sink import Sink
from panmodel.io.source import FileSource
from panmodel.model.tensor import ArrayTensor, DeferredTensor
from panmodel.wire.hdf5 import read_file
from panmodel.wire.hdf5.writing import NewDataset, NewGroup, is_link_name, save

h5py = pytest.importorskip("h5py")


def dataset(array, **attributes):
    return NewDataset(ArrayTensor(np.asarray(array)), attributes)


def written(folder, root):
    path = folder / "file.h5"
    with Sink(path, force=True) as sink:
        save(root, sink.open())
    return h5py.File(path, "r")


def bits_of(dtype, shape):
    random = np.random.default_rng(5)
    codes = random.integers(0, 2 if dtype is dtypes.BOOL else 256, (*shape, dtype.itemsize), np.uint8)
    if dtype.bits < 8:
        codes &= (1 << dtype.bits) - 1
        if dtype.kind == "i":
            codes = np.where(codes >> (dtype.bits - 1), codes | (0xFF << dtype.bits & 0xFF), codes).astype(np.uint8)
    return codes.reshape(*shape[:-1], shape[-1] * dtype.itemsize).view(dtype.numpy)


@pytest.mark.parametrize("name", [name for name, dtype in dtypes.ALL.items() if dtype.bits])
@pytest.mark.parametrize("shape", [(3, 5), (1,), (0, 4)])
def test_elements_keep_their_bits(tmp_path, name, shape):
    dtype = dtypes.ALL[name]
    array = bits_of(dtype, shape)
    file = written(tmp_path, NewGroup({"x": NewDataset(ArrayTensor(array, dtype=dtype))}))
    found = file["x"]
    assert found.shape == shape
    assert found[()].tobytes() == array.tobytes()
    native = found.dtype.kind != "V" and not name.startswith("q")
    assert found.dtype == dtype.numpy if native else found.attrs["dtype"] == name


def test_nan_payloads_and_negative_zero_stay(tmp_path):
    array = np.array([0x7FC00001, 0xFF800001, 0x80000000], np.uint32).view(np.float32)
    assert written(tmp_path, NewGroup({"x": dataset(array)}))["x"][()].tobytes() == array.tobytes()


def test_scalars(tmp_path):
    found = written(tmp_path, NewGroup({"x": dataset(np.float64(2.5))}))["x"]
    assert (found.shape, found[()]) == ((), 2.5)


def test_strings(tmp_path):
    texts, raw = np.array([["a", ""], ["zwölf", "x" * 100_000]], object), np.array([b"\xff", b"", b"b"], object)
    file = written(tmp_path, NewGroup({"texts": dataset(texts), "raw": dataset(raw), "none": dataset(texts[:0])}))
    assert file["texts"].asstr()[()].tolist() == texts.tolist()
    assert file["raw"][()].tolist() == raw.tolist()
    assert file["none"].shape == (0, 2)


def test_many_strings_fill_many_heaps(tmp_path):
    texts = np.array([str(n) * (n % 50) for n in range(70_000)], object)
    assert written(tmp_path, NewGroup({"x": dataset(texts)}))["x"].asstr()[()].tolist() == texts.tolist()


def test_data_can_be_mapped(tmp_path):
    members = {f"t{n}": dataset(np.arange(n, dtype=np.uint8)) for n in range(1, 20)}
    file = written(tmp_path, NewGroup(members))
    assert {file[name].id.get_offset() % 64 for name in members} == {0}


@pytest.mark.parametrize("count", [0, 1, 8, 9, 256, 257, 3000])
def test_groups_of_any_size(tmp_path, count):
    members = {f"m{n * 7919 % 100_003}": dataset(np.int32(n)) for n in range(count)}
    file = written(tmp_path, NewGroup({"group": NewGroup(members)}))
    assert sorted(file["group"]) == sorted(members)
    assert all(file["group"][name][()] == members[name].tensor.numpy() for name in members)
    assert "nothing" not in file["group"]


def test_a_dataset_under_two_names_is_written_once(tmp_path):
    shared = dataset(np.arange(1000))
    root = NewGroup({"a": NewGroup({"x": shared}), "z": NewGroup({"y": shared}), "x": shared})
    file = written(tmp_path, root)
    assert file["a/x"] == file["z/y"] == file["x"]
    assert (tmp_path / "file.h5").stat().st_size < 12_000


def test_attributes(tmp_path):
    values = {
        "text": "hé",
        "raw": b"raw",
        "long": "x" * 200_000,
        "empty": "",
        "int": -3,
        "uint": (1 << 64) - 1,
        "float": 0.1,
        "bool": True,
        "bytes": np.array([b"ab", b"c"]),
        "texts": np.array(["a", "é"], object),
        "none": np.zeros(0),
        "array": np.arange(6, dtype=">f4").reshape(2, 3),
    }
    file = written(tmp_path, NewGroup({"x": dataset(1, dtype="mine")}, {"größe": 1, **values}))
    found = dict(file.attrs)
    assert (found["text"], found["raw"], found["empty"], found["long"]) == ("hé", "raw", "", values["long"])
    assert (found["int"], found["uint"], found["float"]) == (-3, (1 << 64) - 1, 0.1)
    assert found["bool"].dtype == bool
    assert found["bool"]
    assert found["bytes"].tolist() == [b"ab", b"c"]
    assert found["texts"].tolist() == ["a", "é"]
    assert found["none"].shape == (0,)
    assert np.array_equal(found["array"], values["array"])
    assert found["größe"] == 1
    assert file["x"].attrs["dtype"] == "mine"


def test_the_file_can_be_extended_by_the_library(tmp_path):
    members = {f"m{n}": dataset(np.int32(n)) for n in range(40)}
    written(tmp_path, NewGroup({"group": NewGroup(members)}, {"a": "text"})).close()
    with h5py.File(tmp_path / "file.h5", "a") as file:
        for n in range(200):
            file["group"].create_dataset(f"k{n}", data=n)
        del file["group/m3"]
        file.attrs["b"] = "x" * 10_000
    with h5py.File(tmp_path / "file.h5", "r") as file:
        assert len(file["group"]) == 239
        assert file["group/k199"][()] == 199
        assert file["group/m39"][()] == 39
        assert file.attrs["a"] == "text"


@pytest.mark.parametrize(
    ("root", "says"),
    [
        (NewGroup({"a/b": NewGroup()}), "'a/b'"),
        (NewGroup({"g": NewGroup({"": NewGroup()})}), "''"),
        (NewGroup({"x": NewDataset(DeferredTensor("x", dtypes.VARIANT, (2,), list))}), "'x' (variant)"),
        (NewGroup({"x": dataset(1, text="a\0b")}), "zero byte"),
        (NewGroup({"x": dataset(np.zeros((1,) * 33))}), "33 dimensions"),
        (NewGroup({"x": dataset(1, big=np.zeros(10_000))}), "'big' has 80"),
        (NewGroup({"x": dataset(1, when=np.zeros(2, "M8[s]"))}), "no type for datetime64"),
        (NewGroup({"x": dataset(1, **{"": 1})}), "can be called ''"),
    ],
)
def test_what_has_no_room_is_refused_before_anything_is_written(tmp_path, root, says):
    sink = Sink(tmp_path / "file.h5")
    file = sink.open()
    with pytest.raises(UnsupportedError) as caught:
        save(root, file)
    assert says in str(caught.value)
    assert file.position == 0
    sink.discard()


def test_strings_with_zero_bytes_are_sequences_of_bytes(tmp_path):
    items = [b"a\0b", b"\0", b"", b"end\0\0", b"text\0"]
    with Sink(tmp_path / "file.h5") as sink:
        save(NewGroup({"x": dataset(np.array(items, object))}), sink.open())
    found = read_file(FileSource(tmp_path / "file.h5")).members["x"]
    assert found.dtype is dtypes.STRING
    assert found.numpy().tolist() == items
    h5py = pytest.importorskip("h5py")
    with h5py.File(tmp_path / "file.h5") as file:
        assert [item.tobytes() for item in file["x"][:]] == items


def test_names_of_links():
    assert all(map(is_link_name, ("a", "a:0", "..", "ü", "a.b", " ")))
    assert not any(map(is_link_name, ("", ".", "a/b", "a\0b", "\udc80")))


def test_pieces_are_written_as_they_come(tmp_path):
    class Pieces(ArrayTensor):
        def numpy(self):
            raise AssertionError

        def chunks(self, nbytes=0):
            for _ in range(100):
                yield memoryview(b"abcd" * 25)

    file = written(tmp_path, NewGroup({"x": NewDataset(Pieces(np.zeros((100, 100), np.uint8)))}))
    assert file["x"][()].tobytes() == b"abcd" * 2500


def test_deep_groups(tmp_path):
    root = inner = NewGroup()
    for _ in range(60):
        inner.members["g"] = inner = NewGroup()
    inner.members["x"] = dataset(np.arange(3))
    assert math.prod(written(tmp_path, root)["g/" * 60 + "x"].shape) == 3
