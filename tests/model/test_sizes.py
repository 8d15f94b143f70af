"""Sizes of shards as people write them."""

import pytest

from panmodel.errors import UsageError
from panmodel.model.sizes import bytes_in


@pytest.mark.parametrize(
    ("size", "found"),
    [
        ("5GB", 5_000_000_000),
        ("500MB", 500_000_000),
        ("2GiB", 1 << 31),
        ("1.5k", 1500),
        ("100", 100),
        ("100b", 100),
        ("7Ki", 7168),
        ("5gb", 5_000_000_000),
        (" 1 KIB ", 1024),
        ("4.35kB", 4350),
        (1000, 1000),
    ],
)
def test_sizes(size, found):
    assert bytes_in(size) == found


@pytest.mark.parametrize("text", ["", "GB", "5X", "-5GB", "5 iB", "1e9", "٥GB", 2.5, 1e9, True, b"5GB", None])
def test_what_is_no_size(text):
    with pytest.raises(UsageError, match="is no size"):
        bytes_in(text)


@pytest.mark.parametrize("size", [0, -1, "0", "0.1"])
def test_no_bytes(size):
    with pytest.raises(UsageError, match="hold no tensors"):
        bytes_in(size)
