import pytest

from panmodel.errors import CorruptError
from panmodel.model.tensorflow.objects import Attribute, Slot, TrackedObject, parents, tracking_order

FULL = TrackedObject(
    (("a", 1), ("b", 0)), (Attribute("VARIABLE_VALUE", "w", "w"),), (Slot(1, "m", 2),), ("a.Class", "its/name")
)


@pytest.mark.parametrize("node", [FULL, TrackedObject()])
def test_plain_values_give_the_object_back(node):
    assert TrackedObject.from_json(node.to_json(), 3) == node


def test_what_is_empty_is_left_out():
    assert TrackedObject().to_json() == {}


@pytest.mark.parametrize(
    "plain",
    [
        7,
        {"children": 1},
        {"children": [["a"]]},
        {"children": [[1, "a"]]},
        {"children": [["a", 3]]},
        {"children": [["a", -1]]},
        {"children": [["a", True]]},
        {"attributes": [["a", "b", None]]},
        {"slots": [[0, "m", 3]]},
        {"slots": [[9, "m", 0]]},
        {"saver": ["one"]},
        {"saver": 5},
    ],
)
def test_values_of_other_types_are_refused(plain):
    with pytest.raises(CorruptError):
        TrackedObject.from_json(plain, 3)


def test_a_renamed_attribute_has_the_name_that_readers_find():
    attribute = Attribute("VARIABLE_VALUE", "w", "w")
    assert attribute.renamed("w") is attribute
    assert attribute.renamed("v") == Attribute("VARIABLE_VALUE", "v", "v")


def test_the_order_of_tracking_and_who_tracks_whom():
    """The root has an optimizer first, and a model that shares a layer with it; nobody has the last object."""
    children = [(("optimizer", 1), ("model", 2)), (("shared", 4),), (("a", 3), ("b", 4), ("root", 0)), (), (), ()]
    nodes = [TrackedObject(each) for each in children]
    assert list(tracking_order(nodes)) == [0, 1, 4, 2, 3]
    assert list(tracking_order(nodes, last="optimizer")) == [0, 2, 3, 4, 1]
    assert list(tracking_order([])) == []
    assert parents(nodes) == {1: {0}, 2: {0}, 4: {1, 2}, 3: {2}, 0: {2}}
