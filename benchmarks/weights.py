"""Moving weights: panmodel against cp and against the scripts one would write.

    python benchmarks/weights.py [--gigabytes 1.3] [--rounds 3] [--folder FOLDER]

Needs tensorflow-cpu (to write the checkpoint, and as the peer), torch and safetensors. Prints
ratios to `cp` of the same bytes.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

from processes import medians, print_ratios, timed

MAKE = """
import os, sys
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
import tensorflow as tf
tf1, prefix, total, layer = tf.compat.v1, sys.argv[1], float(sys.argv[2]) * 1e9, 0
with tf1.Graph().as_default(), tf1.Session() as session:
    while layer * 12.6e6 * 2.67 < total:
        for name, shape in (("query/kernel", (1024, 1024)), ("query/bias", (1024,)), ("norm/gamma", (1024,)),
                            ("inner/kernel", (1024, 4096)), ("outer/kernel", (4096, 1024)), ("outer/bias", (1024,))):
            tf1.get_variable(f"layer_{layer}/{name}", shape, initializer=tf1.random_normal_initializer(seed=layer))
        layer += 1
    session.run(tf1.global_variables_initializer())
    tf1.train.Saver().save(session, prefix, write_meta_graph=False)
"""
WITH_TENSORFLOW = """
import os, sys
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
import tensorflow as tf
reader = tf.train.load_checkpoint(sys.argv[1])
arrays = {name: reader.get_tensor(name) for name in reader.get_variable_to_shape_map()}
if sys.argv[2].endswith(".pt"):
    import torch
    torch.save({name: torch.from_numpy(array) for name, array in arrays.items()}, sys.argv[2])
else:
    from safetensors.numpy import save_file
    save_file(arrays, sys.argv[2])
"""
WITH_TORCH = """
import sys, torch
from safetensors.torch import save_file
save_file(torch.load(sys.argv[1], weights_only=True, mmap=True), sys.argv[2])
"""


def main() -> None:
    ask = argparse.ArgumentParser(description=__doc__)
    ask.add_argument("--gigabytes", type=float, default=1.3)
    ask.add_argument("--rounds", type=int, default=3)
    ask.add_argument("--folder", type=Path)
    args = ask.parse_args()
    with tempfile.TemporaryDirectory(dir=args.folder) as name:
        folder = Path(name)
        prefix = folder / "model.ckpt"
        subprocess.run([sys.executable, "-c", MAKE, prefix, str(args.gigabytes)], check=True, stderr=subprocess.DEVNULL)
        data = next(folder.glob("*.data-*"))
        convert = [sys.executable, "-m", "panmodel", "convert", "--force"]
        work = {
            "cp": ["cp", data, folder / "copy"],
            "panmodel: checkpoint → safetensors": [*convert, prefix, folder / "a.safetensors"],
            "tensorflow + safetensors: the same": [
                sys.executable,
                "-c",
                WITH_TENSORFLOW,
                prefix,
                folder / "b.safetensors",
            ],
            "panmodel: checkpoint → pt": [*convert, "--weights-only", prefix, folder / "a.pt"],
            "tensorflow + torch: the same": [sys.executable, "-c", WITH_TENSORFLOW, prefix, folder / "b.pt"],
            "panmodel: pt → safetensors": [*convert, folder / "a.pt", folder / "c.safetensors"],
            "torch (mmap) + safetensors: the same": [
                sys.executable,
                "-c",
                WITH_TORCH,
                folder / "a.pt",
                folder / "d.safetensors",
            ],
            "panmodel: safetensors → checkpoint": [*convert, folder / "a.safetensors", folder / "e.ckpt"],
        }
        print(f"{data.stat().st_size / 1e9:.2f} GB of weights")
        print_ratios(medians(work, args.rounds), "cp")
        print(f"inspect: {timed([sys.executable, '-m', 'panmodel', 'inspect', prefix]).wall:.2f} s")


if __name__ == "__main__":
    main()
