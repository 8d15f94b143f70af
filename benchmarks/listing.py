"""Files of many small tensors: what it costs to list, convert, scan and compare them, and to list them with others.

    python benchmarks/listing.py [--tensors 1000 20000] [--rounds 1] [--folder FOLDER] [formats ...]

Each file is made by the library that its format belongs to; a format whose library is not installed is left out. Wall
and processor seconds and the peak of memory of whole processes, and ratios to the peer's processor time. Between the
numbers of tensors, time must not grow faster than they do: the last column says how much faster listing did. Each
file is compared with a copy of itself.
"""

from __future__ import annotations

import argparse
import importlib.util
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from listing_files import MAKERS, Made
from processes import Run, medians

SAFE_OPEN = """
from safetensors import safe_open
with safe_open(sys.argv[1], "numpy") as file:
    for name in file.keys():
        found = file.get_slice(name)
        print(name, found.get_dtype(), found.get_shape())
"""
TORCH = """
import torch
torch.load(sys.argv[1], weights_only=True, mmap=len(sys.argv) < 3)
"""
DCP = """
from torch.distributed.checkpoint import FileSystemReader
print(FileSystemReader(sys.argv[1]).read_metadata())
"""
H5PY = """
import h5py
with h5py.File(sys.argv[1]) as file:
    file.visititems(lambda name, found: print(name, getattr(found, "dtype", ""), getattr(found, "shape", "")))
"""
NUMPY = """
import numpy, zipfile
from numpy.lib import format
with zipfile.ZipFile(sys.argv[1]) as file:
    for name in file.namelist():
        with file.open(name) as member:
            print(name, format.read_magic(member), format.read_array_header_1_0(member))
"""
ONNX = """
import onnx
for tensor in onnx.load(sys.argv[1], load_external_data=False).graph.initializer:
    print(tensor.name, tensor.data_type, tensor.dims)
"""
TENSORFLOW = """
import tensorflow as tf
for name, shape in tf.train.list_variables(sys.argv[1]):
    print(name, shape)
"""
#: What a user would list each with; the words after the path.
PEERS: dict[str, tuple[str, str, tuple[str, ...]]] = {
    "safetensors": ("safetensors", SAFE_OPEN, ()),
    "torch zip": ("torch", TORCH, ()),
    "torch training": ("torch", TORCH, ()),
    "torch legacy": ("torch", TORCH, ("whole",)),
    "torch distributed": ("torch", DCP, ()),
    "checkpoint": ("tensorflow", TENSORFLOW, ()),
    "object checkpoint": ("tensorflow", TENSORFLOW, ()),
    "checkpoint V1": ("tensorflow", TENSORFLOW, ()),
    "keras h5": ("h5py", H5PY, ()),
    "weights.h5": ("h5py", H5PY, ()),
    "npz": ("numpy", NUMPY, ()),
    "onnx": ("onnx", ONNX, ()),
}


@dataclass(frozen=True)
class Row:
    """What was measured of one file."""

    inspect: Run
    convert: Run
    scan: Run
    diff: Run
    peer: Run | None


def main() -> None:
    ask = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ask.add_argument("--tensors", type=int, nargs="+", default=[1000, 20000])
    ask.add_argument("--rounds", type=int, default=1)
    ask.add_argument("--folder", type=Path, help="where files are kept from one run to the next")
    ask.add_argument("formats", nargs="*", default=list(MAKERS), metavar="format")
    args = ask.parse_args()
    titles = "".join(f"  {title:>26s}" for title in ("inspect", "convert", "scan", "diff", "peer"))
    print(f"{'':18s}  tensors{titles}  inspect : peer   growth")
    with tempfile.TemporaryDirectory() as scratch:
        folder = args.folder or Path(scratch)
        for name in args.formats:
            if not _has(MAKERS[name].library):
                print(f"{name:18s}  left out: {MAKERS[name].library} is not installed")
                continue
            before: Run | None = None
            for count in sorted(args.tensors):
                row = _measure(name, _made(name, count, folder), folder, args.rounds)
                _print(name, count, row, args.tensors, before)
                before = before or row.inspect


def _has(library: str) -> bool:
    return importlib.util.find_spec(library) is not None


def _made(name: str, count: int, folder: Path) -> Path:
    """The file, made by a process of its own: a parent's memory would count as its children's."""
    home = folder / f"{name.replace(' ', '_')}-{count}"
    maker: Made = MAKERS[name]
    if not home.exists():
        home.mkdir(parents=True)
        script = Path(__file__).with_name("listing_files.py")
        subprocess.run([sys.executable, script, name, str(count), home], check=True, stderr=subprocess.DEVNULL)
    return home / maker.file


def _measure(name: str, path: Path, folder: Path, rounds: int) -> Row:
    program = [sys.executable, "-m", "panmodel"]
    copy = folder / "copy"
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(path.parent, copy)
    work: dict[str, list[object]] = {
        "inspect": [*program, "inspect", path],
        "convert": [*program, "convert", "--force", path, folder / "out.safetensors"],
        "scan": [*program, "scan", path],
        "diff": [*program, "diff", path, copy / path.name],
    }
    if name in PEERS and _has(PEERS[name][0]):
        _, script, words = PEERS[name]
        work["peer"] = [sys.executable, "-c", f"import sys\n{script}", path, *words]
    found = medians(work, rounds)
    return Row(*(found.get(name) for name in ("inspect", "convert", "scan", "diff", "peer")))


def _print(name: str, count: int, row: Row, counts: list[int], before: Run | None) -> None:
    peer, ratio = (_said(row.peer), f"{row.inspect.cpu / row.peer.cpu:6.2f} ×") if row.peer else ("", "")
    growth = f"{row.inspect.cpu / before.cpu / (count / min(counts)):6.2f}" if before else ""
    own = "".join(f"  {_said(run):>26s}" for run in (row.inspect, row.convert, row.scan, row.diff))
    print(f"{name:18s}  {count:7}{own}  {peer:>26s}  {ratio:>14s}   {growth}", flush=True)


def _said(run: Run) -> str:
    return f"{run.wall:6.2f} s cpu {run.cpu:6.2f} {run.peak:4.0f}M"


if __name__ == "__main__":
    main()
