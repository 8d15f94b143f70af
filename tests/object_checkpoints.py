"""Object-based checkpoints that TensorFlow wrote, and the values that it reads from them."""

from pathlib import Path

import numpy as np

FIXTURES = Path(__file__).parent / "fixtures" / "object_checkpoints"
NAMES = ("keras3", "slots")


def expected(name):
    """Key in the checkpoint → array."""
    with np.load(FIXTURES / f"{name}.npz") as stored:
        return {key.replace("|", "/"): value for key, value in stored.items()}
