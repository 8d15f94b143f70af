"""A checkpoint far larger than the memory that is allowed: does it convert, and what does it take?

    python benchmarks/sparse.py [--gigabytes 20] [--limit 512] [--folder FOLDER]

The checkpoint is a hole on disk, with the checksums of zeros; each target is written in full and then removed, so the
folder needs room for one. The limit holds for the address space beyond that of the bare interpreter.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from panmodel.wire.checksums import crc32c, mask
from panmodel.wire.protobuf import encode_bytes
from panmodel.wire.sstable import encode_table
from panmodel.wire.tensor_bundle import BundleEntryProto, BundleHeaderProto, shard_name
from panmodel.wire.tensorflow_messages import Dim, TensorShapeProto, VersionDef

MIB = 1 << 20
PIECE = 4 * MIB
BARE = "print(next(int(line.split()[1]) for line in open('/proc/self/status') if line.startswith('VmPeak')))"


def make(prefix: Path, nbytes: int) -> None:
    """A checkpoint of zeros: one tensor of half the bytes, the rest in tensors of 64 MiB."""
    sizes = [nbytes // 2] + [64 * MIB] * (nbytes // 2 // (64 * MIB))
    sizes = [size // PIECE * PIECE for size in sizes]
    sums, offset = {size: zeros_crc(size) for size in set(sizes)}, 0
    table = {b"": BundleHeaderProto(num_shards=1, version=VersionDef(producer=1))}
    for number, size in enumerate(sizes):
        shape = TensorShapeProto(dim=[Dim(size=size // PIECE), Dim(size=PIECE // 4)])
        entry = BundleEntryProto(dtype=1, shape=shape, offset=offset, size=size, crc32c=mask(sums[size]))
        table[f"layer_{number:04}/kernel".encode()] = entry
        offset += size
    Path(f"{prefix}.index").write_bytes(b"".join(encode_table((key, encode_bytes(m)) for key, m in table.items())))
    with (prefix.parent / shard_name(prefix.name, 0, 1)).open("wb") as file:
        file.truncate(offset)


def zeros_crc(nbytes: int) -> int:
    piece, crc = bytes(PIECE), 0
    for _ in range(nbytes // PIECE):
        crc = crc32c(piece, crc)
    return crc


def main() -> None:
    ask = argparse.ArgumentParser(description=__doc__)
    ask.add_argument("--gigabytes", type=float, default=20)
    ask.add_argument("--limit", type=int, default=512, help="MiB beyond the bare interpreter")
    ask.add_argument("--folder", type=Path)
    ask.add_argument("targets", nargs="*", default=["a.safetensors", "a.pt", "a.ckpt", "a.npz", "a.h5"])
    args = ask.parse_args()
    bare = int(subprocess.run([sys.executable, "-c", BARE], capture_output=True, text=True, check=True).stdout) * 1024
    limit = bare + args.limit * MIB
    print(f"limit: {limit / MIB:.0f} MiB of address space, {bare / MIB:.0f} MiB of them for the bare interpreter")
    with tempfile.TemporaryDirectory(dir=args.folder) as name:
        prefix = Path(name) / "model.ckpt"
        make(prefix, int(args.gigabytes * 1e9))
        for target in args.targets:
            path = Path(name) / "out" / target
            path.parent.mkdir()
            convert(prefix, path, limit)
            for file in path.parent.iterdir():
                file.unlink()
            path.parent.rmdir()


def convert(prefix: Path, target: Path, limit: int) -> None:
    command = [sys.executable, "-m", "panmodel", "convert", str(prefix), str(target)]
    began = time.monotonic()
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (limit, limit)),
    )
    seconds = time.monotonic() - began
    if done.returncode:
        raise SystemExit(f"{target.name}: exit code {done.returncode}\n{done.stderr[-2000:]}")
    nbytes = sum(file.stat().st_size for file in target.parent.iterdir())
    peak = next(line.partition("peak memory")[2] for line in done.stdout.splitlines() if "peak memory" in line)
    rate = f"{seconds:6.1f} s  {nbytes / 1e9 / seconds:5.2f} GB/s"
    print(f"  {target.name:16s} {nbytes / 1e9:6.2f} GB  {rate}  peak{peak}")


if __name__ == "__main__":
    main()
