"""Numbers with their highest byte first, as little-endian ones."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np


def turned_around(data: np.ndarray, width: int) -> np.ndarray:
    """The bytes of numbers, those of each in the opposite order.

    Args:
        data: uint8, of one dimension: whole numbers.
        width: Bytes of one number.

    Returns:
        As many bytes; the same array if there is nothing to turn.
    """
    import numpy as np

    return np.ascontiguousarray(data.reshape(-1, width)[:, ::-1]).reshape(-1) if width > 1 else data
