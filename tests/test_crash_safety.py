"""Whenever and however a writer of any format ends, there is the old file or the whole new one, and nothing else."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from tests.crash_cases import CASES

from panmodel.formats import registry

ROOT = Path(__file__).parents[1]
#: In memory, where the system has it: what a disk does with a sync takes its time and changes nothing here.
FAST = Path("/dev/shm")
#: What there is of each way to end in the suite; `benchmarks/crashes.py` has more of it.
WAYS = {
    "steps": 10,
    "moments": 6,
    "signals": 4,
    "failures": 10,
    "full": 2,
    "small-disks": 4,
    "together": 3,
    "readers": 12,
}


@pytest.mark.parametrize("case", CASES)
def test_there_is_the_old_model_or_the_new_one(case, tmp_path):
    folder = FAST if os.access(FAST, os.W_OK) else tmp_path
    options = [f"--{way}={number}" for way, number in WAYS.items()]
    command = [sys.executable, "-m", "tests.crashes", case, *options, "--folder", str(folder)]
    paths = os.pathsep.join([str(ROOT / "src"), str(ROOT)])
    environment = {**os.environ, "PYTHONPATH": paths, "OPENBLAS_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, env=environment)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["old"] and found["new"] and found["nothing"] and found["partial files left"]
    assert not CASES[case].parts or found["aside files left"]


def test_every_format_that_is_written_is_here():
    written = {name for name, record in registry().items() if record.write}
    split = {name for name, record in registry().items() if record.shards}
    assert written == {case.format for case in CASES.values()}
    assert split == {case.format for case in CASES.values() if case.parts}
