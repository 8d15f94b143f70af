import pytest

from panmodel.errors import CorruptError
from panmodel.model.tensorflow.objects import Attribute, Slot, TrackedObject

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
