"""All files of a conversion appear, or none."""

import errno
import fcntl
import os
import re
import signal
import stat
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from panmodel.errors import OutputExistsError, StorageError, UsageError
from panmodel.io.replacement import LONGEST_NAME
from panmodel.io.sink import Sink


def names(folder):
    return sorted(os.listdir(folder))


def test_files_appear_at_the_end(tmp_path):
    with Sink(tmp_path / "a.bin") as sink:
        sink.open("b.bin").write(b"beside")
        main = sink.open()
        main.write(b"12345")
        main.align(8)
        main.overwrite(0, b"9")
        assert main.position == 8
        assert all(name.endswith(".partial") for name in names(tmp_path))
    assert names(tmp_path) == ["a.bin", "b.bin"]
    assert (tmp_path / "a.bin").read_bytes() == b"92345\0\0\0"
    assert [path.name for path in sink.files] == ["b.bin", "a.bin"]
    assert sink.nbytes == 14


def test_a_target_without_a_file_of_its_name(tmp_path):
    with Sink(tmp_path / "a", names=("a.data", "a.index")) as sink:
        sink.open().write(b"main")
        sink.open("a.data").write(b"data")
        assert sink.main == tmp_path / "a.index"
    assert names(tmp_path) == ["a.data", "a.index"]
    assert [path.name for path in sink.files] == ["a.data", "a.index"]
    for name in ("a.data", "a.index"):
        (tmp_path / name).rename(tmp_path / "away")
        with pytest.raises(OutputExistsError):
            Sink(tmp_path / "a", names=("a.data", "a.index")).require_free()
        (tmp_path / "away").rename(tmp_path / name)


def test_old_and_new_files_are_never_mixed(tmp_path, monkeypatch):
    """Whenever the process dies, a main file that is there belongs to the files beside it."""
    real, seen = os.replace, []

    def replace(source, target):
        seen.append({path.name: path.read_bytes() for path in tmp_path.iterdir() if path.name[0] != "."})
        real(source, target)

    monkeypatch.setattr(os, "replace", replace)
    for content, force in ((b"old", False), (b"new", True)):
        with Sink(tmp_path / "a.bin", force=force) as sink:
            sink.open().write(content)
            sink.open("b.bin").write(content)
    assert seen == [{}, {"b.bin": b"old"}, {}, {"b.bin": b"new"}]
    assert (tmp_path / "a.bin").read_bytes() == b"new"


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit])
def test_nothing_is_left_when_the_writer_fails(tmp_path, error):
    (tmp_path / "a.bin").write_bytes(b"old")
    with pytest.raises(error), Sink(tmp_path / "a.bin", force=True) as sink:
        sink.open().write(b"new")
        raise error
    assert names(tmp_path) == ["a.bin"]
    assert (tmp_path / "a.bin").read_bytes() == b"old"


@pytest.mark.parametrize("name", [None, "beside.bin"])
def test_files_are_not_replaced_unasked(tmp_path, name):
    (tmp_path / (name or "a.bin")).write_bytes(b"old")
    with pytest.raises(OutputExistsError, match="--force"), Sink(tmp_path / "a.bin") as sink:
        sink.open(name)
    assert names(tmp_path) == [name or "a.bin"]
    with Sink(tmp_path / "a.bin", force=True) as sink:
        sink.open(name).write(b"new")
    assert (tmp_path / (name or "a.bin")).read_bytes() == b"new"


def test_a_dangling_link_is_a_file_that_is_there(tmp_path):
    (tmp_path / "a.bin").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OutputExistsError), Sink(tmp_path / "a.bin") as sink:
        sink.open()


def test_one_file_is_not_written_twice(tmp_path):
    with pytest.raises(OutputExistsError), Sink(tmp_path / "a.bin") as sink:
        sink.open()
        sink.open("a.bin")
    assert names(tmp_path) == []


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(StorageError, match="no folder"), Sink(tmp_path / "none" / "a.bin") as sink:
        sink.open()


def test_a_full_disk_leaves_nothing(tmp_path):
    """A limit on file size stands for a disk that is full: the same call fails in the same place."""
    code = f"""
import resource, signal
from panmodel.errors import StorageError
from panmodel.io.sink import Sink
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20))
try:
    with Sink({str(tmp_path / "a.bin")!r}) as sink:
        staged = sink.open()
        for _ in range(64):
            staged.write(bytes(1 << 16))
except StorageError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert os.strerror(errno.EFBIG) in done.stdout
    assert "nothing was left behind" in done.stdout
    assert names(tmp_path) == []


def test_what_a_killed_writer_left_is_cleared(tmp_path):
    code = f"""
