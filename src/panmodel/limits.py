"""The caps on what a file may ask for that concern more than one reader, in one place.

A length, count, rank or depth that comes from a file is checked against these and against the bytes that are there
before anything is allocated. The defaults hold every real model met so far with room to spare; `DEFAULT` is what
readers use.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """Caps on what is believed of a file. Sizes are bytes.

    Attributes:
        header_bytes: A header held in memory at once (safetensors allows 100 MB by its specification).
        message_bytes: A protobuf message that is held in memory; larger ones are walked field by field.
        fields: Fields of one protobuf message, and bytes of a list in it that is held as Python objects.
        text_bytes: A text file (`.pbtxt`, `checkpoint`, JSON).
        nesting: Messages, pickled containers or groups within each other.
        rank: Dimensions of a tensor.
        name_bytes: A tensor's or node's name.
        nodes: Nodes of one graph, subgraphs counted in.
        tensors: Named tensors of one model.
        block_bytes: One uncompressed SSTable block.
        shards: Data files of one checkpoint.
        members: Members of one archive.
        member_ratio: Uncompressed to compressed size of an archive member.
        pickle_bytes: One pickle stream.
        pickle_opcodes: Opcodes executed of one pickle stream.
        pickle_objects: Memo entries and stack slots of one pickle stream.
        string_elements: Elements of one string tensor.
        filled_elements: Elements of a tensor that the file gives a few values for, which are repeated.
        chunk_ratio: Bytes of a chunked dataset to its stored bytes; deflate itself does not reach more.
        filled_bytes: Bytes of a dataset beyond that, which are not stored and have its fill value.
    """

    header_bytes: int = 100_000_000
    message_bytes: int = 1 << 20
    fields: int = 10_000_000
    text_bytes: int = 256 << 20
    nesting: int = 64
    rank: int = 64
    name_bytes: int = 1 << 16
    nodes: int = 2_000_000
    tensors: int = 2_000_000
    block_bytes: int = 64 << 20
    shards: int = 100_000
    members: int = 1_000_000
    member_ratio: int = 200
    pickle_bytes: int = 256 << 20
    pickle_opcodes: int = 5_000_000
    pickle_objects: int = 10_000_000
    string_elements: int = 10_000_000
    filled_elements: int = 1 << 28
    chunk_ratio: int = 1032
    filled_bytes: int = 64 << 20


DEFAULT = Limits()
