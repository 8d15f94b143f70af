from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.damage import assert_survives

from panmodel.errors import (
    CorruptError,
    LimitError,
    MissingFileError,
    OutputExistsError,
    UnsafeError,
    UnsupportedError,
)
from panmodel.io.sink import Sink, StagedFile
from panmodel.io.source import FileSource, Location
from panmodel.limits import Limits
from panmodel.model import shards
from panmodel.model.shards import ShardIndex, ShardKind
from panmodel.model.tensor import ArrayTensor, Tensor

# Shards of these tests are lines of names.
KIND = ShardKind((".txt",), lambda location: location.head(1) == b"#")


def save(tensors: Mapping[str, Tensor], staged: StagedFile) -> None:
    staged.write("".join(f"#{name}\n" for name in tensors).encode())


def names_in(source: FileSource) -> dict[str, str]:
    lines = source.read(0, source.size).decode("utf-8", "replace").splitlines()
    return {line[1:]: source.name for line in lines}


def zeros(**sizes: int) -> dict[str, Tensor]:
    return {name: ArrayTensor(np.zeros(size, np.uint8)) for name, size in sizes.items()}


def written(folder: Path, tensors: Mapping[str, Tensor], size: int, *, force: bool = False, **options: object) -> Path:
    target = folder / "model.txt"
    with Sink(target, names=shards.index_names("model.txt"), force=force, shard_size=size) as sink:
        shards.write_shards(tensors, sink, save, **options)  # type: ignore[arg-type]
    return folder / "model.txt.index.json"


def found(path: Path) -> ShardIndex:
    main = shards.main_file(Location(path), KIND)
    assert main is not None
    index = shards.find_index(main, KIND)
    assert index is not None
    return index


def listing(folder: Path) -> list[str]:
    return sorted(os.listdir(folder))


def test_tensors_are_spread_in_their_order() -> None:
    spread = [list(shard) for shard in shards.plan_shards(zeros(a=4, b=6, c=1, d=50, e=0, f=10), 10)]
    assert spread == [["a", "b"], ["c"], ["d"], ["e", "f"]]
    assert shards.plan_shards({}, 10) == [{}]


def test_names_of_one_tensor_stay_together() -> None:
    tied = ArrayTensor(np.zeros(6, np.uint8))
    tensors = {"embed": tied, "other": ArrayTensor(np.zeros(4, np.uint8)), "head": tied}
    assert [list(shard) for shard in shards.plan_shards(tensors, 10)] == [["embed", "head", "other"]]
    assert [list(shard) for shard in shards.plan_shards(tensors, 10, ties_share=False)] == [
        ["embed", "head"],
        ["other"],
    ]


@given(st.lists(st.integers(0, 30), max_size=30), st.integers(1, 40))
def test_no_shard_is_too_large(sizes: list[int], shard_size: int) -> None:
    tensors = zeros(**{f"t{number}": size for number, size in enumerate(sizes)})
    spread = shards.plan_shards(tensors, shard_size)
    assert [name for shard in spread for name in shard] == list(tensors)
    for shard in spread:
        assert len(shard) <= 1 or sum(tensor.nbytes for tensor in shard.values()) <= shard_size


def test_what_is_written_is_found_from_any_of_its_files(tmp_path: Path) -> None:
    index = written(tmp_path, zeros(b=3, a=3, c=3), 6, metadata={"format": "pt"})
    assert listing(tmp_path) == ["model-00001-of-00002.txt", "model-00002-of-00002.txt", "model.txt.index.json"]
    assert json.loads(index.read_text()) == {
        "metadata": {"format": "pt", "total_size": 9},
        "weight_map": {
            "b": "model-00001-of-00002.txt",
            "a": "model-00001-of-00002.txt",
            "c": "model-00002-of-00002.txt",
        },
    }
    for path in (index, tmp_path, tmp_path / "model-00001-of-00002.txt"):
        assert list(found(path).collect(names_in)) == ["b", "a", "c"]


def test_a_tie_counts_once_where_it_is_stored_once(tmp_path: Path) -> None:
    tied = ArrayTensor(np.zeros(6, np.uint8))
    for share, total in ((True, 6), (False, 12)):
        index = written(tmp_path, {"a": tied, "b": tied}, 100, ties_share=share, force=True)
        assert json.loads(index.read_text())["metadata"]["total_size"] == total


def test_a_folder_with_one_whole_file(tmp_path: Path) -> None:
    (tmp_path / "model.txt").write_text("#a")
    main = shards.main_file(Location(tmp_path), KIND)
    assert main is not None
    assert main.path == tmp_path / "model.txt"
    assert shards.find_index(main, KIND) is None
    written(tmp_path, zeros(b=1), 6, force=True)
    (tmp_path / "model.txt").write_text("#a")  # as loaders do: the whole file before its shards
    assert shards.main_file(Location(tmp_path), KIND).path.name == "model.txt"  # type: ignore[union-attr]
    (tmp_path / "model.txt").unlink()
    (tmp_path / "other.txt").write_text("#a")
    assert found(tmp_path).location.path.name == "model.txt.index.json"
    assert shards.find_index(Location(tmp_path / "other.txt"), KIND) is None
    (tmp_path / "model.txt.index.json").unlink()
    assert shards.main_file(Location(tmp_path), KIND) is None


