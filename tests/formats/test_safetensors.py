from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.damage import assert_survives, contents_of

from panmodel import dtypes
from panmodel.errors import CorruptError, MissingFileError, OutputExistsError, UnsupportedError
from panmodel.formats import safetensors
from panmodel.io.sink import Sink
from panmodel.io.source import Location
from panmodel.model import structure
from panmodel.model.model import Model
from panmodel.model.notice import StructureLost
from panmodel.model.tensor import ArrayTensor, Tensor
from panmodel.model.training import TrainingState


def written(path: Path, framework: str = "", **strings: str) -> Path:
    tensors = {"w": ArrayTensor(np.array([[1.5, -0.0], [np.nan, np.inf]], np.float32)), "n": ArrayTensor(np.array(7))}
    with Sink(path) as sink:
        safetensors.write(Model("test", tensors=tensors, metadata={"framework": framework}, strings=strings), sink)
    return path


def test_tensors_and_strings_come_back(tmp_path: Path) -> None:
    path = written(tmp_path / "a.safetensors", producer="somebody", note="")
    model = safetensors.read(Location(path))
    assert model.format == "safetensors"
    assert model.strings == {"producer": "somebody", "note": "", "format": "pt"}
    assert {name: (t.name, t.shape) for name, t in model.tensors.items()} == {"n": ("n", ()), "w": ("w", (2, 2))}
    np.testing.assert_array_equal(model.tensors["w"].numpy(), [[1.5, -0.0], [np.nan, np.inf]])
    assert model.tensors["w"].extent is not None


def test_loaders_find_what_framework_the_tensors_are_for(tmp_path: Path) -> None:
    assert safetensors.read(Location(written(tmp_path / "a", framework="tensorflow"))).strings["format"] == "tf"
    assert safetensors.read(Location(written(tmp_path / "b", format="mlx"))).strings["format"] == "mlx"


def test_it_is_told_by_its_content(tmp_path: Path) -> None:
    assert safetensors.sniff(Location(written(tmp_path / "a.bin")))
    (tmp_path / "other").write_bytes(b"{}" * 50)
    (tmp_path / "empty").touch()
    for name in ("other", "empty", "absent", "."):
        assert not safetensors.sniff(Location(tmp_path / name))


def test_damage_ends_in_own_errors(tmp_path: Path) -> None:
    path = written(tmp_path / "a.safetensors")
    assert_survives(lambda copy: contents_of(safetensors.read(Location(copy))), path)


def copied(model: Model, target: Path, *, shard_size: int | None = None, force: bool = False) -> Model:
    with safetensors.FORMAT.sink(target, force=force, shard_size=shard_size) as sink:
        safetensors.write(model, sink)
    return safetensors.read(Location(sink.main))


def vectors(**sizes: int) -> dict[str, Tensor]:
    return {name: ArrayTensor(np.arange(size, dtype=np.float32)) for name, size in sizes.items()}


def test_a_shard_without_its_index_is_said_to_be_a_part(tmp_path: Path) -> None:
    copied(Model("test", tensors=vectors(b=2, a=3, c=100)), tmp_path / "m.safetensors", shard_size=20)
    part = tmp_path / "m-00002-of-00002.safetensors"
    assert safetensors.read(Location(part)).notices == []
    (tmp_path / "m.safetensors.index.json").unlink()
    model = safetensors.read(Location(part))
    assert list(model.tensors) == ["c"] and "one of 2 files" in str(model.notices[0])
    part.rename(tmp_path / "m-00001-of-00001.safetensors")
    assert safetensors.read(Location(tmp_path / "m-00001-of-00001.safetensors")).notices == []


@pytest.mark.parametrize("strings", [{}, {"format": "np"}, {"note": "ä\n", "author": ""}])
def test_a_copy_has_the_same_bytes(tmp_path: Path, strings: dict[str, str]) -> None:
    first = copied(Model("safetensors", tensors=vectors(b=2, a=3, empty=0), strings=strings), tmp_path / "a")
    assert first.strings == strings
    copied(first, tmp_path / "b")
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


