import random

import pytest

from panmodel.wire.hdf5.checksums import fletcher32, lookup3


@pytest.mark.parametrize(
    ("data", "start", "expected"),
    [
        (b"", 0, 0xDEADBEEF),
        (b"", 0xDEADBEEF, 0xBD5B7DDE),
        (b"Four score and seven years ago", 0, 0x17770551),
        (b"Four score and seven years ago", 1, 0xCD628161),
    ],
)
def test_lookup3_gives_the_values_of_its_author(data, start, expected):
    assert lookup3(data, start) == expected


def test_lookup3_sees_every_byte():
    data = bytes(range(40))
    for size in range(1, 40):
        sums = {lookup3(data[:size])} | {
            lookup3(data[:place] + b"\xff" + data[place + 1 : size]) for place in range(size)
        }
        assert len(sums) == size + 1


def slowly(data):
    low = high = 0
    for place in range(0, len(data), 2):
        word = data[place] << 8 | (data[place + 1] if place + 1 < len(data) else 0)
        low = low + word
        low = (low & 0xFFFF) + (low >> 16)
        high = high + low
        high = (high & 0xFFFF) + (high >> 16)
    return high << 16 | low


@pytest.mark.parametrize("size", [0, 1, 2, 3, 719, 720, 721, 5000])
def test_fletcher32_is_what_one_word_after_the_other_gives(size):
    data = random.Random(size).randbytes(size)
    assert fletcher32(data) == slowly(data)


def test_fletcher32_of_ones_is_not_zero():
    assert fletcher32(b"\xff" * 64) == slowly(b"\xff" * 64) == 0xFFFFFFFF
    assert fletcher32(bytes(64)) == 0


def test_fletcher32_of_many_words_does_not_overflow():
    assert fletcher32(b"\xff\xfe" * (3 << 20)) == slowly(b"\xff\xfe" * (3 << 20))