import time
from panmodel.io.sink import Sink
with Sink({str(tmp_path / "a.bin")!r}) as sink:
    sink.open().write(b"half")
    print("ready", flush=True)
    time.sleep(60)
"""
    child = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
    assert child.stdout.readline() == b"ready\n"
    with Sink(tmp_path / "a.bin") as sink:  # while the other runs, its file is its own
        sink.open().write(b"whole")
        assert len(names(tmp_path)) == 2
    child.send_signal(signal.SIGKILL)
    child.wait()
    time.sleep(0.05)
    assert len(names(tmp_path)) == 2
    with Sink(tmp_path / "a.bin", force=True) as sink:
        sink.open().write(b"again")
    assert names(tmp_path) == ["a.bin"]
    assert (tmp_path / "a.bin").read_bytes() == b"again"


def test_progress_is_told_of_every_piece(tmp_path):
    told = []
    with Sink(tmp_path / "a.bin", progress=told.append) as sink:
        sink.open().write_all([b"12", b"345"])
        sink.open("b.bin").write(b"6")
    assert told == [2, 3, 1]


def test_files_of_an_older_model_go_after_the_new_one_is_there(tmp_path):
    for name in ("a-1-of-2", "a-2-of-2", "a.index"):
        (tmp_path / name).write_bytes(b"old")
    with pytest.raises(OutputExistsError), Sink(tmp_path / "a.index2") as sink:
        sink.supersede(re.compile("a-1-of-2"))
    with pytest.raises(ValueError), Sink(tmp_path / "a.index", force=True) as sink:
        sink.supersede(re.compile("a-[0-9]-of-2"))
        raise ValueError
    assert names(tmp_path) == ["a-1-of-2", "a-2-of-2", "a.index"]
    with Sink(tmp_path / "a.index", force=True) as sink:
        sink.supersede(re.compile("a-[0-9]-of-2"))
        sink.open("a-2-of-2").write(b"new")
        sink.open().write(b"new")
    assert names(tmp_path) == ["a-2-of-2", "a.index"]
    assert (tmp_path / "a-2-of-2").read_bytes() == b"new"


def test_the_number_of_a_dead_writer_may_be_in_use_again(tmp_path):
    stale = tmp_path / f".other.bin.{os.getpid()}-00000000.partial"
    stale.write_bytes(b"half")
    with Sink(tmp_path / "a.bin") as sink:
        sink.open().write(b"whole")
    assert names(tmp_path) == ["a.bin"]


def test_what_came_meanwhile_is_not_replaced_unasked(tmp_path):
    with pytest.raises(OutputExistsError), Sink(tmp_path / "a.bin") as sink:
        sink.open().write(b"late")
        (tmp_path / "a.bin").write_bytes(b"first")
    assert names(tmp_path) == ["a.bin"]
    assert (tmp_path / "a.bin").read_bytes() == b"first"


def test_parts_that_came_meanwhile_go_as_well(tmp_path):
    with Sink(tmp_path / "a.index", force=True) as sink:
        sink.supersede(re.compile("a-[0-9]-of-[0-9]"))
        sink.open("a-1-of-1").write(b"new")
        sink.open().write(b"new")
        (tmp_path / "a-1-of-2").write_bytes(b"another")
    assert names(tmp_path) == ["a-1-of-1", "a.index"]


def put(folder, content=b"new"):
    with Sink(folder / "a.bin", force=True) as sink:
        sink.open().write(content)
        return next(folder.glob(".*partial")).stat().st_mode & 0o777


def test_files_that_are_read_from_are_spared(tmp_path):
    for name in ("a.bin", "b.bin"):
        (tmp_path / name).write_bytes(b"old")
    status = os.stat(tmp_path / "b.bin")
    for force in (True, False):
        with pytest.raises(UsageError, match="both source and target"), Sink(tmp_path / "a.bin", force=force) as sink:
            sink.spare(frozenset({(status.st_dev, status.st_ino)}))
            sink.open("b.bin")
        with pytest.raises(UsageError), Sink(tmp_path / "a.bin", force=force) as sink:
            sink.spare(frozenset({(status.st_dev, status.st_ino)}))
            sink.supersede(re.compile("b.bin"))
    assert names(tmp_path) == ["a.bin", "b.bin"]


@pytest.mark.parametrize("mode", [0o600, 0o444, 0o664, 0o755])
def test_permissions_of_the_old_file_are_kept(tmp_path, mode):
    (tmp_path / "a.bin").write_bytes(b"old")
    (tmp_path / "a.bin").chmod(mode)
    assert put(tmp_path) == 0o600  # nobody else reads it before it has its permissions
    assert stat.S_IMODE((tmp_path / "a.bin").stat().st_mode) == mode


def test_permissions_of_a_new_file_are_those_of_any_new_file(tmp_path):
    before = os.umask(0o027)
    try:
        put(tmp_path)
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "a.bin").stat().st_mode) == 0o640


def test_a_link_is_replaced_and_what_it_leads_to_stays(tmp_path):
    """It may be the content of other names as well, as in a cache of the Hugging Face Hub."""
    (tmp_path / "blob").write_bytes(b"old")
    (tmp_path / "blob").chmod(0o600)
    (tmp_path / "a.bin").symlink_to("blob")
    os.link(tmp_path / "blob", tmp_path / "hard")
    put(tmp_path)
    assert not (tmp_path / "a.bin").is_symlink()
    assert (tmp_path / "a.bin").read_bytes() == b"new"
    assert stat.S_IMODE((tmp_path / "a.bin").stat().st_mode) == 0o600
    assert (tmp_path / "blob").read_bytes() == (tmp_path / "hard").read_bytes() == b"old"


def test_another_hard_link_keeps_the_old_content(tmp_path):
    (tmp_path / "a.bin").write_bytes(b"old")
    os.link(tmp_path / "a.bin", tmp_path / "kept")
    put(tmp_path)
    assert ((tmp_path / "a.bin").read_bytes(), (tmp_path / "kept").read_bytes()) == (b"new", b"old")


@pytest.mark.parametrize(
    ("make", "said"), [(Path.mkdir, "is a folder"), (os.mkfifo, "no regular file"), ("link", "no regular file")]
)
def test_what_is_no_file_is_not_replaced(tmp_path, make, said):
    target = tmp_path / "a.bin"
    target.symlink_to("/dev/null") if make == "link" else make(target)
    for force in (False, True):
        with pytest.raises(StorageError, match=said):
            Sink(target, force=force).require_free()
        with pytest.raises(StorageError, match=said), Sink(target, force=force) as sink:
            sink.open("b.bin").write(b"beside")
            sink.open()
    assert names(tmp_path) == ["a.bin"]


def test_a_missing_folder_is_noticed_before_anything_is_done(tmp_path):
    with pytest.raises(StorageError, match="no folder"):
        Sink(tmp_path / "none" / "a.bin").require_free()


def test_a_folder_that_may_not_be_written(tmp_path):
    """As a user who is not above permissions."""
    (tmp_path / "a.bin").write_bytes(b"old")
    tmp_path.chmod(0o555)
    code = f"""
