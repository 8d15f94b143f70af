from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import pytest
from tests.damage import assert_survives, contents_of
from tests.torch_export_files import (
    CONSTANTS,
    FLOATS,
    WEIGHTS,
    archive,
    listed,
    meta,
    old_archive,
    payload,
    saved,
    tensor,
)

import panmodel as pm
from panmodel.errors import CorruptError, PanmodelError, UnsafeError, UnsupportedError
from panmodel.formats import detect, torch_export
from panmodel.io.source import Location
from panmodel.model.tensor import StoredTensor
from panmodel.wire.pickle import Global, Object

METHODS = {"stored": zipfile.ZIP_STORED, "deflated": zipfile.ZIP_DEFLATED}


@pytest.mark.parametrize("method", METHODS)
def test_weights_and_constants_are_what_was_stored(tmp_path: Path, method: str) -> None:
    location = archive(tmp_path / "net.pt2", method=METHODS[method])
    assert detect(location) is torch_export.FORMAT
    model = torch_export.read(location)
    assert list(model.tensors) == ["fc.weight", "tied.weight", "fc.mean", "fc.scale", "sub", "lifted_0"]
    for name in ("fc.weight", "sub"):
        np.testing.assert_array_equal(model.tensors[name].numpy(), FLOATS.reshape(3, 4))
    np.testing.assert_array_equal(model.tensors["fc.mean"].numpy(), FLOATS.reshape(3, 4).T)
    np.testing.assert_array_equal(model.tensors["fc.scale"].numpy(), np.float16([1, 2]))
    assert model.tensors["lifted_0"].numpy() == 7
    assert model.tensors["tied.weight"] is model.tensors["fc.weight"]
    assert isinstance(model.tensors["fc.weight"], StoredTensor) is (method == "stored")


@pytest.mark.parametrize("suffix", ["pt", "json"])
@pytest.mark.parametrize("method", METHODS)
def test_archives_until_2_7(tmp_path: Path, suffix: str, method: str) -> None:
    location = old_archive(tmp_path / "net.pt2", suffix=suffix, method=METHODS[method])
    assert detect(location) is torch_export.FORMAT
    model = torch_export.read(location)
    np.testing.assert_array_equal(model.tensors["fc.weight"].numpy(), FLOATS.reshape(3, 4))
    np.testing.assert_array_equal(model.tensors["fc.mean"].numpy(), FLOATS.reshape(3, 4).T)
    np.testing.assert_array_equal(model.tensors["lifted_0"].numpy(), [0, 1])
    assert model.metadata == {"framework": "pytorch", "archive_version": "8.5", "constants": ["lifted_0"]}


def test_the_file_says_what_it_is(tmp_path: Path) -> None:
    extra = {"data/aotinductor/model/a.so": b"", "extra/labels.txt": "cat"}
    model = torch_export.read(archive(tmp_path / "net.pt2", extra=extra))
    assert model.metadata == {
        "framework": "pytorch",
        "archive_version": "0",
        "models": ["model"],
        "parameters": 3,
        "constants": ["lifted_0"],
        "objects": ["engine"],
        "native_code": ["data/aotinductor/model/a.so"],
        "extra_files": ["extra/labels.txt"],
    }
    assert [(notice.kind, notice.names) for notice in model.notices] == [("metadata-lost", ("engine",))]


def test_several_models_in_one_archive(tmp_path: Path) -> None:
    extra = {"models/b.json": "{}", "data/weights/b_weights_config.json": listed({"w": payload("weight_0", meta())})}
    tensors = torch_export.read(archive(tmp_path / "net.pt2", extra=extra)).tensors
    assert list(tensors)[-2:] == ["model.lifted_0", "b.w"]
    assert tensors["b.w"] is tensors["model.fc.weight"]


def test_all_weights_in_one_file_of_torch_save(tmp_path: Path) -> None:
    extra = {
        "data/weights/model.pt": saved({"w": tensor()}),
        "data/constants/model.pt": saved({"c": tensor((2,), (1,))}),
    }
    model = torch_export.read(archive(tmp_path / "net.pt2", {}, {}, extra=extra))
    assert contents_of(model).keys() == {"w", "c"}
    assert model.metadata["constants"] == ["c"]


def test_big_endian_weights(tmp_path: Path) -> None:
    found = torch_export.read(archive(tmp_path / "net.pt2", extra={"byteorder": "big"})).tensors["fc.weight"].numpy()
    np.testing.assert_array_equal(found.reshape(-1), FLOATS.view(">f4"))


