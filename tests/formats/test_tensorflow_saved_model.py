import shutil

import numpy as np
import pytest
from tests.damage import assert_survives
from tests.object_checkpoints import FIXTURES
from tests.saved_models import BIAS, WEIGHT, meta_graph, write_saved_model

import panmodel as pm
from panmodel.errors import MissingFileError, UnsupportedError
from panmodel.formats.tensorflow_saved_model import FORMAT
from panmodel.io.source import Location
from panmodel.model.tensorflow.object_graph import ObjectGraph


def read(path):
    return FORMAT.read(Location(path))


@pytest.fixture
def folder(tmp_path):
    return write_saved_model(tmp_path / "model")


def test_everything_that_it_says(folder):
    model = read(folder)
    assert model.format == "tensorflow_saved_model"
    assert {name: tensor.numpy().tolist() for name, tensor in model.tensors.items()} == {
        "bias": BIAS.tolist(),
        "weight": WEIGHT.tolist(),
    }
    assert model.program.variables is model.tensors
    metadata = model.metadata
    assert (metadata["version"], metadata["producer"], metadata["tags"]) == ("1.15.5", 134, ["serve"])
    assert metadata["signatures"]["serving_default"]["inputs"]["in"]["dtype"] == "float32"
    assert metadata["tag_sets"] == [["serve"]]
    assert metadata["assets"] == ["words.txt"]
    assert metadata["keras_metadata"] is True
    assert metadata["fingerprint"] == {"saved_model_checksum": 7, "checkpoint_hash": 9, "uuid": "u"}


def test_folder_and_file_are_recognised_by_this_format_alone(folder):
    for path in (folder, folder / "saved_model.pb"):
        assert pm.formats.detect(Location(path)) is FORMAT


def test_the_files_of_the_variables_are_a_checkpoint(folder):
    for name in ("variables", "variables/variables", "variables/variables.index"):
        assert pm.formats.detect(Location(folder / name)).name == "tensorflow_checkpoint"


def test_inspection_shows_it(folder):
    found = pm.inspect(folder)
    assert found.inputs == ["x:0 float32[4, 3]"]
    assert [tensor.name for tensor in found.tensors] == ["bias", "weight"]
    assert found.signatures["serving_default"]["outputs"] == {"out": "y:0"}


def test_a_graph_without_functions_converts(folder, tmp_path):
    pm.convert(folder, tmp_path / "net.onnx")
    stored = [tensor.numpy() for tensor in pm.read(tmp_path / "net.onnx").tensors.values()]
    assert any(np.array_equal(array, BIAS) for array in stored)
    pm.convert(folder, tmp_path / "frozen.pb")
    assert np.array_equal(pm.read(tmp_path / "frozen.pb").tensors["weight"].numpy(), WEIGHT)


def test_the_weights_of_objects(folder, tmp_path):
    for part in ("index", "data-00000-of-00001"):
        shutil.copy(FIXTURES / f"slots.ckpt.{part}", folder / "variables" / f"variables.{part}")
    model = read(folder)
    assert isinstance(model.structure, ObjectGraph)
    assert model.training.optimizer == "adam"
    assert "hidden/kernel" in model.tensors
    pm.convert(folder, tmp_path / "weights.ckpt", weights_only=True)
    assert dict(pm.read(tmp_path / "weights.ckpt").structure.keys) == dict(model.structure.keys)


def test_without_variables(folder):
    shutil.rmtree(folder / "variables")
    assert read(folder).tensors == {}


def test_all_meta_graphs_are_listed_and_the_served_one_is_read(tmp_path):
    train = meta_graph(["train"])
    train.graph_def.node = train.graph_def.node[:1]
    model = read(write_saved_model(tmp_path / "two", train, meta_graph()))
    assert model.metadata["tag_sets"] == [["train"], ["serve"]]
    assert "y" in model.program.nodes


def test_nothing_there_and_chunks(tmp_path):
    with pytest.raises(MissingFileError):
        read(tmp_path / "absent")
    (tmp_path / "saved_model.cpb").write_bytes(b"chunks")
    with pytest.raises(UnsupportedError, match="in chunks"):
        pm.read(tmp_path)


def everything(path):
    model = read(path if path.name == "saved_model.pb" else path.parents[1])
    found = {name: tensor.numpy().tobytes() for name, tensor in model.tensors.items()}
    for node in model.program.nodes.values():
        _ = node.attributes
    return found


def test_damage_to_the_meta_graphs_gives_an_error_or_a_model(folder):
    assert_survives(everything, folder / "saved_model.pb")


def test_damage_to_the_text(tmp_path):
    from tests.saved_models import TEXT

    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "saved_model.pbtxt").write_text(TEXT)
    assert_survives(lambda path: read(path).metadata, tmp_path / "model" / "saved_model.pbtxt")


def test_damage_to_the_fingerprint(folder):
    assert_survives(lambda path: read(path.parent).metadata, folder / "fingerprint.pb", cuts=30, flips=200)
