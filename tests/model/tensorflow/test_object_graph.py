import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.object_checkpoints import FIXTURES, NAMES, expected

from panmodel.errors import CorruptError, LimitError, PanmodelError, UnsupportedError
from panmodel.formats.tensorflow_checkpoint import FORMAT
from panmodel.io.source import Location
from panmodel.model import structure
from panmodel.model.tensor import ArrayTensor
from panmodel.model.tensorflow.object_graph import GRAPH_KEY, ObjectGraph, read_object_graph
from panmodel.wire.protobuf import decode_bytes, encode_bytes
from panmodel.wire.tensorflow_objects import (
    ObjectReference,
    SerializedTensor,
    SlotVariableReference,
    TrackableObject,
    TrackableObjectGraph,
)

VALUE = "/.ATTRIBUTES/VARIABLE_VALUE"


def tensor(shape=(2,)):
    return ArrayTensor(np.ones(shape, np.float32))


def text(data):
    return ArrayTensor(np.array(data, object))


def node(children=(), attributes=(), slots=()):
    """An object: children as (name, number), attributes as (full name, path), slots as (variable, name, slot)."""
    return TrackableObject(
        children=[ObjectReference(node_id=number, local_name=name) for name, number in children],
        attributes=[
            SerializedTensor(name="VARIABLE_VALUE", full_name=full, checkpoint_key=path + VALUE)
            for full, path in attributes
        ],
        slot_variables=[
            SlotVariableReference(original_variable_node_id=a, slot_name=name, slot_variable_node_id=b)
            for a, name, b in slots
        ],
    )


def read(*nodes, **others):
    """The tensors and the graph of a checkpoint that has the attributes of these objects, and others."""
    paths = [known.checkpoint_key for each in nodes for known in each.attributes]
    stored = {path: tensor() for path in paths} | others
    return read_object_graph({**stored, GRAPH_KEY: text(encode_bytes(TrackableObjectGraph(nodes=nodes)))}, "x.index")


def test_other_checkpoints_stay_as_they_are():
    tensors = {"w": tensor()}
    assert read_object_graph(tensors, "x") == (tensors, None)


def test_tensors_have_their_full_names():
    tensors, graph = read(node([("layer", 1)]), node([("kernel", 2)]), node(attributes=[("d/kernel", "layer/kernel")]))
    assert list(tensors) == ["d/kernel"]
    assert graph.keys == {"d/kernel": "layer/kernel" + VALUE}


@pytest.mark.parametrize("full", ["", "Variable", "Variable_12", "x..y.Sz/w" + VALUE])
def test_without_a_full_name_they_have_the_path(full):
    tensors, _ = read(node([("a", 1)]), node(attributes=[(full, "x..y.Sz/w")]))
    assert list(tensors) == ["x.y/z/w"]


def test_full_names_of_several_tell_nothing():
    first, second = node(attributes=[("w", "a/w")]), node(attributes=[("w", "b/w")])
    assert list(read(node([("a", 1), ("b", 2)]), first, second)[0]) == ["a/w", "b/w"]


def test_slots_without_a_full_name_have_a_readable_path():
    path = "a/w/.OPTIMIZER_SLOT/opt/m"
    assert list(read(node(), node(attributes=[("", path)]))[0]) == ["a/w/opt/m"]


def test_a_name_that_is_the_key_of_another_is_not_taken():
    tensors, graph = read(node([("a", 1)]), node(attributes=[("plain", "a/w")]), plain=tensor((3,)))
    assert sorted(tensors) == ["a/w", "plain"]
    assert tensors["plain"].shape == (3,)
    assert graph.keys["plain"] == "plain"


def test_every_path_leads_to_a_tensor():
    tensors, _ = read(
        node([("net", 1), ("also", 1), ("loop", 0)]),
        node([("w", 2), ("x/y.z", 2)]),
        node(attributes=[("dense/w", "net/w")]),
    )
    found = tensors["dense/w"]
    paths = ["net/w", "also/w", "loop/loop/net/w", "net/x.Sy..z"]
    for name in [*paths, *(path + VALUE for path in paths)]:
        assert tensors[name] is found
        assert name in tensors
    for name in ("net", "net/v", "w", "net/w/w", "", "net/w/.ATTRIBUTES/OTHER"):
        assert name not in tensors


