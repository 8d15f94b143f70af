import numpy as np
import pytest

from panmodel.model.aliases import AliasedTensors
from panmodel.model.tensor import ArrayTensor

ONE, TWO = ArrayTensor(np.ones(1)), ArrayTensor(np.ones(2))


@pytest.fixture
def tensors():
    return AliasedTensors({"one": ONE, "two": TWO}, {"eins": "one", "lost": "gone"}.get)


def test_lookups_take_both_names(tensors):
    assert tensors["one"] is tensors["eins"] is tensors.get("eins") is tensors.get("one") is ONE
    assert "one" in tensors and "eins" in tensors


@pytest.mark.parametrize("name", ["three", "lost", "", 1])
def test_other_names_lead_nowhere(name, tensors):
    assert name not in tensors
    assert tensors.get(name) is None
    assert tensors.get(name, TWO) is TWO
    with pytest.raises(KeyError):
        tensors[name]


def test_listings_know_one_name_of_each(tensors):
    assert list(tensors) == list(tensors.keys()) == ["one", "two"]
    assert len(tensors) == 2
    assert tensors == {"one": ONE, "two": TWO}
