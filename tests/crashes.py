"""Writers that die: ways to end the writing of each format at any moment, and what must be there then.

    python -m tests.crashes [CASE...] [--kilobytes 64] [--steps N] [--moments N] [--signals N] [--failures N] [--full N]
                            [--small-disks N] [--together N] [--readers N] [--folder FOLDER]

Everything happens in forks of one process that has loaded what writing needs, so that a death costs milliseconds.
Prints one line of JSON for each case: how often which set of files was found. What is neither the old set nor the new
one, whole and bit for bit, ends it with an error.
"""

from __future__ import annotations

import argparse
import bisect
import json
import math
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from tests.crash_cases import ALIKE, CASES, NEW, OLD, Case, visible
from tests.crash_forks import FULL, counted, fork, forked, run_command

from panmodel.errors import PanmodelError, StorageError


def temporary(folder: Path) -> set[str]:
    """Names of temporary files."""
    return set(os.listdir(folder)) - visible(folder)


def spread(count: int, most: int) -> range:
    """Numbers below a count, evenly spread: all of them, or as many as are asked for at most."""
    return range(0, count, max(1, math.ceil(count / most)))


class Bench:
    """One case with its two versions, and a folder to let it die in again and again."""

    def __init__(self, case: Case, nbytes: int, root: Path) -> None:
        self.case, self.nbytes, self.root = case, nbytes, root
        self.models = {version: case.make(version, nbytes) for version in (OLD, NEW, ALIKE)}
        self.content: dict[int, dict[str, object]] = {}
        self.names: dict[int, set[str]] = {}
        for version, model in self.models.items():
            case.write(model, self.fresh(f"version {version}"), nbytes)
            self.content[version] = case.content(root / f"version {version}")
            self.names[version] = visible(root / f"version {version}")
        assert self.content[OLD] != self.content[NEW]
        self.found: Counter[str] = Counter()
        self.chance = random.Random(0)

    def fresh(self, name: str) -> Path:
        """An empty folder."""
        shutil.rmtree(self.root / name, ignore_errors=True)
        (self.root / name).mkdir()
        return self.root / name

    def stage(self, *, old: bool) -> Path:
        """A folder with the old set, or with nothing."""
        folder = self.fresh("target")
        if old:
            shutil.copytree(self.root / f"version {OLD}", folder, dirs_exist_ok=True)
        return folder

    def write_new(self, folder: Path) -> None:
        """What dies."""
        self.case.write(self.models[NEW], folder, self.nbytes, force=True)

    def judge(self, folder: Path, *, old: bool) -> str:
        """Which set there is after a death; then the next conversion clears what is left of it.

        Raises:
            AssertionError: It is neither, or something is left.
        """
        left = {name.rpartition(".")[2] for name in temporary(folder)}
        try:
            content = self.case.content(folder)
        except PanmodelError:
            assert not old, f"{sorted(os.listdir(folder))}: nothing can be read"
            assert visible(folder) == set(), f"{sorted(os.listdir(folder))}: half of a first set"
            found = "nothing"
        else:
            version = OLD if old and content == self.content[OLD] else NEW
            assert content == self.content[version], f"{sorted(os.listdir(folder))}: neither the old nor the new"
            assert visible(folder) == self.names[version]
            found = "old" if version == OLD else "new"
        self.case.write(self.models[NEW], folder, self.nbytes, force=found != "nothing")
        assert set(os.listdir(folder)) == self.names[NEW], sorted(os.listdir(folder))
        assert self.case.content(folder) == self.content[NEW]
        self.found[found] += 1
        for kind in left:
            self.found[f"{kind} files left"] += 1
        return found

    def steps(self, most: int) -> None:
        """Die before each step of the system, or before as many of them as are asked for.

        The step that puts the new set in the old one's place is always among them, with the one after it.
        """
        for old in (True, False):
            folder = self.stage(old=old)
            count = forked(lambda folder=folder: counted(lambda: self.write_new(folder)))
            assert os.WIFEXITED(count.status), count
            outcomes: dict[int, str] = {}

            def is_new(fatal: int, old: bool = old, outcomes: dict[int, str] = outcomes) -> bool:
                if fatal not in outcomes:
                    outcomes[fatal] = self.dying(fatal, old=old)
                return outcomes[fatal] == "new"

            turn = bisect.bisect_left(range(count.calls), True, key=is_new)
            for fatal in spread(count.calls, most):
                assert is_new(fatal) == (fatal >= turn)  # never back to the old one
            self.found["steps"] += len(outcomes)

    def dying(self, fatal: int, *, old: bool) -> str:
        """Die before a step; which set there is then."""
        folder = self.stage(old=old)
        done = forked(lambda: counted(lambda: self.write_new(folder), fatal))
        assert os.WIFSIGNALED(done.status), (fatal, done)
        return self.judge(folder, old=old)

    def moments(self, count: int) -> None:
        """Die at random moments, so many times: most over an old set, each fifth over none."""
        seconds = min(self._watched(-1.0)[0] for _ in range(3))
        for number in range(5 * count):  # a process that is done does not die
            if self.found["killed"] == count:
                break
            old = number % 5 != 4
            folder = self.stage(old=old)
            _, status = self._watched(self.chance.uniform(0, seconds), folder)
            self.found["killed" if os.WIFSIGNALED(status) else "done before"] += 1
            self.judge(folder, old=old)

    def _watched(self, fatal: float, folder: Path | None = None) -> tuple[float, int]:
        """Write, and die after so many seconds; the seconds that it took, and how it ended."""
        place = folder or self.stage(old=True)
        ready, start = os.pipe()
        child = fork(lambda: (os.write(start, b"!"), self.write_new(place), os.write(start, b"!")))
        os.close(start)  # else nobody would hear that the child is gone
        assert os.read(ready, 1)
        began = time.monotonic()
        if fatal >= 0:
            time.sleep(fatal)
            os.kill(child, signal.SIGKILL)
        else:
            assert os.read(ready, 1)
        seconds = time.monotonic() - began
        _, status = os.waitpid(child, 0)
        os.close(ready)
        return seconds, status

    def command(self, folder: Path) -> list[str]:
        """A whole command that writes the new set."""
        size = self.case.shard_size(self.nbytes)
        split = ["--shard-size", str(size)] if size else []
        source, target = self.root / f"version {NEW}" / self.case.target, folder / self.case.target
        return ["panmodel", "convert", "--force", "--to", self.case.format, *split, str(source), str(target)]

    def signals(self, count: int) -> None:
        """Ctrl-C and SIGTERM at random moments of a whole command."""
        if not self.case.by_command:
            return
        seconds = 0.0
        for number in range(-1, count):
            wanted = signal.SIGTERM if number % 2 else signal.SIGINT
            folder = self.stage(old=True)
            ready, start = os.pipe()
            child = fork(lambda folder=folder, start=start: run_command(self.command(folder), start))
            os.close(start)
            assert os.read(ready, 1)
            began = time.monotonic()
            if number >= 0:
                time.sleep(self.chance.uniform(0, seconds))
                os.kill(child, wanted)
            code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
            seconds = seconds or time.monotonic() - began
            os.close(ready)
            assert code in (0, 128 + wanted), code
            assert temporary(folder) == set(), sorted(os.listdir(folder))
            self.found[f"exit code {code}"] += number >= 0
            assert self.judge(folder, old=True) == "new" or code

    def failures(self, most: int) -> None:
        """The disk is full at some step of the system: the writer says so, and leaves all as it was or is to be."""
        for old in (True, False):
            folder = self.stage(old=old)
            count = forked(lambda folder=folder: counted(lambda: self.write_new(folder), asked=FULL)).calls
            chosen = spread(count, most)
            for fatal in chosen:
                folder = self.stage(old=old)
                done = forked(
                    lambda folder=folder, fatal=fatal: counted(lambda: self.refused(folder), fatal, asked=FULL)
                )
                assert os.waitstatus_to_exitcode(done.status) == 0, (fatal, done)
                assert temporary(folder) == set(), (fatal, sorted(os.listdir(folder)))
                self.judge(folder, old=old)
            self.found["failures"] += len(chosen)

    def refused(self, folder: Path) -> None:
        """Write where that fails."""
        try:
            self.write_new(folder)
        except StorageError as error:
            said = str(error)
        else:
            said = ""
        assert "cannot be written" in said

    def full(self, count: int) -> None:
        """No file may grow beyond a size, as on a full disk: exit code 3, and nothing has changed."""
        largest = max(path.stat().st_size for path in (self.root / f"version {NEW}").iterdir())
        for number in range(count):
            size = (largest - 1) * number // max(count - 1, 1)
            for old in (True, False):
                folder = self.stage(old=old)
                before = {path.name: path.read_bytes() for path in folder.iterdir()}

                def write(folder: Path = folder, size: int = size) -> None:
                    resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))
                    self.refused(folder)

                assert os.waitpid(fork(write), 0)[1] == 0
                assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
                if self.case.by_command:
                    child = fork(lambda folder=folder, size=size: run_command(self.command(folder), size=size))
                    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == StorageError.exit_code
                    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
                self.found["full"] += 1

    def small_disks(self, count: int) -> None:
        """Disks of all sizes, as far as this user may make some: the old set is there until there is room for both."""
        disk = self.fresh("disk")
        old_bytes = sum(path.stat().st_size for path in (self.root / f"version {OLD}").iterdir())
        for number in range(count):
            room = self.nbytes * 2 * number // count
            most = len(self.names[OLD]) + 2 + number // 2
            size = f"nr_inodes={most}" if number % 2 else f"size={old_bytes + room + (64 << 10)}"
            if subprocess.run(["mount", "-t", "tmpfs", "-o", size, "panmodel", disk], capture_output=True).returncode:
                return
            try:
                folder = disk / "target"
                shutil.copytree(self.root / f"version {OLD}", folder)
                status = os.waitpid(fork(lambda folder=folder: self.refused(folder)), 0)[1]
                assert temporary(folder) == set(), sorted(os.listdir(folder))
                assert self.case.content(folder) == self.content[OLD if status == 0 else NEW]
            finally:
                subprocess.run(["umount", "--lazy", disk], check=True)
            self.found["small disks: " + ("refused" if status == 0 else "written")] += 1

    def together(self, count: int) -> None:
        """Two writers at once, of different versions: there is one of them, whole, and nothing else."""
        for number in range(count):
            folder = self.stage(old=number % 2 == 0)
            children = [
                fork(lambda model=model, folder=folder: self.case.write(model, folder, self.nbytes, force=True))
                for model in (self.models[OLD], self.models[NEW])
            ]
            assert [os.waitpid(child, 0)[1] for child in children] == [0, 0]
            content = self.case.content(folder)
            assert content in self.content.values()
            self.found[f"together: {'old' if content == self.content[OLD] else 'new'} last"] += 1

    def readers(self, count: int) -> None:
        """Read again and again while a writer puts one version in the place of the other."""
        folder, versions = self.stage(old=False), (NEW, ALIKE)
        known = [self.case.tensors(self.root / f"version {version}") for version in versions]
        self.write_new(folder)

        def write() -> None:
            for number in range(count):
                self.case.write(self.models[versions[number % 2]], folder, self.nbytes, force=True)

        child = fork(write)
        while os.waitpid(child, os.WNOHANG)[0] == 0:
            try:
                found = self.case.tensors(folder)
            except PanmodelError as error:
                self.found[f"readers: {type(error).__name__}"] += 1
            else:
                assert found in known, "a mixture"
                self.found[f"readers: {'one' if found == known[0] else 'other'}"] += 1


WAYS = ("steps", "moments", "signals", "failures", "full", "small-disks", "together", "readers")


def main() -> None:
    """See the module."""
    ask = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ask.add_argument("cases", nargs="*", metavar="CASE")
    ask.add_argument("--kilobytes", type=int, default=64)
    for way in WAYS:
        ask.add_argument(f"--{way}", type=int, default=0, help=getattr(Bench, way.replace("-", "_")).__doc__)
    ask.add_argument("--folder", type=Path)
    args = ask.parse_args()
    for name in args.cases or CASES:
        folder = Path(tempfile.mkdtemp(dir=args.folder))  # a TemporaryDirectory would end with the first fork
        try:
            bench = Bench(CASES[name], args.kilobytes << 10, folder)
            for way in WAYS:
                method = way.replace("-", "_")
                if number := getattr(args, method):
                    getattr(bench, method)(number)
            sys.stdout.write(json.dumps({"case": name, **bench.found}) + "\n")
            sys.stdout.flush()
        finally:
            shutil.rmtree(folder)


if __name__ == "__main__":
    main()