@pytest.mark.parametrize("model", ["model.txt", "pytorch_model.txt", "adapter_model.fp16.txt"])
def test_of_several_files_the_one_that_is_called_as_models_are(tmp_path: Path, model: str) -> None:
    for name in (model, "optimizer.txt", "training_args.txt", "my_model.txt", "model.other"):
        (tmp_path / name).write_text("#a")
    main = shards.main_file(Location(tmp_path), KIND)
    assert main is not None and main.path.name == model
    (tmp_path / "diffusion_pytorch_model.txt").write_text("#a")
    assert shards.main_file(Location(tmp_path), KIND) is None


@pytest.mark.parametrize("other", ["model.better", "model.better.index.json"])
def test_the_same_model_in_a_better_kind_counts(tmp_path: Path, other: str) -> None:
    kind = ShardKind(KIND.extensions, KIND.sniff, yields_to=(".better",))
    (tmp_path / "model.txt").write_text("#a")
    (tmp_path / "some.better").write_text("#a")
    assert shards.main_file(Location(tmp_path), kind) is not None
    (tmp_path / other).write_text("{}")
    assert shards.main_file(Location(tmp_path), kind) is None
    assert shards.main_file(Location(tmp_path / "model.txt"), kind) is not None


def test_the_name_of_the_whole_stands_for_its_index(tmp_path: Path) -> None:
    written(tmp_path, zeros(a=4, b=4), 6)
    assert list(found(tmp_path / "model.txt").shards) == ["model-00001-of-00002.txt", "model-00002-of-00002.txt"]
    main = shards.main_file(Location(tmp_path / "other.txt"), KIND)
    assert main is not None and main.path.name == "other.txt"


def test_capitals_do_not_matter_in_a_folder(tmp_path: Path) -> None:
    (tmp_path / "MODEL.TXT").write_text("#a")
    main = shards.main_file(Location(tmp_path), KIND)
    assert main is not None and main.path.name == "MODEL.TXT"


def test_an_index_is_told_by_its_shards(tmp_path: Path) -> None:
    path = written(tmp_path, zeros(a=1), 6)
    assert shards.is_index(Location(path), KIND)
    (tmp_path / "model-00001-of-00001.txt").write_text("something else")
    assert not shards.is_index(Location(path), KIND)
    (tmp_path / "model-00001-of-00001.txt").unlink()
    assert shards.is_index(Location(path), KIND)
    path.write_text('{"weight_map": {"a": "GONE.TXT"}}')
    assert shards.is_index(Location(path), KIND)
    path.write_text('{"weight_map": {}}')
    assert shards.is_index(Location(path), KIND)
    assert not shards.is_index(Location(path), ShardKind((".bin",), KIND.sniff))
    for text in ("{}", "", '["weight_map"]', '{"weight_map": {"a": "b.bin"}}'):
        path.write_text(text)
        assert not shards.is_index(Location(path), KIND)


def test_an_index_of_a_variant(tmp_path: Path) -> None:
    (tmp_path / "model.fp16-00001-of-00001.txt").write_text("#a")
    index = tmp_path / "model.txt.index.fp16.json"
    index.write_text('{"weight_map": {"a": "model.fp16-00001-of-00001.txt"}}')
    assert found(tmp_path).location.path == index
    assert list(found(tmp_path / "model.fp16-00001-of-00001.txt").collect(names_in)) == ["a"]


@pytest.mark.parametrize(
    ("text", "error", "complaint"),
    [
        ('{"weight_map": {"a": "x.txt", "a": "y.txt"}}', CorruptError, "'a' appears twice"),
        ('{"weight_map": {"a": "x.txt", "b": 1}}', CorruptError, "'b' is in no file"),
        ('{"weight_map": []}', CorruptError, "must have weight_map"),
        ('{"metadata": 1, "weight_map": {}}', CorruptError, "must have weight_map and metadata"),
        ('{"weight_map": {"a": "../x.txt"}}', UnsafeError, "not the name of a file beside it"),
        ('{"weight_map": {"a": "/x.txt"}}', UnsafeError, "not the name"),
        ('{"weight_map": {"a": "b/x.txt"}}', UnsafeError, "not the name"),
        ('{"weight_map": {"a": ".."}}', UnsafeError, "not the name"),
        ('{"weight_map": {"a": "x\\u0000.txt"}}', UnsafeError, "not the name"),
        ('{"weight_map": {"a": "x\\\\y.txt"}}', UnsafeError, "not the name"),
        ('{"weight_map": {"a": "x.txt"', CorruptError, "is not JSON"),
    ],
)
def test_a_broken_index_is_refused(tmp_path: Path, text: str, error: type[Exception], complaint: str) -> None:
    (tmp_path / "model.txt.index.json").write_text(text)
    with pytest.raises(error, match=complaint):
        shards.read_index(Location(tmp_path / "model.txt.index.json"))


