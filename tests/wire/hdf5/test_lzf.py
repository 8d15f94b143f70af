import pytest

from panmodel.errors import CorruptError
from panmodel.wire.hdf5.lzf import decompress


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"", b""),
        (b"\x02abc", b"abc"),
        (b"\x02abc\x20\x02", b"abcabc"),
        (b"\x00a\xe0\x05\x00", b"a" * 15),
        (b"\x01ab\x40\x01", b"ababab"),
    ],
)
def test_streams(data, expected):
    assert decompress(data, 100) == expected


@pytest.mark.parametrize("data", [b"\x02ab", b"\x20", b"\x00a\xe0\x05", b"\x00a\x20\x05", b"\x00a\xe0\xff\x00"])
def test_contradictions(data):
    with pytest.raises(CorruptError):
        decompress(data, 100)
