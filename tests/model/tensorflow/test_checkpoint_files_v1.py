import shutil

import numpy as np
import pytest
from tests.checkpoints import FIXTURES, Writer
from tests.slice_tables import SliceTable

from panmodel.errors import MissingFileError, UnsafeError, UsageError
from panmodel.io.source import Location
from panmodel.model.notice import Assumed
from panmodel.model.tensorflow.checkpoint_files import find_checkpoint
from panmodel.model.tensorflow.checkpoint_files_v1 import find_checkpoint_v1


def found(path):
    return find_checkpoint_v1(Location(path))


def table(path):
    return SliceTable().add("a", np.ones(1, np.float32)).write(path)


def state(folder, latest):
    (folder / "checkpoint").write_text(f'model_checkpoint_path: "{latest}"\n')


@pytest.fixture
def folder(tmp_path):
    """One checkpoint of one file with its meta graph, and one of three shards."""
    for path in FIXTURES.glob("v1*"):
        if path.suffix != ".npz":
            shutil.copy(path, tmp_path / path.name)
    return tmp_path


@pytest.mark.parametrize("name", ["v1.ckpt", "v1.ckpt.meta"])
def test_one_file(name, folder):
    files = found(folder / name)
    assert files.prefix == "v1.ckpt"
    assert files.meta.path == folder / "v1.ckpt.meta"
    assert [source.size for source in files.open()] == [(folder / "v1.ckpt").stat().st_size]


@pytest.mark.parametrize("name", ["v1s.ckpt", "v1s.ckpt-00001-of-00003", "v1s.ckpt-?????-of-00003"])
def test_shards(name, folder):
    files = found(folder / name)
    assert files.prefix == "v1s.ckpt"
    assert files.meta is None
    assert len(files.open()) == 3


def test_a_shard_that_is_missing_is_named(folder):
    (folder / "v1s.ckpt-00001-of-00003").unlink()
    with pytest.raises(MissingFileError, match="missing, one of 1") as caught:
        found(folder / "v1s.ckpt").open()
    assert "v1s.ckpt-00001-of-00003" in caught.value.where


@pytest.mark.parametrize("latest", ["v1.ckpt", "/gone/v1.ckpt", "v1s.ckpt-?????-of-00003"])
def test_the_state_file_and_its_folder_lead_to_the_latest(latest, folder):
    state(folder, latest)
    for path in (folder, folder / "checkpoint"):
        files = found(path)
        assert files.prefix == latest.rpartition("/")[2].partition("-")[0]
        assert files.state.latest == latest
        assert [type(notice) for notice in files.notices] == ([Assumed] if "gone" in latest else [])


def test_a_path_into_a_folder_below(folder):
    (folder / "below").mkdir()
    table(folder / "below" / "inner")
    state(folder, "below/inner")
    assert found(folder).files[0].path == folder / "below" / "inner"


def test_a_path_out_of_the_folder_is_refused(folder, tmp_path):
    inner = folder / "inner"
    inner.mkdir()
    state(inner, "../v1.ckpt")
    with pytest.raises(UnsafeError):
        found(inner)


def test_a_folder_without_a_state_file(folder):
    with pytest.raises(UsageError, match=r"v1\.ckpt, v1s\.ckpt"):
        found(folder)
    (folder / "v1.ckpt").unlink()
    assert found(folder).prefix == "v1s.ckpt"


def test_the_second_format_comes_first(folder):
    Writer(folder, "v1.ckpt").add("v", np.ones(1, np.float32)).write()
    assert found(folder / "v1.ckpt.meta") is None
    assert find_checkpoint(Location(folder / "v1.ckpt.meta")) is not None


def test_what_is_no_checkpoint(tmp_path):
    (tmp_path / "text").write_text("words " * 20)
    (tmp_path / "lone.meta").write_bytes(b"\x12\x00")
    for name in ("text", "lone.meta", "absent", "", "."):
        assert found(tmp_path / name) is None


def test_a_damaged_table_is_one_still(tmp_path):
    path = table(tmp_path / "a")
    path.write_bytes(b"\xff" + path.read_bytes()[1:])
    assert found(path) is not None


def test_a_file_that_cannot_be_opened_hides_no_other(folder, monkeypatch):
    (folder / "v1s.ckpt-00000-of-00003").rename(folder / "locked")
    real = Location.open

    def refuse(location):
        if location.path.name == "locked":
            raise PermissionError(13, "no", "locked")
        return real(location)

    monkeypatch.setattr(Location, "open", refuse)
    for path in folder.glob("v1s*"):
        path.unlink()
    assert found(folder).prefix == "v1.ckpt"