@pytest.mark.parametrize("name", NAMES)
def test_checkpoints_of_tensorflow(name):
    values = expected(name)
    model = FORMAT.read(Location(FIXTURES / f"{name}.ckpt"))
    assert len(model.tensors) == len(values)
    assert GRAPH_KEY not in model.tensors
    assert {tensor.name for tensor in model.tensors.values()} == set(values)
    for key, value in values.items():
        assert model.tensors[key].numpy().tobytes() == value.tobytes()
    assert all("ATTRIBUTES" not in listed for listed in model.tensors)


@pytest.mark.parametrize("name", NAMES)
def test_what_is_stored_is_what_was_read(name):
    model = FORMAT.read(Location(FIXTURES / f"{name}.ckpt"))
    stored = model.structure.stored(model.tensors)
    assert set(stored) == {*expected(name), GRAPH_KEY}
    again, graph = read_object_graph(stored, "again")
    assert dict(again) == dict(model.tensors)
    assert graph == model.structure


def test_the_message_is_that_of_tensorflow():
    """Which objects lead to values is told as TensorFlow 2.21 tells it."""
    from panmodel.model.tensorflow.bundle import read_bundle_tensors
    from panmodel.model.tensorflow.checkpoint_files import find_checkpoint

    files = find_checkpoint(Location(FIXTURES / "keras3.ckpt"))
    raw = read_bundle_tensors(files.open_index(), files.open_shard).tensors
    theirs = decode_bytes(TrackableObjectGraph, raw[GRAPH_KEY].numpy().item())
    tensors, graph = read_object_graph(raw, "x")
    ours = decode_bytes(TrackableObjectGraph, graph.stored(tensors)[GRAPH_KEY].numpy().item())
    assert [n.has_checkpoint_values.value for n in ours.nodes] == [n.has_checkpoint_values.value for n in theirs.nodes]
    assert [list(n.attributes) for n in ours.nodes] == [list(n.attributes) for n in theirs.nodes]
    assert [list(n.children) for n in ours.nodes] == [list(n.children) for n in theirs.nodes]


SMALL = (
    node([("a", 1), ("opt", 2)]),
    node(attributes=[("w", "a")]),
    node(slots=[(1, "m", 3)]),
    node(attributes=[("opt/w/m", "a/.OPTIMIZER_SLOT/opt/m")]),
)


def test_renamed_tensors_keep_their_keys_and_are_found_under_the_new_name():
    tensors, graph = read(*SMALL)
    edited = graph.edited({"w": "weight", "opt/w/m": "opt/w/m"})
    renamed = {"weight": tensors["w"], "opt/w/m": tensors["opt/w/m"]}
    again, _ = read_object_graph(edited.stored(renamed), "x")
    assert list(again) == ["weight", "opt/w/m"]
    assert again["a" + VALUE] is tensors["w"]


def test_slots_that_were_left_out_are_not_waited_for():
    _, graph = read(*SMALL)
    edited = graph.edited({"w": "w"})
    assert edited.nodes[2].slots == ()
    assert edited.keys == {"w": "a" + VALUE}
    message = decode_bytes(TrackableObjectGraph, edited.stored({"w": tensor()})[GRAPH_KEY].numpy().item())
    assert [each.has_checkpoint_values.value for each in message.nodes] == [True, True, False, False]


def test_a_graph_without_tensors_is_none():
    assert read(*SMALL)[1].edited({}) is None


def test_tensors_that_are_new_keep_their_own_names():
    _, graph = read(*SMALL)
    assert "new" in graph.stored({"w": tensor(), "opt/w/m": tensor(), "new": tensor()})


@pytest.mark.parametrize("name", ["a" + VALUE, GRAPH_KEY])
def test_two_tensors_under_one_key_are_refused(name):
    _, graph = read(*SMALL)
    with pytest.raises(UnsupportedError, match="so would another"):
        graph.stored({"w": tensor(), name: tensor()})


# As text


def test_text_gives_the_graph_back():
    tensors, graph = read(*SMALL)
    assert structure.decode(structure.encode(graph), tensors, "x") == graph


@pytest.mark.parametrize(
    "change",
    [
        {"nodes": []},
        {"nodes": {}},
        {"nodes": None},
        {"keys": []},
        {"keys": {"w": 1}},
        {"keys": {"other": "k"}},
        {"keys": {"w": "k", "opt/w/m": "k"}},
        {"keys": {"w": GRAPH_KEY, "opt/w/m": "k"}},
        {"keys": {"w": "k"}},
        {"nodes": [{"children": [["a", 1]]}]},
    ],
)
def test_text_that_contradicts_itself_is_refused(change):
    tensors, graph = read(*SMALL)
    with pytest.raises(CorruptError):
        ObjectGraph.from_json({**graph.to_json(), **change}, tensors)


