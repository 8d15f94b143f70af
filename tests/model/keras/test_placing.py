import numpy as np
import pytest

from panmodel.errors import UnsupportedError
from panmodel.model.keras.placing import arranged, file_of
from panmodel.model.keras.structure import GroupRecord, LayerGroups, Layout
from panmodel.model.tensor import ArrayTensor
from panmodel.wire.hdf5.writing import NewDataset, NewGroup, check


def tensors(*names):
    return {name: ArrayTensor(np.float32(place), name) for place, name in enumerate(names)}


def paths(group, prefix=""):
    for name, member in group.members.items():
        if isinstance(member, NewGroup):
            yield from paths(member, f"{prefix}{name}/")
        else:
            yield prefix + name


def test_layers_of_names():
    structure = arranged(tensors("conv/kernel", "fc.weight", "x", "a/b/c"))
    assert structure.groups[""].layers == ["conv", "fc", "x", "a/b"]
    root = file_of(tensors("conv/kernel", "fc.weight", "x", "a/b/c"), structure)
    assert sorted(paths(root)) == ["a/b/a/b/c", "conv/conv/kernel", "fc/fc.weight", "x/x"]
    assert root.members["conv"].attributes["weight_names"].tolist() == [b"conv/kernel"]
    assert "panmodel.names" not in root.attributes
    assert root.attributes["keras_version"] != b"1"


@pytest.mark.parametrize(
    "name", ["", "/", "a//b", ".", "a/./b", "a\0", "/".join("abcdefgh" * 10), "x" * 2000, "\udc80"]
)
def test_names_that_are_no_paths_are_written_down(name):
    root = file_of(tensors(name), arranged(tensors(name)))
    check(root)
    assert list(paths(root)) == ["tensor_0/tensor_0"]
    assert "panmodel.names" in root.attributes


def test_a_tensor_in_the_way_of_a_group_gets_a_path_of_its_own():
    given = tensors("a/a", "a/a/a/a")  # a/a/a is the first's dataset
    root = file_of(given, arranged(given))
    check(root)
    assert len(list(paths(root))) == 2


def test_tensors_that_the_structure_does_not_know_get_layers():
    groups = {"": GroupRecord(layers=["a"]), "a": GroupRecord(weights=[("k", "k")])}
    structure = LayerGroups(Layout.LAYERS, "", groups, {"k": "a/k"})
    root = file_of(tensors("k", "new/kernel"), structure)
    assert root.attributes["layer_names"].tolist() == [b"a", b"new"]
    assert sorted(paths(root)) == ["a/k", "new/new/kernel"]
    assert groups[""].layers == ["a"]


def test_structures_that_contradict_themselves_give_files_all_the_same():
    groups = {"": GroupRecord(), "a/b": GroupRecord(weights=[("x", "k")]), "a//c": GroupRecord()}
    structure = LayerGroups(Layout.LAYERS, "gone", groups, {"k": "a/b", "l": "z", "m": "z", "n": "../x/./y"})
    root = file_of(tensors("k", "l", "m", "n"), structure)
    check(root)
    assert len(list(paths(root))) == 4


def test_one_tensor_is_one_dataset():
    tensor = ArrayTensor(np.zeros(3))
    root = file_of({"a/k": tensor, "b/k": tensor}, arranged({"a/k": tensor, "b/k": tensor}))
    first, second = root.members["a"].members["a"].members["k"], root.members["b"].members["b"].members["k"]
    assert isinstance(first, NewDataset)
    assert first is second


def test_lists_beyond_what_a_header_holds_are_split():
    names = [f"{place:04d}{'x' * 96}/k" for place in range(1500)]
    root = file_of(tensors(*names), arranged(tensors(*names)))
    parts = [root.attributes[f"layer_names{number}"] for number in range(3)]
    assert np.concatenate(parts).tolist() == [name[:-2].encode() for name in names]
    assert all(part.nbytes <= 64_512 for part in parts)
    assert "layer_names" not in root.attributes


def test_numeric_attributes_are_arrays():
    plain = {"dtype": "float32", "shape": [1, 2], "values": [1.5, 2]}
    structure = LayerGroups(Layout.PATHS, "", {"": GroupRecord({"a": plain, "t": ["x", "y"], "s": "text"})})
    attributes = file_of({}, structure).attributes
    assert attributes["a"].dtype == np.float32
    assert attributes["a"].tolist() == [[1.5, 2]]
    assert attributes["t"].tolist() == [b"x", b"y"]
    assert attributes["s"] == b"text"


@pytest.mark.parametrize("change", [{"dtype": "nothing"}, {"shape": [3]}, {"dtype": "uint8", "values": [300, 1]}])
def test_numeric_attributes_that_are_none_are_refused(change):
    plain = {"dtype": "float32", "shape": [1, 2], "values": [1.5, 2], **change}
    structure = LayerGroups(Layout.PATHS, "", {"": GroupRecord({"a": plain})})
    with pytest.raises(UnsupportedError):
        file_of({}, structure)