def test_weights_without_elements_are_said(tmp_path: Path) -> None:
    model = torch_export.read(archive(tmp_path / "net.pt2", extra={"data/weights/weight_0": b""}))
    assert list(model.tensors) == ["fc.scale", "sub", "lifted_0"]
    assert ("tensors-incomplete", ("fc.weight", "tied.weight", "fc.mean")) in [(n.kind, n.names) for n in model.notices]


@pytest.mark.parametrize("maker", [archive, old_archive])
@pytest.mark.parametrize("target", ["out.safetensors", "out.pt", "out.npz"])
def test_weights_move_bit_by_bit(tmp_path: Path, maker: object, target: str) -> None:
    location = maker(tmp_path / "net.pt2")  # type: ignore[operator]
    pm.convert(location.path, tmp_path / target, weights_only=True)
    assert contents_of(pm.read(tmp_path / target)) == contents_of(torch_export.read(location))


@pytest.mark.parametrize(
    ("weights", "error", "complaint"),
    [
        ({"w": payload("weight_0", meta((4, 4)))}, CorruptError, "reaches beyond the 12 elements"),
        ({"w": payload("weight_0", meta(offset=1))}, CorruptError, "reaches beyond the 12 elements"),
        ({"w": payload("weight_0", meta((1 << 40, 1 << 40), (0, 0)))}, CorruptError, "larger than can be addressed"),
        (WEIGHTS | {"lifted_0": payload("weight_0", meta())}, UnsupportedError, "two tensors are named 'lifted_0'"),
    ],
)
def test_what_contradicts_itself_is_refused(
    tmp_path: Path, weights: object, error: type[PanmodelError], complaint: str
) -> None:
    with pytest.raises(error, match=complaint):
        torch_export.read(archive(tmp_path / "net.pt2", weights))


def test_pickles_name_nothing_foreign(tmp_path: Path) -> None:
    evil = saved({"w": tensor(), "x": Object(Global("os", "system"), ("true",))})
    with pytest.raises(UnsafeError, match=r"os\.system"):
        torch_export.read(old_archive(tmp_path / "old.pt2", evil))
    with pytest.raises(UnsafeError, match=r"os\.system"):
        torch_export.read(archive(tmp_path / "net.pt2", extra={"data/weights/weight_2": evil}))
    with pytest.raises(CorruptError, match="holds a list"):
        torch_export.read(old_archive(tmp_path / "list.pt2", saved([tensor()])))


def test_a_changed_weight_is_found_and_its_tensor_named(tmp_path: Path) -> None:
    path = archive(tmp_path / "net.pt2", constants={k: v for k, v in CONSTANTS.items() if k != "engine"}).path
    path.write_bytes(path.read_bytes().replace(FLOATS.tobytes(), (FLOATS + (FLOATS == 6)).tobytes()))
    tensors = torch_export.read(Location(path)).tensors
    for name in ("fc.weight", "fc.mean", "sub"):
        with pytest.raises(CorruptError, match="does not meet its checksum"):
            tensors[name].numpy()


def test_other_archives_are_not_taken_for_it(tmp_path: Path) -> None:
    for members in (["a/data.pkl"], ["a.npy"], ["config.json"], ["a/model.json", "a/version"], ["archive_format"]):
        with zipfile.ZipFile(tmp_path / "a.pt2", "w") as file:
            for member in members:
                file.writestr(member, b"")
        assert not torch_export.sniff(Location(tmp_path / "a.pt2")), members


@pytest.mark.parametrize("maker", [archive, old_archive])
def test_a_damaged_file_is_told_by_its_first_member(tmp_path: Path, maker: object) -> None:
    location = maker(tmp_path / "net.pt2")  # type: ignore[operator]
    location.path.write_bytes(location.path.read_bytes()[:-30])
    assert detect(location) is torch_export.FORMAT
    with pytest.raises(PanmodelError, match="end record"):
        torch_export.read(location)


@pytest.mark.parametrize("maker", [archive, old_archive])
def test_every_damage_is_found(tmp_path: Path, maker: object) -> None:
    location = maker(tmp_path / "net" / "net.pt2")  # type: ignore[operator]
    assert_survives(lambda copy: contents_of(torch_export.read(Location(copy))), location.path, exact=True)


def test_the_list_itself_survives_damage(tmp_path: Path) -> None:
    """Behind a valid CRC-32, as an attacker would write it."""
    path = tmp_path / "net" / "weights.json"
    path.parent.mkdir()
    path.write_text(listed(WEIGHTS))

    def read_all(copy: Path) -> object:
        extra = {"data/weights/model_weights_config.json": copy.read_bytes()}
        return contents_of(torch_export.read(archive(copy.with_name("net.pt2"), extra=extra)))  # type: ignore[arg-type]

    assert_survives(read_all, path)
