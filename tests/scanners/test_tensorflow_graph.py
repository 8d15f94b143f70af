import json

import pytest
from tests.scanned import CLEAN, DANGEROUS, UNDECIDED, rules_of, scan_bytes

from panmodel.io.source import MemorySource
from panmodel.model.scanner import Subject
from panmodel.scanners import tensorflow_graph
from panmodel.wire.protobuf import Message, decode, encode, repeated, single
from panmodel.wire.tensorflow_messages import (
    ArgDef,
    AssetFileDef,
    AttrValue,
    FunctionDef,
    FunctionDefLibrary,
    GraphDef,
    MetaGraphDef,
    NameAttrList,
    NodeDef,
    OpDef,
    SavedModel,
    SaverDef,
    TensorInfo,
    TensorProto,
)


def data_of(message):
    return b"".join(bytes(piece) for piece in encode(message))


def node(op, name=None, inputs=(), **attributes):
    attr = {key: AttrValue(s=value) if isinstance(value, bytes) else value for key, value in attributes.items()}
    return NodeDef(name=name or op, op=op, input=list(inputs), attr=attr)


def text(name, value):
    return node("Const", name, value=AttrValue(tensor=TensorProto(dtype=7, string_val=[value])))


def function(name, *nodes, args=()):
    signature = OpDef(name=name, input_arg=[ArgDef(name=arg) for arg in args])
    return FunctionDef(signature=signature, node_def=list(nodes))


def graph(*nodes, functions=()):
    return GraphDef(node=[node("Placeholder", "x"), *nodes], library=FunctionDefLibrary(function=list(functions)))


FORMS = {
    "graph": lambda made: made,
    "meta graph": lambda made: MetaGraphDef(graph_def=made),
    "SavedModel": lambda made: SavedModel(saved_model_schema_version=1, meta_graphs=[MetaGraphDef(graph_def=made)]),
}
FILE_OPERATORS = ["ReadFile", "WriteFile", "MatchingFiles", "WholeFileReaderV2", "TFRecordDataset", "TextLineDataset"]
FILE_OPERATORS += ["SaveDatasetV2", "InitializeTableFromTextFileV2", "CreateSummaryFileWriter", "SqlDataset"]
FILE_OPERATORS += ["LoadDataset", "SnapshotDataset", "LMDBDataset", "DTensorRestoreV2"]
CODE_OPERATORS = [
    "PyFunc",
    "PyFuncStateless",
    "EagerPyFunc",
    "RpcCall",
    "XlaCustomCall",
    "XlaCustomCallV2",
    "RemoteCall",
]
CODE_OPERATORS += ["DebugIdentityV2"]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("op", FILE_OPERATORS + CODE_OPERATORS)
def test_files_and_processes_are_dangerous(tmp_path, op, form):
    for made in (graph(node(op)), graph(functions=[function("f", node(op))])):
        found = scan_bytes(tmp_path, data_of(FORMS[form](made)))
        assert (found.verdict, rules_of(found)) == (DANGEROUS, {"PM-TF-CODE" if op in CODE_OPERATORS else "PM-TF-FILE"})


def test_texts_are_looked_at_too(tmp_path):
    found = scan_bytes(tmp_path, b'node { name: "r" op: "ReadFile" }\n')
    assert (found.verdict, rules_of(found)) == (DANGEROUS, {"PM-TF-FILE"})


def test_printing_into_a_file_is_dangerous(tmp_path):
    assert scan_bytes(tmp_path, data_of(graph(node("PrintV2", output_stream=b"stderr")))).verdict is CLEAN
    assert scan_bytes(tmp_path, data_of(graph(node("PrintV2", output_stream=b"file:///x")))).verdict is DANGEROUS


