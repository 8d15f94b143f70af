import io
import json
import zipfile

import numpy as np
import pytest
from tests.damage import assert_survives, contents_of

import panmodel as pm
from panmodel.errors import CorruptError, LimitError, MissingFileError, UnsafeError, UnsupportedError
from panmodel.formats import detect, keras_archive, keras_hdf5
from panmodel.io.sink import Sink
from panmodel.io.source import Location
from panmodel.limits import Limits
from panmodel.model.model import Model
from panmodel.model.tensor import ArrayTensor
from panmodel.wire.hdf5 import read_file
from panmodel.wire.hdf5.writing import NewDataset, NewGroup, save

CONFIG = {
    "class_name": "Sequential",
    "config": {"layers": [{"class_name": "Dense", "config": {"name": "head"}}]},
    "compile_config": {"optimizer": {"class_name": "SGD", "config": {"learning_rate": 0.1, "momentum": 0.9}}},
}


def weights(folder):
    def variables(name, *arrays):
        members = {str(n): NewDataset(ArrayTensor(np.asarray(array))) for n, array in enumerate(arrays)}
        return NewGroup({"vars": NewGroup(members, {"name": name})})

    kernel, bias = np.arange(6, dtype=np.float32).reshape(2, 3), np.ones(3, np.float32)
    dense = variables("head", kernel, bias)
    optimizer = variables("sgd", np.int64(7), np.float32(0.05), -kernel, -bias)
    with Sink(folder / "model.weights.h5", force=True) as sink:
        save(NewGroup({"layers": NewGroup({"dense": dense}), "optimizer": optimizer}), sink.open())
    return (folder / "model.weights.h5").read_bytes()


def archive(folder, compression=zipfile.ZIP_STORED, **members):
    path = folder / "archive" / "model.keras"
    path.parent.mkdir(exist_ok=True)
    texts = {"metadata.json": json.dumps({"keras_version": "3.9.0"}), "config.json": json.dumps(CONFIG)}
    content = {**texts, "model.weights.h5": weights(folder), **members}
    with zipfile.ZipFile(path, "w", compression) as file:
        for name, data in content.items():
            if data is not None:
                file.writestr(name, data)
    return path


@pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_weights_training_and_configuration(tmp_path, compression):
    path = archive(tmp_path, compression)
    assert detect(Location(path)).name == "keras_archive"
    model = pm.read(path)
    assert list(model.weights) == ["layers/head/vars/0", "layers/head/vars/1"]
    assert model.tensors["layers/head/vars/0"].numpy().tolist() == [[0, 1, 2], [3, 4, 5]]
    assert (model.training.step, model.training.optimizer) == (7, "sgd")
    assert model.training.hyperparameters["learning_rate"] == pytest.approx(0.05)
    assert model.training.slots["layers/head/vars/1"]["momentum"].numpy().tolist() == [-1, -1, -1]
    assert model.metadata["metadata"] == {"keras_version": "3.9.0"}
    assert model.metadata["config"] == CONFIG


def test_stored_weights_are_read_in_place(tmp_path):
    path = archive(tmp_path)
    extent = pm.read(path).tensors["layers/head/vars/0"].extent
    assert np.frombuffer(extent.read(), np.float32).tolist() == [0, 1, 2, 3, 4, 5]
    assert path.read_bytes().count(extent.read()) == 1


def flipped(folder, **members):
    """An archive with another bit in a matrix, where none of its numbers is."""
    path = archive(folder, **members)
    whole = bytearray(path.read_bytes())
    place = whole.index(np.arange(6, dtype=np.float32).tobytes()) + 9
    whole[place] ^= 1
    path.write_bytes(whole)
    return path


def test_a_flipped_bit_in_weights_is_found_before_the_step_is_told(tmp_path):
    with pytest.raises(CorruptError, match=r"model.keras.*optimizer/vars/0.*CRC-32"):
        pm.read(flipped(tmp_path))


