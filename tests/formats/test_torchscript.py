from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import pytest
from tests.damage import assert_survives, contents_of
from tests.torchscript_files import FLOATS, archive, net, of_class, old_archive, pickled, view

import panmodel as pm
from panmodel.errors import CorruptError, PanmodelError, UnsafeError
from panmodel.formats import detect, torchscript
from panmodel.io.source import Location
from panmodel.model.tensor import StoredTensor

MAKERS = {"pickled": archive, "json": old_archive}
METHODS = {"stored": zipfile.ZIP_STORED, "deflated": zipfile.ZIP_DEFLATED}


@pytest.mark.parametrize("maker", MAKERS)
@pytest.mark.parametrize("method", METHODS)
def test_tensors_are_what_was_stored(tmp_path: Path, maker: str, method: str) -> None:
    location = MAKERS[maker](tmp_path / "net.pt", method=METHODS[method])
    assert detect(location) is torchscript.FORMAT
    model = torchscript.read(location)
    np.testing.assert_array_equal(model.tensors["conv.weight"].numpy(), FLOATS.reshape(3, 4))
    np.testing.assert_array_equal(model.tensors["mean"].numpy(), FLOATS.reshape(3, 4).T)
    constant = model.tensors["CONSTANTS.c0" if maker == "pickled" else "CONSTANTS.c3"]
    assert constant.numpy().tobytes() == np.float32(0.5).tobytes()
    assert isinstance(model.tensors["conv.weight"], StoredTensor) is (method == "stored")
    assert model.structure is None


def test_a_module_under_two_names_has_the_same_tensors(tmp_path: Path) -> None:
    tensors = torchscript.read(archive(tmp_path / "net.pt")).tensors
    assert tensors["conv.weight"] is tensors["again.weight"]


def test_the_file_says_what_it_is(tmp_path: Path) -> None:
    extra = {"extra/labels.txt": "cat", "bytecode.pkl": b"N.", ".data/serialization_id": "7", "byteorder": "little"}
    metadata = torchscript.read(archive(tmp_path / "net.pt", extra=extra)).metadata
    assert set(metadata.pop("code")) == {"code/__torch__.py", "code/__torch__/layers/___torch_mangle_7.py"}  # type: ignore[attr-defined]
    assert metadata.pop("module_tree")[""]["class"] == "Net"  # type: ignore[attr-defined]
    assert metadata == {
        "framework": "pytorch",
        "class": "Net",
        "container_version": 3,
        "constants": 1,
        "attributes": ["anchors.0"],
        "values": {"sizes": [1, 2], "labels.a": 1, "mode": "fast"},
        "bytecode": True,
        "extra_files": ["labels.txt"],
        "serialization_id": "7",
    }


def test_big_endian_storages(tmp_path: Path) -> None:
    location = archive(tmp_path / "net.pt", extra={"byteorder": "big"})
    found = torchscript.read(location).tensors["conv.weight"].numpy()
    np.testing.assert_array_equal(found.reshape(-1), FLOATS.view(">f4"))


@pytest.mark.parametrize("maker", MAKERS)
@pytest.mark.parametrize("target", ["out.safetensors", "out.pt", "out.npz"])
def test_weights_move_bit_by_bit(tmp_path: Path, maker: str, target: str) -> None:
    location = MAKERS[maker](tmp_path / "net.pt")
    pm.convert(location.path, tmp_path / target, weights_only=True)
    assert contents_of(pm.read(tmp_path / target)) == contents_of(torchscript.read(location))


def test_what_is_not_kept_is_said(tmp_path: Path) -> None:
    value = of_class("Net", {"w": view(), "table": [0] * 2000})
    notices = torchscript.read(archive(tmp_path / "net.pt", value)).notices
    assert [(notice.kind, notice.names) for notice in notices] == [("metadata-lost", ("table",))]


def test_foreign_names_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UnsafeError, match=r"os\.system") as caught:
        torchscript.read(archive(tmp_path / "net.pt", of_class("system", "true", "os")))
    assert caught.value.exit_code == 5
    with pytest.raises(CorruptError, match="main module is a list"):
        torchscript.read(archive(tmp_path / "net.pt", [view()]))


def test_other_archives_are_not_taken_for_it(tmp_path: Path) -> None:
    for members in (["a/data.pkl"], ["a.npy"], ["config.json"], ["a/archive_format", "a/models/model.json"]):
        with zipfile.ZipFile(tmp_path / "a.pt", "w") as file:
            for member in members:
                file.writestr(member, b"")
        assert not torchscript.sniff(Location(tmp_path / "a.pt")), members
    (tmp_path / "a.pt").write_bytes(b"\x80\x02}.")
    assert not torchscript.sniff(Location(tmp_path / "a.pt"))


@pytest.mark.parametrize("maker", MAKERS)
def test_a_damaged_file_is_told_by_its_first_member(tmp_path: Path, maker: str) -> None:
    location = MAKERS[maker](tmp_path / "net.pt")
    location.path.write_bytes(location.path.read_bytes()[:-30])
    assert detect(location) is torchscript.FORMAT
    with pytest.raises(PanmodelError, match="cut short"):
        torchscript.read(location)


@pytest.mark.parametrize("maker", MAKERS)
def test_every_damage_is_found(tmp_path: Path, maker: str) -> None:
    location = MAKERS[maker](tmp_path / "net" / "net.pt")
    assert_survives(lambda copy: contents_of(torchscript.read(Location(copy))), location.path, exact=True)


def test_the_pickle_itself_survives_damage(tmp_path: Path) -> None:
    """Behind a valid CRC-32, as an attacker would write it."""
    path = tmp_path / "net" / "data.pkl"
    path.parent.mkdir()
    path.write_bytes(pickled(net()))

    def read_all(copy: Path) -> object:
        damaged = copy.with_name("net.pt")
        with zipfile.ZipFile(damaged, "w") as file:
            file.writestr("net/data/0", FLOATS.tobytes())
            file.writestr("net/data/1", np.float32(7).tobytes())
            file.writestr("net/data.pkl", b"\x80\x02" + copy.read_bytes() + b".")
            file.writestr("net/constants.pkl", b"\x80\x02).")
        return contents_of(torchscript.read(Location(damaged)))

    assert_survives(read_all, path)


def test_the_description_itself_survives_damage(tmp_path: Path) -> None:
    """Behind a valid CRC-32, as an attacker would write it."""
    made = old_archive(tmp_path / "made" / "net.pt").path
    path = tmp_path / "net" / "model.json"
    path.parent.mkdir()
    with zipfile.ZipFile(made) as file:
        path.write_bytes(file.read("net/model.json"))

    def read_all(copy: Path) -> object:
        text = copy.read_bytes().decode("latin-1")
        return contents_of(torchscript.read(old_archive(copy.with_name("net.pt"), text or " ")))

    assert_survives(read_all, path)