import os
from panmodel.errors import StorageError
from panmodel.io.sink import Sink
os.chdir({str(tmp_path)!r})
if os.getuid() == 0:
    os.setuid(65534)
try:
    with Sink("a.bin", force=True) as sink:
        sink.open().write(b"new")
except StorageError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    tmp_path.chmod(0o755)
    assert os.strerror(errno.EACCES) in done.stdout
    assert names(tmp_path) == ["a.bin"]
    assert (tmp_path / "a.bin").read_bytes() == b"old"


def calls_of(monkeypatch):
    """A list that fills with what is asked of the system: the call, and the names without their temporary parts."""
    log = []

    def plain(path):
        name = os.readlink(f"/proc/self/fd/{path}") if isinstance(path, int) else os.fspath(path)
        return re.sub(r"^\.(.+)\.\d+-[0-9a-f]{8}\.(?:\w+\.)?(\w+)$", r"\1 \2", Path(name).name)

    def logged(name, real):
        def call(*paths):
            log.append(" → ".join([f"{name} {plain(paths[0])}", *map(plain, paths[1:])]))
            return real(*paths)

        return call

    for name in ("fsync", "replace", "rename"):
        monkeypatch.setattr(os, name, logged(name, getattr(os, name)))
    return log


def test_content_is_on_the_disk_before_it_has_its_name_and_the_name_after(tmp_path, monkeypatch):
    log = calls_of(monkeypatch)
    put(tmp_path)
    assert log == ["fsync a.bin partial", "replace a.bin partial → a.bin", f"fsync {tmp_path.name}"]


def test_each_step_of_a_set_is_on_the_disk_before_the_next(tmp_path, monkeypatch):
    for name in ("a.bin", "b.bin", "c.bin"):
        (tmp_path / name).write_bytes(b"old")
    log, folder = calls_of(monkeypatch), f"fsync {tmp_path.name}"
    with Sink(tmp_path / "a.bin", force=True) as sink:
        sink.open().write(b"new")
        sink.open("b.bin").write(b"new")
        sink.supersede(re.compile("c.bin"))
    content = ["fsync a.bin partial", "fsync b.bin partial"]
    aside = ["rename a.bin → a.bin aside", "rename b.bin → b.bin aside", "rename c.bin → c.bin aside"]
    others, main = ["replace b.bin partial → b.bin"], ["replace a.bin partial → a.bin"]
    assert log == [*content, *aside, folder, *others, folder, *main, folder]
    assert names(tmp_path) == ["a.bin", "b.bin"]