def test_keys_of_tensors_that_are_not_there_are_refused():
    tensors, graph = read(*SMALL)
    plain = graph.to_json()
    with pytest.raises(CorruptError, match="keys of tensors that are not there"):
        ObjectGraph.from_json({**plain, "keys": {**plain["keys"], "other": "k"}}, tensors)


@given(st.data())
def test_changed_text_gives_a_graph_or_our_error(data):
    tensors, graph = read(*SMALL)
    text = list(json.dumps(graph.to_json()))
    for _ in range(data.draw(st.integers(1, 3))):
        text[data.draw(st.integers(0, len(text) - 1))] = data.draw(st.sampled_from('0123456789-"[]{},:aw'))
    try:
        plain = json.loads("".join(text))
    except ValueError:
        return
    try:
        found = ObjectGraph.from_json(plain if isinstance(plain, dict) else {}, tensors)
    except PanmodelError:
        return
    found.stored(tensors)


# Damage


@pytest.mark.parametrize("children", [[("a", 4)], [("a", -1)]])
def test_objects_that_are_not_there(children):
    with pytest.raises(CorruptError, match="points at objects beyond"):
        read(node(children))


def test_a_graph_of_another_kind():
    with pytest.raises(CorruptError, match="no string"):
        read_object_graph({GRAPH_KEY: tensor()}, "x")
    with pytest.raises(LimitError, match="0 objects"):
        read_object_graph({GRAPH_KEY: text(b"")}, "x")
    with pytest.raises(CorruptError):
        read_object_graph({GRAPH_KEY: text(b"\x0a\xff")}, "x")


def test_attributes_that_the_file_does_not_have_are_left_out():
    nodes = TrackableObjectGraph(nodes=[node(attributes=[("w", "gone")])])
    tensors, graph = read_object_graph({GRAPH_KEY: text(encode_bytes(nodes)), "v": tensor()}, "x")
    assert list(tensors) == ["v"]
    assert graph.nodes[0].attributes == ()


def test_changed_graphs_give_tensors_or_our_error():
    """The bundle has sums, so that damage shows there; a graph that was made on purpose has none."""
    from panmodel.model.tensorflow.bundle import read_bundle_tensors
    from panmodel.model.tensorflow.checkpoint_files import find_checkpoint

    for name in NAMES:
        files = find_checkpoint(Location(FIXTURES / f"{name}.ckpt"))
        tensors = read_bundle_tensors(files.open_index(), files.open_shard).tensors
        whole = tensors[GRAPH_KEY].numpy().item()
        random = np.random.default_rng(0)
        for _ in range(1000):
            changed = bytearray(whole)
            changed[random.integers(len(whole))] ^= random.integers(1, 256)
            try:
                found, graph = read_object_graph({**tensors, GRAPH_KEY: text(bytes(changed))}, "x")
                graph.training_state(found)
                assert len(found) == len(tensors) - 1
                read_object_graph(graph.stored(found), "again")
            except PanmodelError:
                continue


def test_tables_are_found_by_what_the_keys_of_their_tensors_begin_with():
    """A hash table is one attribute, and two tensors; TensorFlow restores it if the attribute is there."""
    attribute = SerializedTensor(name="table", checkpoint_key="t/.ATTRIBUTES/table")
    gone = SerializedTensor(name="table", checkpoint_key="u/.ATTRIBUTES/table")
    message = TrackableObjectGraph(
        nodes=[
            TrackableObject(children=[ObjectReference(node_id=1, local_name="t")]),
            TrackableObject(attributes=[attribute, gone]),
        ]
    )
    stored = {f"t/.ATTRIBUTES/table-{part}": tensor() for part in ("keys", "values")}
    tensors, graph = read_object_graph({GRAPH_KEY: text(encode_bytes(message)), **stored}, "file")
    assert list(tensors) == ["t/table-keys", "t/table-values"]
    for same in (graph, ObjectGraph.from_json(json.loads(json.dumps(graph.to_json())), tensors)):
        again = same.stored(tensors)
        assert again.keys() == {GRAPH_KEY, *stored}
        written = decode_bytes(TrackableObjectGraph, again[GRAPH_KEY].item(), "file")
        assert [known.checkpoint_key for known in written.nodes[1].attributes] == ["t/.ATTRIBUTES/table"]
        assert [node.has_checkpoint_values.value for node in written.nodes] == [True, True]
    assert graph.edited({"t/table-keys": "k"}).nodes[1].tables
    assert graph.edited({}) is None