@st.composite
def tensors(draw: st.DrawFn) -> dict[str, Tensor]:
    """Tensors of every type, any bits in them."""
    made: dict[str, Tensor] = {}
    for number, dtype in enumerate(draw(st.lists(st.sampled_from([*dtypes.BY_SAFETENSORS.values()]), max_size=8))):
        shape = (*draw(st.lists(st.integers(0, 3), max_size=2)), *([4] if dtype.bits < 8 else []))
        size = int(np.prod(shape)) * dtype.itemsize
        codes = np.frombuffer(draw(st.binary(min_size=size, max_size=size)), np.uint8) & ((1 << min(dtype.bits, 8)) - 1)
        made[f"t{number}"] = ArrayTensor(codes.view(dtype.numpy).reshape(shape), dtype=dtype)
    return made


@given(tensors(), st.none() | st.integers(1, 60))
def test_every_bit_comes_back_in_one_file_or_many(
    tmp_path_factory: pytest.TempPathFactory, given: dict[str, Tensor], shard_size: int | None
) -> None:
    back = copied(Model("test", tensors=given), tmp_path_factory.mktemp("a") / "a.safetensors", shard_size=shard_size)
    assert contents_of(back) == contents_of(Model("test", tensors=given))


def test_shards_are_opened_by_any_of_their_names(tmp_path: Path) -> None:
    source = Model("test", tensors=vectors(b=2, a=3, c=100), strings={"author": "somebody"})
    target = tmp_path / "model.safetensors"
    model = copied(source, target, shard_size=20)
    assert model.strings == {"author": "somebody", "format": "pt"}
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        *(f"model-0000{number}-of-00002.safetensors" for number in (1, 2)),
        "model.safetensors.index.json",
    ]
    for name in ("model.safetensors.index.json", "model-00002-of-00002.safetensors", "."):
        assert safetensors.sniff(Location(tmp_path / name))
        assert contents_of(safetensors.read(Location(tmp_path / name))) == contents_of(source)
    copied(model, tmp_path / "one.safetensors")
    assert set(safetensors.read(Location(tmp_path / "one.safetensors")).tensors) == {"a", "b", "c"}
    (tmp_path / "model-00002-of-00002.safetensors").unlink()
    with pytest.raises(MissingFileError, match="it holds 'c'"):
        safetensors.read(Location(tmp_path))


def test_a_folder_with_one_file(tmp_path: Path) -> None:
    written(tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_text("{}")
    assert safetensors.sniff(Location(tmp_path))
    assert set(safetensors.read(Location(tmp_path)).tensors) == {"n", "w"}
    written(tmp_path / "other.safetensors")
    assert safetensors.sniff(Location(tmp_path))  # the one that is called as models are
    (tmp_path / "model.safetensors").rename(tmp_path / "one.safetensors")
    assert not safetensors.sniff(Location(tmp_path))


def test_writing_shards_again_leaves_no_old_ones(tmp_path: Path) -> None:
    target = tmp_path / "model.safetensors"
    copied(Model("test", tensors=vectors(a=1, b=1, c=1)), target, shard_size=4)
    with pytest.raises(OutputExistsError):
        copied(Model("test", tensors=vectors(d=1)), target, shard_size=4)
    assert len(list(tmp_path.iterdir())) == 4
    copied(Model("test", tensors=vectors(d=1)), target, shard_size=4, force=True)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "model-00001-of-00001.safetensors",
        "model.safetensors.index.json",
    ]


def test_shards_are_refused_as_a_whole(tmp_path: Path) -> None:
    given = {**vectors(a=1), "labels": ArrayTensor(np.array([b"text"], object))}
    for shard_size in (None, 4):
        with pytest.raises(UnsupportedError, match="labels"):
            copied(Model("test", tensors=given), tmp_path / "a.safetensors", shard_size=shard_size)
    with pytest.raises(UnsupportedError, match="no Unicode"):
        copied(Model("test", strings={"k": "\udc80"}), tmp_path / "a.safetensors")
    assert list(tmp_path.iterdir()) == []


