"""What a format's record says of itself."""

from pathlib import Path, PurePath

import pytest

from panmodel.errors import OutputExistsError, UsageError
from panmodel.formats import registry
from panmodel.model.format import Format, Holds

ALL = Holds.WEIGHTS | Holds.GRAPH | Holds.TRAINING | Holds.METADATA


def record(**fields):
    plain = {"summary": "", "extensions": (".ckpt", ".index"), "spec": "", "holds": ALL, "dialect": "tensorflow"}
    return Format("odd", **{**plain, "sniff": lambda location: False, "read": None, **fields})


def test_what_is_kept_may_be_less_than_what_files_hold():
    assert record().keeps == ALL
    assert record(writes=Holds.WEIGHTS).keeps == Holds.WEIGHTS


def test_the_dialect_of_targets_that_keep_no_graph_is_none():
    assert record().target_dialect == "tensorflow"
    assert record(writes=Holds.WEIGHTS | Holds.TRAINING).target_dialect is None
    assert record(writes=Holds.WEIGHTS | Holds.GRAPH).target_dialect == "tensorflow"
    assert record(dialect=None).target_dialect is None


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("model.ckpt", True),
        ("a.b/model.ckpt-700", True),
        ("model.ckpt.index", True),
        ("model.ckpt-best", False),
        ("model.pb", False),
        ("ckpt", False),
        (".ckpt", False),
        ("model.CKPT", True),
    ],
)
def test_names_of_files(name, found):
    assert record().is_name(PurePath(name)) is found


def test_a_target_is_one_file_of_its_name_or_those_that_the_format_says(tmp_path):
    with record().sink(tmp_path / "a.ckpt") as sink:
        sink.open().write(b"alone")
    assert (tmp_path / "a.ckpt").read_bytes() == b"alone"
    several = record(files=lambda name: (f"{name}.data", f"{name}.index"))
    (tmp_path / "b.ckpt.data").write_bytes(b"old")
    with pytest.raises(OutputExistsError, match=r"b\.ckpt\.data"):
        several.sink(tmp_path / "b.ckpt").require_free()
    several.sink(tmp_path / "b.ckpt", force=True).require_free()


def test_only_what_can_be_split_is_split(tmp_path):
    with pytest.raises(UsageError, match="not written in shards"):
        record().sink(tmp_path / "a.ckpt", shard_size=100)
    sink = record(shards=lambda name: (f"{name}.json",)).sink(tmp_path / "a.ckpt", shard_size=100)
    assert (sink.main.name, sink.shard_size) == ("a.ckpt.json", 100)


@pytest.mark.parametrize("name", registry())
def test_every_record_is_complete(name):
    found = registry()[name]
    assert found.name == name and found.summary
    assert found.extensions or found.write is None  # what is only read may be a folder, or called as one likes
    assert found.spec.startswith("https://")
    assert all(extension.startswith(".") for extension in found.extensions)
    assert found.read or found.write
    assert found.keeps & found.holds == found.keeps
    assert found.dialect is not None or not found.holds & Holds.GRAPH
    assert all(found.is_name(Path(f"model{extension}")) for extension in found.extensions)
