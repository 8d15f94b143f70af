"""A set of files takes the place of another: all of it or nothing, whenever the process dies."""

import os
import subprocess
import sys

import pytest

from panmodel.io import locking, replacement
from panmodel.io.locking import locked_folder
from panmodel.io.replacement import recover, replace_files

OLD = {"model.index": b"old", "model.data": b"old", "model.extra": b"old"}
NEW = {"model.index": b"new", "model.data": b"new", "model.more": b"new"}

#: Replaces OLD by NEW and dies before the given call that changes a name.
CHILD = """
import os, signal, sys
from pathlib import Path
from panmodel.io import replacement
folder, fatal, calls = Path(sys.argv[1]), int(sys.argv[2]), 0
def dying(real):
    def call(*args, **kwargs):
        global calls
        if calls == fatal:
            os.kill(os.getpid(), signal.SIGKILL)
        calls += 1
        return real(*args, **kwargs)
    return call
os.replace, os.rename, os.unlink = dying(os.replace), dying(os.rename), dying(os.unlink)
Path.touch = dying(Path.touch)
names = ("model.data", "model.more", "model.index")
moves = [(folder / f"new-{name}", folder / name) for name in names]
replacement.replace_files(moves, folder / "model.index", lambda: [p for p in [folder / "model.extra"] if p.exists()])
print(calls)
"""


def fill(folder, old):
    folder.mkdir()
    for name, content in old.items():
        (folder / name).write_bytes(content)
    for name, content in NEW.items():
        (folder / f"new-{name}").write_bytes(content)


def models(folder):
    """What is there under names that are not temporary."""
    return {p.name: p.read_bytes() for p in folder.iterdir() if p.name[0] != "." and not p.name.startswith("new-")}


def run(folder, fatal):
    return subprocess.run([sys.executable, "-c", CHILD, folder, str(fatal)], capture_output=True, text=True)


@pytest.mark.parametrize("old", [OLD, {"model.data": b"old"}, {"model.index": b"old"}, {}])
def test_whenever_the_process_dies_there_is_the_old_set_or_the_new_one(tmp_path, old):
    fill(tmp_path / "whole", old)
    done = run(tmp_path / "whole", -1)
    assert done.returncode == 0, done.stderr
    assert models(tmp_path / "whole") == NEW
    assert sorted(os.listdir(tmp_path / "whole")) == sorted(NEW)
    for fatal in range(int(done.stdout)):
        folder = tmp_path / str(fatal)
        fill(folder, old)
        assert run(folder, fatal).returncode == -9
        recover(folder)
        left = models(folder)
        if "model.index" in left and left["model.index"] == b"new":
            assert left == NEW
        else:
            assert left == old
        assert not [name for name in os.listdir(folder) if name.endswith("aside")]


def test_a_failure_brings_the_old_files_back(tmp_path, monkeypatch):
    fill(tmp_path / "a", OLD)
    moves = [(tmp_path / "a" / f"new-{name}", tmp_path / "a" / name) for name in ("model.data", "gone", "model.index")]
    with pytest.raises(FileNotFoundError):
        replace_files(moves, tmp_path / "a" / "model.index", lambda: [tmp_path / "a" / "model.extra"])
    assert models(tmp_path / "a") == OLD
    assert not [name for name in os.listdir(tmp_path / "a") if name.endswith("aside")]


def test_what_a_process_at_work_does_is_waited_for(tmp_path):
    aside = tmp_path / ".model.index.1-00000000.main.aside"
    aside.write_bytes(b"old")
    with locked_folder(tmp_path), pytest.raises(TimeoutError, match="another process"):
        recover(tmp_path, patience=0.05)
    assert aside.exists()
    assert recover(tmp_path) is True
    assert models(tmp_path) == {"model.index": b"old"}
    assert recover(tmp_path) is False


def test_without_locks_the_number_of_the_process_tells(tmp_path, monkeypatch):
    monkeypatch.setattr(locking, "lock", lambda descriptor: False)
    aside = tmp_path / f".model.index.{os.getpid()}-00000000.main.aside"
    aside.write_bytes(b"old")
    recover(tmp_path)
    assert aside.exists()
    monkeypatch.setattr(replacement, "is_running", lambda pid: False)
    recover(tmp_path)
    assert models(tmp_path) == {"model.index": b"old"}


def test_a_name_of_two_lines_comes_back_too(tmp_path):
    (tmp_path / ".model\nof mine.1-00000000.main.aside").write_bytes(b"old")
    assert recover(tmp_path) is True
    assert models(tmp_path) == {"model\nof mine": b"old"}


def test_what_has_no_mark_is_put_where_there_is_nothing(tmp_path):
    """A disk that lost the order of the names: what could be the only copy is not removed."""
    (tmp_path / ".a.1-00000000.aside").write_bytes(b"old")
    (tmp_path / ".b.1-00000000.aside").write_bytes(b"old")
    (tmp_path / "b").write_bytes(b"new")
    recover(tmp_path)
    assert models(tmp_path) == {"a": b"old", "b": b"new"}


def test_a_file_that_somebody_else_put_there_stays(tmp_path):
    (tmp_path / ".model.index.1-00000000.none.aside").touch()
    (tmp_path / ".model.data.1-00000000.new.aside").write_text("1")
    (tmp_path / "model.data").write_bytes(b"mine")
    recover(tmp_path)
    assert sorted(os.listdir(tmp_path)) == ["model.data"]


def test_other_files_are_none_of_its_business(tmp_path):
    names = [".model.aside", "a.1-00000000.aside", ".a.1-0000000g.aside", ".a.x-00000000.aside", ".a.1-00000000.asides"]
    for name in names:
        (tmp_path / name).write_bytes(b"")
    assert recover(tmp_path) is False
    assert sorted(os.listdir(tmp_path)) == sorted(names)
    assert recover(tmp_path / "none") is False