def test_large_weights_are_not_summed_until_one_is_read(tmp_path, monkeypatch):
    monkeypatch.setattr(keras_archive, "_SUMMED_AT_ONCE", 100)
    model = pm.read(flipped(tmp_path))
    assert model.training.step == 7
    for name in ("layers/head/vars/0", "optimizer/vars/0"):  # a matrix, and the number of steps
        with pytest.raises(CorruptError, match=rf"{name}.*CRC-32"):
            model.tensors[name].numpy()


def test_damage_after_which_no_weights_are_left_is_found(tmp_path):
    """Weights are held against the checksum when they are read; here there is none to be read."""
    with Sink(tmp_path / "empty.h5") as sink:
        save(NewGroup({}), sink.open())
    path = archive(tmp_path, **{"model.weights.h5": (tmp_path / "empty.h5").read_bytes() + b"behind"})
    assert pm.read(path).tensors == {}
    path.write_bytes(path.read_bytes().replace(b"behind", b"beHind"))
    with pytest.raises(CorruptError, match="lists no weights and does not meet its checksum"):
        pm.read(path)


def test_an_archive_without_its_weights(tmp_path):
    path = archive(tmp_path, **{"model.weights.h5": None})
    assert keras_archive.sniff(Location(path))
    with pytest.raises(MissingFileError, match=r"model\.weights\.h5"):
        pm.read(path)
    with pytest.raises(UnsupportedError, match=r"model\.weights\.npz"):
        pm.read(archive(tmp_path, **{"model.weights.h5": None, "model.weights.npz": b""}))


def test_texts_that_are_none(tmp_path):
    model = pm.read(archive(tmp_path, **{"config.json": b"{", "metadata.json": b"[]"}))
    assert model.metadata["config"] == "{"
    with pytest.raises(CorruptError, match=r"config\.json is not UTF-8"):
        pm.read(archive(tmp_path, **{"config.json": b"\xff"}))


def test_other_archives_are_not_taken(tmp_path):
    for name, members in {"a.npz": ["a.npy"], "b.pt": ["b/data.pkl"], "c.zip": ["config.json"]}.items():
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w") as file:
            for member in members:
                file.writestr(member, b"x")
        (tmp_path / name).write_bytes(buffer.getvalue())
        assert not keras_archive.sniff(Location(tmp_path / name))
    assert not keras_archive.sniff(Location(tmp_path))


def test_damaged_archives_are_read_rightly_or_refused(tmp_path):
    path = archive(tmp_path)
    assert_survives(lambda path: contents_of(pm.read(path)), path, cuts=100)


def test_an_archive_comes_back_as_it_was(tmp_path):
    model = pm.read(archive(tmp_path))
    with Sink(tmp_path / "again.keras") as sink:
        keras_archive.write(model, sink)
    again = pm.read(tmp_path / "again.keras")
    assert contents_of(again) == contents_of(model)
    assert again.structure.to_json() == model.structure.to_json()
    assert again.metadata == model.metadata
    with zipfile.ZipFile(tmp_path / "again.keras") as file:
        assert file.testzip() is None
        assert all(info.compress_type == zipfile.ZIP_STORED for info in file.infolist())


def test_a_weights_file_keeps_the_configuration(tmp_path):
    model = pm.read(archive(tmp_path))
    with Sink(tmp_path / "a.weights.h5") as sink:
        keras_hdf5.write(model, sink)
    again = pm.read(tmp_path / "a.weights.h5")
    assert again.structure.to_json() == model.structure.to_json()
    assert again.training.slots.keys() == model.training.slots.keys()


def test_a_file_by_layers_leads_to_the_same_variables(tmp_path):
    source = archive(tmp_path)
    assert pm.convert(source, tmp_path / "a.h5").notices == []
    layers = read_file(Location(tmp_path / "a.h5").open())
    assert [text.decode() for text in layers.attributes["layer_names"]] == ["head"]
    assert [text.decode() for text in layers.members["head"].attributes["weight_names"]] == ["weight_0", "weight_1"]
    dense = layers.members["layers"].members["dense"].members["vars"].members
    for number in "01":
        assert layers.members["head"].members[f"weight_{number}"].address == dense[number].address
    model, again = pm.read(source), pm.read(tmp_path / "a.h5")
    assert contents_of(again) == contents_of(model) and list(again.tensors) == list(model.tensors)
    assert again.training.slots.keys() == model.training.slots.keys()
    assert again.structure.places == model.structure.places
    assert again.structure.groups.keys() == model.structure.groups.keys()
    pm.convert(tmp_path / "a.h5", tmp_path / "b.weights.h5")
    assert not {"head"} & read_file(Location(tmp_path / "b.weights.h5").open()).members.keys()
    pm.convert(tmp_path / "a.h5", tmp_path / "b.keras")
    assert contents_of(pm.read(tmp_path / "b.keras")) == contents_of(model)


