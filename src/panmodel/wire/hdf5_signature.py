"""The bytes by which an HDF5 file is told; by themselves, since every file is held against them.

Source: HDF5 File Format Specification 3.0, II.A (format signature and user block).
"""

from __future__ import annotations

from panmodel.io.source import Source

SIGNATURE = b"\x89HDF\r\n\x1a\n"
#: A user block has 512 bytes or a power of two times as many; longer ones than this are not looked for.
_LAST_PLACE = 1 << 30


def is_hdf5(content: Source | bytes) -> bool:
    """Whether a file, or the beginning of one, has the HDF5 signature where it may be (0, 512, 1024, 2048, …)."""
    return signature_place(content) is not None


def signature_place(content: Source | bytes) -> int | None:
    """Where the signature is; None if it is at none of the places where it may be."""
    size = len(content) if isinstance(content, bytes) else content.size
    place = 0
    while place + len(SIGNATURE) <= size and place <= _LAST_PLACE:
        end = place + len(SIGNATURE)
        found = content[place:end] if isinstance(content, bytes) else content.read(place, len(SIGNATURE))
        if found == SIGNATURE:
            return place
        place = place * 2 or 512
    return None