@pytest.mark.parametrize("ascii_only", [True, False])
def test_names_beyond_ascii(tmp_path: Path, ascii_only: bool) -> None:
    (tmp_path / "é-1.txt").write_text("#a")
    index = json.dumps({"weight_map": {"a": "é-1.txt"}}, ensure_ascii=ascii_only)
    (tmp_path / "é.txt.index.json").write_text(index)
    assert list(found(tmp_path / "é-1.txt").collect(names_in)) == ["a"]
    undecodable = tmp_path / "x\udcff.txt"
    undecodable.write_text("#a")
    assert shards.find_index(Location(undecodable), KIND) is None


def test_a_broken_index_of_another_model_is_no_matter(tmp_path: Path) -> None:
    index = written(tmp_path, zeros(a=1, b=1), 1)
    index.write_text(index.read_text()[:-5])
    (tmp_path / "other.txt").write_text("#a")
    assert shards.find_index(Location(tmp_path / "other.txt"), KIND) is None
    with pytest.raises(CorruptError):
        shards.find_index(Location(tmp_path / "model-00001-of-00002.txt"), KIND)


def test_an_index_is_bounded(tmp_path: Path) -> None:
    path = written(tmp_path, zeros(a=1, b=1, c=1), 1)
    for limits in (Limits(header_bytes=50), Limits(tensors=2), Limits(shards=2)):
        with pytest.raises(LimitError):
            shards.read_index(Location(path), limits=limits)


def test_shards_must_hold_what_the_index_says(tmp_path: Path) -> None:
    index = found(written(tmp_path, zeros(a=1, b=1, c=1), 1))
    second = tmp_path / "model-00002-of-00003.txt"
    second.write_text("#b\n#d")
    with pytest.raises(CorruptError, match=r"of-00003\.txt holds 'd', which the index lacks"):
        index.collect(names_in)
    second.write_text("#d")
    with pytest.raises(CorruptError, match="lacks 'b'"):
        index.collect(names_in)
    second.unlink()
    with pytest.raises(MissingFileError, match="it holds 'b'"):
        index.collect(names_in)
    second.symlink_to(tmp_path / "model-00001-of-00003.txt")
    with pytest.raises(UnsafeError, match="link"):
        index.collect(names_in)


def test_an_older_set_is_not_mixed_with_the_new_one(tmp_path: Path) -> None:
    written(tmp_path, zeros(a=1, b=1, c=1), 1)
    (tmp_path / "model.txt").write_text("#a")
    bystanders = ["model-00001-of-00003.bin", "model2.txt", "xmodel-00001-of-00003.txt"]
    for name in bystanders:
        (tmp_path / name).touch()
    before = listing(tmp_path)
    (tmp_path / "model.txt.index.json").rename(tmp_path / "away")
    with pytest.raises(OutputExistsError):
        written(tmp_path, zeros(a=1, b=1), 1)
    (tmp_path / "away").rename(tmp_path / "model.txt.index.json")
    assert listing(tmp_path) == before
    written(tmp_path, zeros(a=1, b=1), 1, force=True)
    new = ["model-00001-of-00002.txt", "model-00002-of-00002.txt", "model.txt.index.json"]
    assert listing(tmp_path) == sorted(new + bystanders)


def test_nothing_is_lost_when_the_writer_fails(tmp_path: Path) -> None:
    written(tmp_path, zeros(a=1, b=1, c=1), 1)
    before = {name: (tmp_path / name).read_bytes() for name in listing(tmp_path)}

    def fail(tensors: Mapping[str, Tensor], staged: StagedFile) -> None:
        save(tensors, staged)
        raise KeyboardInterrupt

    with (
        pytest.raises(KeyboardInterrupt),
        Sink(tmp_path / "model.txt", names=shards.index_names("model.txt"), force=True, shard_size=1) as sink,
    ):
        shards.write_shards(zeros(a=1, b=1), sink, fail)
    assert {name: (tmp_path / name).read_bytes() for name in listing(tmp_path)} == before


def test_damage_to_an_index_ends_in_own_errors(tmp_path: Path) -> None:
    path = written(tmp_path, zeros(first=1, second=1, third=1), 1)
    assert_survives(lambda copy: list(shards.read_index(Location(copy)).collect(names_in)), path)


def test_a_name_that_is_no_text_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    with pytest.raises(UnsupportedError, match=r"'\\ud800' is no Unicode text"):
        written(tmp_path, {"a": zeros(a=1)["a"], "\ud800": zeros(a=1)["a"]}, 1)
    assert list(tmp_path.iterdir()) == []
