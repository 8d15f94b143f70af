"""The whole way on one model: TensorFlow 1 checkpoint → ONNX → PyTorch, each step verified, without TensorFlow.

python examples/digits/demo.py [FOLDER]      # writes into FOLDER, demo-output if left out
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

import panmodel as pm
from panmodel.cli.convert import print_receipt

HERE = Path(__file__).parent
CHECKPOINT, RECORDED = HERE / "model.ckpt", HERE / "recorded.npz"
SHADES = " .:-=+*#%@"


def main(folder: Path) -> int:
    folder.mkdir(parents=True, exist_ok=True)
    same = True
    for name in ("digits.onnx", "digits.py"):
        print_receipt(pm.convert(CHECKPOINT, folder / name, verify=True, force=True))
        found = pm.verify(folder / name, RECORDED)
        same = same and found.same
        verdict = "same" if found.same else "DIFFERS"
        print(f"against what TensorFlow recorded: {verdict}, max absolute error {found.max_absolute:.3g}\n")
    right = classify()
    return 0 if same and right else 1


def classify() -> bool:
    """Classify the recorded images with the PyTorch module; whether it answers what TensorFlow answered."""
    import torch

    module = pm.to_torch(CHECKPOINT).eval()
    with np.load(RECORDED) as recorded:
        images, labels, answers = recorded["images:0"], recorded["labels"], recorded["probabilities:0"]
    with torch.no_grad():
        probabilities = module(torch.from_numpy(images))
    digits = probabilities.argmax(dim=-1).numpy()
    for index in range(3):
        draw(images[index, :, :, 0])
        print(f"  PyTorch says {digits[index]} ({probabilities[index].max():.1%}), it is {labels[index]}\n")
    print(f"{(digits == labels).sum()} of {len(labels)} digits right")
    return bool((digits == answers.argmax(-1)).all())


def draw(image: np.ndarray) -> None:
    """An image of values 0 to 1 in characters, two per pixel."""
    for row in image:
        print("  " + "".join(SHADES[min(int(pixel * len(SHADES)), len(SHADES) - 1)] * 2 for pixel in row))


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1] if len(sys.argv) > 1 else "demo-output")))
