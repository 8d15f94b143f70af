import pytest
from tests.checkpoints import FIXTURES
from tests.saved_models import TEXT, meta_graph, write_saved_model

from panmodel.errors import CorruptError, MissingFileError, UnsupportedError
from panmodel.io.source import Location
from panmodel.model.tensorflow.saved_model import find_saved_model, serving_graph, typed_signatures
from panmodel.wire.protobuf import encode_bytes
from panmodel.wire.tensorflow_messages import SavedModel, SignatureDef, TensorInfo


def found(path):
    return find_saved_model(Location(path))


@pytest.fixture
def folder(tmp_path):
    return write_saved_model(tmp_path / "model")


def test_folder_and_file_lead_to_it(folder):
    for path in (folder, folder / "saved_model.pb"):
        assert found(path).program.path == folder / "saved_model.pb"
        assert found(path).variables.prefix == "variables"


def test_the_text_form(folder):
    (folder / "saved_model.pb").unlink()
    (folder / "saved_model.pbtxt").write_text(TEXT)
    assert list(found(folder / "saved_model.pbtxt").read().meta_graphs[0].meta_info_def.tags) == ["serve"]
    assert found(folder).program.path.name == "saved_model.pbtxt"


def test_a_file_under_another_name_is_told_by_its_content(folder):
    (folder / "saved_model.pb").rename(folder / "net.pb")
    assert found(folder / "net.pb") is not None
    assert found(folder) is None


@pytest.mark.parametrize(
    "data",
    [b"", b"\x08", b"\x08\x01\x12", b"\x08\x01\x12\x00", b"\x08\x07\x12\x03abc", b"\x0a\x02ab", b"text", b"\xff" * 9],
)
def test_what_is_none(data, tmp_path):
    (tmp_path / "saved_model.pb").write_bytes(data)
    assert found(tmp_path / "saved_model.pb") is None


def test_files_of_other_formats_are_none(tmp_path):
    names = ("trained.ckpt.meta", "trained.ckpt.index", "v1.ckpt", "absent")
    assert [found(FIXTURES / name) for name in names] == [None] * 4
    assert found(tmp_path) is None


def test_chunks_are_refused(tmp_path):
    (tmp_path / "saved_model.cpb").write_bytes(b"chunks")
    for path in (tmp_path, tmp_path / "saved_model.cpb"):
        with pytest.raises(UnsupportedError, match="in chunks") as caught:
            found(path).read()
        assert "variables/variables" in caught.value.hint


def test_newer_and_empty_ones_are_refused(tmp_path, folder):
    with pytest.raises(UnsupportedError, match="schema 2"):
        found(write_saved_model(tmp_path / "new", schema=2)).read()
    (folder / "saved_model.pb").write_bytes(encode_bytes(SavedModel(saved_model_schema_version=1)))
    with pytest.raises(CorruptError, match="without a meta graph"):
        found(folder).read()


def test_variables_may_be_missing_but_not_their_index(folder):
    (folder / "variables" / "variables.index").unlink()
    with pytest.raises(MissingFileError, match="index"):
        _ = found(folder).variables
    for path in (folder / "variables").iterdir():
        path.unlink()
    assert found(folder).variables is None


def test_the_meta_graph_to_serve_is_chosen():
    train, serve = meta_graph(["train"]), meta_graph(["gpu", "serve"])
    assert serving_graph(SavedModel(meta_graphs=[train, serve])) is serve
    assert serving_graph(SavedModel(meta_graphs=[train])) is train


def test_signatures_have_types_and_shapes():
    assert typed_signatures(meta_graph())["serving_default"] == {
        "inputs": {"in": {"tensor": "x:0", "dtype": "float32", "shape": [4, 3]}},
        "outputs": {"out": {"tensor": "y:0", "dtype": "float32", "shape": [4, 2]}},
        "method": "predict",
    }
    bad = meta_graph()
    bad.signature_def = {"s": SignatureDef(inputs={"a": TensorInfo(name="a", dtype=77)})}
    with pytest.raises(CorruptError, match="77"):
        typed_signatures(bad)
