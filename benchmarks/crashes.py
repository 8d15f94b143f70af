"""Writers that die: is there always the old model or the new one, and nothing else?

    python benchmarks/crashes.py [--moments 100] [--kilobytes 512] [--case NAME ...] [--folder FOLDER]

For each way to write each format, a process that puts a new model in the place of an old one, or where there was none,

- is killed (SIGKILL) before each of the steps that it asks of the system, and at random moments;
- is interrupted (Ctrl-C, SIGTERM) at random moments, as a whole command;
- meets a full disk at each of those steps, a limit on the size of files, and disks of all sizes (if it may mount some);
- runs at the same time as another one with the same target, and as a reader that opens it again and again.

After each, all tensors and files are compared, bit for bit. A row of the table is printed when all of it held; anything
else ends the benchmark with exit code 1 and what was found. `tests/crashes.py` does the work.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
FAST = Path("/dev/shm")  # in memory, where the system has it

COLUMNS = {
    "killed at a step": ("steps",),
    "killed at random": ("killed",),
    "done before": ("done before",),
    "Ctrl-C": ("exit code 130",),
    "SIGTERM": ("exit code 143",),
    "step failed": ("failures",),
    "disk full": ("full", "small disks: refused"),
    "two writers": ("together: old last", "together: new last"),
    "reads": ("readers: one", "readers: other"),
    "read refused": (),
    "→ old": ("old",),
    "→ new": ("new",),
    "→ none": ("nothing",),
}


def main() -> None:
    ask = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ask.add_argument("--moments", type=int, default=100)
    ask.add_argument("--kilobytes", type=int, default=512)
    ask.add_argument("--case", action="append", default=[])
    ask.add_argument("--folder", type=Path, default=FAST if os.access(FAST, os.W_OK) else None)
    args = ask.parse_args()
    sys.path.insert(0, str(ROOT))
    from tests.crash_cases import CASES

    width = max(map(len, CASES))
    print("  ".join([" " * width, *COLUMNS]))
    failed = 0
    for case in args.case or CASES:
        found, error = run(case, args.moments, args.kilobytes, args.folder)
        failed += bool(error)
        print(f"{case:{width}}  " + (error or row(found)), flush=True)
    print(
        "\nwhat was there after each: the old model, the new one, or none where there had been none; nothing else, ever"
    )
    sys.exit(1 if failed else 0)


def run(case: str, moments: int, kilobytes: int, folder: Path | None) -> tuple[dict[str, int], str]:
    """Let one case die; what was found, and what was wrong."""
    numbers = {"moments": moments, "signals": moments, "steps": 1000, "failures": 1000, "full": 10, "small-disks": 20}
    numbers |= {"together": moments // 2, "readers": moments * 2, "kilobytes": kilobytes}
    options = [f"--{name}={number}" for name, number in numbers.items()]
    place = ["--folder", str(folder)] if folder else []
    environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "tests.crashes", case, *options, *place]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, env=environment, check=False)
    return (json.loads(done.stdout), "") if done.returncode == 0 else ({}, f"WRONG\n{done.stderr}")


def row(found: dict[str, int]) -> str:
    """The numbers under their headings."""
    refused = sum(n for key, n in found.items() if key.startswith("readers: ") and key.endswith("Error"))
    sums = {name: sum(found.get(key, 0) for key in keys) for name, keys in COLUMNS.items()} | {"read refused": refused}
    return "  ".join(f"{sums[name]:{len(name)}}" for name in COLUMNS)


if __name__ == "__main__":
    main()