VOCABULARY = {"assets/layers/lookup/vocabulary.txt": "é\nb".encode(), "assets/layers/lookup/odd": b"\xff\xed\xa0\x80"}


def held(path):
    with zipfile.ZipFile(path) as file:
        return {info.filename: file.read(info) for info in file.infolist() if "/" in info.filename}


def test_files_of_layers_go_along(tmp_path):
    path = archive(tmp_path, **VOCABULARY, **{"other/file.txt": b"x"})
    assert "assets/layers/lookup/vocabulary" not in pm.read(path).metadata
    pm.convert(path, tmp_path / "a.safetensors")
    pm.convert(tmp_path / "a.safetensors", tmp_path / "b.weights.h5")
    for source in (path, tmp_path / "a.safetensors", tmp_path / "b.weights.h5"):
        assert pm.convert(source, tmp_path / "again.keras", force=True).notices == []
        assert held(tmp_path / "again.keras") == VOCABULARY


def test_files_of_layers_that_are_no_text(tmp_path):
    path = archive(tmp_path, **VOCABULARY, **{"assets/binary": b"\0\1"})
    assert pm.convert(path, tmp_path / "again.keras").notices == []
    assert held(tmp_path / "again.keras") == VOCABULARY | {"assets/binary": b"\0\1"}
    report = pm.convert(path, tmp_path / "b.weights.h5")
    assert [notice.names for notice in report.notices] == [("assets/binary",)]
    pm.convert(tmp_path / "b.weights.h5", tmp_path / "again.keras", force=True)
    assert held(tmp_path / "again.keras") == VOCABULARY


def test_files_of_layers_that_are_too_large_are_said(tmp_path, monkeypatch):
    monkeypatch.setattr(keras_archive, "_MOST_ASSETS", 4)
    model = pm.read(archive(tmp_path, **VOCABULARY))
    assert [notice.names for notice in model.notices] == [("assets/layers/lookup/odd",)]
    assert "assets/layers/lookup/vocabulary.txt" in model.structure.documents


def folder_of(path):
    with zipfile.ZipFile(path) as file:
        file.extractall(path.parent / "net")
    return path.parent / "net"


def test_a_folder_is_read_as_an_archive_is(tmp_path):
    path = archive(tmp_path, **VOCABULARY)
    model, found = pm.read(path), pm.read(folder_of(path))
    assert (found.format, found.notices) == ("keras_archive", [])
    assert contents_of(found) == contents_of(model)
    assert found.structure.to_json() == model.structure.to_json()
    assert found.metadata == model.metadata


def test_a_folder_with_links_or_texts_that_are_none(tmp_path, monkeypatch):
    folder = folder_of(archive(tmp_path, **VOCABULARY))
    monkeypatch.setattr(keras_archive, "DEFAULT", Limits(text_bytes=10))
    with pytest.raises(LimitError, match="the cap is 10"):
        pm.read(folder)
    monkeypatch.undo()
    (folder / "config.json").write_bytes(b"\xff")
    with pytest.raises(CorruptError, match=r"config\.json is not UTF-8"):
        pm.read(folder)
    (tmp_path / "secret").write_text("{}")
    (folder / "config.json").unlink()
    (folder / "config.json").symlink_to(tmp_path / "secret")
    with pytest.raises(UnsafeError):
        pm.read(folder)


def test_weights_without_a_configuration_are_refused(tmp_path):
    with pytest.raises(UnsupportedError, match="configuration"):
        keras_archive.write(Model("any", tensors={}), Sink(tmp_path / "a.keras"))
    assert not list(tmp_path.iterdir())
