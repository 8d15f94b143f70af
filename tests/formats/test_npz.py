from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.damage import assert_survives, contents_of

import panmodel as pm
from panmodel.dtypes import ALL
from panmodel.errors import CorruptError, UnsafeError, UnsupportedError
from panmodel.formats import npz
from panmodel.io.sink import Sink
from panmodel.io.source import Location
from panmodel.model.model import Model
from panmodel.model.tensor import ArrayTensor, Tensor, unpack

ARRAYS = {
    "layer/kernel": np.asfortranarray(np.arange(6, dtype=">f4").reshape(2, 3)),
    "bias": np.array([1.5, -0.0, np.nan]),
    "scalar": np.array(7),
    "empty": np.zeros((0, 3), np.float16),
}


def written(path: Path, tensors: dict[str, Tensor]) -> Path:
    with Sink(path, force=True) as sink:
        npz.write(Model("test", tensors=tensors), sink)
    return path


def read(path: Path) -> Model:
    return npz.read(Location(path))


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_arrays_of_numpy_are_read(tmp_path: Path, save) -> None:
    save(tmp_path / "a.npz", **ARRAYS)
    assert npz.sniff(Location(tmp_path / "a.npz"))
    model = read(tmp_path / "a.npz")
    assert list(model.tensors) == list(ARRAYS)
    for name, array in ARRAYS.items():
        np.testing.assert_array_equal(model.tensors[name].numpy(), array)
    assert (model.tensors["bias"].extent is not None) == (save is np.savez)


def test_every_type_comes_back_bit_for_bit(tmp_path: Path) -> None:
    chance = np.random.default_rng(0)
    tensors = {}
    for name, dtype in ALL.items():
        if dtype.bits:
            stored = chance.integers(0, 2 if name == "bool" else 256, dtype.nbytes(15), dtype=np.uint8)
            tensors[name] = ArrayTensor(unpack(stored, dtype, (3, 5)), name, dtype=dtype)
    path = written(tmp_path / "a.npz", tensors)
    assert contents_of(read(path)) == contents_of(Model("test", tensors=tensors))
    assert read(path).notices == []
    with np.load(path, allow_pickle=False) as loaded:
        assert set(loaded.files) == set(tensors)
        assert all(loaded[name].shape == (3, 5) for name in loaded.files)


def test_elements_are_aligned(tmp_path: Path) -> None:
    model = read(written(tmp_path / "a.npz", {"a": ArrayTensor(np.zeros(3)), "bcd": ArrayTensor(np.zeros(5))}))
    assert [tensor.extent.offset % 64 for tensor in model.tensors.values()] == [0, 0]


NAMES = st.text(
    alphabet=st.one_of(st.sampled_from("a/.\\:%~\0é\u0301"), st.characters(exclude_categories=())), max_size=8
)


@given(st.lists(NAMES, unique=True, max_size=6))
def test_any_names_come_back(tmp_path_factory, names) -> None:
    path = tmp_path_factory.getbasetemp() / "names.npz"
    written(path, {name: ArrayTensor(np.array(place)) for place, name in enumerate(names)})
    assert npz.sniff(Location(path))
    assert [(name, int(t.numpy())) for name, t in read(path).tensors.items()] == list(
        zip(names, range(9), strict=False)
    )


def test_names_that_archives_can_have_are_seen_by_numpy(tmp_path: Path) -> None:
    names = ["conv/kernel", "日本", "", "a.npy", "x:0"]
    path = written(tmp_path / "a.npz", {name: ArrayTensor(np.array(1)) for name in names})
    with np.load(path) as loaded:
        assert loaded.files == names


