import json

import numpy as np
import pytest

from panmodel.dtypes import RESOURCE
from panmodel.errors import CorruptError, LimitError, MissingFileError, UnsafeError, UnsupportedError
from panmodel.io.sink import Sink
from panmodel.io.source import Location
from panmodel.limits import Limits
from panmodel.model.keras import shards
from panmodel.model.keras.reading import read_contents
from panmodel.model.keras.shards import index_names, index_of, is_index, read_index, write_shards
from panmodel.model.keras.structure import GroupRecord, LayerGroups, Layout
from panmodel.model.tensor import ArrayTensor, DeferredTensor
from panmodel.wire.hdf5 import read_file
from panmodel.wire.hdf5.writing import NewDataset, NewGroup, save


def save_index(folder, weight_map, name="net.weights.json"):
    (folder / name).write_text(json.dumps({"metadata": {"total_size": 8.0}, "weight_map": weight_map}, indent=4))
    return Location(folder / name)


def save_shard(folder, name, variables):
    """Variables of `layers/dense` by their numbers."""
    vars_ = NewGroup({number: NewDataset(ArrayTensor(np.float32(number))) for number in variables})
    with Sink(folder / name, force=True) as sink:
        save(NewGroup({"layers": NewGroup({"dense": NewGroup({"vars": vars_})})}), sink.open())


GROUP = "/layers/dense/vars"


def test_an_index(tmp_path):
    location = save_index(tmp_path, {GROUP: ["net_00000.weights.h5", "net_00001.weights.h5"]})
    assert is_index(location)
    index = index_of(location)
    assert dict(index.shards) == dict.fromkeys(("net_00000.weights.h5", "net_00001.weights.h5"), ("layers/dense/vars",))
    assert index_of(Location(tmp_path / "net_00001.weights.h5")).shards == index.shards
    assert index_of(Location(tmp_path / "net_00002.weights.h5")) is None
    assert index_of(Location(tmp_path / "other_00001.weights.h5")) is None


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"weight_map": {}}', '{"weight_map": {"a": "b.safetensors"}}'])
def test_what_is_no_index(tmp_path, text):
    (tmp_path / "net.weights.json").write_text(text)
    assert not is_index(Location(tmp_path / "net.weights.json"))


@pytest.mark.parametrize(
    ("named", "error"),
    [
        (3, CorruptError), ([], CorruptError), ("", CorruptError), ([None], CorruptError),
        ("../x.weights.h5", UnsafeError), ("/x.weights.h5", UnsafeError), ("a\\b.weights.h5", UnsafeError),
        ("..", UnsafeError),
    ],
)  # fmt: skip
def test_names_that_are_none(tmp_path, named, error):
    with pytest.raises(error):
        read_index(save_index(tmp_path, {GROUP: named}))


def test_limits(tmp_path, monkeypatch):
    location = save_index(tmp_path, {f"/{n}/vars": f"net_{n:05}.weights.h5" for n in range(5)})
    monkeypatch.setattr(shards, "DEFAULT", Limits(shards=4))
    with pytest.raises(LimitError, match="5 shards"):
        read_index(location)
    monkeypatch.setattr(shards, "DEFAULT", Limits(header_bytes=10))
    with pytest.raises(LimitError, match="exceeds 10"):
        read_index(location)


def test_a_missing_shard_is_said_with_what_it_holds(tmp_path):
    index = read_index(save_index(tmp_path, {GROUP: "net_00000.weights.h5"}))
    with pytest.raises(MissingFileError, match=r"layers/dense/vars"):
        index.open("net_00000.weights.h5")


@pytest.mark.parametrize("group", ["/layers/other/vars", "/layers/dense/vars/0", "/layers", "/"])
def test_a_shard_without_what_the_index_says(tmp_path, group):
    save_shard(tmp_path, "net_00000.weights.h5", ["0"])
    index = read_index(save_index(tmp_path, {group: "net_00000.weights.h5"}))
    with pytest.raises(CorruptError, match="lacks"):
        index.compare("net_00000.weights.h5", read_file(index.open("net_00000.weights.h5")))


@pytest.mark.parametrize("target", ["net.weights.json", "net.weights.h5", "net.h5", "net.hdf5", "net"])
def test_the_file_that_is_sure(target):
    assert index_names(target) == ("net.weights.json",)


def variables(count):
    places = {f"w{n}": f"layers/dense_{n % 2}/vars/{n}" for n in range(count)}
    groups = {f"layers/dense_{n}/vars": GroupRecord({"name": f"d{n}"}) for n in range(2)}
    groups["layers/dropout/vars"] = GroupRecord({"name": "d"})
    tensors = {key: ArrayTensor(np.full(4, n, np.float32), key) for n, key in enumerate(places)}
    return tensors, LayerGroups(Layout.VARIABLES, "", groups, places, {"config.json": "{}"})


def test_shards_are_written_and_read(tmp_path):
    tensors, structure = variables(5)
    tensors["more/than/that"] = ArrayTensor(np.float32(7))
    (tmp_path / "net_00007.weights.h5").write_bytes(b"of an older set")
    sink = Sink(tmp_path / "net.weights.h5", names=index_names("net.weights.h5"), force=True, shard_size=40)
    with sink:
        write_shards(tensors, structure, sink)
    files = [f"net_{n:05}.weights.h5" for n in range(3)]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["net.weights.json", *files]
    index = read_index(Location(tmp_path / "net.weights.json"))
    assert dict(index.shards) == {
        files[0]: ("layers/dense_0/vars", "layers/dense_1/vars"),
        files[1]: ("layers/dense_0/vars", "layers/dense_1/vars"),
        files[2]: ("layers/dense_0/vars", "more/than"),
    }
    roots = [read_file(index.open(file)) for file in files]
    found = read_contents(roots[0], "net", *roots[1:])
    assert {key: tensor.numpy().tolist() for key, tensor in found.tensors.items()} == {
        key: tensor.numpy().tolist() for key, tensor in tensors.items()
    }
    assert found.structure.documents == structure.documents
    assert ["dropout" in root["layers"].members for root in roots] == [True, False, False]
    assert ["more" in root.members for root in roots] == [False, False, True]


def test_what_hdf5_cannot_hold_is_refused_before_anything_is_written(tmp_path):
    tensors, structure = variables(3)
    tensors["w2"] = DeferredTensor("w2", RESOURCE, (2,), lambda: np.zeros(2))
    sink = Sink(tmp_path / "net.h5", names=index_names("net.h5"), shard_size=40)
    with pytest.raises(UnsupportedError, match="dense_0/vars/2"), sink:
        write_shards(tensors, structure, sink)
    assert list(tmp_path.iterdir()) == []


def test_a_shard_with_what_the_index_says(tmp_path):
    save_shard(tmp_path, "net_00000.weights.h5", ["0"])
    index = read_index(save_index(tmp_path, {GROUP: "net_00000.weights.h5"}))
    index.compare("net_00000.weights.h5", read_file(index.open("net_00000.weights.h5")))