def test_custom_operators_are_undecided(tmp_path):
    found = scan_bytes(tmp_path, data_of(graph(node("MyOwnOperator"))))
    assert (found.verdict, rules_of(found)) == (UNDECIDED, {"PM-TF-CUSTOM-OP"})
    assert scan_bytes(tmp_path, data_of(graph(node("own"), functions=[function("own", node("Relu"))]))).verdict is CLEAN


def test_assets_stay_in_the_folder(tmp_path):
    table = node("InitializeTableFromTextFileV2", inputs=["table", "asset"])
    for name, verdict, rules in (
        ("vocabulary.txt", CLEAN, {"PM-TF-ASSET-TABLE"}),
        ("../../x", DANGEROUS, {"PM-TF-ASSET-ESCAPE", "PM-TF-FILE"}),
    ):
        asset = AssetFileDef(tensor_info=TensorInfo(name="asset:0"), filename=name)
        meta = MetaGraphDef(graph_def=graph(table, text("asset", b"x")), asset_file_def=[asset])
        found = scan_bytes(tmp_path, data_of(SavedModel(meta_graphs=[meta])))
        assert (found.verdict, rules_of(found)) == (verdict, rules)


def test_layers_in_the_object_graph_are_looked_at(tmp_path):
    class UserObject(Message):
        metadata: str = single(3, "string")

    class Object(Message):
        user_object: UserObject | None = single(4, lambda: UserObject)

    class Objects(Message):
        nodes: list[Object] = repeated(1, lambda: Object)

    said = json.dumps({"class_name": "Lambda", "config": {"name": "x"}})
    objects = data_of(Objects(nodes=[Object(user_object=UserObject(metadata=said))]))
    meta = MetaGraphDef(graph_def=graph(), object_graph_def=_extent(objects))
    found = scan_bytes(tmp_path, data_of(SavedModel(meta_graphs=[meta])))
    assert (found.verdict, rules_of(found)) == (DANGEROUS, {"PM-KERAS-LAMBDA"})


def _extent(data):
    from panmodel.io.source import Extent

    return Extent(MemorySource(data), 0, len(data))


SAVER = [
    text("save/Const", b"model"),
    node("SaveV2", "save/SaveV2", ["save/Const", "x"]),
    node("RestoreV2", "save/RestoreV2", ["save/Const"]),
    node("AssignVariableOp", "save/Assign", ["v", "save/RestoreV2"]),
    node("NoOp", "save/restore_all", ["^save/Assign"]),
]


def test_the_saver_of_a_graph_is_normal(tmp_path):
    found = scan_bytes(tmp_path, data_of(graph(*SAVER)))
    assert (found.verdict, rules_of(found)) == (CLEAN, {"PM-TF-SAVER"})


def test_a_saver_under_another_name_is_normal_if_the_meta_graph_says_so(tmp_path):
    nodes = [
        text("keep/Const", b"model"),
        node("SaveV2", "keep/SaveV2", ["keep/Const"]),
        node("Identity", "keep/done", ["^keep/SaveV2"]),
    ]
    saver = SaverDef(filename_tensor_name="keep/Const:0", save_tensor_name="keep/done:0", restore_op_name="keep/all")
    assert scan_bytes(tmp_path, data_of(MetaGraphDef(graph_def=graph(*nodes), saver_def=saver))).verdict is CLEAN
    assert scan_bytes(tmp_path, data_of(MetaGraphDef(graph_def=graph(*nodes)))).verdict is DANGEROUS


def test_savers_of_functions_are_normal_if_the_saver_calls_them(tmp_path):
    body = function("traced_save", node("SaveV2"), args=["file_prefix"])
    call = node(
        "StatefulPartitionedCall", "call_1", ["saver_filename"], f=AttrValue(func=NameAttrList(name="traced_save"))
    )
    saver = SaverDef(filename_tensor_name="saver_filename:0", save_tensor_name="call_1:0", restore_op_name="call_2")
    made = graph(node("Placeholder", "saver_filename"), call, functions=[body])
    assert scan_bytes(tmp_path, data_of(MetaGraphDef(graph_def=made, saver_def=saver))).verdict is CLEAN
    assert rules_of(scan_bytes(tmp_path, data_of(made))) == {"PM-TF-SAVER-MISUSE"}


