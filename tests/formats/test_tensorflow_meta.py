import pytest
from tests.damage import assert_survives
from tests.tensorflow_graphs import graph_def, node

from panmodel.errors import CorruptError
from panmodel.formats.tensorflow_meta import FORMAT
from panmodel.io.source import Location
from panmodel.wire.protobuf import encode_bytes
from panmodel.wire.tensorflow_messages import MetaGraphDef, MetaInfoDef


def proto(**info):
    return MetaGraphDef(
        meta_info_def=MetaInfoDef(**info) if info else None, graph_def=graph_def(node("x", "Placeholder"))
    )


def put(folder, data, name="model.meta"):
    path = folder / name
    path.write_bytes(data)
    return Location(path)


def complete(message):
    return encode_bytes(message.replaced(meta_info_def=message.meta_info_def))


@pytest.mark.parametrize(
    "info", [{"tensorflow_version": "1.15.0", "tags": ["train"]}, {}], ids=["with info", "without"]
)
def test_a_meta_graph_without_its_checkpoint(tmp_path, info):
    location = put(tmp_path, complete(proto(**info)))
    assert FORMAT.sniff(location)
    model = FORMAT.read(location)
    assert list(model.program.nodes) == ["x"] and not model.tensors
    assert model.metadata.get("version") == info.get("tensorflow_version")


def test_the_text_form(tmp_path):
    text = b'meta_info_def { tags: "train" }\ngraph_def { node { name: "x" op: "Placeholder" } }'
    location = put(tmp_path, text, "model.pbtxt")
    assert FORMAT.sniff(location) and list(FORMAT.read(location).program.nodes) == ["x"]


def test_beside_an_index_it_is_part_of_the_checkpoint(tmp_path):
    location = put(tmp_path, complete(proto(tags=["train"])))
    put(tmp_path, b"", "model.index")
    assert not FORMAT.sniff(location)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x0a\x00",
        bytes(50),
        b"graph { }",
        encode_bytes(graph_def(node("x", "Placeholder"))),
        b"\x12\x03\x0a\x01x",
    ],
)
def test_others_are_not_taken(tmp_path, data):
    assert not FORMAT.sniff(put(tmp_path, data))


def test_a_meta_graph_without_graph(tmp_path):
    with pytest.raises(CorruptError):
        FORMAT.read(put(tmp_path, encode_bytes(MetaGraphDef(meta_info_def=MetaInfoDef(tags=["a"])))))


def test_damage(tmp_path):
    put(tmp_path, complete(proto(tensorflow_version="1.15.0", tags=["train"])))

    def read_all(path):
        return [dict(item.attributes) for item in FORMAT.read(Location(path)).program.nodes.values()]

    assert_survives(read_all, tmp_path / "model.meta")


def test_the_file_of_a_checkpoint_is_left_to_it(tmp_path):
    from tests.slice_tables import SliceTable

    location = put(tmp_path, complete(proto(tags=["train"])))
    assert FORMAT.sniff(location)
    SliceTable().write(tmp_path / "model")
    assert not FORMAT.sniff(location)
