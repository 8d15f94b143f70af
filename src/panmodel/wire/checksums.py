"""CRC-32C as TensorFlow stores it: masked, so that a sum over data which holds sums stays a good one.

Source: tsl/lib/hash/crc32c.h (mask); RFC 3720 appendix B.4 (polynomial, test vectors).
"""

from __future__ import annotations

_MASK_DELTA = 0xA282EAD8


def crc32c(data: bytes | bytearray | memoryview, start: int = 0) -> int:
    """The CRC-32C of some bytes, by the processor's own instruction where it has one.

    Args:
        data: The bytes.
        start: The sum of what came before them.
    """
    import crc32c as processor

    return int(processor.crc32c(data, start))


def mask(crc: int) -> int:
    """The sum as it is stored: rotated right by 15 bits, and a constant added."""
    return ((crc >> 15 | crc << 17) + _MASK_DELTA) & 0xFFFFFFFF


class MaskedCrc32c:
    """A running CRC-32C that is held against a stored, masked one.

    Args:
        stored: The masked sum from the file.
    """

    def __init__(self, stored: int) -> None:
        self._stored = stored
        self._crc = 0

    def update(self, piece: bytes | bytearray | memoryview) -> None:
        """Take the next piece."""
        self._crc = crc32c(piece, self._crc)

    def verify(self) -> str | None:
        """None if the stored sum is met, else what was expected and found."""
        found = mask(self._crc)
        return None if found == self._stored else f"masked crc32c {self._stored:08x} expected, {found:08x} found"