MISUSE = {
    "asked for by the model": [*SAVER, node("Identity", "output", ["x", "^save/SaveV2"])],
    "through others": [*SAVER, node("Relu", "a", ["save/restore_all"]), node("Relu", "b", ["a"])],
    "other scope": [node("SaveV2", "features/SaveV2", ["x"])],
    "path of its own": [text("save/Const", b"/home/u/.bashrc"), *SAVER[1:]],
    "parent folder": [text("save/Const", b"../../x"), *SAVER[1:]],
    "network": [text("save/Const", b"gs://x/y"), *SAVER[1:]],
}


@pytest.mark.parametrize("kind", MISUSE)
def test_a_saver_that_does_more_is_dangerous(tmp_path, kind):
    found = scan_bytes(tmp_path, data_of(graph(*MISUSE[kind])))
    assert (found.verdict, rules_of(found)) == (DANGEROUS, {"PM-TF-SAVER-MISUSE"})


def test_a_function_does_not_hide_behind_another_of_its_name(tmp_path):
    twice = [function("f", node("ReadFile")), function("f", node("Relu"))]
    assert scan_bytes(tmp_path, data_of(graph(functions=twice))).verdict is DANGEROUS
    twice = [function("f", node("SaveV2")), function("f", node("Relu"))]
    assert scan_bytes(tmp_path, data_of(graph(functions=twice))).verdict is UNDECIDED


def test_damage_is_never_clean(tmp_path):
    data = data_of(graph(node("ReadFile")))
    for cut in range(1, len(data)):
        assert scan_bytes(tmp_path, data[:cut]).verdict is not CLEAN or b"ReadFile" not in data[:cut]


def field(number, data):
    return bytes([number << 3 | 2, len(data)]) + data


@pytest.mark.parametrize("group", [b"", b"\x7b\x7c"])
def test_a_graph_that_is_a_model_too_is_not_clean(tmp_path, group):
    """TensorFlow passes over fields of other types, and over groups."""
    harmless, hostile = data_of(node("NoOp")), data_of(node("WriteFile"))
    data = field(1, harmless) + field(2, field(2, group + field(1, hostile)))
    assert scan_bytes(tmp_path, data).verdict is not CLEAN


def test_text_begins_behind_comments(tmp_path):
    data = b"#" + b"x" * 9000 + b"\n node { name: 'a' op: 'WriteFile' }"
    assert scan_bytes(tmp_path, data).verdict is DANGEROUS


@pytest.mark.parametrize("op", ["RecordInput", "DatasetFromGraph", "WorkerHeartbeat"])
def test_further_operators_are_dangerous(tmp_path, op):
    assert scan_bytes(tmp_path, data_of(GraphDef(node=[node(op)]))).verdict is DANGEROUS


def test_a_graph_is_decoded_once_as_each_message(tmp_path, monkeypatch):
    decoded = []

    def counted(cls, source):
        decoded.append(cls)
        return decode(cls, source)

    monkeypatch.setattr(tensorflow_graph, "decode", counted)
    assert scan_bytes(tmp_path, data_of(graph())).verdict is CLEAN
    assert sorted(cls.__name__ for cls in decoded) == ["GraphDef", "MetaGraphDef", "SavedModel"]


def test_what_has_no_field_of_nodes_is_decoded_as_nothing(monkeypatch):
    monkeypatch.setattr(tensorflow_graph, "decode", lambda *_: pytest.fail("decoded"))
    for data in (b"0123456789012345", b"\x93NUMPY\x01\0", b"\x1a\x01x\x22\x00", b"little"):
        subject = Subject(MemorySource(data), "x", [], lambda _: None)
        assert not tensorflow_graph.recognises(subject)
