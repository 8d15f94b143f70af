import json

import numpy as np
import pytest

from panmodel.errors import CorruptError
from panmodel.model import structure as structures
from panmodel.model.keras.structure import GroupRecord, LayerGroups, Layout, is_asset, is_plain, join
from panmodel.model.tensor import ArrayTensor

TENSORS = {name: ArrayTensor(np.zeros(2), name) for name in ("a/k", "a/b", "optimizer_weights/iter")}


def groups(**documents):
    return LayerGroups(
        Layout.LAYERS,
        "model_weights",
        {
            "": GroupRecord(
                {"model_config": "{}", "training_config": "{}", "x": {"dtype": "int8", "shape": [1], "values": [2]}}
            ),
            "model_weights": GroupRecord({"backend": "tensorflow"}, ["a"]),
            "model_weights/a": GroupRecord({}, None, [("a/k", "a/k"), ("a/b", "a/b")]),
            "optimizer_weights": GroupRecord({}, None, [("iter", "optimizer_weights/iter")]),
        },
        {
            "a/k": "model_weights/a/a/k",
            "a/b": "model_weights/a/a/b",
            "optimizer_weights/iter": "optimizer_weights/iter",
        },
        documents,
    )


def test_text_and_back():
    text = structures.encode(groups(config="{}"))
    assert structures.decode(text, TENSORS, "file").to_json() == groups(config="{}").to_json()


def test_a_renamed_weight_is_listed_under_its_new_name():
    names = {"a/k": "a/kernel", "optimizer_weights/iter": "step"}
    edited = groups().edited(names)
    assert edited.places == {"a/kernel": "model_weights/a/a/kernel", "step": "optimizer_weights/iter"}
    assert edited.groups["model_weights/a"].weights == [("a/kernel", "a/kernel")]
    assert edited.groups["optimizer_weights"].weights == [("iter", "step")]
    assert groups().edited({}) is None


def test_edits_leave_the_original_alone():
    whole = groups()
    whole.edited({"a/k": "x"}, keep_training=False)
    assert whole.to_json() == groups().to_json()


def test_without_training():
    config = json.dumps({"class_name": "Net", "compile_config": {"optimizer": "adam"}})
    whole = groups(**{"config.json": config})
    edited = whole.edited({name: name for name in TENSORS}, keep_training=False)
    assert set(edited.places) == {"a/k", "a/b"}
    assert "optimizer_weights" not in edited.groups
    assert "training_config" not in edited.groups[""].attributes
    assert json.loads(edited.documents["config.json"]) == {"class_name": "Net"}


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("layout", "other"),
        ("layout", []),
        ("base", 3),
        ("groups", []),
        ("groups", {"": []}),
        ("groups", {"": {"attributes": {}, "layers": [1], "weights": None}}),
        ("groups", {"": {"attributes": {}, "layers": None, "weights": [["a"]]}}),
        ("groups", {"": {"attributes": {}, "layers": None, "weights": [["a", "gone"]]}}),
        ("groups", {"": {"attributes": {"a": None}, "layers": None, "weights": None}}),
        ("groups", {"": {"layers": None, "weights": None}}),
        ("places", {"gone": "x"}),
        ("places", {"a/k": 3}),
        ("documents", {"a": 1}),
    ],
)
def test_texts_are_not_believed(key, value):
    plain = {**groups().to_json(), key: value}
    with pytest.raises(CorruptError):
        LayerGroups.from_json(plain, TENSORS)


def test_which_attributes_are_kept():
    plain = {"dtype": "float32", "shape": [2], "values": [1.5, 2]}
    assert all(map(is_plain, ("a", 1, 2.5, True, ["a"], plain, (1 << 64) - 1)))
    assert not any(map(is_plain, (None, [1], 1 << 64, {**plain, "shape": [-1]}, {**plain, "values": ["a"]}, {}, b"a")))


def test_what_belongs_to_the_optimizer():
    assert groups().is_optimizer("optimizer_weights/iter")
    assert not groups().is_optimizer("optimizer/vars/0")
    assert LayerGroups(Layout.VARIABLES).is_optimizer("optimizer/vars/0")
    assert not LayerGroups(Layout.PATHS).is_optimizer("optimizer/vars/0")
    assert (join("", "a"), join("a", "b")) == ("a", "a/b")


@pytest.mark.parametrize(
    ("name", "known"),
    [("assets/a/b.txt", True), ("assets/é", True), ("assets/", False), ("assets/../a", False), ("assets//a", False),
     ("assets/a\\b", False), ("assets/a\0", False), ("/assets/a", False), ("config.json", False)],
)  # fmt: skip
def test_files_of_layers_stay_in_their_folder(name, known):
    assert is_asset(name) == known
