"""Declaring messages, and what a message is before anything is read or written."""

import pytest

from panmodel.wire.protobuf import (
    BYTES,
    FIXED32,
    VARINT,
    Message,
    decode_bytes,
    encode_bytes,
    mapping,
    repeated,
    single,
)


class Leaf(Message):
    number: int = single(1, "int64")


class Tree(Message):
    """Declared out of the order of its numbers."""

    last = single(9, "string")
    leaf = single(2, lambda: Leaf)
    leaves = repeated(3, lambda: Leaf)
    table = mapping(4, lambda: Leaf)
    ages = mapping(5, "int32", key="uint32")
    floats = repeated(6, "float")
    kind = single(7, "enum", enum={"A": 0, "B": 1})
    child = single(8, lambda: Tree)


def test_declarations_become_fields():
    assert list(Tree.fields) == [2, 3, 4, 5, 6, 7, 8, 9]
    assert {name: known.number for name, known in Tree.by_name.items()}["last"] == 9
    assert all(known.name == name for name, known in Tree.by_name.items())
    assert Tree.by_name["child"].message is Tree and Tree.by_name["leaf"].message is Leaf
    wires = {name: known.wire for name, known in Tree.by_name.items()}
    assert (wires["leaf"], wires["table"], wires["floats"], wires["kind"]) == (BYTES, BYTES, FIXED32, VARINT)
    assert Tree.by_name["kind"].enum == {"A": 0, "B": 1}


def test_absent_fields_have_their_default():
    tree = Tree()
    assert (tree.last, tree.leaf, tree.leaves, tree.floats, tree.kind) == ("", None, (), (), 0)
    assert dict(tree.table) == {} and not tree.has("kind")
    with pytest.raises(TypeError):
        tree.table["a"] = Leaf()  # the default is shared by all


def test_presence_is_told_from_the_default():
    tree = Tree(kind=0)
    assert tree.has("kind") and not Tree().has("kind")
    assert tree != Tree() and tree == Tree(kind=0)
    assert encode_bytes(tree) == b"\x38\x00" and encode_bytes(Tree()) == b""


def test_messages_of_two_kinds_are_never_equal():
    assert Leaf() != Tree() and Leaf() != 0
    with pytest.raises(TypeError):
        hash(Leaf())


def test_present_fields_come_in_the_order_of_their_numbers():
    tree = Tree(last="z", leaf=Leaf(number=1), kind=1)
    assert list(tree.present()) == ["leaf", "kind", "last"]
    assert repr(tree) == "Tree(leaf=Leaf(number=1), kind=1, last='z')"


def test_inner_messages_are_decoded_once_and_when_asked_for():
    data = encode_bytes(Tree(leaf=Leaf(number=7), table={"a": Leaf(number=8)}))
    tree = decode_bytes(Tree, data)
    assert tree.has("leaf") and set(tree.pending.pieces) == {"leaf", "table"}
    assert tree.leaf is tree.leaf and tree.leaf.number == 7
    assert set(tree.pending.pieces) == {"table"}
    assert tree.table == {"a": Leaf(number=8)}
    assert not tree.pending.pieces and encode_bytes(tree) == data


def test_replacing_fields_leaves_the_message_as_it_was():
    tree = decode_bytes(Tree, encode_bytes(Tree(leaf=Leaf(number=7), last="a")))
    changed = tree.replaced(last=None, kind=1)
    assert changed == Tree(leaf=Leaf(number=7), kind=1)
    assert tree == Tree(leaf=Leaf(number=7), last="a")


def test_maps_have_entries_of_their_own():
    entry = Tree.by_name["ages"].message
    assert {number: known.kind for number, known in entry.fields.items()} == {1: "uint32", 2: "int32"}
    assert entry is Tree.by_name["ages"].message and entry is not Tree.by_name["table"].message
    assert decode_bytes(Tree, encode_bytes(Tree(ages={3: -1}))).ages == {3: -1}
