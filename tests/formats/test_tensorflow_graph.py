import time
from pathlib import Path

import numpy as np
import pytest
from tests.damage import assert_survives, contents_of
from tests.tensorflow_graphs import Shape, attr, const, graph, graph_def, node

import panmodel as pm
from panmodel.dtypes import FLOAT32, INT32
from panmodel.errors import CorruptError, LimitError, UnsupportedError, UsageError
from panmodel.formats.tensorflow_graph import FORMAT
from panmodel.io.sink import Sink
from panmodel.io.source import Extent, Location, MemorySource
from panmodel.model.model import Model
from panmodel.model.tensor import ArrayTensor, StoredTensor
from panmodel.wire.protobuf import encode, encode_bytes
from panmodel.wire.tensorflow_messages import GraphDef, MetaGraphDef, MetaInfoDef, NodeDef, SavedModel

WEIGHTS = np.arange(12, dtype=np.float32).reshape(3, 4)

TEXT = """# a comment
node {
  name: "x"
  op: "Placeholder"
  attr { key: "dtype" value { type: DT_FLOAT } }
}
node {
  name: "w"
  op: "Const"
  attr { key: "dtype" value { type: DT_FLOAT } }
  attr {
    key: "value"
    value {
      tensor {
        dtype: DT_FLOAT
        tensor_shape { dim { size: 2 } dim { size: 1 } }
        tensor_content: "\\000\\000\\200?\\000\\000\\000@"
      }
    }
  }
}
node { name: "v" op: "Const" attr { key: "value" value { tensor { dtype: DT_INT32 tensor_shape { dim { size: 3 } }
  int_val: 1 int_val: [2] } } } }
versions { producer: 134 }
"""


def small():
    return graph_def(
        node("x", "Placeholder", dtype=FLOAT32, shape=Shape((None, 3))),
        const("w", WEIGHTS),
        const("axis", 1, np.int32),
        const("names", ["a", "b"]),
        node("y", "MatMul", "x", "w", T=FLOAT32, transpose_a=False),
    )


def put(folder, data, name="graph.pb"):
    path = folder / name
    path.write_bytes(data)
    return Location(path)


def test_a_binary_graph(tmp_path):
    location = put(tmp_path, encode_bytes(small()))
    assert FORMAT.sniff(location)
    model = FORMAT.read(location)
    assert model.dialect == "tensorflow" and list(model.program.nodes) == ["x", "w", "axis", "names", "y"]
    assert list(model.tensors) == ["w"] and isinstance(model.tensors["w"], StoredTensor)
    np.testing.assert_array_equal(model.tensors["w"].numpy(), WEIGHTS)
    assert model.metadata == {"framework": "tensorflow", "producer": 27}


def test_shapes_and_axes_are_no_weights(tmp_path):
    nodes = [const("table", [1, 2, 3], np.int64), const("ids", [0, 1], np.int32), const("free", [4, 5], np.int32)]
    nodes += [node("rows", "Gather", "table", "ids"), const("scale", [0.5, 2.0]), node("y", "Mul", "rows", "scale")]
    model = FORMAT.read(put(tmp_path, encode_bytes(graph_def(*nodes))))
    assert list(model.tensors) == ["table", "free", "scale"]


@pytest.mark.parametrize("name", ["graph.pbtxt", "graph.pb"])
def test_a_text_graph_whatever_its_name(tmp_path, name):
    location = put(tmp_path, TEXT.encode(), name)
    assert FORMAT.sniff(location)
    model = FORMAT.read(location)
    assert model.tensors["w"].numpy().tolist() == [[1.0], [2.0]] and model.tensors["v"].numpy().tolist() == [1, 2, 2]
    assert model.program.nodes["x"].attributes == {"dtype": FLOAT32}
    with Sink(tmp_path / "again.pb") as sink:
        FORMAT.write(model, sink)
    again = FORMAT.read(Location(tmp_path / "again.pb"))
    assert again.tensors["w"].numpy().tolist() == [[1.0], [2.0]] and again.metadata["producer"] == 134


def test_writing_what_was_read_gives_the_same_bytes(tmp_path):
    data = encode_bytes(small())
    with Sink(tmp_path / "again.pb") as sink:
        FORMAT.write(FORMAT.read(put(tmp_path, data)), sink)
    assert (tmp_path / "again.pb").read_bytes() == data


def test_writing_freezes_variables(tmp_path):
    made = graph(
        node("x", "Placeholder", dtype=FLOAT32),
        node("w", "VariableV2", dtype=FLOAT32, shape=Shape((3, 4))),
        node("w/read", "Identity", "w", T=FLOAT32),
        node("y", "MatMul", "x", "w/read", T=FLOAT32),
        variables={"w": ArrayTensor(WEIGHTS, "w")},
    )
    with Sink(tmp_path / "frozen.pb") as sink:
        FORMAT.write(Model("tensorflow_checkpoint", made), sink)
    model = FORMAT.read(Location(tmp_path / "frozen.pb"))
    np.testing.assert_array_equal(model.tensors["w"].numpy(), WEIGHTS)
    assert model.program.nodes["w"].op == "Const" and model.metadata["producer"] == 27


