import pytest
from tests.tensorflow_graphs import graph, graph_def, node

from panmodel.dtypes import FLOAT32
from panmodel.errors import CorruptError, UnknownNameError
from panmodel.io.source import MemorySource
from panmodel.model.tensorflow.graph import Signature, graph_from_proto, meta_graph, proto_from_graph
from panmodel.wire.protobuf import decode_bytes, encode_bytes
from panmodel.wire.tensorflow_messages import (
    BytesList,
    CollectionDef,
    FunctionDef,
    FunctionDefLibrary,
    GraphDef,
    MetaGraphDef,
    MetaInfoDef,
    NodeDef,
    NodeList,
    OpDef,
    SaveSliceInfoDef,
    SignatureDef,
    TensorInfo,
    VariableDef,
)


def chain():
    return graph(
        node("c", "Neg", "b:1", "^side"),
        node("a", "Placeholder"),
        node("b", "Split", "a"),
        node("side", "NoOp"),
        node("d", "Neg", "b"),
    )


def test_nodes_keep_the_order_of_the_file():
    assert list(chain().nodes) == ["c", "a", "b", "side", "d"]


def test_consumers_are_those_of_each_output():
    consumers = chain().consumers()
    assert {name: [user.name for user in users] for name, users in consumers.items()} == {
        "b:1": ["c"],
        "a:0": ["b"],
        "b:0": ["d"],
    }


def test_ancestors():
    assert chain().ancestors(["c:0"]) == {"a", "b", "c"}
    assert chain().ancestors(["c"], controls=True) == {"a", "b", "c", "side"}
    assert chain().ancestors(["c", "d"], ["b:1"]) == {"a", "b", "c", "d"}
    assert chain().ancestors(["c"], ["b:1"]) == {"c"}
    assert chain().ancestors(["a:0"], ["a:0"]) == set()


def test_ordered_puts_sources_first():
    assert [item.name for item in chain().ordered(["c", "d"])] == ["a", "b", "c", "d"]


def test_a_loop_is_ordered_and_a_cycle_refused():
    loop = graph(
        node("enter", "Enter"), node("merge", "Merge", "enter", "next"), node("next", "NextIteration", "merge")
    )
    assert [item.name for item in loop.ordered(["next"])] == ["enter", "merge", "next"]
    with pytest.raises(CorruptError, match="need each other"):
        graph(node("a", "Neg", "b"), node("b", "Neg", "a")).ordered(["a"])


def test_a_long_chain_is_no_deep_recursion():
    nodes = [node("n0", "Placeholder"), *(node(f"n{i}", "Neg", f"n{i - 1}") for i in range(1, 20_000))]
    assert len(graph(*reversed(nodes)).ordered(["n19999"])) == 20_000


def test_missing_names():
    with pytest.raises(UnknownNameError, match="side"):
        chain().ancestors(["sides:0"])
    with pytest.raises(CorruptError, match="'a' takes 'gone'"):
        graph(node("a", "Neg", "gone")).ancestors(["a"])


@pytest.mark.parametrize(
    "nodes",
    [[NodeDef(name="a", op="Neg")] * 2, [NodeDef(name="a")], [NodeDef(op="Neg")]],
    ids=["twice", "no op", "no name"],
)
def test_nodes_must_have_their_own_names(nodes):
    with pytest.raises(CorruptError, match="node"):
        graph_from_proto(GraphDef(node=nodes))


def test_functions_must_have_their_own_names():
    for names in (["f", "f"], [""]):
        library = FunctionDefLibrary(function=[FunctionDef(signature=OpDef(name=name)) for name in names])
        with pytest.raises(CorruptError, match="function"):
            graph_from_proto(GraphDef(library=library))


def test_a_graph_comes_back():
    proto = graph_def(node("a", "Placeholder", dtype=FLOAT32), node("b", "Neg", "a"))
    proto.library = FunctionDefLibrary(function=[FunctionDef(signature=OpDef(name="f"), ret={"y": "x"})])
    data = encode_bytes(proto)
    found = graph_from_proto(decode_bytes(GraphDef, data))
    assert found.versions.producer == 27 and list(found.functions) == ["f"]
    assert encode_bytes(proto_from_graph(found)) == data


def variable_list(*variables):
    return CollectionDef(bytes_list=BytesList(value=[encode_bytes(variable) for variable in variables]))


def test_a_meta_graph():
    part = SaveSliceInfoDef(full_name="w", full_shape=[4], var_offset=[0], var_shape=[2])
    info = TensorInfo(name="a:0", dtype=1)
    proto = MetaGraphDef(
        meta_info_def=MetaInfoDef(tensorflow_version="1.15.0", tags=["serve"]),
        graph_def=graph_def(node("a", "Placeholder")),
        collection_def={
            "variables": variable_list(
                VariableDef(variable_name="w/part_0:0", save_slice_info_def=part), VariableDef(variable_name="b:0")
            ),
            "losses": CollectionDef(node_list=NodeList(value=["loss:0"])),
            "while_context": variable_list(),
        },
        signature_def={"serving_default": SignatureDef(inputs={"x": info}, outputs={"y": info}, method_name="predict")},
    )
    found, metadata = meta_graph(MemorySource(encode_bytes(proto)))
    assert found.collections == {"variables": ["w/part_0", "b"], "losses": ["loss:0"]}
    assert found.slices == {"w/part_0": part}
    assert found.signatures == {"serving_default": Signature({"x": "a:0"}, {"y": "a:0"}, "predict")}
    assert metadata["tensorflow_version"] == "1.15.0" and metadata["tags"] == ["serve"] and metadata["producer"] == 27
    assert metadata["signatures"]["serving_default"]["inputs"] == {"x": "a:0"}


def test_a_meta_graph_in_text_form():
    text = 'meta_info_def { tensorflow_version: "1.1" } graph_def { node { name: "a" op: "Placeholder" } }'
    found, metadata = meta_graph(MemorySource(text.encode()))
    assert list(found.nodes) == ["a"] and metadata["tensorflow_version"] == "1.1"


def test_a_meta_graph_needs_a_graph():
    with pytest.raises(CorruptError, match="without a graph"):
        meta_graph(MemorySource(encode_bytes(MetaGraphDef(meta_info_def=MetaInfoDef(tags=["x"])))))
