import json

import pytest

from panmodel.model.keras.configuration import optimizer_of, parsed
from panmodel.model.keras.structure import GroupRecord, LayerGroups, Layout


def compiled(optimizer):
    return LayerGroups(documents={"config.json": json.dumps({"compile_config": {"optimizer": optimizer}})})


def test_the_optimizer_that_a_model_was_compiled_with():
    config = {"learning_rate": 0.5, "name": "mine", "clip": None}
    assert optimizer_of(compiled({"class_name": "RMSprop", "config": config})) == (
        "rmsprop",
        {"learning_rate": 0.5, "name": "mine"},
    )
    assert optimizer_of(compiled("Adam")) == ("adam", {})


@pytest.mark.parametrize(
    ("group", "name", "kind"),
    [
        ("optimizer/vars", "rm_sprop_12", "rmsprop"),
        ("optimizer/vars", "adam_w", "adamw"),
        ("optimizer/inner_optimizer/vars", "muon", "muon"),
        ("optimizer/vars", "mine", ""),
    ],
)
def test_an_optimizer_may_be_known_by_its_name_alone(group, name, kind):
    structure = LayerGroups(Layout.VARIABLES, groups={group: GroupRecord({"name": name})})
    assert optimizer_of(structure) == (kind, {})


@pytest.mark.parametrize("text", [None, 3, "", "[]", "{", "[" * 100_000])
def test_configurations_that_are_none(text):
    assert parsed(text) == {}


@pytest.mark.parametrize(
    "config", [[], {"config": 3}, {"class_name": "Adam", "config": []}, {"class_name": []}, 3, None]
)
def test_optimizers_that_are_none(config):
    attributes = {"training_config": json.dumps({"optimizer_config": config})}
    assert optimizer_of(LayerGroups(groups={"": GroupRecord(attributes)})) == ("", {})
