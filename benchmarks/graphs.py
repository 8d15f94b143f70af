"""Converting graphs to ONNX, whole process: panmodel against tf2onnx.

    python benchmarks/graphs.py [--rounds 3]

Needs tensorflow-cpu and tf2onnx for the peer; the graphs are the digit classifier of `examples/` as a checkpoint, and a
residual network of 50 convolutions that the script makes with TensorFlow.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

from processes import medians, print_ratios

DIGITS = Path(__file__).parents[1] / "examples" / "digits" / "model.ckpt"
MAKE = """
import os, sys
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
import tensorflow as tf
tf1 = tf.compat.v1
def convolution(x, filters, stride=1, size=3):
    kernel = tf1.get_variable("kernel", (size, size, x.shape[-1], filters))
    gamma, beta, mean = (tf1.get_variable(n, (filters,)) for n in ("gamma", "beta", "mean"))
    variance = tf1.get_variable("variance", (filters,), initializer=tf1.ones_initializer())
    x = tf1.nn.conv2d(x, kernel, stride, "SAME")
    return tf1.nn.fused_batch_norm(x, gamma, beta, mean, variance, is_training=False)[0]
with tf1.Graph().as_default(), tf1.Session() as session:
    x = tf1.placeholder(tf.float32, (None, 64, 64, 3), "images")
    with tf1.variable_scope("stem"):
        x = tf.nn.relu(convolution(x, 16))
    for block in range(24):
        filters, stride = 16 << block // 8, 2 if block in (8, 16) else 1
        with tf1.variable_scope(f"block_{block}"):
            with tf1.variable_scope("shortcut"):
                shortcut = convolution(x, filters, stride, 1) if stride > 1 else x
            with tf1.variable_scope("a"):
                y = tf.nn.relu(convolution(x, filters, stride))
            with tf1.variable_scope("b"):
                y = convolution(y, filters)
            x = tf.nn.relu(x + y if stride == 1 else shortcut + y)
    x = tf.reduce_mean(x, (1, 2))
    tf.nn.softmax(tf.matmul(x, tf1.get_variable("classes/kernel", (64, 10))), name="probabilities")
    session.run(tf1.global_variables_initializer())
    tf1.train.Saver().save(session, sys.argv[1])
"""


def work(prefix: Path, inputs: str, outputs: str, folder: Path) -> dict[str, list[object]]:
    cut = ["--inputs", inputs, "--outputs", outputs]
    return {
        "panmodel": [sys.executable, "-m", "panmodel", "convert", "--force", *cut, prefix, folder / "a.onnx"],
        "tf2onnx": [
            sys.executable,
            "-m",
            "tf2onnx.convert",
            "--checkpoint",
            f"{prefix}.meta",
            *cut,
            "--opset",
            "18",
            "--output",
            folder / "b.onnx",
        ],
        "panmodel, to PyTorch source": [
            sys.executable,
            "-m",
            "panmodel",
            "convert",
            "--force",
            *cut,
            prefix,
            folder / "net.py",
        ],
    }


def main() -> None:
    ask = argparse.ArgumentParser(description=__doc__)
    ask.add_argument("--rounds", type=int, default=3)
    args = ask.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        residual = folder / "residual.ckpt"
        subprocess.run([sys.executable, "-c", MAKE, residual], check=True, stderr=subprocess.DEVNULL)
        for title, prefix, inputs, outputs in (
            ("digit classifier", DIGITS, "images:0", "probabilities:0"),
            ("residual network, 50 convolutions", residual, "images:0", "probabilities:0"),
        ):
            print(title)
            print_ratios(medians(work(prefix, inputs, outputs, folder), args.rounds), "panmodel")


if __name__ == "__main__":
    main()