def test_a_tensor_of_two_names_is_written_under_both(tmp_path: Path) -> None:
    tied = ArrayTensor(np.arange(5, dtype=np.int64))
    for name, shard_size in (("m.safetensors", None), ("n.safetensors", 100)):
        back = copied(Model("test", tensors={"a": tied, "b": tied}), tmp_path / name, shard_size=shard_size)
        assert [tensor.numpy().tolist() for tensor in back.tensors.values()] == [[0, 1, 2, 3, 4]] * 2


class Pairs:
    """A structure that says which tensor is the slot of which."""

    family = "torch"

    def __init__(self, pairs: Mapping[str, str]) -> None:
        self.pairs = pairs

    def training_state(self, tensors: Mapping[str, Tensor]) -> TrainingState:
        slots = {name: {"m": tensors[slot]} for name, slot in self.pairs.items()}
        return TrainingState(step=3, slots=slots, names=frozenset(self.pairs.values()))

    def to_json(self) -> dict[str, Any]:
        return {"pairs": dict(self.pairs)}

    @classmethod
    def from_json(cls, plain: dict[str, Any], tensors: Mapping[str, Tensor]) -> Self:
        if not isinstance(plain.get("pairs"), dict) or not set(plain["pairs"].values()) <= set(tensors):
            raise CorruptError("is no Pairs")
        return cls(plain["pairs"])


@pytest.fixture
def pairs(monkeypatch: pytest.MonkeyPatch) -> Pairs:
    monkeypatch.setitem(structure._FAMILIES, "torch", (__name__, "Pairs"))
    return Pairs({"w": "w.m"})


@pytest.mark.parametrize("shard_size", [None, 8])
def test_structure_and_training_come_back(tmp_path: Path, pairs: Pairs, shard_size: int | None) -> None:
    given = Model("test", tensors=vectors(**{"w": 2, "w.m": 2}), structure=pairs)
    back = copied(given, tmp_path / "a.safetensors", shard_size=shard_size)
    assert back.strings == {"format": "pt"}
    assert isinstance(back.structure, Pairs) and back.structure.pairs == pairs.pairs
    assert back.training is not None
    assert (back.training.step, list(back.weights)) == (3, ["w"])
    assert back.training.slots["w"]["m"] is back.tensors["w.m"]


@pytest.mark.parametrize("text", ["", "[", "{}", '{"family":"torch"}', '{"family":"torch","pairs":{"w":"gone"}}'])
def test_a_structure_that_is_not_understood_is_said_to_be_lost(tmp_path: Path, pairs: Pairs, text: str) -> None:
    model = safetensors.read(Location(written(tmp_path / "a", **{structure.METADATA_KEY: text})))
    assert model.structure is None
    assert [type(notice) for notice in model.notices] == [StructureLost]
    assert set(model.tensors) == {"n", "w"}
    assert structure.METADATA_KEY not in model.strings


def test_training_is_told_by_the_names_of_tensorflow(tmp_path: Path) -> None:
    given = vectors(**{"w": 2, "w/Adam": 2, "w/Adam_1": 2})
    model = copied(Model("test", tensors={**given, "global_step": ArrayTensor(np.array(7))}), tmp_path / "a")
    assert model.training is not None
    assert (model.training.step, model.training.optimizer) == (7, "adam")


def test_damage_to_shards_ends_in_own_errors(tmp_path: Path) -> None:
    copied(Model("test", tensors=vectors(a=3, b=3)), tmp_path / "m.safetensors", shard_size=4)
    for name in ("m.safetensors.index.json", "m-00002-of-00002.safetensors"):
        read_all = lambda copy: contents_of(safetensors.read(Location(copy)))  # noqa: E731
        assert_survives(read_all, tmp_path / name, cuts=100)
    text = json.loads((tmp_path / "m.safetensors.index.json").read_text())
    text["weight_map"]["b"] = text["weight_map"]["a"]
    (tmp_path / "m.safetensors.index.json").write_text(json.dumps(text))
    with pytest.raises(CorruptError, match="lacks 'b'"):
        safetensors.read(Location(tmp_path))
