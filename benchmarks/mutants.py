"""Damaged and deceitful files, very many of them: is every one read rightly or refused by an error of ours?

    python benchmarks/mutants.py [--mutants 100000] [--flips 1000] [--format NAME ...] [--seed 0] [--workers 2]
                                 [--folder FOLDER]

For each format that is read, mutants of small right files (`seeds/`) are made by changes of bytes that know
nothing, and by changes of structures with all checksums and lengths put right (`mutation*.py`), so that what lies
behind checksums is reached too. Each mutant is read wholly in a child process: every tensor, the graph, the training
state. Wrong are: an exception that is not ours, a crash, more than 5 s, more memory than 64 MiB, the file and twice its
largest tensor, and a change under a checksum that nobody finds. Then single bits of payload are flipped wherever the
format has a checksum over it: each must be found, and its tensor named.

The exit code is 1 if anything is wrong. Each wrong mutant is kept in the folder with its traceback; mutants are told by
format, seed and number. Run again with the same folder, it goes on where it was stopped.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from random import Random
from time import monotonic

from mutant_payload import flip_payload
from mutant_reading import Verdicts, in_child, run_batch
from mutation import Mutator, one_of, raw, structured
from mutation_containers import bundle

from panmodel.formats import registry

BATCH = 1000
PLENTY = 4000  # bytes of a seed from which on it is chosen less often
FAST = Path("/dev/shm")  # in memory, where the system has it


@dataclass
class Victim:
    """A file of a seed, and what makes mutants of it."""

    seed: str
    names: tuple[str, ...]  # the files that are changed, as the mutator gives them
    mutate: Mutator | None
    together: object  # a mutator of several files
    must_find: bool  # every change of content has to be found

    def mutant(self, chance: Random) -> tuple[bytes, ...]:
        return (self.mutate(chance),) if self.mutate else self.together(chance)  # type: ignore[operator]


@dataclass
class Seed:
    """A right file with what is beside it."""

    name: str
    target: str
    files: dict[str, bytes]
    checked: list[str]
    payload: dict[str, tuple[str, int, int]]


def load_seeds(folder: Path) -> list[Seed]:
    found = []
    for path in sorted(folder.glob("*.json")):
        what = json.loads(path.read_text())
        place = path.with_suffix("")
        files = {str(f.relative_to(place)): f.read_bytes() for f in sorted(place.rglob("*")) if f.is_file()}
        found.append(Seed(path.stem, what["target"], files, what["checked"], what["payload"]))
    return found


def victims_of(seeds: list[Seed]) -> list[Victim]:
    """Each file blindly, and as often knowingly where its structure is understood."""
    found = []
    for seed in seeds:
        for name, data in seed.files.items():
            if not data:
                continue
            found.append(Victim(seed.name, (name,), raw(data), None, name in seed.checked))
            if known := structured(data):
                found += [Victim(seed.name, (name,), one_of(known), None, False)] * 2
            beside = f"{name.removesuffix('.index')}.data-00000-of-00001"
            if name.endswith(".index") and beside in seed.files:
                both = bundle(data, seed.files[beside])
                found.append(Victim(seed.name, (name, beside), None, both, False))
    return found


class Run:
    """All mutants of one format, by children that share nothing but a table of counts."""

    def __init__(self, name: str, seeds: list[Seed], args: argparse.Namespace, folder: Path, work: Path) -> None:
        self.name, self.seeds, self.victims = name, {seed.name: seed for seed in seeds}, victims_of(seeds)
        # large files take longer to read, and hold little that small ones do not
        sizes = {seed.name: sum(map(len, seed.files.values())) for seed in seeds}
        self.weights = list(accumulate(min(1, PLENTY / sizes[victim.seed]) for victim in self.victims))
        self.args, self.folder, self.work = args, folder, work
        self.verdicts = Verdicts(args.workers)
        self.tally = folder / f"{name}.tally.json"
        self.done: set[int] = set()
        if self.tally.is_file():
            stored = json.loads(self.tally.read_text())
            self.done = set(stored["batches"]) if stored["seed"] == args.seed else set()
            if self.done:
                self.verdicts.restore(stored["counts"])

    def mutant(self, number: int) -> tuple[Victim, tuple[bytes, ...]]:
        chance = Random(f"{self.args.seed} {self.name} {number}")
        (victim,) = chance.choices(self.victims, cum_weights=self.weights)
        return victim, victim.mutant(chance)

    def go(self) -> None:
        waiting = [number for number in range(-(-self.args.mutants // BATCH)) if number not in self.done]
        waiting.reverse()
        running: dict[int, tuple[int, int, int]] = {}  # process → slot, batch, where its batch ends
        free = list(range(self.args.workers))
        while waiting or running:
            while waiting and free:
                batch, slot = waiting.pop(), free.pop()
                end = min((batch + 1) * BATCH, self.args.mutants)
                running[self._fork(slot, batch * BATCH, end)] = (slot, batch, end)
            process, status = os.wait()
            slot, batch, end = running.pop(process)
            if status:  # it died: of this mutant; on with the next
                at = self.verdicts.died(slot, status)
                if at < 0:
                    raise SystemExit(f"{self.name}: the right files cannot be read")
                self._keep_death(at, status)
                if at + 1 < end:
                    running[self._fork(slot, at + 1, end)] = (slot, batch, end)
                    continue
            free.append(slot)
            self.done.add(batch)
            stored = {"seed": self.args.seed, "batches": sorted(self.done), "counts": self.verdicts.total()}
            self.tally.write_text(json.dumps(stored))

    def _fork(self, slot: int, begin: int, end: int) -> int:
        self.verdicts.begin(slot, -1)
        return in_child(lambda: run_batch(self, slot, begin, end))

    def _keep_death(self, number: int, status: int) -> None:
        victim, contents = self.mutant(number)
        self.keep(victim, contents, number, f"died-{status & 0x7F or status >> 8}-{victim.seed}", f"status {status}\n")

    def keep(self, victim: Victim, contents: tuple[bytes, ...], number: int, label: str, text: str) -> None:
        """Keep the first mutant of each label with the files around it."""
        place = self.folder / self.name / label
        if place.exists():
            return
        place.mkdir(parents=True, exist_ok=True)
        seed = self.seeds[victim.seed]
        for name, data in {**seed.files, **dict(zip(victim.names, contents, strict=True))}.items():
            (place / "files" / name).parent.mkdir(parents=True, exist_ok=True)
            (place / "files" / name).write_bytes(data)
        what = f"mutant {number} of {self.name}, {victim.names} of {victim.seed}, to open: files/{seed.target}\n"
        (place / "what.txt").write_text(what + text, errors="replace")


def main() -> None:
    ask = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ask.add_argument("--mutants", type=int, default=100_000, help="of each format")
    ask.add_argument("--flips", type=int, default=1000, help="of payload, of each format with checksums")
    ask.add_argument("--format", action="append", help="only this one; may be given again")
    ask.add_argument("--seed", type=int, default=0)
    ask.add_argument("--workers", type=int, default=2)
    ask.add_argument("--folder", type=Path, help="where wrong mutants and the tally are kept")
    args = ask.parse_args()
    readable = [name for name, record in registry().items() if record.read is not None]
    if unknown := set(args.format or ()) - set(readable):
        raise SystemExit(f"no such format is read: {', '.join(sorted(unknown))}")
    folder = args.folder or Path(tempfile.mkdtemp(prefix="mutants-"))
    folder.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(prefix="mutants-", dir=FAST if FAST.is_dir() else None))
    try:
        make_seeds = Path(__file__).with_name("mutant_seeds.py")
        subprocess.run([sys.executable, "-W", "ignore", make_seeds, work / "seeds"], check=True)
        wrong = sum(run(name, args, folder, work) for name in args.format or readable)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    print(f"{wrong} wrong" + (f"; see {folder}" if wrong else ""))
    sys.exit(1 if wrong else 0)


def run(name: str, args: argparse.Namespace, folder: Path, work: Path) -> int:
    seeds = load_seeds(work / "seeds" / name)
    if not seeds:
        print(f"{name}: no seeds, nothing was tried", flush=True)
        return 1
    this = Run(name, seeds, args, folder, work / name)
    began = monotonic()
    this.go()
    print(this.verdicts.line(name, monotonic() - began), flush=True)
    counts, missed = flip_payload(this, args.flips) if args.flips else ({}, 0)
    if counts or missed:
        print(f"    bits of payload: {', '.join(f'{n} {kind}' for kind, n in sorted(counts.items()))}", flush=True)
    return this.verdicts.wrong() + missed


if __name__ == "__main__":
    main()
