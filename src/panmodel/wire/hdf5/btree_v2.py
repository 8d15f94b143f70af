"""Version 2 B-trees: links and attributes in heaps, chunks of datasets with several unlimited dimensions.

Source: HDF5 File Format Specification 3.0, III.A.2.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from panmodel.wire.hdf5.cursor import Cursor
from panmodel.wire.hdf5.file import Visit

_NODE_HEAD = 6  # signature, version, type
_NODE_PREFIX = _NODE_HEAD + 4  # and the checksum
_DEEPEST = 32  # with the least possible fan-out this is more than any file can hold


@dataclass(frozen=True, slots=True)
class _Tree:
    """The header of a tree.

    Attributes:
        kind: Type of its records.
        record_size: Bytes of a record.
        count_size: Bytes of a count of records in one node.
        total_sizes: Bytes of a count of all records below a node, by the node's level.
        most: Most records in a node, by its level.
    """

    kind: int
    record_size: int
    count_size: int
    total_sizes: tuple[int, ...]
    most: tuple[int, ...]


def records(visit: Visit, address: int, kind: int) -> Iterator[Cursor]:
    """Walk a tree in the order of its records.

    Args:
        visit: The walk over the structures of the object that owns the tree.
        address: Its header.
        kind: Type that its records must have.

    Yields:
        Each record.

    Raises:
        CorruptError: The tree contradicts the format or a checksum, or comes back to itself.
    """
    file = visit.file
    size = 4 + 2 + 4 + 2 + 2 + 2 + file.offset_size + 2 + file.length_size + 4
    head = visit.read_summed(address, size, "a B-tree header")
    head.expect(b"BTHD")
    head.version(0)
    found, node_size, record_size, depth = head.u8(), head.u32(), head.u16(), head.u16()
    if found != kind or not record_size or depth > _DEEPEST or node_size > file.size:
        head.fail(f"has records of type {found} and {record_size} bytes, nodes of {node_size}, depth {depth}")
    head.skip(2)  # when nodes are split and merged
    root, count = head.address(), head.u16()
    if root is not None:
        tree = _sizes(kind, record_size, node_size, depth, file.offset_size)
        yield from _walk(visit, tree, root, count, depth)


def _sizes(kind: int, record_size: int, node_size: int, depth: int, offset_size: int) -> _Tree:
    most = [max(node_size - _NODE_PREFIX, 0) // record_size]
    count_size = _bytes_for(most[0])
    totals, total_sizes = most[0], [0]
    for _ in range(depth):
        pointer = offset_size + count_size + total_sizes[-1]
        most.append(max(node_size - _NODE_PREFIX - pointer, 0) // (record_size + pointer))
        totals = (most[-1] + 1) * totals + most[-1]
        total_sizes.append(_bytes_for(totals))
    return _Tree(kind, record_size, count_size, tuple(total_sizes), tuple(most))


def _bytes_for(number: int) -> int:
    return max((number.bit_length() + 7) // 8, 1)


def _walk(visit: Visit, tree: _Tree, address: int, count: int, level: int) -> Iterator[Cursor]:
    records_size = count * tree.record_size
    pointer = visit.file.offset_size + tree.count_size + tree.total_sizes[level - 1] if level else 0
    nbytes = _NODE_PREFIX + records_size + (count + 1) * pointer
    node = visit.read_summed(address, nbytes, "a B-tree node")
    node.expect(b"BTIN" if level else b"BTLF")
    node.version(0)
    kind = node.u8()
    if kind != tree.kind or count > tree.most[level]:
        node.fail(f"has {count} records of type {kind}; at most {tree.most[level]} of type {tree.kind} are expected")
    own = [node.part(tree.record_size) for _ in range(count)]
    if not level:
        yield from own
        return
    children = []
    for _ in range(count + 1):
        children.append((node.defined(), node.uint(tree.count_size)))
        node.skip(tree.total_sizes[level - 1])
    for (child, inside), record in zip(children, [*own, None], strict=True):
        yield from _walk(visit, tree, child, inside, level - 1)
        if record is not None:
            yield record
