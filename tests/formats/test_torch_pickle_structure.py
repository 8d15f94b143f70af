"""Checkpoints with their structure, whole modules and shards, as this format reads and writes them without torch."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from tests.damage import assert_survives, contents_of

from panmodel.errors import MissingFileError, UnsafeError, UnsupportedError
from panmodel.formats import torch_pickle
from panmodel.io.sink import Sink
from panmodel.io.source import Location
from panmodel.model.model import Model
from panmodel.model.tensor import ArrayTensor, Tensor
from panmodel.model.torch.skeleton import Branch, Leaf
from panmodel.model.torch.structure import Nested
from panmodel.wire.pickle import Global, Object, dump

GROUPS = Branch("list", ((0, Branch("dict", (("lr", 0.1), ("params", Branch("list", ((0, 0),)))))),))
SLOTS = Branch("dict", ((0, Branch("dict", (("momentum_buffer", Leaf("optimizer.state.0.momentum_buffer")),))),))
OPTIMIZER = Branch("dict", (("state", SLOTS), ("param_groups", GROUPS)))
STATE = Branch("OrderedDict", (("w", Leaf("w")),), modules={"": {"version": 1}})
ROOT = Branch("dict", (("epoch", 3), ("model", STATE), ("optimizer", OPTIMIZER)))
FLOATS = np.arange(6, dtype=np.float32).reshape(2, 3)
TENSORS: dict[str, Tensor] = {"w": ArrayTensor(FLOATS), "optimizer.state.0.momentum_buffer": ArrayTensor(FLOATS + 1)}


def checkpoint(path: Path) -> Location:
    with Sink(path, force=True) as sink:
        torch_pickle.write(Model("test", tensors=TENSORS, structure=Nested(ROOT)), sink)
    return Location(path)


def module(cls: Global, **more: object) -> Object:
    parts = {"_parameters": {}, "_buffers": {}, "_modules": {}, "training": True, **more}
    return Object(cls, states=[parts])


def test_a_checkpoint_is_read_as_it_was_written(tmp_path: Path) -> None:
    model = torch_pickle.read(checkpoint(tmp_path / "a.pt"))
    assert model.structure == Nested(ROOT)
    assert list(model.tensors) == list(TENSORS)
    assert model.training is not None
    assert (model.training.epoch, model.training.optimizer, list(model.training.slots)) == (3, "sgd", ["w"])
    assert list(model.weights) == ["w"]
    assert model.metadata["modules"] == {"": {"version": 1}}


def test_what_has_no_place_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    extra = {**TENSORS, "more": ArrayTensor(FLOATS)}
    with pytest.raises(UnsupportedError, match="no place"), Sink(tmp_path / "a.pt") as sink:
        torch_pickle.write(Model("test", tensors=extra, structure=Nested(ROOT)), sink)
    assert list(tmp_path.iterdir()) == []


def test_damage_of_a_checkpoint_is_found(tmp_path: Path) -> None:
    path = checkpoint(tmp_path / "a.pt").path
    assert_survives(lambda copy: contents_of(torch_pickle.read(Location(copy))), path, exact=True)


def test_a_module_in_a_plain_pickle_survives_damage(tmp_path: Path) -> None:
    inner = b"cmy.nets\nLayer\n)\x81}(X\x0b\x00\x00\x00_parameters}X\x08\x00\x00\x00_buffers}X\x08\x00\x00\x00_modules}"
    path = tmp_path / "a.pkl"
    path.write_bytes(b"\x80\x02" + inner + b"X\x04\x00\x00\x00sizeK\x03ub.")
    model = torch_pickle.read(Location(path))
    assert model.metadata["module_tree"] == {"": {"class": "my.nets.Layer", "size": 3}}
    assert [notice.kind for notice in model.notices] == ["assumed"]
    assert_survives(lambda copy: contents_of(torch_pickle.read(Location(copy))), path)


def test_modules_that_are_called_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.pkl"
    called = module(Global("torch.nn.modules.linear", "Linear"))
    called.args = (1,)
    path.write_bytes(dump({"net": called}))  # REDUCE, as no module is pickled
    with pytest.raises(UnsafeError, match=r"1 thing\(s\).*: torch\.nn\.modules\.linear\.Linear"):
        torch_pickle.read(Location(path))
    path.write_bytes(dump({"net": Object(module(Global("my.nets", "Net")))}))
    with pytest.raises(UnsafeError, match=r"1 thing\(s\).*: my\.nets\.Net"):
        torch_pickle.read(Location(path))


def test_shards_and_their_index(tmp_path: Path) -> None:
    given: dict[str, Tensor] = {name: ArrayTensor(FLOATS + index) for index, name in enumerate("abc")}
    target = tmp_path / "pytorch_model.bin"
    with torch_pickle.FORMAT.sink(target, shard_size=50) as sink:
        torch_pickle.write(Model("test", tensors=given), sink)
    index = json.loads((tmp_path / "pytorch_model.bin.index.json").read_text())
    assert index["metadata"]["total_size"] == 72
    assert sorted(set(index["weight_map"].values())) == [f"pytorch_model-0000{n}-of-00002.bin" for n in (1, 2)]
    for path in (tmp_path / "pytorch_model.bin.index.json", tmp_path, tmp_path / "pytorch_model-00002-of-00002.bin"):
        assert torch_pickle.sniff(Location(path))
        model = torch_pickle.read(Location(path))
        assert list(model.tensors) == ["a", "b", "c"]
        np.testing.assert_array_equal(model.tensors["c"].numpy(), FLOATS + 2)
    (tmp_path / "pytorch_model-00001-of-00002.bin").unlink()
    with pytest.raises(MissingFileError, match="'a'"):
        torch_pickle.read(Location(tmp_path))


def test_a_training_checkpoint_is_not_split(tmp_path: Path) -> None:
    model = torch_pickle.read(checkpoint(tmp_path / "a.pt"))
    sink = torch_pickle.FORMAT.sink(tmp_path / "b.bin", shard_size=50)
    with pytest.raises(UnsupportedError, match="not written in shards"), sink:
        torch_pickle.write(model, sink)