def test_what_cannot_be_written_is_said(tmp_path):
    huge = StoredTensor("w", FLOAT32, (1 << 29,), Extent(Zeros(), 0, 1 << 31))
    big = graph(node("w", "Const", dtype=FLOAT32))
    big.nodes["w"].message.attr = {"value": attr(tensor_attr(huge))}
    for model, error in ((Model("safetensors"), UsageError), (Model("x", big), UnsupportedError)):
        with pytest.raises(error), Sink(tmp_path / "out.pb") as sink:
            FORMAT.write(model, sink)
    assert not list(tmp_path.iterdir())


class Zeros(MemorySource):
    """Two gibibytes that take no memory."""

    def __init__(self):
        super().__init__(b"")
        self.size = 1 << 31


def tensor_attr(tensor):
    from panmodel.model.tensorflow.graph import proto_from_tensor
    from panmodel.wire.tensorflow_messages import AttrValue

    return AttrValue(tensor=proto_from_tensor(tensor))


def test_a_large_graph_opens_without_its_payload(tmp_path):
    """500 MB in a sparse file: reading all of it would take far longer."""
    weights = node("w", "Const", dtype=FLOAT32, value=np.zeros(1, np.float32))
    nbytes = 500_000_000
    tensor = StoredTensor("w", FLOAT32, (nbytes // 4,), Extent(Zeros(), 0, nbytes))
    weights.attr["value"] = tensor_attr(tensor)
    path = tmp_path / "large.pb"
    with path.open("wb") as file:
        for piece in pieces(GraphDef(node=[weights, node("y", "Neg", "w")])):
            file.seek(piece, 1) if isinstance(piece, int) else file.write(piece)
    begin = time.process_time()
    assert FORMAT.sniff(Location(path))
    model = FORMAT.read(Location(path))
    assert time.process_time() - begin < 2
    assert model.tensors["w"].nbytes == nbytes and list(model.program.nodes) == ["w", "y"]


def pieces(message):
    """The encoded message, with a number in place of so many bytes of payload."""
    from panmodel.wire.protobuf import writing

    parts = []
    writing._lay(message, parts)
    return [part if isinstance(part, bytes) else part.nbytes for part in parts]


def binary(message):
    return b"".join(encode(message))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\n",
        b"hello world, this is no graph at all",
        binary(SavedModel(saved_model_schema_version=1, meta_graphs=[MetaGraphDef(graph_def=small())])),
        binary(MetaGraphDef(meta_info_def=MetaInfoDef(meta_graph_version="1", tags=["serve"]), graph_def=small())),
        binary(MetaGraphDef(meta_info_def=MetaInfoDef(tensorflow_version="1.15"), graph_def=small())),
        binary(MetaGraphDef(graph_def=small())),
        bytes.fromhex("08 08 12 04 74 65 73 74 3a 10 0a 0e 0a 01 78 12 01 79 22 04 52 65 6c 75"),  # an ONNX model
        bytes.fromhex("0a 04 01 03 e0 01 10 01"),  # an ONNX tensor
        b'node { calculator: "Other" }',
        b"meta_info_def { }",
        b"version: 1\nnodes: 2\n",
        bytes(100),
        b"\x0a\x00" * 20,
    ],
)
def test_others_are_not_taken(tmp_path, data):
    assert not FORMAT.sniff(put(tmp_path, data))


def test_noise_is_not_taken(tmp_path):
    random = np.random.default_rng(0)
    for _ in range(300):
        assert not FORMAT.sniff(put(tmp_path, b"\x0a" + random.bytes(60)))


def test_a_cut_graph_is_still_known_for_what_it_is(tmp_path):
    location = put(tmp_path, encode_bytes(small())[:-5])
    assert FORMAT.sniff(location)
    with pytest.raises(CorruptError):
        FORMAT.read(location)


def test_empty_and_double_graphs_are_refused(tmp_path):
    for proto in (GraphDef(), GraphDef(node=[NodeDef(name="a", op="Neg")] * 2)):
        with pytest.raises(CorruptError):
            FORMAT.read(put(tmp_path, encode_bytes(proto)))


def test_text_has_a_limit(tmp_path):
    path = tmp_path / "graph.pbtxt"
    path.write_text(TEXT + "# padding\n" * 500)
    with path.open("r+b") as file:
        file.truncate(300 << 20)
    with pytest.raises(LimitError, match="bytes of text"):
        FORMAT.read(Location(path))


def read_all(path):
    model = FORMAT.read(Location(path))
    attributes = [dict(item.attributes) for item in model.program.nodes.values()]
    return attributes and contents_of(model)


@pytest.mark.parametrize("form", ["binary", "text"])
def test_damage(tmp_path, form):
    proto = small()
    proto.node = [*proto.node, const("many", np.arange(40) / 7), node("cast", "Cast", "x", SrcT=FLOAT32, DstT=INT32)]
    put(tmp_path, encode_bytes(proto) if form == "binary" else TEXT.encode())
    assert_survives(read_all, tmp_path / "graph.pb")


def test_the_text_form_is_not_written_under_its_name(tmp_path):
    digits = Path(__file__).parents[2] / "examples" / "digits" / "model.ckpt"
    with pytest.raises(UnsupportedError, match=r"name it \.pb"):
        pm.convert(digits, tmp_path / "graph.pbtxt")
    assert list(tmp_path.iterdir()) == []


def test_the_receipt_counts_constants(tmp_path):
    digits = Path(__file__).parents[2] / "examples" / "digits" / "model.ckpt"
    report = pm.convert(digits, tmp_path / "graph.pb")
    nodes = pm.read(tmp_path / "graph.pb").program.nodes.values()
    assert report.tensors == sum(node.op == "Const" for node in nodes)