def test_an_interrupt_is_heard_while_another_process_replaces_files(tmp_path):
    (tmp_path / "a.bin").write_bytes(b"old")
    with pytest.raises(KeyboardInterrupt), Sink(tmp_path / "a.bin", force=True) as sink:
        sink.open().write(b"new")
        folder = os.open(tmp_path, os.O_RDONLY)
        fcntl.flock(folder, fcntl.LOCK_EX)
        free = threading.Timer(20, os.close, [folder])
        free.start()
        threading.Timer(0.2, os.kill, [os.getpid(), signal.SIGINT]).start()
    assert free.is_alive()  # it was not waited for
    free.cancel()
    os.close(folder)
    assert names(tmp_path) == ["a.bin"]
    assert (tmp_path / "a.bin").read_bytes() == b"old"


def test_an_interrupt_waits_for_the_renames(tmp_path, monkeypatch):
    for name in ("a.bin", "b.bin"):
        (tmp_path / name).write_bytes(b"old")
    real = os.replace
    monkeypatch.setattr(os, "replace", lambda *paths: (signal.raise_signal(signal.SIGINT), real(*paths)))
    with pytest.raises(KeyboardInterrupt), Sink(tmp_path / "a.bin", force=True) as sink:
        sink.open().write(b"new")
        sink.open("b.bin").write(b"new")
    assert names(tmp_path) == ["a.bin", "b.bin"]
    assert {(tmp_path / name).read_bytes() for name in names(tmp_path)} == {b"new"}


@pytest.mark.parametrize("name", ["n" * 255, "é" * 127, "n" * 244, "two\nlines"])
def test_any_name_that_a_file_may_have_will_do(tmp_path, name):
    for content in (b"old", b"new"):
        with Sink(tmp_path / name, force=True) as sink:
            sink.open().write(content)
            (partial,) = tmp_path.glob(".*.partial")
            left = Path(os.fspath(partial).replace(f".{os.getpid()}-", ".1-"))
            left.write_bytes(b"left by another")
        assert (tmp_path / name).read_bytes() == content
        assert left.exists()
        Sink(tmp_path / name, force=True).require_free()
        assert names(tmp_path) == [name]


def test_several_files_have_names_under_which_they_can_step_aside(tmp_path):
    longest = "m" * LONGEST_NAME
    for content in (b"old", b"new"):
        with Sink(tmp_path / longest, force=True) as sink:
            sink.open("b.bin").write(content)
            sink.open().write(content)
    assert (tmp_path / longest).read_bytes() == b"new"
    with pytest.raises(StorageError, match="the name has 227 bytes"), Sink(tmp_path / "a.bin") as sink:
        sink.open(longest + "m")
    with pytest.raises(StorageError, match="shorter"):
        Sink(tmp_path / "a", names=(longest + "m", "b")).require_free()
    with pytest.raises(StorageError), Sink(tmp_path / (longest + "m"), force=True) as sink:
        sink.supersede(re.compile("b.bin"))
        sink.open()


def test_a_folder_that_is_closed_meanwhile_hides_no_error(tmp_path, monkeypatch, capfd):
    def refuse(path, *, missing_ok=False):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    with pytest.raises(KeyError), Sink(tmp_path / "a.bin") as sink:
        sink.open()
        monkeypatch.setattr(Path, "unlink", refuse)
        raise KeyError
    assert "ignored" not in capfd.readouterr().err


def test_a_fork_of_the_writer_does_not_take_its_files_away(tmp_path):
    with Sink(tmp_path / "a.bin") as sink:
        staged = sink.open()
        staged.write(b"whole")
        child = os.fork()
        if child == 0:
            staged._remove()
            os._exit(0)
        os.waitpid(child, 0)
        assert staged.partial.exists()
    assert (tmp_path / "a.bin").read_bytes() == b"whole"


def test_threads_may_write_into_one_folder(tmp_path):
    failed = []

    def write(number):
        try:
            for _ in range(5):
                with Sink(tmp_path / "a.bin", force=True) as sink:
                    sink.open().write(bytes([number]) * 1000)
        except Exception as error:
            failed.append(error)

    threads = [threading.Thread(target=write, args=(number,)) for number in (1, 2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    assert names(tmp_path) == ["a.bin"]
    assert (tmp_path / "a.bin").read_bytes() in (b"\1" * 1000, b"\2" * 1000)
