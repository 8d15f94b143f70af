from __future__ import annotations

import numpy as np
import pytest

from panmodel.wire.byte_order import turned_around


@pytest.mark.parametrize("kind", ["u1", "i2", "f4", "f8"])
def test_numbers_keep_their_values(kind: str) -> None:
    numbers = np.array([1, 2, 100], f">{kind}")
    turned = turned_around(numbers.view(np.uint8), numbers.itemsize)
    assert turned.flags.c_contiguous
    assert turned.view(f"<{kind}").tolist() == [1, 2, 100]
