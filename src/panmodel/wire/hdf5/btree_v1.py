"""Version 1 B-trees: links of old groups, chunks of old datasets.

Source: HDF5 File Format Specification 3.0, III.A.1.
"""

from __future__ import annotations

from collections.abc import Iterator

from panmodel.wire.hdf5.cursor import Cursor
from panmodel.wire.hdf5.file import Visit

GROUP, CHUNKS = 0, 1


def leaves(visit: Visit, address: int, kind: int, key_size: int) -> Iterator[tuple[Cursor, int]]:
    """Walk a tree from left to right.

    Args:
        visit: The walk over the structures of the object that owns the tree.
        address: Its root.
        kind: GROUP or CHUNKS.
        key_size: Bytes of a key.

    Yields:
        The key before each child of the lowest nodes, and the child's address.

    Raises:
        CorruptError: The tree contradicts the format, or comes back to itself.
    """
    head_size = 8 + 2 * visit.file.offset_size
    waiting: list[tuple[int, int | None]] = [(address, None)]
    while waiting:
        place, expected = waiting.pop()
        head = visit.read(place, head_size, "a B-tree node")
        head.expect(b"TREE")
        found, level, count = head.u8(), head.u8(), head.u16()
        if found != kind or level != (level if expected is None else expected):
            head.fail(f"is of type {found} and level {level}; type {kind} and level {expected} are expected")
        if not count:
            continue
        step = key_size + visit.file.offset_size
        body = visit.read(place + head_size, count * step, "a B-tree node")
        if level:
            children = []
            for _ in range(count):
                body.skip(key_size)
                children.append((body.defined(), level - 1))
            waiting.extend(reversed(children))
        else:
            for _ in range(count):
                yield body.part(key_size), body.defined()
