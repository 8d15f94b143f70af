"""Protocol buffers: messages declared as classes, read lazily from a source, written in pieces.

A message is declared field by field, with the numbers of its .proto file:

    class TensorShape(Message):
        dim: Sequence[Dim] = repeated(2, lambda: Dim)
        unknown_rank: bool = single(3, "bool")

`decode` reads one level: the scalars of the message itself, and where the messages inside it lie. Those are decoded
when an attribute asks for them, and written back unread if none does. Fields of kind "blob" are left in the file as an
`Extent`, and repeated numbers as `Numbers`, which become an array when asked for. So a file of gigabytes lists in the
time of the structure that is looked at. `encode` gives the bytes in pieces, with blobs passed through from wherever
they lie. Unknown fields are skipped. Why not the protobuf package: it loads every payload, and stops at 2 GB.

Since inner messages are decoded late, their faults are found late too: any access to a message that was read may raise
the errors of `decode`.

Source: https://protobuf.dev/programming-guides/encoding/
"""

from panmodel.wire.protobuf.message import Field, Message, Payload, mapping, repeated, single
from panmodel.wire.protobuf.numbers import Numbers
from panmodel.wire.protobuf.reading import decode, decode_bytes, walk
from panmodel.wire.protobuf.varint import BYTES, FIXED32, FIXED64, VARINT
from panmodel.wire.protobuf.writing import encode, encode_bytes, encoded_size

__all__ = [
    "BYTES",
    "FIXED32",
    "FIXED64",
    "VARINT",
    "Field",
    "Message",
    "Numbers",
    "Payload",
    "decode",
    "decode_bytes",
    "encode",
    "encode_bytes",
    "encoded_size",
    "mapping",
    "repeated",
    "single",
    "walk",
]