def test_the_training_of_tensorflow_1_is_found(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", **{"w": np.zeros(2), "w/Momentum": np.ones(2), "global_step": np.array(5)})
    training = read(tmp_path / "a.npz").training
    assert training is not None
    assert (training.step, training.optimizer, list(training.slots)) == (5, "momentum", ["w"])


def test_slots_of_zeros_may_be_compressed_as_far_as_they_can(tmp_path: Path) -> None:
    np.savez_compressed(tmp_path / "a.npz", zeros=np.zeros(3_000_000))
    assert sum(len(piece) for piece in read(tmp_path / "a.npz").tensors["zeros"].chunks()) == 24_000_000


def test_flipped_bits_are_found_and_the_array_named(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", good=np.zeros(9), bad=np.ones(9))
    data = bytearray((tmp_path / "a.npz").read_bytes())
    data[read(tmp_path / "a.npz").tensors["bad"].extent.offset + 3] ^= 1
    (tmp_path / "a.npz").write_bytes(data)
    model = read(tmp_path / "a.npz")
    model.tensors["good"].numpy()
    with pytest.raises(CorruptError, match="'bad'"):
        model.tensors["bad"].numpy()


def test_pickled_objects_and_foreign_members_are_refused_by_name(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", harmful=np.array([{}], object), date=np.zeros(1, "M8[s]"))
    with pytest.raises(UnsafeError, match=r"harmful\.npy"):
        read(tmp_path / "a.npz")
    with zipfile.ZipFile(tmp_path / "b.npz", "w") as archive:
        archive.writestr("notes.txt", "text")
    assert not npz.sniff(Location(tmp_path / "b.npz"))
    with pytest.raises(UnsupportedError, match=r"notes\.txt"):
        read(tmp_path / "b.npz")


def test_what_is_no_tensor_is_left_out_beside_others(tmp_path: Path) -> None:
    strange = {"config": np.array([{}], object), "saved": np.zeros(1, "M8[s]"), "read": np.zeros(2, "M8[s]")}
    np.savez(tmp_path / "a.npz", fine=np.ones(1), **strange)  # type: ignore[arg-type]
    model = read(tmp_path / "a.npz")
    assert model.tensors["fine"].numpy().tolist() == [1.0]
    assert list(model.tensors) == ["fine"]
    objects, times = model.notices
    assert objects.names == ("config",) and "pickled" in str(objects)
    assert times.names == ("saved", "read") and "M8[s]" in str(times)


@pytest.mark.parametrize("length", [100, 245, 246, 247, 300, 60_000])
@pytest.mark.parametrize("version", [1, 2, 3])
def test_headers_may_be_of_any_length(tmp_path: Path, version: int, length: int) -> None:
    text = b"{'descr': '<f4', 'fortran_order': False, 'shape': (2,), }".ljust(length - 1) + b"\n"
    data = b"\x93NUMPY" + bytes([version, 0]) + length.to_bytes(2 if version == 1 else 4, "little") + text
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.writestr("a.npy", data + np.float32([1, 2]).tobytes())
    assert read(tmp_path / "a.npz").tensors["a"].numpy().tolist() == [1, 2]


def test_folders_in_between_are_no_arrays(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", **ARRAYS)
    with zipfile.ZipFile(tmp_path / "a.npz", "a") as archive:
        archive.writestr("layer/", b"")
    assert npz.sniff(Location(tmp_path / "a.npz"))
    assert list(read(tmp_path / "a.npz").tensors) == list(ARRAYS)
    with zipfile.ZipFile(tmp_path / "b.npz", "w") as archive:
        archive.writestr("layer/", b"")
    assert not npz.sniff(Location(tmp_path / "b.npz"))


def test_two_arrays_of_one_name_are_refused(tmp_path: Path) -> None:
    path = written(tmp_path / "a.npz", {"a//b": ArrayTensor(np.array(1))})
    with zipfile.ZipFile(path) as archive:
        content = archive.read("a%2F%2Fb.npy")
    with zipfile.ZipFile(tmp_path / "b.npz", "w") as archive:
        archive.writestr("one.npy", content)
        archive.writestr("two.npy", content)
    with pytest.raises(CorruptError, match="two arrays"):
        read(tmp_path / "b.npz")


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed, None])
def test_damage_is_found(tmp_path: Path, save) -> None:
    path = tmp_path / "a.npz"
    if save is None:
        written(path, {"a//b": ArrayTensor(np.arange(9.0)), "é": ArrayTensor(np.array([1, 2], np.int8))})
    else:
        save(path, kernel=np.arange(20, dtype=">f4").reshape(4, 5), bias=np.zeros(2))
    assert_survives(lambda copy: contents_of(read(copy)), path, exact=True, cuts=100)


@pytest.mark.parametrize("target", ["b.npz", "b.npy", "b.h5"])
def test_elements_that_others_take_for_opaque_are_said(tmp_path: Path, target: str) -> None:
    np.savez(tmp_path / "a.npz", w=np.ones(3, np.float32))
    assert pm.convert(tmp_path / "a.npz", tmp_path / target).notices == []
    cast, said = pm.convert(tmp_path / "a.npz", tmp_path / target, dtype="bfloat16", force=True).notices
    assert (cast.kind, said.kind, said.names) == ("cast", "read-otherwise", ("bfloat16",))
