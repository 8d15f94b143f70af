"""Virtual datasets: which files they name. They are never followed.

Source: HDF5 File Format Specification 3.0, VIII (virtual dataset mapping), VIII.B (serialized selections).
"""

from __future__ import annotations

from panmodel.wire.hdf5.cursor import Cursor
from panmodel.wire.hdf5.links import text_of

_POINTS, _HYPERSLAB = 1, 2
_REGULAR = 1


def source_files(block: Cursor, most: int) -> tuple[str, ...]:
    """The files that a virtual dataset's description names, each once; "." is the file itself.

    Args:
        block: The description from its global heap object.
        most: Entries that are believed.

    Raises:
        CorruptError: It contradicts the format.
    """
    block.version(0)
    count = block.length()
    if count > most:
        block.fail(f"has {count} entries, more than {most}")
    found: dict[str, None] = {}
    for _ in range(count):
        found[text_of(block.text())] = None
        block.text()  # the dataset in it
        _skip_selection(block)
        _skip_selection(block)
    return tuple(found)


def _skip_selection(block: Cursor) -> None:
    kind, version = block.u32(), block.u32()
    if kind not in (_POINTS, _HYPERSLAB):  # everything, or nothing
        block.skip(8)
    elif version == 1:
        block.skip(4)
        block.skip(block.u32())
    elif kind == _HYPERSLAB and version == 2:
        block.skip(1)
        block.skip(block.u32())
    else:
        _skip_counted(block, kind)


def _skip_counted(block: Cursor, kind: int) -> None:
    """Selections that say how wide their numbers are."""
    flags = block.u8() if kind == _HYPERSLAB else 0
    width, rank = block.u8(), block.u32()
    if kind == _HYPERSLAB and flags & _REGULAR:
        block.skip(4 * rank * width)
    else:
        block.skip((2 if kind == _HYPERSLAB else 1) * rank * width * block.uint(width))
