import pytest
from hypothesis import given
from hypothesis import strategies as st

from panmodel.wire.checksums import MaskedCrc32c, crc32c, mask


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"", 0),
        (b"123456789", 0xE3069283),
        (bytes(32), 0x8A9136AA),
        (b"\xff" * 32, 0x62A8AB43),
        (bytes(range(32)), 0x46DD794E),
        (bytes(reversed(range(32))), 0x113FDB5C),
    ],
)
def test_crc32c_meets_the_vectors_of_the_standard(data, expected):
    assert crc32c(data) == expected


def test_crc32c_is_the_same_whatever_the_buffer_and_however_it_is_cut():
    data = bytes(range(256)) * 4096
    whole = crc32c(data)
    assert crc32c(bytearray(data)) == crc32c(memoryview(data)) == whole
    assert crc32c(data[300_001:], crc32c(data[:300_001])) == whole


def test_masked_sum_of_nothing_is_the_constant_that_tensorflow_stores_for_empty_tensors():
    assert mask(0) == 0xA282EAD8


def test_masked_sums_turn_the_sum_and_add_a_constant():
    assert mask(1) == 0xA282EAD8 + (1 << 17)
    assert mask(1 << 15) == 0xA282EAD9
    assert mask(0xFFFFFFFF) == 0xA282EAD7


@given(st.lists(st.binary(max_size=50)))
def test_running_sum_over_pieces_is_the_sum_of_the_whole(pieces):
    running = MaskedCrc32c(mask(crc32c(b"".join(pieces))))
    for piece in pieces:
        running.update(memoryview(piece))
    assert running.verify() is None


def test_running_sum_says_what_it_expected_and_found():
    running = MaskedCrc32c(0xDEADBEEF)
    running.update(b"123456789")
    assert "deadbeef expected" in running.verify()
    assert f"{mask(0xE3069283):08x} found" in running.verify()
