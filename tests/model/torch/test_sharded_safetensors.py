from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from tests.damage import assert_survives

from panmodel.errors import CorruptError, UnsafeError
from panmodel.io.sink import Sink
from panmodel.io.source import Location
from panmodel.model.partitioned import PartitionedTensor
from panmodel.model.tensor import ArrayTensor
from panmodel.model.torch.sharded_safetensors import read_shards, shard_files
from panmodel.wire import safetensors

NAME = "shard-0000{}-model-00001-of-00001.safetensors"
WHOLE = np.arange(35, dtype=np.float32).reshape(7, 5)


def write_shard(folder: Path, number: int, parts: dict[str, tuple[np.ndarray, object]]) -> Path:
    path = folder / NAME.format(number)
    places = {name: {"saved_offsets": place} for name, (_, place) in parts.items()}
    strings = {"DCP_VERSION": "1.0", "DCP_SHARDING_INFO": json.dumps(places), "format": "pt"}
    with Sink(path, force=True) as sink:
        safetensors.save({name: ArrayTensor(array) for name, (array, _) in parts.items()}, sink.open(), strings)
    return path


def two_ranks(folder: Path) -> Path:
    write_shard(folder, 1, {"w": (WHOLE[:4], [0, 0]), "b": (WHOLE[:, :2], [0, 0]), "n": (np.array(7), [])})
    write_shard(folder, 2, {"w": (WHOLE[4:], [4, 0]), "b": (WHOLE[:, 2:], [0, 2])})
    return folder


def read(folder: Path) -> dict[str, bytes]:
    location = Location(folder)
    return {name: tensor.numpy().tobytes() for name, tensor in read_shards(location, shard_files(location))[0].items()}


def test_parts_are_put_together(tmp_path: Path) -> None:
    location = Location(two_ranks(tmp_path))
    tensors, strings = read_shards(location, shard_files(location))
    assert strings == {"DCP_VERSION": "1.0", "format": "pt"}
    assert {name: tensor.shape for name, tensor in tensors.items()} == {"w": (7, 5), "b": (7, 5), "n": ()}
    assert tensors["w"].numpy().tolist() == tensors["b"].numpy().tolist() == WHOLE.tolist()
    assert b"".join(map(bytes, tensors["w"].chunks(16))) == WHOLE.tobytes()
    assert tensors["n"].numpy() == 7


def test_what_is_no_such_folder(tmp_path: Path) -> None:
    assert shard_files(Location(tmp_path / "absent")) == []
    write_shard(tmp_path, 1, {"w": (WHOLE, [0, 0])})
    assert shard_files(Location(tmp_path)) == []
    (tmp_path / NAME.format(2)).write_bytes((tmp_path / NAME.format(1)).read_bytes())
    assert len(shard_files(Location(tmp_path))) == 2
    (tmp_path / NAME.format(1)).write_bytes(b"something else")
    assert shard_files(Location(tmp_path)) == []


def test_a_missing_rank_is_found(tmp_path: Path) -> None:
    two_ranks(tmp_path)
    write_shard(tmp_path, 2, {"w": (WHOLE[5:], [5, 0])})
    location = Location(tmp_path)
    tensors, _ = read_shards(location, shard_files(location))
    assert isinstance(tensors["w"], PartitionedTensor)
    assert not tensors["w"].is_complete
    with pytest.raises(CorruptError, match="30 of its 35 elements"):
        tensors["w"].numpy()


@pytest.mark.parametrize("place", [None, [4], [4, 0, 0], [-1, 0], [4.0, 0], [True, 0], [1 << 63, 0], "40"])
def test_places_that_cannot_be_are_refused(tmp_path: Path, place: object) -> None:
    two_ranks(tmp_path)
    write_shard(tmp_path, 2, {"w": (WHOLE[4:], place)})
    with pytest.raises(CorruptError, match="where the part of tensor 'w' belongs"):
        read(tmp_path)


def test_parts_of_other_types_and_places_beyond_reach_are_refused(tmp_path: Path) -> None:
    two_ranks(tmp_path)
    write_shard(tmp_path, 2, {"w": (WHOLE[4:].astype(np.float64), [4, 0])})
    with pytest.raises(CorruptError, match="'w' differ in type"):
        read(tmp_path)
    write_shard(tmp_path, 2, {"w": (WHOLE[4:], [1 << 62, 0])})
    with pytest.raises(CorruptError, match="larger than can be addressed"):
        read(tmp_path)


def test_links_are_refused(tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    two_ranks(tmp_path / "model")
    second = tmp_path / "model" / NAME.format(2)
    second.rename(tmp_path / "elsewhere")
    second.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(UnsafeError):
        read(tmp_path / "model")


def test_damage_ends_in_own_errors(tmp_path: Path) -> None:
    assert_survives(lambda copy: read(copy.parent), two_ranks(tmp_path) / NAME.format(2), cuts=100)
