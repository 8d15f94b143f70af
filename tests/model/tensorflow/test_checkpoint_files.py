import os

import numpy as np
import pytest
from tests.checkpoints import Writer

from panmodel.errors import CorruptError, MissingFileError, UnsafeError, UsageError
from panmodel.io.source import Location
from panmodel.model.notice import Assumed
from panmodel.model.tensorflow.checkpoint_files import find_checkpoint
from panmodel.wire.sstable import encode_table

VALUE = np.ones(3, np.float32)


@pytest.fixture
def folder(tmp_path):
    """A folder `run` with one checkpoint and its state file."""
    run = tmp_path / "run"
    run.mkdir()
    Writer(run, "model.ckpt-7").add("v", VALUE).write()
    (run / "model.ckpt-7.meta").write_bytes(b"")
    state(run, "model.ckpt-7")
    return run


def state(folder, latest):
    (folder / "checkpoint").write_text(f'model_checkpoint_path: "{latest}"\nall_model_checkpoint_paths: "{latest}"\n')


def found(path):
    return find_checkpoint(Location(path))


@pytest.mark.parametrize("suffix", ["", ".index", ".meta", ".data-00000-of-00001"])
def test_any_one_file_leads_to_the_checkpoint(folder, suffix):
    files = found(folder / f"model.ckpt-7{suffix}")
    assert files.prefix == "model.ckpt-7"
    assert files.index.path == folder / "model.ckpt-7.index"
    assert files.meta.path == folder / "model.ckpt-7.meta"
    assert files.state is None and not files.notices


def test_the_state_file_and_its_folder_lead_to_the_latest(folder):
    Writer(folder, "model.ckpt-6").add("v", VALUE).write()
    for path in (folder, folder / "checkpoint"):
        files = found(path)
        assert files.prefix == "model.ckpt-7"
        assert files.state.all_paths == ("model.ckpt-7",)
        assert not files.notices


def test_a_state_file_under_another_name_is_told_by_its_content(folder):
    (folder / "checkpoint").rename(folder / "latest.txt")
    assert found(folder / "latest.txt").prefix == "model.ckpt-7"


def test_a_folder_with_one_checkpoint_needs_no_state_file(folder):
    (folder / "checkpoint").unlink()
    assert found(folder).prefix == "model.ckpt-7"


def test_a_folder_with_several_and_no_state_file_lists_them(folder):
    (folder / "checkpoint").unlink()
    Writer(folder, "model.ckpt-8").add("v", VALUE).write()
    with pytest.raises(UsageError, match=r"model\.ckpt-7, model\.ckpt-8"):
        found(folder)


def test_a_prefix_that_is_also_a_folder(folder):
    (folder / "model.ckpt-7").mkdir()
    assert found(folder / "model.ckpt-7").prefix == "model.ckpt-7"


def test_what_is_no_checkpoint(tmp_path):
    (tmp_path / "notes.index").write_text("a list of words\n" * 10)
    (tmp_path / "lone.meta").write_bytes(b"\x12\x00")
    (tmp_path / "old.ckpt").write_bytes(b"".join(encode_table([(b"", b"\x0a\x00")])))
    for name in ("notes.index", "lone.meta", "old.ckpt", "absent", "."):
        assert found(tmp_path / name) is None


def test_a_damaged_index_beside_its_data_is_a_checkpoint_still(folder):
    (folder / "model.ckpt-7.index").write_bytes(b"short")
    assert found(folder / "model.ckpt-7.index").prefix == "model.ckpt-7"


@pytest.mark.parametrize("path", ["model.ckpt-7", "model.ckpt-7.data-00000-of-00001", "", "checkpoint"])
def test_data_without_an_index_say_so(folder, path):
    (folder / "model.ckpt-7.index").unlink()
    with pytest.raises(MissingFileError, match="index of this checkpoint is missing") as caught:
        found(folder / path).open_index()
    assert "model.ckpt-7.index" in str(caught.value)


def test_an_index_under_another_name_cannot_find_its_data(folder):
    (folder / "model.ckpt-7.index").rename(folder / "renamed")
    with pytest.raises(MissingFileError, match=r"does not end in '\.index'"):
        found(folder / "renamed")


# Paths in the state file


def test_an_absolute_path_to_this_very_folder_is_no_surprise(folder):
    state(folder, folder / "model.ckpt-7")
    assert found(folder).prefix == "model.ckpt-7"
    assert not found(folder).notices


@pytest.mark.parametrize("old", ["/home/someone/run/model.ckpt-7", r"C:\\\\run\\\\model.ckpt-7", "/model.ckpt-7"])
def test_a_stale_absolute_path_is_taken_for_the_file_here(folder, old):
    state(folder, old)
    files = found(folder)
    assert files.index.path == folder / "model.ckpt-7.index"
    assert isinstance(files.notices[0], Assumed)
    assert "'model.ckpt-7' in the same folder" in str(files.notices[0])


def test_an_absolute_path_elsewhere_is_not_followed_though_it_exists(folder, tmp_path):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    Writer(elsewhere, "other").add("v", VALUE).write()
    state(folder, elsewhere / "other")
    with pytest.raises(MissingFileError, match="nothing is in this folder") as caught:
        found(folder)
    assert "model.ckpt-7.index" in str(caught.value)


def test_a_path_that_climbs_out_is_refused(folder, tmp_path):
    Writer(tmp_path, "other").add("v", VALUE).write()
    state(folder, "../other")
    with pytest.raises(UnsafeError, match="out of the model's folder"):
        found(folder)


@pytest.mark.parametrize("latest", ["below/inner", "./below/inner", r"below\\inner"])
def test_a_path_into_a_folder_below(folder, latest):
    (folder / "below").mkdir()
    Writer(folder / "below", "inner").add("v", VALUE).write()
    state(folder, latest)
    assert found(folder).index.path == folder / "below" / "inner.index"


def test_a_link_on_the_way_below_is_refused(folder, tmp_path):
    (tmp_path / "elsewhere").mkdir()
    Writer(tmp_path / "elsewhere", "inner").add("v", VALUE).write()
    os.symlink(tmp_path / "elsewhere", folder / "below")
    state(folder, "below/inner")
    with pytest.raises(UnsafeError, match="link"):
        found(folder)


@pytest.mark.parametrize("latest", ["gone.ckpt", "below/gone.ckpt", "/", r"zero\000byte", "/a/", "."])
def test_a_checkpoint_that_is_gone(folder, latest):
    state(folder, latest)
    with pytest.raises(MissingFileError):
        found(folder)


def test_a_state_file_of_the_older_format_is_left_to_it(folder):
    (folder / "old.ckpt").write_bytes(b"".join(encode_table([(b"", b"\x0a\x00")])))
    state(folder, "old.ckpt")
    assert found(folder) is None


def test_a_state_file_that_breaks_off(folder):
    (folder / "checkpoint").write_text('model_checkpoint_path: "mod')
    with pytest.raises(CorruptError, match="state file"):
        found(folder)
