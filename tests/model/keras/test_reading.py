import numpy as np
import pytest

from panmodel.errors import CorruptError, LimitError
from panmodel.io.sink import Sink
from panmodel.io.source import FileSource
from panmodel.model.keras.reading import read_contents
from panmodel.model.keras.structure import Layout
from panmodel.model.tensor import ArrayTensor
from panmodel.wire.hdf5 import read_file
from panmodel.wire.hdf5.writing import NewDataset, NewGroup, save


def contents(folder, root):
    with Sink(folder / "file.h5", force=True) as sink:
        save(root, sink.open())
    return read_contents(read_file(FileSource(folder / "file.h5")), "file.h5")


def number(value=1.0):
    return NewDataset(ArrayTensor(np.float32(value)))


def test_numbers_in_names_are_in_the_order_of_their_value(tmp_path):
    names = ["x", "x1", "x2", "x10", "x010", "x10y", "x" + "9" * 5000]
    root = NewGroup({name: number() for name in reversed(names)})
    found = list(contents(tmp_path, root).tensors)
    assert found[:3] == ["x", "x1", "x2"]
    assert set(found) == set(names)
    assert found[-1] == names[-1]


def test_attributes_are_plain_values(tmp_path):
    values = {
        "text": "é",
        "bytes": b"b",
        "int": 3,
        "array": np.array([[1, 2]], np.int16),
        "names": np.array([b"a", b"bc"]),
        "complex": np.complex64(1),
        "long": np.zeros(5000, np.int8),
    }
    found = contents(tmp_path, NewGroup({"g": NewGroup({}, values)}))
    record = found.structure.groups["g"].attributes
    array = {"dtype": "int16", "shape": [1, 2], "values": [1, 2]}
    assert record == {"text": "é", "bytes": "b", "int": 3, "array": array, "names": ["a", "bc"]}
    assert found.dropped == ["g/complex", "g/long"]


def test_an_empty_list_may_be_an_array_of_no_numbers(tmp_path):
    layer = NewGroup({}, {"weight_names": np.zeros(0)})
    found = contents(tmp_path, NewGroup({"a": layer}, {"layer_names": np.array([b"a"])}))
    assert found.structure.layout is Layout.LAYERS
    assert found.structure.groups["a"].weights == []


def test_lists_in_parts(tmp_path):
    attributes = {"layer_names0": np.array([b"b"]), "layer_names1": np.array([b"a"])}
    layers = {name: NewGroup({"k": number()}, {"weight_names0": np.array([b"k"])}) for name in "ab"}
    found = contents(tmp_path, NewGroup(layers, attributes))
    assert list(found.tensors) == ["b/k", "a/k"]
    assert found.structure.groups[""].attributes == {}


def test_a_list_of_numbers_is_no_list_of_names(tmp_path):
    found = contents(tmp_path, NewGroup({"x": number()}, {"layer_names": np.array([1, 2])}))
    assert found.structure.layout is Layout.PATHS


def test_what_is_listed_must_be_there(tmp_path):
    with pytest.raises(CorruptError, match="'gone'"):
        contents(tmp_path, NewGroup({"a": number()}, {"layer_names": np.array([b"gone"])}))


def test_groups_that_hold_themselves_end(tmp_path):
    h5py = pytest.importorskip("h5py")
    with h5py.File(tmp_path / "loop.h5", "w") as file:
        file["a/x"] = 1.0
        file["a/self"] = file["a"]
        file["a/root"] = file["/"]
    found = read_contents(read_file(FileSource(tmp_path / "loop.h5")), "loop.h5")
    assert list(found.tensors) == ["a/x"]


def test_groups_nest_no_deeper_than_models_do(tmp_path):
    root = inner = NewGroup()
    for _ in range(100):
        inner.members["g"] = inner = NewGroup()
    inner.members["x"] = number()
    with pytest.raises(LimitError):
        contents(tmp_path, root)


def roots(folder, *groups):
    found = []
    for number, root in enumerate(groups):
        with Sink(folder / f"{number}.h5", force=True) as sink:
            save(root, sink.open())
        found.append(read_file(FileSource(folder / f"{number}.h5")))
    return found


def layers(attributes=None, **numbers):
    return NewGroup({"layers": NewGroup({"dense": NewGroup({"vars": NewGroup(numbers, attributes or {})})})})


def test_several_files_are_read_as_one(tmp_path):
    numbers = [number(1.0), number(2.0), number(3.0)]
    whole = layers({"name": "z"}, **{"0": numbers[0], "2": numbers[1], "10": numbers[2]})
    first, second = layers(**{"10": numbers[2]}), layers({"name": "z"}, **{"0": numbers[0], "2": numbers[1]})
    (one,), parts = roots(tmp_path, whole), roots(tmp_path, first, second)
    expected, found = read_contents(one, "a"), read_contents(parts[0], "a", parts[1])
    assert found.structure == expected.structure
    assert list(found.structure.groups) == list(expected.structure.groups)
    assert list(found.tensors) == list(expected.tensors) == [f"layers/z/vars/{n}" for n in (0, 2, 10)]
    assert [tensor.item() for tensor in found.tensors.values()] == [1.0, 2.0, 3.0]


def test_files_that_contradict_each_other(tmp_path):
    first, second = roots(tmp_path, layers(**{"0": number()}), layers(**{"0": number()}))
    with pytest.raises(CorruptError, match="two of its files have 'layers/dense/vars/0'"):
        read_contents(first, "a", second)
    first, second = roots(tmp_path, layers(**{"0": number()}), NewGroup({"layers": number()}))
    with pytest.raises(CorruptError, match="no group in another"):
        read_contents(first, "a", second)
