"""Locks tell who is at work, and end with the process that holds them."""

import os
import subprocess
import sys
import threading
import time

import pytest

from panmodel.io import locking
from panmodel.io.locking import is_abandoned, is_running, lock, locked_folder

HOLDER = """
import os, sys, time
from panmodel.io.locking import lock
lock(os.open(sys.argv[1], os.O_RDONLY))
print("locked", flush=True)
time.sleep(60)
"""


@pytest.fixture
def holder(tmp_path):
    """A process that has a lock on a file."""
    (tmp_path / "file").touch()
    child = subprocess.Popen([sys.executable, "-c", HOLDER, tmp_path / "file"], stdout=subprocess.PIPE)
    assert child.stdout.readline() == b"locked\n"
    yield child
    child.kill()
    child.wait()


def test_a_file_is_abandoned_when_its_writer_is_gone(tmp_path, holder):
    assert not is_abandoned(tmp_path / "file", pid=1 << 30)  # whatever the number says
    holder.kill()
    holder.wait()
    assert is_abandoned(tmp_path / "file", pid=os.getpid())  # the number is in use again
    assert not is_abandoned(tmp_path / "gone", pid=1 << 30)


def waits(folder):
    with locked_folder(folder) as is_exclusive:
        return is_exclusive


def test_a_folder_is_locked_by_one_at_a_time(tmp_path):
    order = []
    with locked_folder(tmp_path) as is_exclusive:
        assert is_exclusive
        with pytest.raises(TimeoutError), locked_folder(tmp_path, patience=0.03):
            pass
        later = threading.Thread(target=lambda: order.append("second") if waits(tmp_path) else None)
        later.start()
        time.sleep(0.05)
        order.append("first")
    later.join()
    assert order == ["first", "second"]
    with pytest.raises(FileNotFoundError), locked_folder(tmp_path / "none"):
        pass


def test_a_file_system_without_locks(tmp_path, monkeypatch):
    def no_locks(descriptor, operation):
        raise OSError(95, "not supported")

    monkeypatch.setattr(locking.fcntl, "flock", no_locks)
    (tmp_path / "file").touch()
    with locked_folder(tmp_path) as is_exclusive:
        assert not is_exclusive
    with open(tmp_path / "file") as file:
        assert not lock(file.fileno())
    assert not is_abandoned(tmp_path / "file", pid=os.getpid())
    assert is_abandoned(tmp_path / "file", pid=1 << 30)


def test_numbers_of_processes():
    assert is_running(os.getpid())
    assert is_running(1)
    assert is_running(10**30)
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    assert not is_running(child.pid)
