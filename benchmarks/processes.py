"""Whole processes, timed: wall and processor seconds, and peak memory, as medians over rounds."""

from __future__ import annotations

import os
import statistics
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Run:
    wall: float  # seconds
    cpu: float  # seconds, user and system
    peak: float  # MiB


def timed(command: Sequence[object]) -> Run:
    """Run a command; raises SystemExit with its last words if it fails."""
    begin = time.monotonic()
    with subprocess.Popen(
        [str(word) for word in command], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    ) as process:
        said = process.stderr.read()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if status:
        raise SystemExit(f"failed: {' '.join(map(str, command))}\n{said.decode(errors='replace')[-2000:]}")
    return Run(time.monotonic() - begin, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024)


def medians(work: Mapping[str, Sequence[object]], rounds: int) -> dict[str, Run]:
    """Each command in turn, round by round, so that the machine's drift meets all alike; the first round warms up."""
    seen: dict[str, list[Run]] = {name: [] for name in work}
    for _ in range(rounds + 1):
        for name, command in work.items():
            seen[name].append(timed(command))
    return {
        name: Run(*(statistics.median(getattr(run, key) for run in runs[1:]) for key in ("wall", "cpu", "peak")))
        for name, runs in seen.items()
    }


def print_ratios(found: Mapping[str, Run], base: str) -> None:
    """Print each run as a multiple of the base."""
    unit = found[base].wall
    print(f"{base} takes {unit:.2f} s")
    for name, run in found.items():
        print(f"  {name:44s} {run.wall / unit:6.2f} ×   cpu {run.cpu:6.2f} s   peak {run.peak:6.0f} MiB")
